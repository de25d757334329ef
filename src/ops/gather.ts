// Gather and one-hot. Indices are int32 (or uint32) and stay on the GPU: one that is out of range makes its result NaN (−2³¹ in an integer
// tensor), and the next read-back throws an error that names the operation and the index.

import { gather as gatherKernel, oneHot as oneHotKernel, scatterDistinct } from '../../shaders/gather';
import { operation } from '../autograd/operation';
import { recordLinear } from '../autograd/tape';
import type { Constant } from '../gpu';
import { device } from '../gpu';
import { inputError } from '../tensor/context';
import { bind, bindAll, contiguous, throughFloat32 } from '../tensor/elementwise';
import { reduce } from '../tensor/reduce';
import { normalizeAxis, padded, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';
import { badBits, checkCover, checkIndex, reportsOf } from './index-checks';
import { mixed } from './mixed';
import { addAt } from './scatter-at';

/** `gather`, not recorded. Indices out of range are reported in the name of `op`; null: there are none. */
export function pick(x: Tensor, dim: number, index: Tensor, op: string | null): Tensor {
  if (x.dtype === 'float16') return throughFloat32(x, (wide) => pick(wide, dim, index, op));
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

/** Writes x[…, j, …] to position index[…, j, …] along `axis` of `into`; the indices of a line must be distinct. */
export function scatterInto(into: Tensor, axis: number, index: Tensor, x: Tensor): void {
  const inner = size(x.shape.slice(axis + 1));
  const constants = [x.size, x.shape[axis] ?? 1, into.shape[axis] ?? 1, inner];
  const buffers = [contiguous(x), contiguous(index), into].map(bind);
  device().launch(scatterDistinct(), buffers, constants, x.size);
}

/** As `torch.nn.functional.one_hot`: 1 at the label, 0 elsewhere (int32): [..., classes]. A label out of range fills its row with −2³¹. */
export function oneHot(labels: Tensor, classes: number): Tensor;
/** With as many classes as the largest label asks for: waits for the GPU. */
export function oneHot(labels: Tensor): Promise<Tensor>;
export function oneHot(labels: Tensor, classes?: number): Tensor | Promise<Tensor> {
  checkIndex('oneHot', labels);
  return classes === undefined ? countedClasses(labels) : encoded(labels, classes);
}

async function countedClasses(labels: Tensor): Promise<Tensor> {
  if (!labels.size)
    throw inputError('oneHot', 'there are no labels to count classes by', { labels }, 'Give the number.');
  const axes = labels.shape.map((_, d) => d);
  const type = labels.dtype as 'int32' | 'uint32';
  const operands = { a: labels };
  const most = reduce({
    name: 'oneHot',
    reduction: 'max',
    map: 'a',
    operands,
    shape: labels.shape,
    axes,
    compute: type,
  });
  return encoded(labels, 1 + (await most.item()));
}

const encoded = operation('oneHot', function encoded(labels: Tensor, classes: number): Tensor {
  if (!Number.isInteger(classes) || classes < 1)
    throw inputError('oneHot', `classes is ${classes}`, { labels }, 'Use a positive integer.');
  const y = empty('oneHot', [...labels.shape, classes], 'int32');
  const { buffers, slot } = reportsOf('oneHot', classes);
  const bindings = [...[contiguous(labels), y].map(bind), ...buffers];
  device().launch(oneHotKernel(), bindings, [y.size, classes, -(2 ** 31), slot], y.size);
  return y;
});

/** `gather` that reports in the name of `op`; null: its index was looked at, or is the framework's own. */
export const gathered = operation(
  'gathered',
  function gathered(op: string | null, x: Tensor, dim: number, index: Tensor): Tensor {
    const forward = (t: Tensor) => pick(t, dim, index, op);
    return recordLinear('gather', x, forward, (g) => addAt(null, x.shape, dim, index, g), [index]);
  },
);

/** y[…, j, …] = x[…, index[…, j, …], …] along `dim`, as `torch.gather`: the shape of the index, which has as many dimensions as x. */
export const gather = mixed(
  'gather',
  (x: Tensor, dim: number, index: Tensor): Tensor => gathered('gather', x, dim, index),
);
