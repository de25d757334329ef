// Rows and other slices of a tensor by a list of their positions.
import { record } from '../autograd/tape';
import { inputError } from '../tensor/context';
import { normalizeAxis, type Shape } from '../tensor/shape';
import { strided, type Tensor } from '../tensor/tensor';
import { addAt, checkIndex, pick } from './gather';
import { order } from './sort';
import { reshape } from './views';

/** A 1-D index as one into `shape` along `axis`, repeated along the other dimensions. */
function alongAxis(index: Tensor, shape: Shape, axis: number): Tensor {
  const full = shape.map((n, d) => (d === axis ? index.size : n));
  return strided(
    index,
    full,
    full.map((_, d) => (d === axis ? (index.strides[0] ?? 0) : 0)),
  );
}

/** From this many positions the gradient sorts them first, so that every slice finds its sources quickly. */
const SORT_FROM = 64;

function selected(op: string, x: Tensor, dim: number, index: Tensor): Tensor {
  checkIndex(op, index);
  if (index.ndim > 1) throw inputError(op, 'the index has too many dimensions', { input: x, index }, 'It is [N].');
  if (x.ndim === 0 && index.size !== 1)
    throw inputError(
      op,
      'a tensor without dimensions has one position',
      { input: x, index },
      'unsqueeze(0) gives it one.',
    );
  const axis = normalizeAxis(op, dim, x.shape);
  const y = pick(x, axis, alongAxis(index, x.shape, axis), op);
  return record('indexSelect', [x], y, [index], (g) => {
    const sorted = index.size >= SORT_FROM ? order(index, 0, false) : undefined;
    return [addAt(null, x.shape, axis, alongAxis(index, x.shape, axis), g, sorted)];
  });
}

/**
 * The slices of x at the positions of a 1-D index along `dim`, as `torch.index_select`: x.shape with that dimension replaced by the length of the
 * index. Throws InputError for an index of another shape or type.
 */
export const indexSelect = (x: Tensor, dim: number, index: Tensor): Tensor => selected('indexSelect', x, dim, index);

/** Rows of weight [V, D] for an index of any shape, as `torch.nn.functional.embedding`: [..., D]. */
export function embedding(weight: Tensor, index: Tensor): Tensor {
  if (weight.ndim !== 2) throw inputError('embedding', 'the weight is no table', { weight, index }, 'It is [V, D].');
  return reshape(selected('embedding', weight, 0, reshape(index, [index.size])), [...index.shape, weight.shape[1]]);
}
