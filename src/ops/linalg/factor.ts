// Factors of square matrices and triangular solutions, not recorded: checks, memory and launches.

import { fromEnd, tuple } from '../../../shaders/checked';
import {
  cholesky as choleskyKernel,
  lu as luKernel,
  type TriangularOptions,
  triangular,
} from '../../../shaders/linalg';
import { device } from '../../gpu';
import { inputError, modulePath } from '../../tensor/context';
import { bind, contiguous } from '../../tensor/elementwise';
import { size } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { empty, requireFloats } from '../../tensor/tensor';

/** A gradient rule in recorded operations: of the first order and, with `createGraph`, of any. */
export type GradientRule = (g: Tensor, needs: readonly boolean[]) => readonly (Tensor | false | undefined)[];

/** Refuses what are no square matrices of floats, or of integers where there are any, in the last two dimensions. */
export function requireSquare(op: string, a: Tensor, integers = false): void {
  if (!integers) requireFloats(op, { a });
  const [rows, columns] = a.shape.slice(-2);
  if (a.ndim < 2 || rows !== columns)
    throw inputError(
      op,
      'the matrix is not square',
      { a },
      'The last two dimensions are [n, n], those before a batch.',
    );
}

/** The number of a report about a matrix of the batch. */
const slotFor = (op: string, problem: string, advice: string): number => {
  const path = modulePath();
  const where = path && `, in module ${path}`;
  return device().reports.slotOf(`${op}: matrix VALUE of the batch ${problem}${where}. ${advice}`);
};

export interface Factors {
  lu: Tensor;
  /** Row i of the permuted matrix is row perm[i] (int32 [..., n]). */
  perm: Tensor;
  /** Of the permutation: [...]. */
  sign: Tensor;
}

/** P·A = L·U of the matrices [..., n, n]. Singular ones are reported in the name of `op` (null: not at all) at the next read. */
export function factor(a: Tensor, op: string | null): Factors {
  const n = fromEnd(a.shape, 1);
  const batch = a.shape.slice(0, -2);
  const y = { lu: empty('lu', a.shape), perm: empty('lu', [...batch, n], 'int32'), sign: empty('lu', batch) };
  const bindings = [contiguous(a), y.lu, y.perm, y.sign].map(bind);
  const slot = op === null ? 0 : slotFor(op, 'is singular', 'Its results are no numbers; linalg.det is 0 there.');
  const reports = op === null ? [] : [device().reports.binding];
  device().launch(luKernel(op !== null), [...bindings, ...reports], [size(batch), n, slot], size(batch));
  return y;
}

/** X of T·X = B with triangular T [..., n, n] and B [..., n, m] of the same batch. */
export function solveTriangle(t: Tensor, b: Tensor, o: Omit<TriangularOptions, 'permuted'>, perm?: Tensor): Tensor {
  const x = empty('solveTriangular', b.shape);
  if (!x.size) return x;
  const [n, m] = tuple(b.shape.slice(-2), 2);
  const reads = [contiguous(t), contiguous(b), ...(perm ? [perm] : [])];
  const columns = x.size / n;
  device().launch(triangular({ ...o, permuted: !!perm }), [...reads, x].map(bind), [columns, n, m], columns);
  return x;
}

/** X of A·X = B from A's factors; with `safe`, pivots of 0 count as tiny ones. */
export function solveFactored({ lu, perm }: Factors, b: Tensor, safe = false): Tensor {
  const y = solveTriangle(lu, b, { upper: false, unit: true, safe: false }, perm);
  const x = solveTriangle(lu, y, { upper: true, unit: false, safe });
  y.dispose();
  return x;
}

/** L of A = L·Lᵀ. Matrices that are not positive definite are reported. */
export function choleskyFactor(op: string, a: Tensor): Tensor {
  const l = empty(op, a.shape);
  if (!l.size) return l;
  const n = fromEnd(a.shape, 1);
  const count = a.size / (n * n);
  const slot = slotFor(op, 'is not positive definite', 'Its factor has NaN.');
  device().launch(
    choleskyKernel(),
    [...[contiguous(a), l].map(bind), device().reports.binding],
    [count, n, slot],
    count,
  );
  return l;
}
