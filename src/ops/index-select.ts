// Rows and other slices of a tensor by a list of their positions.
import { operation } from '../autograd/operation';
import { recordLinear } from '../autograd/tape';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { pick } from './gather';
import { alongAxis, checkList } from './index-checks';
import { mixed } from './mixed';
import { addAt } from './scatter-at';

/** `indexSelect`, which reports positions out of range in the name of `op`; null: they were looked at, or are the framework's own. */
export const selected = operation(
  'selected',
  function selected(op: string | null, x: Tensor, dim: number, index: Tensor): Tensor {
    const name = op ?? 'indexSelect';
    checkList(name, x, index);
    const axis = normalizeAxis(name, dim, x.shape);
    const full = alongAxis(index, x.shape, axis);
    return recordLinear(
      name,
      x,
      (t) => pick(t, axis, full, op),
      (g) => addAt(null, x.shape, axis, full, g),
      [index],
    );
  },
);

/**
 * The slices of x at the positions of a 1-D index along `dim`, as `torch.index_select`: x.shape with that dimension replaced by the length of the
 * index. Throws InputError for an index of another shape or type.
 */
export const indexSelect = mixed(
  'indexSelect',
  (x: Tensor, dim: number, index: Tensor): Tensor => selected('indexSelect', x, dim, index),
);
