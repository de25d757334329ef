// Linear systems of small matrices, and inverses. Gradients are written in recorded operations, so that those of any order follow.

import { fromEnd } from '../../../shaders/checked';
import { type PushForward, record, scopedNoGrad, sumOfAll } from '../../autograd/tape';
import { checked, is, type OptionTable } from '../../gpu/options';
import { inputError } from '../../tensor/context';
import { eye } from '../../tensor/create';
import { broadcastShapes, sameShape } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { requireFloats } from '../../tensor/tensor';
import { neg } from '../elementwise';
import { matmul } from '../matmul';
import { tril, triu } from '../triangle';
import { expand, squeeze, transpose, unsqueeze } from '../views';
import { factor, type GradientRule, requireSquare, solveFactored, solveTriangle } from './factor';

/** Both with the batch that their leading dimensions broadcast to. */
function sameBatch(op: string, a: Tensor, b: Tensor): [Tensor, Tensor] {
  const batch = broadcastShapes(op, a.shape.slice(0, -2), b.shape.slice(0, -2));
  const wide = (x: Tensor) => expand(x, [...batch, ...x.shape.slice(-2)]);
  return [wide(a), wide(b)];
}

/** Refuses a right side whose rows are not the matrix's. */
function requireRows(op: string, a: Tensor, b: Tensor): void {
  requireFloats(op, { a, b });
  if (b.ndim < 2 || b.shape[b.ndim - 2] !== a.shape[a.ndim - 1])
    throw inputError(op, 'the right side does not fit the matrix', { a, b }, 'a is [..., n, n], b [..., n, k].');
}

/** The inverses, recorded. `op` names reports of singular matrices; null: pivots of 0 count as tiny ones. */
export function inverse(a: Tensor, op: string | null): Tensor {
  const n = fromEnd(a.shape, 1);
  const y = scopedNoGrad(() => solveFactored(factor(a, op), expand(eye(n), a.shape), op === null));
  const rule: GradientRule = (g) => {
    const back = transpose(y);
    return [neg(matmul(matmul(back, g), back))];
  };
  const push: PushForward = (t) => neg(matmul(matmul(y, sumOfAll(t)), y));
  return record('inv', [a], y, [y], rule, { push, differentiable: rule });
}

/**
 * The inverses of matrices [..., n, n], as `torch.linalg.inv`. A singular one makes the next read throw an InputError that names it; its result is
 * infinite or NaN.
 */
export function inv(a: Tensor): Tensor {
  requireSquare('linalg.inv', a);
  return a.size ? inverse(a, 'linalg.inv') : a;
}

/** `solve` of matrices of the same batch, recorded. */
function system(a: Tensor, b: Tensor, op: string | null): Tensor {
  const x = scopedNoGrad(() => solveFactored(factor(a, op), b));
  const rule: GradientRule = (g, needs) => {
    const toB = system(transpose(a), g, null);
    return [needs[0] && neg(matmul(toB, transpose(x))), needs[1] && toB];
  };
  const push: PushForward = (s, t) => system(a, sumOfAll(t, s && neg(matmul(s, x))), null);
  return record('solve', [a, b], x, [a, x], rule, { push, differentiable: rule });
}

/** Options of `solve`. */
export interface SolveOptions {
  /** Whether the matrix stands on the left of the unknown (true by default). */
  left?: boolean;
}

/**
 * X of a·X = b, as `torch.linalg.solve`: a [..., n, n], b [..., n, k], or vectors [n] or [..., n] with exactly a's batch; batches broadcast. With
 * `left: false` X·a = b. A singular matrix makes the next read throw an InputError that names it.
 */
export function solve(a: Tensor, b: Tensor, options: SolveOptions = {}): Tensor {
  const op = 'linalg.solve';
  const { left = true } = checked(op, options, { left: is.flag });
  requireSquare(op, a);
  requireFloats(op, { a, b });
  const isVector = b.ndim === 1 || (a.ndim - 1 === b.ndim && sameShape(b.shape, a.shape.slice(0, -1)));
  if (isVector) {
    if (!left) throw inputError(op, 'left: false is for a matrix on the right side', { a, b });
    return squeeze(solve(a, unsqueeze(b, -1)), -1);
  }
  if (!left) return transpose(solve(transpose(a), transpose(b)));
  requireRows(op, a, b);
  const [p, q] = sameBatch(op, a, b);
  return q.size ? system(p, q, op) : q;
}

/** Options of `solveTriangular`. */
export interface SolveTriangularOptions {
  /** Whether the upper triangle is the matrix, or the lower one: has to be said. The other is not read. */
  upper: boolean;
  /** Whether the matrix stands on the left of the unknown (true by default). */
  left?: boolean;
  /** Whether the diagonal counts as ones, and is not read. */
  unitriangular?: boolean;
}

const TRIANGULAR: OptionTable<SolveTriangularOptions> = { upper: is.flag, left: is.flag, unitriangular: is.flag };

/** `solveTriangular` of matrices of the same batch, recorded. */
function triangle(a: Tensor, b: Tensor, upper: boolean, unit: boolean): Tensor {
  const x = solveTriangle(a, b, { upper, unit, safe: false });
  const own = (t: Tensor) => (upper ? triu(t, { diagonal: unit ? 1 : 0 }) : tril(t, { diagonal: unit ? -1 : 0 }));
  const rule: GradientRule = (g, needs) => {
    const toB = triangle(transpose(a), g, !upper, unit);
    return [needs[0] && own(neg(matmul(toB, transpose(x)))), needs[1] && toB];
  };
  const push: PushForward = (s, t) => triangle(a, sumOfAll(t, s && neg(matmul(own(s), x))), upper, unit);
  return record('solveTriangular', [a, b], x, [a, x], rule, { push, differentiable: rule });
}

/**
 * X of a·X = b with a triangular matrix, as `torch.linalg.solve_triangular`: a [..., n, n], b [..., n, k]; batches broadcast. With `left: false` X·a = b,
 * b [..., k, n]. A zero on the diagonal gives infinities, as in PyTorch.
 */
export function solveTriangular(a: Tensor, b: Tensor, options: SolveTriangularOptions): Tensor {
  const op = 'linalg.solveTriangular';
  const { upper, left = true, unitriangular = false } = checked(op, options, TRIANGULAR);
  if (upper === undefined)
    throw inputError(op, 'upper is missing', { a, b }, 'Say { upper: true } or { upper: false }.');
  requireSquare(op, a);
  if (!left) return transpose(solveTriangular(transpose(a), transpose(b), { upper: !upper, unitriangular }));
  requireRows(op, a, b);
  const [p, q] = sameBatch(op, a, b);
  return triangle(p, q, upper, unitriangular);
}
