// Determinants, powers and Cholesky's factors of small matrices.

import { fromEnd } from '../../../shaders/checked';
import { record, scopedNoGrad, sumOfAll } from '../../autograd/tape';
import { checked, is } from '../../gpu/options';
import { inputError, requireIntegers } from '../../tensor/context';
import { eye, ones, zeros } from '../../tensor/create';
import type { Tensor } from '../../tensor/tensor';
import { abs, add, log, mul, sign } from '../elementwise';
import { matmul } from '../matmul';
import { expression } from '../operands';
import { prod, sum } from '../reduce';
import { diagonalOf } from '../statistics';
import { tril } from '../triangle';
import { expand, transpose, unsqueeze } from '../views';
import { choleskyFactor, factor, type GradientRule, requireSquare } from './factor';
import { inverse, solveTriangular } from './solve';

/** A number for each matrix, to be multiplied with its elements. */
const perMatrix = (x: Tensor): Tensor => unsqueeze(unsqueeze(x, -1), -1);

/** The trace of a·b for each matrix. */
const traceOf = (a: Tensor, b: Tensor): Tensor => sum(mul(a, transpose(b)), [-2, -1]);

/**
 * The determinants of matrices [..., n, n], as `torch.linalg.det`: [...]. The gradient of a singular matrix is 0, as in PyTorch, and also with
 * `createGraph`, where PyTorch's is made of its cofactors.
 */
export function det(a: Tensor): Tensor {
  requireSquare('linalg.det', a);
  const n = a.shape[a.ndim - 1];
  if (!n) return ones(a.shape.slice(0, -2));
  const y = scopedNoGrad(() => {
    const { lu, sign: swaps } = factor(a, null);
    return mul(prod(diagonalOf(lu), -1), swaps);
  });
  const rule: GradientRule = (g) => [mul(perMatrix(mul(g, y)), transpose(inverse(a, null)))];
  const push = (t: Tensor | null) => mul(y, traceOf(inverse(a, null), sumOfAll(t)));
  return record('det', [a], y, [a, y], rule, { push, differentiable: rule });
}

/**
 * Sign and logarithm of the absolute value of determinants, as `torch.linalg.slogdet`: they neither overflow nor vanish. 0 and −∞ of a singular
 * matrix. The gradient goes through `logabsdet`.
 */
export function slogdet(a: Tensor): { sign: Tensor; logabsdet: Tensor } {
  requireSquare('linalg.slogdet', a);
  const batch = a.shape.slice(0, -2);
  if (!a.shape[a.ndim - 1]) return { sign: ones(batch), logabsdet: zeros(batch) };
  const parts = scopedNoGrad(() => {
    const { lu, sign: swaps } = factor(a, null);
    const pivots = diagonalOf(lu);
    return { sign: mul(prod(sign(pivots), -1), swaps), logabsdet: sum(log(abs(pivots)), -1) };
  });
  const rule: GradientRule = (g) => [mul(perMatrix(g), transpose(inverse(a, null)))];
  const push = (t: Tensor | null) => traceOf(inverse(a, null), sumOfAll(t));
  return { ...parts, logabsdet: record('slogdet', [a], parts.logabsdet, [a], rule, { push, differentiable: rule }) };
}

/** log of determinants, as `torch.logdet`: NaN of negative ones. */
export function logdet(a: Tensor): Tensor {
  const { sign: s, logabsdet } = slogdet(a);
  return expression('logdet', 'select(l, nan(), d < 0.0)', { l: logabsdet, d: s });
}

/**
 * L of a = L·Lᵀ for symmetric positive definite matrices [..., n, n], as `torch.linalg.cholesky`; with `upper` its transpose. Only the lower triangle is
 * read. Another matrix makes the next read throw an InputError that names it; its factor has NaN.
 */
export function cholesky(a: Tensor, options: { /** Gives Lᵀ (default false). */ upper?: boolean } = {}): Tensor {
  const op = 'linalg.cholesky';
  const { upper = false } = checked(op, options, { upper: is.flag });
  requireSquare(op, a);
  const l = choleskyFactor(op, a);
  const half = eye(fromEnd(a.shape, 1));
  // The lower triangle with half of the diagonal.
  const lower = (x: Tensor) => mul(tril(x), expression(op, '1.0 - 0.5 * e', { e: half }));
  const rule: GradientRule = (g) => {
    const phi = lower(matmul(transpose(l), tril(g)));
    const left = solveTriangular(transpose(l), phi, { upper: true });
    const x = solveTriangular(l, left, { upper: false, left: false });
    return [mul(add(x, transpose(x)), 0.5)];
  };
  const push = (tangent: Tensor | null) => {
    const t = sumOfAll(tangent);
    const symmetric = add(tril(t), transpose(tril(t, { diagonal: -1 })));
    const inner = solveTriangular(l, symmetric, { upper: false });
    return matmul(l, lower(solveTriangular(transpose(l), inner, { upper: true, left: false })));
  };
  const y = record('cholesky', [a], l, [l], rule, { push, differentiable: rule });
  return upper ? transpose(y) : y;
}

/** aⁿ of matrices [..., m, m] for a whole n, as `torch.linalg.matrix_power`: by squaring; for a negative n of the inverse. With n ≥ 0 also of int32. */
export function matrixPower(a: Tensor, n: number): Tensor {
  const op = 'linalg.matrixPower';
  requireSquare(op, a, a.dtype === 'int32' && n >= 0);
  requireIntegers(op, { n });
  if (Math.abs(n) > 2 ** 30) throw inputError(op, `n is ${n}`, { a });
  const m = fromEnd(a.shape, 1);
  if (n === 0) return expand(eye(m, m, { dtype: a.dtype }), a.shape);
  let square = n < 0 ? inverse(a, op) : a;
  let left = Math.abs(n);
  for (; left % 2 === 0; left /= 2) square = matmul(square, square);
  let y = square;
  while ((left = Math.floor(left / 2))) {
    square = matmul(square, square);
    if (left % 2) y = matmul(y, square);
  }
  return y;
}
