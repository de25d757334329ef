// Gather, scatter and one-hot. Indices are int32 (or uint32) and stay on the GPU: one that is out of range makes its result NaN (−2³¹ in an integer
// tensor), and the next read-back throws an error that names the operation and the index.
import {
  gather as gatherKernel,
  oneHot as oneHotKernel,
  scatterDistinct,
  scatterAdd as scatterKernel,
} from '../../shaders/gather';
import { record } from '../autograd/tape';
import type { Constant } from '../gpu';
import { device } from '../gpu';
import { inputError, modulePath } from '../tensor/context';
import { bind, bindAll, contiguous } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { normalizeAxis, padded, showShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireTensors } from '../tensor/tensor';

const badBits = (x: Tensor): number => (x.dtype === 'float32' ? 0x7fc00000 : -(2 ** 31));

/** Refuses an index that holds no whole numbers. */
export function checkIndex(op: string, index: Tensor): void {
  requireTensors(op, { index });
  if (index.dtype !== 'int32' && index.dtype !== 'uint32')
    throw inputError(op, `the index must be int32, it is ${index.dtype}`, { index }, 'Use cast(index, "int32").');
}

/** Shapes of an index into x along an axis: as many dimensions, none larger but along the axis. */
function checkCover(op: string, x: Tensor, index: Tensor, axis: number): void {
  checkIndex(op, index);
  const shapes = { input: x.shape, index: index.shape };
  if (index.ndim !== x.ndim)
    throw inputError(
      op,
      'index and input differ in the number of dimensions',
      shapes,
      'indexSelect takes an index [N].',
    );
  if (index.shape.some((n, d) => d !== axis && n > x.shape[d]))
    throw inputError(op, `the index is larger than the input`, shapes, `Only dimension ${axis} may be.`);
}

/** `gather`, not recorded. Indices out of range are reported in the name of `op`; null: there are none. */
export function pick(x: Tensor, dim: number, index: Tensor, op: string | null): Tensor {
  const axis = normalizeAxis('gather', dim, x.shape);
  checkCover('gather', x, index, axis);
  const y = empty('gather', index.shape, x.dtype);
  const n = y.size;
  const head: Constant[] = [n, index.ndim, axis, x.shape[axis] ?? 1, x.offset, index.offset, 0, badBits(x)];
  const strides = x.strides.map((s, d) => (d === axis ? 0 : s));
  const lists = [index.shape, strides, index.strides, [x.strides[axis] ?? 0]].flatMap((list) => padded(list));
  const { buffers, slot } = reportsOf(op, x.shape[axis] ?? 1);
  const bindings = [bindAll(x), bindAll(index), bind(y), ...buffers];
  device().launch(gatherKernel(op !== null), bindings, [...head, ...lists, slot], n);
  return y;
}

/** Where a kernel reports an index out of range 0 … extent − 1; nowhere without `op`, for indices of the framework's own. */
function reportsOf(op: string | null, extent: number) {
  if (op === null) return { buffers: [], slot: 0 };
  const { reports } = device();
  return { buffers: [reports.binding], slot: reports.slot(op, extent, modulePath()) };
}

/**
 * `scatterAdd`, not recorded: x (or zeros of `shape`) plus, at index[…, j, …] along `dim`, source[…, j, …]. Several sources may meet: they are added in ascending j.
 * `order` may give the sorted order of a 1-D index that is repeated along the other dimensions.
 */
export function addAt(
  x: Tensor | null,
  shape: Shape,
  dim: number,
  index: Tensor,
  source: Tensor,
  order?: Tensor,
): Tensor {
  const op = 'scatterAdd';
  const axis = normalizeAxis(op, dim, shape);
  requireTensors(op, { index, source });
  const y = empty(op, shape, source.dtype);
  checkCover(op, y, index, axis);
  const shapes = { input: shape, index: index.shape, source: source.shape };
  if (source.dtype === 'bool' || (x && x.dtype !== source.dtype))
    throw inputError(
      op,
      `the input is ${x?.dtype}, the source ${source.dtype}`,
      shapes,
      'Both have the same numeric type.',
    );
  if (source.ndim !== index.ndim || index.shape.some((n, d) => n > source.shape[d]))
    throw inputError(op, 'the source does not cover the index', shapes, 'It is as large or larger in each dimension.');
  const type = ({ float32: 'f32', int32: 'i32', uint32: 'u32' } as const)[source.dtype];
  const n = y.size;
  const head: Constant[] = [
    n,
    shape.length,
    axis,
    shape[axis] ?? 1,
    x?.offset ?? 0,
    index.offset,
    source.offset,
    badBits(source),
  ];
  const indexDims = index.ndim ? index.shape : [1]; // without dimensions there is one line of one element
  const lists = [shape, x?.strides ?? [], indexDims, index.strides, source.strides].flatMap((list) => padded(list));
  const reads = [...(x ? [bindAll(x)] : []), bindAll(index), ...(order ? [bind(order)] : []), bindAll(source)];
  // A gradient's index was looked at by its forward pass.
  const { buffers, slot } = reportsOf(x ? op : null, shape[axis] ?? 1);
  const kernel = scatterKernel({ type, base: !!x, sorted: !!order, report: !!x });
  device().launch(kernel, [...reads, bind(y), ...buffers], [...head, ...lists, slot], n);
  return y;
}

/** Writes x[…, j, …] to position index[…, j, …] along `axis` of `into`; the indices of a line must be distinct. */
export function scatterInto(into: Tensor, axis: number, index: Tensor, x: Tensor): void {
  const inner = size(x.shape.slice(axis + 1));
  const constants = [x.size, x.shape[axis] ?? 1, into.shape[axis] ?? 1, inner];
  const buffers = [contiguous(x), contiguous(index), into].map(bind);
  device().launch(scatterDistinct(), buffers, constants, x.size);
}

/** As `torch.nn.functional.one_hot`: 1 at the label, 0 elsewhere (int32): [..., classes]. A label out of range fills its row with −2³¹. */
export function oneHot(labels: Tensor, classes: number): Tensor {
  checkIndex('oneHot', labels);
  if (!Number.isInteger(classes) || classes < 1)
    throw inputError('oneHot', `classes is ${classes}`, { labels }, 'Use a positive integer.');
  const y = empty('oneHot', [...labels.shape, classes], 'int32');
  const { buffers, slot } = reportsOf('oneHot', classes);
  const bindings = [...[contiguous(labels), y].map(bind), ...buffers];
  device().launch(oneHotKernel(), bindings, [y.size, classes, -(2 ** 31), slot], y.size);
  return y;
}

/** y[…, j, …] = x[…, index[…, j, …], …] along `dim`, as `torch.gather`: the shape of the index, which has as many dimensions as x. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const y = pick(x, dim, index, 'gather');
  return record('gather', [x], y, [index], (g) => [addAt(null, x.shape, dim, index, g)]);
}

/** x with source[…, j, …] added at index[…, j, …] along `dim`, as `torch.scatter_add`; deterministic, several sources may meet. */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  const y = addAt(x, x.shape, dim, index, source);
  return record('scatterAdd', [x, source], y, [index], (g, needs) => {
    if (needs[1] && showShape(source.shape) !== showShape(index.shape))
      throw inputError(
        'scatterAdd',
        'the gradient of a source that is larger than the index is not defined',
        { index, source },
        'Slice the source first.',
      );
    return [g, needs[1] && pick(g, dim, index, null)];
  });
}
