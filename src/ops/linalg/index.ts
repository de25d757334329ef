// linalg: PyTorch's torch.linalg as far as it goes, in camel case. All of it takes batches of matrices in leading dimensions.

import { normalizeAxis } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { mul } from '../elementwise';
import { type MatrixOrd, matrixNorm } from '../matrix-norm';
import { cross as crossOf } from '../products';
import { sum } from '../reduce';
import { vectorNorm } from '../vector-norm';

export { matmul } from '../matmul';
export { type MatrixOrd, matrixNorm } from '../matrix-norm';
export { multiDot } from '../products';
export { vectorNorm } from '../vector-norm';
export { cholesky, det, matrixPower, slogdet } from './determinant';
export { inv, type SolveOptions, type SolveTriangularOptions, solve, solveTriangular } from './solve';

/** The cross product of vectors of three elements along `dim` (the last by default), as `torch.linalg.cross`. */
export const cross = (a: Tensor, b: Tensor, dim = -1): Tensor => crossOf(a, b, dim);

/** Scalar products of vectors along `dim` (the last by default), which broadcast, as `torch.linalg.vecdot`. */
export function vecdot(a: Tensor, b: Tensor, dim = -1): Tensor {
  const products = mul(a, b);
  return sum(products, normalizeAxis('vecdot', dim, products.shape)); // of what was broadcast: `a` may have fewer dimensions
}

/**
 * As `torch.linalg.norm`: without `ord` the 2-norm of all elements or along `dim`; with it the norm of the vectors along one dimension, or of the
 * matrices along two (for a vector or a matrix these need not be named).
 */
export function norm(
  x: Tensor,
  ord: MatrixOrd | null = null,
  dim: number | readonly number[] | null = null,
  keepDims = false,
): Tensor {
  const axes = typeof dim === 'number' ? [dim] : dim;
  if (ord === null) return vectorNorm(x, 2, axes, keepDims);
  const pair = axes ? axes.length === 2 : x.ndim === 2;
  if (pair || typeof ord === 'string') return matrixNorm(x, ord, axes ?? [-2, -1], keepDims);
  return vectorNorm(x, ord, axes, keepDims);
}
