/**
 * Sums that a batch norm takes of what a convolution writes, made while the results are in registers: (mean, M2) of each chunk for the
 * statistics of the norm behind a forward convolution; (Σ g, Σ g·(x − mean)), with g behind the ReLU's mask, for the gradient of the norm in
 * front of an input gradient. Chunks, order of additions and so the bits are those of `normPartials` and `normGradientPartials` (../norm).
 */

import type { ChunkSums } from '../kernel';
import type { Quad } from '../matmul/gpu-tiles';
import { masked, sumsOfVectors } from '../norm/shared';
import { CHUNK_THREADS, GPU_CHUNK } from '../team';
import type { Gather } from './gather';

/** Chunks of a channel of what a gather writes; 0 where tiles do not hold whole ones: the classes of a stride, or vec4s over two images. */
export function storedChunks(g: Gather): number {
  const plane = g.y.size * g.x.size;
  return g.y.classes * g.x.classes > 1 || plane % 4 ? 0 : Math.ceil((g.batch * plane) / GPU_CHUNK);
}

/** WGSL of the vec4 of what a gather writes that holds channel `m` of group z at column `n`. */
export const quadAt = (g: Gather, m: string, n: string): string => {
  const plane = g.y.size * g.x.size;
  return `(${n} / ${plane}u * ${g.groups * g.outChannels}u + z * ${g.outChannels}u + ${m}) * ${plane / 4}u + ${n} % ${plane}u / 4u`;
};

/** For a `TiledProduct` with the bindings `access`: the further ones (partials; x, stats, partials) and the epilogue. */
export function storedSums(g: Gather, { kind, relu }: ChunkSums, access: string) {
  const plane = g.y.size * g.x.size;
  const columns = g.batch * plane;
  const binding = (i: number, declaration: string) =>
    `@group(0) @binding(${access.length + i}) var<storage, ${declaration};\n`;
  const partials = (i: number) => binding(i, 'read_write> partials: array<vec2f>') + sumsOfVectors;
  /** WGSL of the four-vectors of the quads' values, folded: `name`, and its value of quad `i`. */
  const fold = (name: string, quads: readonly Quad[], value: (i: number) => string) => {
    const vecs = quads.flatMap((_, i) => (i % 4 ? [] : `vec4f(${[i, i + 1, i + 2, i + 3].map(value).join(', ')})`));
    return `let ${name} = foldChunks(array<vec4f, ${vecs.length}>(${vecs.join(', ')}), local);`;
  };
  const folded = (name: string, i: number) => `${name}[${i >> 2}][${i % 4}]`;
  const each = (quads: readonly Quad[], f: (quad: Quad, i: number) => string) => quads.map(f).join('\n  ');
  const store = (quads: readonly Quad[], a: (i: number) => string, b: (i: number) => string) =>
    `if (local % ${CHUNK_THREADS}u == 0u) {
  ${each(quads, ({ m, n }, i) => `if (${m} < ${g.outChannels}u && ${n} < ${columns}u) { partials[(z * ${g.outChannels}u + ${m}) * ${storedChunks(g)}u + ${n} / ${GPU_CHUNK}u] = vec2f(${a(i)}, ${b(i)}); }`)}
  }`;

  if (kind === 'statistics')
    return {
      bindings: partials(0),
      access: `${access}w`,
      epilogue: (quads: readonly Quad[]) => `
  ${each(quads, ({ sums, n }, i) => `let k${i} = select(0.0, 4.0, ${n} < ${columns}u); let mean${i} = sumOf(${sums}) * 0.25;`)}
  ${fold('total', quads, (i) => `k${i} * mean${i}`)}
  ${each(
    quads,
    ({ sums, n }, i) => `let count${i} = f32(min(${GPU_CHUNK}u, ${columns}u - ${n} / ${GPU_CHUNK}u * ${GPU_CHUNK}u));
  let center${i} = ${folded('total', i)} / count${i};
  let off${i} = ${sums} - vec4f(mean${i});`,
  )}
  ${fold('squares', quads, (i) => `fma(k${i} * (mean${i} - center${i}), mean${i} - center${i}, sumOfProducts(off${i}, off${i}))`)}
  ${store(
    quads,
    (i) => `center${i}`,
    (i) => folded('squares', i),
  )}`,
    };
  return {
    bindings: binding(0, 'read> summed: array<vec4f>') + binding(1, 'read> normRows: array<vec4f>') + partials(2),
    access: `${access}rrw`,
    epilogue: (quads: readonly Quad[]) => `
  ${each(
    quads,
    ({ sums, m, n }, i) => `let channel${i} = z * ${g.outChannels}u + min(${m}, ${g.outChannels - 1}u);
  let v${i} = summed[${quadAt(g, `min(${m}, ${g.outChannels - 1}u)`, `min(${n}, ${columns - 4}u)`)}];
  let row${i} = normRows[channel${i}];
  let off${i} = v${i} - vec4f(row${i}.x);
  let g${i} = ${masked(relu, 'vec4f', sums, `v${i}`, `row${i}`)};`,
  )}
  ${fold('first', quads, (i) => `sumOf(g${i})`)}
  ${fold('second', quads, (i) => `sumOfProducts(g${i}, off${i})`)}
  ${store(
    quads,
    (i) => folded('first', i),
    (i) => folded('second', i),
  )}`,
  };
}
