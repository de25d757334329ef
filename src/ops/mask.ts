// Elements chosen by masks. How many there are is known to the GPU alone: what has as many elements waits for it.

import { inputError } from '../tensor/context';
import { fillNumber } from '../tensor/dtype';
import { broadcastShapes, normalizeAxes, sameShape } from '../tensor/shape';
import { requireTensors, Tensor } from '../tensor/tensor';
import { cast, ne, sub } from './elementwise';
import { selected } from './index-select';
import { type Index, index, indexPut } from './indexing';
import { mixed } from './mixed';
import { nonzeroFlat, nonzeroTuple } from './nonzero';
import { type Numeric, requireOperand } from './operands';
import { type Axes, sum } from './reduce';
import { cumsum } from './scan';
import { expand, reshape } from './views';
import { where } from './where';

/** Refuses what is no mask. */
function checkMask(op: string, x: Tensor, mask: Tensor): void {
  requireTensors(op, { input: x, mask });
  if (mask.dtype !== 'bool')
    throw inputError(op, `the mask is ${mask.dtype}`, { input: x, mask }, "Compare, as x.gt(0), or mask.to('bool').");
}

const wideShape = (op: string, x: Tensor, mask: Tensor) => broadcastShapes(op, x.shape, mask.shape);

/**
 * x with `value`, a number or a tensor without dimensions, where the mask is true, as `torch.masked_fill`; both broadcast. A number is converted to the type
 * of x: integers lose the fraction, and what the type does not hold is refused.
 */
export const maskedFill = mixed(
  'maskedFill',
  function maskedFill(x: Tensor, mask: Tensor, value: Tensor | Numeric): Tensor {
    checkMask('maskedFill', x, mask);
    requireOperand('maskedFill', value, x);
    if (value instanceof Tensor && value.ndim)
      throw inputError(
        'maskedFill',
        'the value has dimensions',
        { input: x, mask, value },
        'where(mask, value, x) takes any.',
      );
    if (value instanceof Tensor) return where(mask, cast(value, x.dtype), x);
    const filling = typeof value === 'number' ? fillNumber('maskedFill', value, x.dtype) : value;
    return x.dtype === 'bool' ? cast(where(mask, filling, cast(x, 'uint32')), 'bool') : where(mask, filling, x);
  },
  'first',
);

/**
 * x with the elements of `source`, in their order, where the mask is true, as `torch.masked_scatter`; the mask broadcasts. The source must have as many
 * elements as there are to fill: one too few is reported as an index out of range.
 */
export const maskedScatter = mixed(
  'maskedScatter',
  function maskedScatter(x: Tensor, mask: Tensor, source: Tensor): Tensor {
    const op = 'maskedScatter';
    checkMask(op, x, mask);
    requireTensors(op, { source });
    if (source.dtype !== x.dtype)
      throw inputError(
        op,
        `the input is ${x.dtype}, the source ${source.dtype}`,
        { input: x, source },
        'Both have the same type.',
      );
    const shape = wideShape(op, x, mask);
    if (!source.size) throw inputError(op, 'the source is empty', { input: x, mask, source });
    const flat = reshape(expand(mask, shape), [-1]);
    const number = cumsum(cast(flat, 'int32'), 0);
    const at = where(flat, sub(number, 1), 0);
    const taken = reshape(selected(op, reshape(source, [-1]), 0, at), shape);
    return where(mask, taken, x);
  },
);

/** The elements of x where the mask is true, as a vector, as `torch.masked_select`; both broadcast. Waits for the GPU. */
export async function maskedSelect(x: Tensor, mask: Tensor): Promise<Tensor> {
  checkMask('maskedSelect', x, mask);
  const shape = wideShape('maskedSelect', x, mask);
  const at = await nonzeroFlat(expand(mask, shape));
  return selected(null, reshape(expand(x, shape), [-1]), 0, at);
}

/** Indices whose masks are replaced by the positions where they are true. A mask stands for as many dimensions as it has. */
async function withoutMasks(op: string, x: Tensor, indices: readonly Index[]): Promise<Index[]> {
  const named = indices.filter((i) => i !== null && i !== '...');
  const used = named.reduce<number>((n, i) => n + (i instanceof Tensor && i.dtype === 'bool' ? i.ndim : 1), 0);
  const out: Index[] = [];
  let dim = 0;
  for (const item of indices) {
    if (item === '...') dim += Math.max(0, x.ndim - used);
    if (!(item instanceof Tensor && item.dtype === 'bool')) {
      out.push(item);
      if (item !== null && item !== '...') dim++;
      continue;
    }
    if (!item.ndim || !sameShape(item.shape, x.shape.slice(dim, dim + item.ndim)))
      throw inputError(op, `the mask does not have the dimensions of the input from ${dim} on`, {
        input: x,
        mask: item,
      });
    out.push(...(await nonzeroTuple(item)));
    dim += item.ndim;
  }
  return out;
}

/** As `index`, with masks among the indices: `await x.maskedIndex([mask])` for `x[mask]`. Waits for the GPU, as the size depends on the masks. */
export async function maskedIndex(x: Tensor, indices: readonly Index[]): Promise<Tensor> {
  return index(x, await withoutMasks('maskedIndex', x, indices));
}

/** As `indexPut`, with masks among the indices. Waits for the GPU. */
export async function maskedIndexPut(
  x: Tensor,
  indices: readonly Index[],
  value: Tensor | number,
  options?: { accumulate?: boolean },
): Promise<Tensor> {
  return indexPut(x, await withoutMasks('maskedIndexPut', x, indices), value, options);
}

/** How many elements are not zero, over dimensions or in all: int32, as `torch.count_nonzero`. */
export function countNonzero(x: Tensor, axes?: Axes): Tensor {
  requireTensors('countNonzero', { input: x });
  normalizeAxes('countNonzero', axes, x.shape);
  return sum(ne(x, 0), axes);
}
