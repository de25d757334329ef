// Norms of vectors and matrices, distances, and vectors brought to a norm: made of `norm`.

import { tuple } from '../../shaders/checked';
import { inputError, requireNumbers } from '../tensor/context';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { abs, mul, sub } from './elementwise';
import { singularValues } from './linalg/singular';
import { mixed } from './mixed';
import { expression } from './operands';
import { movedim } from './rearrange';
import type { Axes } from './reduce';
import { max, min, norm, sum } from './reduce';
import { reshape } from './views';

/** (Σ|x|ᵒʳᵈ)^(1/ord) over dimensions (all by default), ord 2 by default, as `torch.linalg.vector_norm`. Refuses integers. */
export const vectorNorm = mixed(
  'vectorNorm',
  function vectorNorm(x: Tensor, ord = 2, axes: Axes = null, keepDims = false): Tensor {
    requireFloats('vectorNorm', { input: x });
    return norm(x, ord, axes, keepDims);
  },
);

/**
 * Which norm of a matrix: its elements' 2-norm ('fro'), the largest or smallest sum of |elements| of a column (±1) or a row (±∞), the largest or smallest
 * singular value (±2), or the sum of these ('nuc').
 */
export type MatrixOrd = 'fro' | 'nuc' | 1 | -1 | 2 | -2 | number;

/**
 * The norm of the matrices that lie along two dimensions (the last two by default), as `torch.linalg.matrix_norm`: 'fro', 'nuc', ±1,
 * ±2 or ±∞. Equal singular values have no second derivative.
 */
export const matrixNorm = mixed(
  'matrixNorm',
  function matrixNorm(x: Tensor, ord: MatrixOrd = 'fro', axes: readonly number[] = [-2, -1], keepDims = false): Tensor {
    const op = 'matrixNorm';
    requireFloats(op, { input: x });
    if (x.ndim < 2) throw inputError(op, 'the input is no matrix', { input: x }, 'vectorNorm takes any tensor.');
    if (!Array.isArray(axes) || axes.length !== 2)
      throw inputError(op, 'a matrix lies along two dimensions', { input: x }, 'As [-2, -1].');
    const [rows, columns] = tuple(
      axes.map((axis) => normalizeAxis(op, axis, x.shape)),
      2,
    );
    if (rows === columns) throw inputError(op, `dimension ${rows} is named twice`, { input: x });
    if (ord === 'fro') return norm(x, 2, [rows, columns], keepDims);
    const kept = x.shape.map((n, i) => (i === rows || i === columns ? 1 : n));
    const dropped = x.shape.filter((_, i) => i !== rows && i !== columns);
    if (ord === 'nuc' || Math.abs(ord) === 2) {
      const s = singularValues(movedim(x, [rows, columns], [-2, -1]));
      const all = ord === 'nuc' || (ord === 2 && !x.size); // a matrix of nothing has no singular value
      const y = all ? sum(s, -1) : (ord > 0 ? max : min)(s, -1);
      return keepDims ? reshape(y, kept) : y;
    }
    if (Math.abs(ord) !== 1 && Math.abs(ord) !== Infinity)
      throw inputError(
        op,
        `the norm ${typeof ord === 'string' ? `'${ord}'` : ord} is not there`,
        { input: x },
        "There are 'fro', 'nuc', 1, −1, 2, −2, Infinity and −Infinity.",
      );
    const [summed, chosen] = Math.abs(ord) === 1 ? [rows, columns] : [columns, rows];
    const y = (ord > 0 ? max : min)(sum(abs(x), summed, true), chosen, true);
    return keepDims ? y : reshape(y, dropped);
  },
);

/** The p-norm of a − b (2 by default), which broadcast, as `torch.dist`. */
export const dist = mixed('dist', (a: Tensor, b: Tensor, p = 2): Tensor => norm(sub(a, b), p));

/**
 * Every part along `dim` whose p-norm is above `maxnorm` brought to it, as `torch.renorm`. Throws InputError for fewer than two dimensions.
 */
export const renorm = mixed('renorm', function renorm(x: Tensor, p: number, dim: number, maxnorm: number): Tensor {
  requireFloats('renorm', { input: x });
  requireNumbers('renorm', { p, maxnorm });
  if (x.ndim < 2) throw inputError('renorm', 'fewer than two dimensions', { input: x });
  if (!(p > 0) || !(maxnorm >= 0))
    throw inputError('renorm', `p is ${p}, maxnorm ${maxnorm}`, { input: x }, 'Use positive numbers.');
  const axis = normalizeAxis('renorm', dim, x.shape);
  const length = norm(
    x,
    p,
    x.shape.map((_, i) => i).filter((i) => i !== axis),
    true,
  );
  return mul(x, expression('renorm', 'select(1.0, over(s, n + 1e-7), n > s)', { n: length }, [maxnorm]));
});
