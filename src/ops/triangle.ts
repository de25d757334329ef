// Triangles of matrices, and where their elements stand.
import { tuple } from '../../shaders/checked';
import { checked, is } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { arange, tensor } from '../tensor/create';
import { checkShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { ge, le, logicalAnd } from './elementwise';
import { unsqueeze } from './views';
import { where } from './where';

function triangle(
  op: 'tril' | 'triu',
  x: Tensor,
  options: { /** 0 is the main diagonal (default), positive ones lie above it. */ diagonal?: number },
): Tensor {
  const { diagonal = 0 } = checked(op, options, { diagonal: is.number });
  requireTensors(op, { input: x });
  requireIntegers(op, { diagonal });
  if (x.ndim < 2) throw inputError(op, 'the input is no matrix', { input: x }, 'It has two dimensions or more.');
  const [rows, columns] = tuple(x.shape.slice(-2), 2);
  const edge = unsqueeze(arange(diagonal, diagonal + rows), 1);
  const kept = (op === 'tril' ? le : ge)(arange(columns), edge);
  return x.dtype === 'bool' ? logicalAnd(x, kept) : where(kept, x, 0);
}

/** The elements on and below a diagonal of the last two dimensions, zeros elsewhere, as `torch.tril`. */
export const tril = (
  x: Tensor,
  options: { /** 0 is the main diagonal (default), positive ones lie above it. */ diagonal?: number } = {},
): Tensor => triangle('tril', x, options);

/** The elements on and above a diagonal of the last two dimensions, zeros elsewhere, as `torch.triu`. */
export const triu = (
  x: Tensor,
  options: { /** 0 is the main diagonal (default), positive ones lie above it. */ diagonal?: number } = {},
): Tensor => triangle('triu', x, options);

const indices =
  (op: 'trilIndices' | 'triuIndices') =>
  (
    rows: number,
    columns: number,
    options: { /** 0 is the main diagonal (default), positive ones lie above it. */ offset?: number } = {},
  ): Tensor => {
    const { offset = 0 } = checked(op, options, { offset: is.number });
    requireIntegers(op, { offset });
    checkShape(op, [rows, columns]);
    const places: [number, number][] = [];
    for (let i = 0; i < rows; i++) {
      const edge = i + offset;
      const first = op === 'trilIndices' ? 0 : Math.max(0, edge);
      const end = op === 'trilIndices' ? Math.min(columns, edge + 1) : columns;
      for (let j = first; j < end; j++) places.push([i, j]);
    }
    const flat = [0, 1].flatMap((k) => places.map((place) => place[k]));
    return tensor(Int32Array.from(flat), { shape: [2, places.length] });
  };

/** Rows and columns (int32, [2, N]) of the elements on and below a diagonal, as `torch.tril_indices`. */
export const trilIndices = indices('trilIndices');

/** Rows and columns (int32, [2, N]) of the elements on and above a diagonal, as `torch.triu_indices`. */
export const triuIndices = indices('triuIndices');
