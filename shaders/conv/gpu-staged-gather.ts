/**
 * Forward convolution and input gradient for GPUs over staged rows (gpu-staged.ts): a workgroup has some rows of pixels of one or more images
 * times 16 or 32 channels; a thread has 4 neighbouring pixels times 8 channels. Weights are staged next to the rows, a few read channels at a
 * time.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { at } from '../checked';
import { foldedIndex, foldWorkgroups, type Kernel, unroll } from '../kernel';
import { foldChunks, type Quad } from '../matmul/gpu-tiles';
import { CHUNK_THREADS } from '../team';
import { ENOUGH_WORKGROUPS } from '../variants';
import { epilogueOf, type Fused } from './epilogue';
import type { Gather } from './gather';
import {
  BLOCK,
  MEMORY,
  numberAt,
  type Rows,
  reach,
  rowsOf,
  slides,
  stageRows,
  THREADS,
  tapsOf,
  unitsOf,
} from './gpu-staged';
import { imageLoad } from './norm-load';

interface GatherLayout {
  readonly rows: Rows;
  /** Quads of pixels, and blocks of channels, of a workgroup. */
  readonly pixels: number;
  readonly blocks: number;
  /** Channels staged at once. */
  readonly depth: number;
  readonly workgroups: number;
}

/** The largest tile that leaves enough workgroups, of whole chunks (conv/norm-sums.ts) whether or not they are summed. */
function layoutOf(g: Gather): GatherLayout | null {
  if (!slides(g) || g.outChannels < BLOCK) return null;
  const blocks = g.outChannels <= 16 ? 2 : 4;
  const taps = g.kernelHeight * g.kernelWidth;
  let best: GatherLayout | null = null;
  for (let n = Math.floor((4 * THREADS) / blocks / g.x.size); n > 0; n--) {
    const rows = rowsOf(g, n);
    const pixels = (n * g.x.size) / 4;
    if (!rows || pixels % CHUNK_THREADS) continue;
    const perChannel = rows.blocks * rows.staged * rows.pitch + taps * weightPitch(blocks);
    const depth = Math.min(g.inChannels, 2 ** Math.floor(Math.log2(MEMORY / perChannel)));
    if (depth < 1) continue;
    const tiles = Math.ceil((g.batch * g.y.size) / rows.rows) * Math.ceil(g.outChannels / (blocks * BLOCK));
    best = { rows, pixels, blocks, depth, workgroups: tiles * g.groups };
    if (best.workgroups >= ENOUGH_WORKGROUPS) break;
  }
  return best;
}

/** vec4s of the weights of one tap: one more than there are keeps stores along the taps out of each other's memory banks. */
const weightPitch = (blocks: number): number => (blocks * BLOCK) / 4 + 1;

/** Bindings as those of `tiledGather`; null where no window slides over whole rows. */
export function stagedGather(name: string, g: Gather, { norm, gradient, adds, sums }: Fused = {}): Kernel | null {
  const layout = layoutOf(g);
  if (!layout) return null;
  const { rows: r, pixels, blocks, depth, workgroups } = layout;
  const taps = g.kernelHeight * g.kernelWidth;
  const threads = pixels * blocks;
  const channels = blocks * BLOCK;
  const [mTiles, nTiles] = [Math.ceil(g.outChannels / channels), Math.ceil((g.batch * g.y.size) / r.rows)];
  const channelPitch = r.blocks * r.staged * r.pitch;
  const load = imageLoad({ operand: 'weights', norm, gradient, quads: true, half: g.half });
  const stored = epilogueOf(g, load.access, adds, sums);
  const units = unitsOf(g);
  const quads = Array.from({ length: BLOCK }, (_, i): Quad => ({ sums: `acc${i}`, m: `(m0 + ${i}u)`, n: 'n0' }));
  const windowSize = Math.max(depth * channelPitch, stored.epilogue ? (BLOCK / 4) * threads : 0);
  /** WGSL of one row of taps of one channel. */
  const row = (i: number) => {
    const { tap, offset } = at(tapsOf(g.y), i);
    const line = `c * ${channelPitch}u + base + ${(offset - reach(g.y).low) * r.pitch}u`;
    const column = (j: number) => {
      const across = at(tapsOf(g.x), j);
      const slot = tap * g.kernelWidth + across.tap;
      const weightsAt = `(c * ${taps}u + ${g.flipped ? taps - 1 - slot : slot}u) * ${weightPitch(blocks)}u + block * ${BLOCK / 4}u`;
      const numbers = [0, 1, 2, 3].map((k) => numberAt('v', units, across.offset + k));
      return `{ let x = vec4f(${numbers.join(', ')});
        ${unroll(BLOCK / 4, (h) => `let w${h} = taps[${weightsAt} + ${h}u];`)}
        ${unroll(BLOCK, (b) => `acc${b} = fma(vec4f(w${b >> 2}[${b % 4}]), x, acc${b});`)} }`;
    };
    return `{ ${units.map((u, k) => `let v${k} = window[${line} + ${u + r.left}u];`).join(' ')}
      ${unroll(g.kernelWidth, column)} }`;
  };
  // Neighbouring threads load along the weights as they lie in memory: taps, then the channels of the smaller stride.
  const inner = g.weightStride.in < g.weightStride.out;
  const code = wgsl`
${load.bindings}${load.declarations}${stored.bindings}
var<workgroup> window: array<vec4f, ${windowSize}>;
var<workgroup> taps: array<vec4f, ${depth * taps * weightPitch(blocks)}>;
${stored.epilogue ? foldChunks('window', BLOCK / 4, threads) : ''}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(workgroups)}
  let top = group / ${mTiles}u % ${nTiles}u * ${r.rows}u;
  let z = group / ${mTiles * nTiles}u;
  let block = local / ${pixels}u;
  let m0 = group % ${mTiles}u * ${channels}u + block * ${BLOCK}u;
  let quad = local % ${pixels}u;
  let n0 = top * ${4 * r.quads}u + quad * 4u;
  let line = quad / ${r.quads}u;
  let base = (line / ${r.height}u * ${r.staged}u + line % ${r.height}u) * ${r.pitch}u + quad % ${r.quads}u;
  ${unroll(BLOCK, (b) => `var acc${b} = vec4f();`)}
  for (var e = local; e < ${windowSize}u; e += ${threads}u) { window[e] = vec4f(); }
  for (var c0 = 0u; c0 < ${g.inChannels}u; c0 += ${depth}u) {
    workgroupBarrier();
    ${stageRows(g, r, load, { channels: depth, first: 'c0', channelPitch, threads, keeps: `group % ${mTiles}u == 0u` })}
    for (var e = local; e < ${depth * taps * channels}u; e += ${threads}u) {
      let tap = e % ${taps}u;
      let c = ${inner ? `e / ${taps}u % ${depth}u` : `e / ${taps * channels}u`};
      let m = ${inner ? `e / ${taps * depth}u` : `e / ${taps}u % ${channels}u`};
      let source = z * ${g.weightStride.group}u + min(group % ${mTiles}u * ${channels}u + m, ${g.outChannels - 1}u) * ${g.weightStride.out}u + min(c0 + c, ${g.inChannels - 1}u) * ${g.weightStride.in}u;
      taps[(c * ${taps}u + tap) * ${weightPitch(blocks)}u + m / 4u][m % 4u] = ${load.operand(`source * ${taps}u + tap`)};
    }
    workgroupBarrier();
    for (var c = 0u; c < min(${depth}u, ${g.inChannels}u - c0); c++) {
      ${unroll(g.kernelHeight, row)}
    }
  }
  ${stored.epilogue ? `workgroupBarrier();\n${stored.epilogue(quads)}` : ''}
  let image = n0 / ${g.y.size * g.x.size}u;
  let at = (image * ${g.groups * g.outChannels}u + z * ${g.outChannels}u + m0) * ${g.y.size * r.quads}u + n0 / 4u % ${g.y.size * r.quads}u;
  ${unroll(BLOCK, (b) => `if (m0 + ${b}u < ${g.outChannels}u && image < ${g.batch}u) { result[at + ${b * g.y.size * r.quads}u] = ${load.store(`acc${b}`)}; }`)}
}`;
  const onGradient = !norm &&
    !gradient && { onGradient: { channels: g.groups * g.inChannels, plane: g.y.size * g.x.size } };
  return { name, code, access: stored.access, grid: foldWorkgroups(workgroups), ...onGradient };
}
