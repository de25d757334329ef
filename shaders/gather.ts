/**
 * Reading and adding at positions that lie in a tensor: gather, scatter, one-hot. Elements are moved as 32-bit words.
 *
 *   gather       y[…, j, …] = x[…, index[…, j, …], …]
 *   scatterAdd   y[…, k, …] = x[…, k, …] + Σ { source[…, j, …] : index[…, j, …] = k }, j ascending: a gather over the sources, no atomics
 *
 * An index out of range cannot stop the program from the GPU; its result is `bad`: NaN, or −2³¹ for integers. It is reported (report.ts), unless
 * the index is the framework's own.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

const INDEX_TILE = 64;

/** The uniform struct: eight words (xAt … are the operands' offsets), then `lists` of eight words each, then the number for reports. */
const params = (...lists: readonly string[]) =>
  ['n: u32, rank: u32, axis: u32, extent: i32, xAt: i32, indexAt: i32, sourceAt: i32, bad: u32']
    .concat(lists.map((list) => `${list}: array<vec4i, 2>`))
    .concat('slot: u32')
    .join(', ');

/** Decodes i over p.dims, the last dimension first; `body` sees the dimension d and the coordinate c. */
const decode = (body: string) => `
  var rest = i32(i);
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let size = p.dims[d >> 2][d & 3];
    let c = rest % size;
    rest /= size;
    ${body}
  }`;

/** Bindings: x, index, y, reports where `report`. Lists: dims (of y), xStrides (0 along the axis), indexStrides, the axis stride as xAxis[0]. */
export const gather = (report: boolean): Kernel =>
  cached(['gather', report], () => {
    const fields = params('dims', 'xStrides', 'indexStrides', 'xAxis');
    const { head, io } = declare(fields, 'r x: Word', 'r index: Index', 'w y: Word', report && REPORTS);
    const code = wgsl`
${head}
${report ? reportFunction : ''}
${perThread('i', INDEX_TILE, 'p.n')}
  var xi = p.xAt;
  var at = p.indexAt;
  ${decode('xi += c * p.xStrides[d >> 2][d & 3]; at += c * p.indexStrides[d >> 2][d & 3];')}
  let k = index[at];
  let good = k >= 0 && k < p.extent;
  ${report ? 'if (!good) { report(k); }' : ''}
  y[i] = select(p.bad, x[xi + select(0, k, good) * p.xAxis[0][0]], good);
}`;
    return { name: 'gather', code, ...io, grid: { tile: INDEX_TILE } };
  });

export interface ScatterOptions {
  readonly type: 'f32' | 'i32' | 'u32';
  /** Starts from x instead of from 0. */
  readonly base: boolean;
  /** `order` sorts the index along the axis: each result finds its sources by bisection instead of looking at all of them. */
  readonly sorted: boolean;
  readonly report: boolean;
}

/** Bindings: x where `base`, index, order where `sorted`, source, y, reports where `report`. Lists: dims (of y), xStrides, indexDims, indexStrides, sourceStrides. */
export const scatterAdd = ({ type, base, sorted, report }: ScatterOptions): Kernel =>
  cached(['scatterAdd', type, base, sorted, report], () => {
    const fields = params('dims', 'xStrides', 'indexDims', 'indexStrides', 'sourceStrides');
    const indices = ['r index: Index', sorted && 'r order: i32'];
    const operands = [base && `r x: ${type}`, ...indices, `r source: ${type}`, `w y: ${type}`];
    const { head, io } = declare(fields, ...operands, report && REPORTS);
    const float = type === 'f32';
    const add = (x: string) => (float ? `sum = addTo(sum, ${x}, p.rank >> 31u);` : `sum += ${x};`);
    const code = wgsl`
${head}
${report ? reportFunction : ''}
${float ? functionsFor('addTo() totalOf()') : ''}
${perThread('i', INDEX_TILE, 'p.n')}
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
  var sum = ${float ? 'vec3f(x[xi], 0.0, x[xi])' : 'x[xi]'};
#else
  var sum = ${float ? 'vec3f()' : `${type}(0)`};
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
    ${add('source[source0 + place * stride]')}
  }
#else
  for (var j = 0; j < count; j++) {
    let goal = index[at + j * step];
    if (goal < 0 || goal >= p.extent) { good = false; ${report ? 'report(goal);' : ''} }
    if (goal == k) { ${add('source[source0 + j * stride]')} }
  }
#endif
  y[i] = select(bitcast<${type}>(p.bad), ${float ? 'totalOf(sum)' : 'sum'}, good);
}`;
    return { name: 'scatterAdd', code, ...io, grid: { tile: INDEX_TILE } };
  });

/**
 * y[…, index[…, j, …], …] = x[…, j, …] for distinct indices: undoes a sort. Bindings: x, index, y (kept elsewhere).
 * Uniforms: elements, positions in x, positions in y, inner size.
 */
export const scatterDistinct = (): Kernel =>
  cached(['scatterDistinct'], () => {
    const { head, io } = declare('n: u32, few: u32, many: u32, inner: u32', 'r x: Word', 'r index: Index', 'x y: Word');
    const code = wgsl`
${head}
${perThread('i', INDEX_TILE, 'p.n')}
  y[(i / (p.inner * p.few) * p.many + u32(index[i])) * p.inner + i % p.inner] = x[i];
}`;
    return { name: 'scatterDistinct', code, ...io, grid: { tile: INDEX_TILE } };
  });

/** y[i, c] = 1 where labels[i] = c, else 0. Bindings: labels, y (int32), reports. Uniforms: elements, classes, bad, number for reports. */
export const oneHot = (): Kernel =>
  cached(['oneHot'], () => {
    const { head, io } = declare('n: u32, classes: u32, bad: i32, slot: u32', 'r labels: Index', 'w y: i32', REPORTS);
    const code = wgsl`
${head}
${reportFunction}
${perThread('i', INDEX_TILE, 'p.n')}
  let label = labels[i / p.classes];
  let good = label >= 0 && label < i32(p.classes);
  if (!good) { report(label); }
  y[i] = select(p.bad, i32(label == i32(i % p.classes)), good);
}`;
    return { name: 'oneHot', code, ...io, grid: { tile: INDEX_TILE } };
  });
