// Gather, scatter and one-hot with gradients. Indices are int32 (or uint32) and stay on the GPU: one that is out of range makes its result NaN
// (−2³¹ in an integer tensor), and the next read-back throws an error that names the operation and the index.
import { inputError } from '../tensor/context';
import * as raw from '../tensor/gather';
import { normalizeAxis, showShape } from '../tensor/shape';
import { argsort } from '../tensor/sort';
import type { Tensor } from '../tensor/tensor';
import { record } from './tape';
import { reshape } from './views';

export { oneHot } from '../tensor/gather';

/** y[…, j, …] = x[…, index[…, j, …], …] along `dim`, as `torch.gather`: the shape of the index, which has as many dimensions as x. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const y = raw.gather(x, dim, index);
  return record('gather', [x], y, [index], (g) => [raw.scatterAdd(null, x.shape, dim, index, g)]);
}

/** From this many positions the gradient of `indexSelect` sorts them first, so that every slice finds its sources quickly. */
const SORT_FROM = 64;

/** The slices of x at the positions of a 1-D index along `dim`: x.shape with that dimension replaced by the length of the index. */
export const indexSelect = (x: Tensor, dim: number, index: Tensor): Tensor => selected('indexSelect', x, dim, index);

function selected(op: string, x: Tensor, dim: number, index: Tensor): Tensor {
  const y = raw.indexSelect(x, dim, index, op);
  return record('indexSelect', [x], y, [index], (g) => {
    const axis = normalizeAxis('indexSelect', dim, x.shape);
    const order = index.size >= SORT_FROM ? argsort(index, 0, false) : undefined;
    return [raw.scatterAdd(null, x.shape, axis, raw.alongAxis(index, x.shape, axis), g, order)];
  });
}

/** Rows of weight [V, D] for an index of any shape: [..., D]. */
export function embedding(weight: Tensor, index: Tensor): Tensor {
  if (weight.ndim !== 2) throw inputError('embedding', 'the weight is no table', { weight, index }, 'It is [V, D].');
  return reshape(selected('embedding', weight, 0, reshape(index, [index.size])), [...index.shape, weight.shape[1]]);
}

/** x with source[…, j, …] added at index[…, j, …] along `dim`, as `torch.scatter_add`; deterministic, several sources may meet. */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  const y = raw.scatterAdd(x, x.shape, dim, index, source);
  return record('scatterAdd', [x, source], y, [index], (g, needs) => {
    if (needs[1] && showShape(source.shape) !== showShape(index.shape))
      throw inputError(
        'scatterAdd',
        'the gradient of a source that is larger than the index is not defined',
        { index, source },
        'Slice the source first.',
      );
    return [g, needs[1] && raw.gather(g, dim, index, null)];
  });
}
