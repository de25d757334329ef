// Writing into tensors in place, in eager operations and after a compiled step that has written into its arguments.
import { at } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import { copy, copyInto, isBindable } from '../tensor/elementwise';
import { bytesIn } from '../tensor/rows';
import { broadcastStrides } from '../tensor/shape';
import { strided, type Tensor } from '../tensor/tensor';
import { place } from '../tensor/views';
import { isRecording, noGrad } from './tape';

/** Refuses a write into `x`. */
export function refuse(op: string, problem: string, x: Tensor, hint: string): never {
  throw inputError(op, problem, { target: x }, hint);
}

/** Whether elements may be the same: some dimension does not step over all that the smaller steps reach. */
function overlaps(x: Tensor): boolean {
  const wide = x.shape.map((n, d) => [Math.abs(at(x.strides, d)), n] as const).filter(([, n]) => n > 1);
  let reach = 0;
  for (const [stride, n] of wide.sort(([a], [b]) => a - b)) {
    if (stride <= reach) return true;
    reach += stride * (n - 1);
  }
  return false;
}

/** Refuses a target whose gradients a write would falsify, or whose elements share memory. */
export function requireWritable(op: string, x: Tensor): void {
  if (isRecording() && !x.isLeaf)
    refuse(
      op,
      'the target was computed from tensors with gradients, and writing would falsify them',
      x,
      'Use detach(), or noGrad() to write all the same: its gradient then stays that of what was overwritten.',
    );
  if (isRecording() && x.requiresGrad)
    refuse(
      op,
      'the target requires a gradient, and a write cannot be differentiated',
      x,
      'Wrap the write in noGrad().',
    );
  if (overlaps(x))
    refuse(op, 'elements of the target share memory: it is an expanded view', x, 'Write into a clone().');
}

/** The same for an argument of a compiled step, which the step writes into: among them all no other may have its memory. */
export function requireOwn(op: string, x: Tensor, all: readonly Tensor[]): void {
  if (isRecording() && !x.isLeaf)
    refuse(op, 'the step writes into an argument that was computed from tensors with gradients', x, 'Use detach().');
  noGrad(() => requireWritable(op, x)); // inside, the write itself has been checked
  if (all.filter(({ memory }) => memory === x.memory).length > 1)
    refuse(op, 'the step writes into an argument whose memory another argument shares', x, 'Give a clone().');
}

/** For an argument whose memory a compiled step also takes from outside, and which it writes into by either way. */
export const refuseShared = (op: string, x: Tensor): never =>
  refuse(
    op,
    'the step takes an argument also from outside, and writes into one of the two: inside of it the argument is a copy',
    x,
    'Use the argument alone, or the tensor from outside alone.',
  );

/** x ← y, broadcast and converted. What is said of `requireWritable` and of the shapes has been checked. */
export function overwrite(x: Tensor, y: Tensor): void {
  if (isBindable(x) && bytesIn(x) === x.memory.storage.bytes) {
    copyInto(x, y);
    return;
  }
  // A view into larger memory: kernels for whole tensors would write over its end.
  const source = y.dtype === x.dtype && y.storage.block !== x.storage.block ? y : copy(y, x.dtype);
  place(x, strided(source, x.shape, broadcastStrides(source.shape, source.strides, x.shape)));
  x.memory.written();
}
