/**
 * Matrices between particles that are kept as a product of two factors, v = AᵀB: the neural feature flow adds a few rows to A and B in every
 * step and never builds the P×P matrix. A few samples are multiplied with a factor F of many rows r and very many particles p:
 *
 *   append     rows of F ← s·x, for samples n as rows                    x [N, P]
 *   contract   C[r, n] = Σ_p F[r, p] x[n, p], in `splits` partial sums   → [splits, quads, N, 4]
 *   expand     y[n, p] (+)= Σ_r F[r, p] C[r, n]                          → [N, P]
 *
 * P is a multiple of 32. A factor lies in tiles of 32 particles, its rows in fours ("quads"): (r, p) is at [p / 32][r / 4][p mod 32][r mod 4].
 * Rows one after the other would cost a cache and a TLB miss for each of them. On CPU drivers loads cost far more than multiplications: there
 * a lane loads what all lanes need once, and the subgroup broadcasts it.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare } from './build';
import { type Kernel, spread, unroll } from './kernel';
import type { KernelTarget } from './target';

/** Particles of a tile. */
export const TILE = 32;
/** Samples that one workgroup covers at most; more are further workgroups. */
const SAMPLES = 8;

/** How N samples are divided: workgroups along z, and samples in each (the last may have fewer). */
export function sampleBlocks(samples: number): { count: number; size: number } {
  const count = Math.ceil(samples / SAMPLES);
  return { count, size: Math.ceil(samples / count) };
}

/** Invocations of a workgroup: a CPU driver's are one subgroup. */
export const workgroupSize = (target: KernelTarget): number => (target.isCpu ? Math.max(8, target.lanes) : TILE);

/**
 * WGSL that lets all lanes know `size` values of type T that are `load(n)`, and the expression of value n.
 * Without subgroups each lane loads them all.
 */
function shared(size: number, target: KernelTarget, load: (n: string) => string) {
  const { lanes } = target;
  const place = (i: number) => (lanes ? `min(${i * lanes}u + subgroupLane, ${size - 1}u)` : `${i}u`);
  const code = unroll(Math.ceil(size / (lanes || 1)), (i) => `let own${i} = ${load(place(i))};`);
  return { code, value: (n: number) => spread(lanes, 'own', n) };
}

const enable = (target: KernelTarget) => (target.lanes ? 'enable subgroups;' : '');
const main = (target: KernelTarget) => `@compute @workgroup_size(${workgroupSize(target)})
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lane: u32${
  enable(target) && ', @builtin(subgroup_invocation_id) subgroupLane: u32'
})`;

const appended = declare(
  'particles: u32, first: u32, capacity: u32, samples: u32, scale: f32',
  'r x: f32',
  'x factor: vec4f',
);
/** Bindings: x [N, P], factor. Constants: P, first quad, capacity in quads, N, s. Grid: tiles, ⌈N / 4⌉. Rows up to a multiple of 4 are zeros. */
export const append: Kernel = {
  name: 'lowRank.append',
  ...appended.io,
  code: wgsl`
${appended.head}
@compute @workgroup_size(${TILE}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lane: u32) {
  var rows = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let n = wid.y * 4u + i;
    if (n < p.samples) { rows[i] = p.scale * x[n * p.particles + wid.x * ${TILE}u + lane]; }
  }
  factor[(wid.x * p.capacity + p.first + wid.y) * ${TILE}u + lane] = rows;
}`,
};

/**
 * Bindings: x [N, P], factor, sums. Constants: P / 4, quads, capacity, tiles, tiles of a split. A lane sums one quad.
 * Grid: ⌈quads / workgroup size⌉, splits, sample blocks.
 */
export const contract = (samples: number, target: KernelTarget): Kernel =>
  cached(['lowRank.contract', samples, target], () => {
    const { size } = sampleBlocks(samples);
    const { head, io } = declare(
      'particles: u32, quads: u32, capacity: u32, tiles: u32, perSplit: u32',
      'r x: vec4f',
      'r factor: vec4f',
      'w sums: vec4f',
    );
    const x = shared(size, target, (n) => `x[min(first + ${n}, ${samples - 1}u) * p.particles + column]`);
    const code = wgsl`${enable(target)}
${head}
${main(target)} {
  let quad = wid.x * ${workgroupSize(target)}u + lane;
  let first = wid.z * ${size}u;
  ${unroll(size, (n) => `var sum${n} = vec4f();`)}
  for (var tile = wid.y * p.perSplit; tile < min((wid.y + 1u) * p.perSplit, p.tiles); tile++) {
    let row = (tile * p.capacity + min(quad, p.quads - 1u)) * ${TILE}u;
    for (var i = 0u; i < ${TILE / 4}u; i++) {
      let column = tile * ${TILE / 4}u + i;
      ${x.code}
      ${unroll(4, (j) => `let f${j} = factor[row + 4u * i + ${j}u];`)}
      ${unroll(
        size,
        (n) => `let x${n} = ${x.value(n)};
      ${unroll(4, (j) => `sum${n} = fma(vec4f(x${n}[${j}]), f${j}, sum${n});`)}`,
      )}
    }
  }
  if (quad >= p.quads) { return; }
  let at = (wid.y * p.quads + quad) * ${samples}u + first;
  ${unroll(size, (n) => `if (first + ${n}u < ${samples}u) { sums[at + ${n}u] = sum${n}; }`)}
}`;
    return { name: 'lowRank.contract', code, ...io };
  });

/** Bindings: C [quads, N, 4], factor, y [N, P]. Constants: P, quads, capacity, whether y is added to. Grid: tiles, 1, sample blocks. */
export const expand = (samples: number, target: KernelTarget): Kernel =>
  cached(['lowRank.expand', samples, target], () => {
    const { size } = sampleBlocks(samples);
    const { head, io } = declare(
      'particles: u32, quads: u32, capacity: u32, added: u32',
      'r c: vec4f',
      'r factor: vec4f',
      'x y: f32',
    );
    const lanes = workgroupSize(target);
    const particles = TILE / lanes; // of one lane
    const c = shared(size, target, (n) => `c[q * ${samples}u + min(first + ${n}, ${samples - 1}u)]`);
    const each = (f: (n: number, i: number) => string) => unroll(size, (n) => unroll(particles, (i) => f(n, i)));
    const code = wgsl`${enable(target)}
${head}
${main(target)} {
  let first = wid.z * ${size}u;
  ${each((n, i) => `var sum${n}_${i} = 0.0;`)}
  for (var q = 0u; q < p.quads; q++) {
    let row = (wid.x * p.capacity + q) * ${TILE}u + lane;
    ${c.code}
    ${unroll(particles, (i) => `let f${i} = factor[row + ${i * lanes}u];`)}
    ${unroll(size, (n) => `let c${n} = ${c.value(n)};`)}
    ${each((n, i) => `sum${n}_${i} += dot(c${n}, f${i});`)}
  }
  ${each(
    (n, i) => `if (first + ${n}u < ${samples}u) {
    let at = (first + ${n}u) * p.particles + wid.x * ${TILE}u + lane + ${i * lanes}u;
    y[at] = select(sum${n}_${i}, y[at] + sum${n}_${i}, p.added == 1u);
  }`,
  )}
}`;
    return { name: 'lowRank.expand', code, ...io };
  });
