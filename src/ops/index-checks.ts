// What operations with indices share: checks of the index, and where kernels report one that is out of range.
import { at } from '../../shaders/checked';
import { device } from '../gpu';
import { inputError, modulePath } from '../tensor/context';
import type { Shape } from '../tensor/shape';
import { requireTensors, strided, type Tensor } from '../tensor/tensor';

/** What a result becomes whose index is out of range: NaN, or −2³¹ of integers. */
export const badBits = (x: Tensor): number => (x.dtype === 'float32' ? 0x7fc00000 : -(2 ** 31));

/** Refuses an index that holds no whole numbers. */
export function checkIndex(op: string, index: Tensor): void {
  requireTensors(op, { index });
  if (index.dtype !== 'int32' && index.dtype !== 'uint32')
    throw inputError(op, `the index must be int32, it is ${index.dtype}`, { index }, 'Use cast(index, "int32").');
}

/** Shapes of an index into x along an axis: as many dimensions, none larger but along the axis. */
export function checkCover(op: string, x: Tensor, index: Tensor, axis: number): void {
  checkIndex(op, index);
  const shapes = { input: x.shape, index: index.shape };
  if (index.ndim !== x.ndim)
    throw inputError(
      op,
      'index and input differ in the number of dimensions',
      shapes,
      'indexSelect takes an index [N].',
    );
  if (index.shape.some((n, d) => d !== axis && n > at(x.shape, d)))
    throw inputError(op, `the index is larger than the input`, shapes, `Only dimension ${axis} may be.`);
}

/** Where a kernel reports an index out of range 0 … extent − 1; nowhere without `op`, for indices of the framework's own. */
export function reportsOf(op: string | null, extent: number) {
  if (op === null) return { buffers: [], slot: 0 };
  const { reports } = device();
  return { buffers: [reports.binding], slot: reports.slot(op, extent, modulePath()) };
}

/** A 1-D index (or one position) as one into `shape` along `axis`, repeated along the other dimensions. */
export function alongAxis(index: Tensor, shape: Shape, axis: number): Tensor {
  const full = shape.map((n, d) => (d === axis ? index.size : n));
  return strided(
    index,
    full,
    full.map((_, d) => (d === axis ? (index.strides[0] ?? 0) : 0)),
  );
}

/** Refuses an index that is no list of positions along a dimension. */
export function checkList(op: string, x: Tensor, index: Tensor): void {
  checkIndex(op, index);
  if (index.ndim > 1) throw inputError(op, 'the index has too many dimensions', { input: x, index }, 'It is [N].');
  if (x.ndim === 0 && index.size !== 1)
    throw inputError(
      op,
      'a tensor without dimensions has one position',
      { input: x, index },
      'unsqueeze(0) gives it one.',
    );
}
