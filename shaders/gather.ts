/**
 * Reading and adding at positions that lie in a tensor: gather, scatter, one-hot. Elements are moved as 32-bit words.
 *
 *   gather       y[…, j, …] = x[…, index[…, j, …], …]
 *   scatterAdd   y[…, k, …] = x[…, k, …] + Σ { source[…, j, …] : index[…, j, …] = k }, j ascending: a gather over the sources, no atomics
 *
 * An index out of range cannot stop the program from the GPU; its result is `bad`: NaN, or −2³¹ for integers.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, entry, threadIndex } from './build';
import type { Kernel } from './kernel';

export const INDEX_TILE = 64;

/** Words in front of the dimension lists: n, rank, axis, extent, x offset, index offset, source offset, bad. */
export const INDEX_HEAD = 8;

/** The uniform struct: the head, then `lists` lists of eight words. */
const params = (lists: readonly string[]) =>
  `struct Params { n: u32, rank: u32, axis: u32, extent: i32, xAt: i32, indexAt: i32, sourceAt: i32, bad: u32, ${lists.map((l) => `${l}: array<vec4i, 2>`).join(', ')} }`;
const bytes = (lists: readonly string[]) => 4 * (INDEX_HEAD + 8 * lists.length);

/** Decodes i over p.dims, the last dimension first; `body` sees the dimension d and the coordinate c. */
const decode = (body: string) => `
  var rest = i32(i);
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let size = p.dims[d >> 2][d & 3];
    let c = rest % size;
    rest /= size;
    ${body}
  }`;

/** Bindings: x, index, y. Lists: dims (of y), xStrides (0 along the axis), indexStrides, and the axis stride as xAxis[0]. */
export function gather(): Kernel {
  const lists = ['dims', 'xStrides', 'indexStrides', 'xAxis'];
  return cached(['gather'], () => {
    const code = wgsl`
${params(lists)}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> p: Params;
${entry(INDEX_TILE)} {
  ${threadIndex('i', INDEX_TILE)}
  if (i >= p.n) { return; }
  var xi = p.xAt;
  var at = p.indexAt;
  ${decode('xi += c * p.xStrides[d >> 2][d & 3]; at += c * p.indexStrides[d >> 2][d & 3];')}
  let k = index[at];
  let good = k >= 0 && k < p.extent;
  y[i] = select(p.bad, x[xi + select(0, k, good) * p.xAxis[0][0]], good);
}`;
    return { name: 'gather', code, access: 'rrw', uniforms: bytes(lists) };
  });
}

export interface ScatterOptions {
  readonly type: 'f32' | 'i32' | 'u32';
  /** Starts from x instead of from 0. */
  readonly base: boolean;
  /** `order` sorts the index along the axis: each result finds its sources by bisection instead of looking at all of them. */
  readonly sorted: boolean;
}

/** Bindings: x where `base`, index, order where `sorted`, source, y. Lists: dims (of y), xStrides, indexDims, indexStrides, sourceStrides. */
export function scatterAdd({ type, base, sorted }: ScatterOptions): Kernel {
  const lists = ['dims', 'xStrides', 'indexDims', 'indexStrides', 'sourceStrides'];
  return cached(['scatterAdd', type, base, sorted], () => {
    const s = Number(sorted);
    const b = Number(base);
    const code = wgsl`
${params(lists)}
#if ${base}
@group(0) @binding(0) var<storage, read> x: array<${type}>;
#endif
@group(0) @binding(${b}) var<storage, read> index: array<i32>;
#if ${sorted}
@group(0) @binding(${b + 1}) var<storage, read> order: array<i32>;
#endif
@group(0) @binding(${b + s + 1}) var<storage, read> source: array<${type}>;
@group(0) @binding(${b + s + 2}) var<storage, read_write> y: array<${type}>;
@group(1) @binding(0) var<uniform> p: Params;
${entry(INDEX_TILE)} {
  ${threadIndex('i', INDEX_TILE)}
  if (i >= p.n) { return; }
  var xi = p.xAt;
  var at = p.indexAt;
  var source0 = p.sourceAt;
  var k = 0;
  var covered = true;
  ${decode(`
    xi += c * p.xStrides[d >> 2][d & 3];
    if (u32(d) == p.axis) { k = c; continue; }
    covered = covered && c < p.indexDims[d >> 2][d & 3];
    at += c * p.indexStrides[d >> 2][d & 3];
    source0 += c * p.sourceStrides[d >> 2][d & 3];`)}
  let a = i32(p.axis);
  let count = select(0, p.indexDims[a >> 2][a & 3], covered);
  let step = p.indexStrides[a >> 2][a & 3];
  let stride = p.sourceStrides[a >> 2][a & 3];
  var good = true;
#if ${base}
  var sum = x[xi];
#else
  var sum = ${type}(0);
#endif
#if ${sorted}
  // order has the strides of a contiguous index: here the index is 1-D and repeated along the other dimensions.
  if (count > 0) { good = index[at + order[0] * step] >= 0 && index[at + order[count - 1] * step] < p.extent; }
  var low = 0;
  var high = count;
  while (low < high) {
    let middle = (low + high) / 2;
    if (index[at + order[middle] * step] < k) { low = middle + 1; } else { high = middle; }
  }
  for (var j = low; j < count; j++) {
    let place = order[j];
    if (index[at + place * step] != k) { break; }
    sum += source[source0 + place * stride];
  }
#else
  for (var j = 0; j < count; j++) {
    let goal = index[at + j * step];
    good = good && goal >= 0 && goal < p.extent;
    if (goal == k) { sum += source[source0 + j * stride]; }
  }
#endif
  y[i] = select(bitcast<${type}>(p.bad), sum, good);
}`;
    const access = `${base ? 'r' : ''}r${sorted ? 'r' : ''}rw`;
    return { name: 'scatterAdd', code, access, uniforms: bytes(lists) };
  });
}

/**
 * y[…, index[…, j, …], …] = x[…, j, …] for distinct indices: undoes a sort. Bindings: x, index, y (kept elsewhere).
 * Uniforms: elements, positions in x, positions in y, inner size.
 */
export function scatterDistinct(): Kernel {
  return cached(['scatterDistinct'], () => {
    const code = wgsl`
struct Params { n: u32, few: u32, many: u32, inner: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> p: Params;
${entry(INDEX_TILE)} {
  ${threadIndex('i', INDEX_TILE)}
  if (i >= p.n) { return; }
  y[(i / (p.inner * p.few) * p.many + index[i]) * p.inner + i % p.inner] = x[i];
}`;
    return { name: 'scatterDistinct', code, access: 'rrx', uniforms: 16 };
  });
}

/** y[i, c] = 1 where labels[i] = c, else 0. Bindings: labels, y (int32). Uniforms: elements, classes, bad. */
export function oneHot(): Kernel {
  return cached(['oneHot'], () => {
    const code = wgsl`
struct Params { n: u32, classes: u32, bad: i32 }
@group(0) @binding(0) var<storage, read> labels: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(1) @binding(0) var<uniform> p: Params;
${entry(INDEX_TILE)} {
  ${threadIndex('i', INDEX_TILE)}
  if (i >= p.n) { return; }
  let label = labels[i / p.classes];
  y[i] = select(p.bad, i32(label == i32(i % p.classes)), label >= 0 && label < i32(p.classes));
}`;
    return { name: 'oneHot', code, access: 'rw', uniforms: 12 };
  });
}
