/**
 * Reading at positions that lie in a tensor, y[…, j, …] = x[…, index[…, j, …], …], and one-hot; scatter.ts writes. Elements are moved as 32-bit words.
 *
 * An index out of range cannot stop the program from the GPU; its result is `bad`: NaN, or −2³¹ for integers. It is reported (report.ts), unless
 * the index is the framework's own.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

export const INDEX_TILE = 64;

/** The uniform struct: eight words (xAt … are the operands' offsets), then `lists` of eight words each, then the number for reports. */
export const params = (...lists: readonly string[]) =>
  ['n: u32, rank: u32, axis: u32, extent: i32, xAt: i32, indexAt: i32, sourceAt: i32, bad: u32']
    .concat(lists.map((list) => `${list}: array<vec4i, 2>`))
    .concat('slot: u32')
    .join(', ');

/** Decodes i over p.dims, the last dimension first; `body` sees the dimension d and the coordinate c. */
export const decode = (body: string) => `
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
