// Norms of matrices: of their elements, their columns, their rows or their singular values. A file of its own, so that programs without hold no singular values.

import { tuple } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { abs } from './elementwise';
import { singularValues } from './linalg/singular';
import { mixed } from './mixed';
import { movedim } from './rearrange';
import { max, min, norm, sum } from './reduce';
import { reshape } from './views';

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
