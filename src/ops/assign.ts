// Writing into tensors in place: `x.assign_(y)` and its relatives, where no gradient is lost by it.

import { overwrite, refuse, requireWritable } from '../autograd/overwrite';
import { isRecording } from '../autograd/tape';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { type DType, fillNumber } from '../tensor/dtype';
import { broadcastShapes, sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import type { Operand } from './elementwise';

function write(op: string, x: Tensor, y: Tensor): Tensor {
  requireWritable(op, x);
  if (isRecording() && y.requiresGrad)
    refuse(op, 'the source requires a gradient, which a write would lose', x, 'Give source.detach(), or use noGrad().');
  if (!sameShape(broadcastShapes(op, x.shape, y.shape), x.shape))
    throw inputError(
      op,
      'the source does not broadcast to the target',
      { target: x, source: y },
      'The shape of the target stays.',
    );
  overwrite(x, y);
  return x;
}

/**
 * Overwrites the elements of `x` with those of `y` (a tensor, broadcast and converted, or a number), as PyTorch's `copy_` and `fill_`. `x` may be a view:
 * `x.select(0, 2).assign_(row)` writes a row. Not recorded: what requires gradients is refused outside of `noGrad`, and `backward()` refuses
 * to use a tensor that was overwritten after an operation saved it. Returns `x`.
 */
export function assign_(x: Tensor, y: Operand): Tensor {
  if (!(y instanceof Tensor || typeof y === 'number'))
    refuse('assign_', 'the source is no tensor and no number', x, 'Make a tensor with tensor(data).');
  return write('assign_', x, y instanceof Tensor ? y : full([], fillNumber('assign_', y, x.dtype), { dtype: x.dtype }));
}

/** x ← 0 */
export const zero_ = (x: Tensor): Tensor => assign_(x, 0);

const WIDTH: Record<DType, number> = { bool: 0, int32: 1, uint32: 1, float16: 2, float32: 2 };

/** x ← the result of an operation on it, under the conditions of `assign_`, unless that is of a wider kind: floats, integers, bool. */
export function writeBack(op: string, x: Tensor, result: Tensor): Tensor {
  if (WIDTH[result.dtype] > WIDTH[x.dtype])
    refuse(op, `the result is ${result.dtype}, the target ${x.dtype}`, x, `Convert it: x.to('${result.dtype}').`);
  return write(op, x, result);
}
