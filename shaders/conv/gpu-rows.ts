/**
 * Convolution for GPUs where a window slides over whole rows (stride 1, output as large as the input, rows of vec4s): a workgroup stages the
 * rows that its pixels need, with what the kernel sees beside them, and every tap reads them from there. A staged number serves all taps,
 * where the implicit matrix product (conv/gpu-tiles.ts) fetches it, with the arithmetic of its address, for each.
 *
 * - Gather: a workgroup has some rows of pixels of one or more images times 16 or 32 channels; a thread has 4 neighbouring pixels times 8
 *   channels. Weights are staged beside the rows, a few read channels at a time.
 * - Weight gradient: a workgroup has 16 written times 8 or 16 read channels with all taps; a thread has 4 × 1 channels and walks down a column
 *   of vec4s with the rows above in registers. Workgroups split the images and threads the columns; both are summed in a fixed order.
 *
 * What lies above, below or beside an image is staged as zero. Rows, channels and pixels outside of the product are staged as zero too and
 * not stored.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { type ChunkSums, foldedIndex, foldWorkgroups, type Kernel, unroll } from '../kernel';
import { foldChunks, type Quad } from '../matmul/gpu-tiles';
import type { Partials } from '../sum-partials';
import { CHUNK_THREADS } from '../team';
import { ENOUGH_WORKGROUPS, scaleSplits, type Variant } from '../variants';
import { type Axis, type Gather, gatherOf } from './gather';
import { type ImageNorm, imageLoad } from './norm-load';
import { storedSums } from './norm-sums';
import type { Conv2dShape } from './shape';

const MEMORY = 1024; // vec4s of workgroup memory that every WebGPU device has
const THREADS = 128;
const BLOCK = 8; // channels of a thread of a gather
const MAX_TAPS = 9; // unrolled

/** How a kernel's taps lie on an axis around a pixel: lowest and highest offset. */
const reach = ({ taps: [taps] }: Axis) => ({ low: taps[0].offset, high: taps[taps.length - 1].offset });

/** Rows and columns that a workgroup stages for each channel: `rows` output rows in `blocks` images, `quads` vec4s in a row. */
interface Rows {
  readonly rows: number;
  readonly blocks: number;
  /** Output rows of a block, and staged ones: those and what the kernel sees above and below. */
  readonly height: number;
  readonly staged: number;
  readonly quads: number;
  /** vec4s of zeros left of a row, and vec4s from one staged row to the next. */
  readonly left: number;
  readonly pitch: number;
}

/** Whether a window slides over whole rows of vec4s. */
const slides = ({ x, y, kernelHeight, kernelWidth }: Gather): boolean =>
  [x, y].every((axis) => axis.classes === 1 && axis.step === 1 && axis.size === axis.inSize) &&
  x.size % 4 === 0 &&
  kernelHeight * kernelWidth > 1 &&
  kernelHeight * kernelWidth <= MAX_TAPS;

/** `rows` rows of the images one below the other, if images have whole blocks of them. */
function rowsOf({ x, y }: Gather, rows: number): Rows | null {
  if (y.size % rows && rows % y.size) return null;
  const height = Math.min(rows, y.size);
  const [across, down] = [reach(x), reach(y)];
  const left = Math.max(0, Math.ceil(-across.low / 4));
  const right = Math.max(0, Math.floor((across.high + 3) / 4));
  const quads = x.size / 4;
  return {
    rows,
    blocks: rows / height,
    height,
    staged: height + down.high - down.low,
    quads,
    left,
    pitch: left + quads + right,
  };
}

/**
 * WGSL that stages `channels` channels from `first` on, of the rows from `top` on: `window[channel · channelPitch + row · pitch + left + quad]`.
 * The columns beside the rows must be zero already.
 */
function stageRows(
  g: Gather,
  r: Rows,
  load: ReturnType<typeof imageLoad>,
  o: { channels: number; first: string; channelPitch: number; threads: number },
): string {
  const lines = r.blocks * r.staged;
  return `for (var e = local; e < ${o.channels * lines * r.quads}u; e += ${o.threads}u) {
      let quad = e % ${r.quads}u;
      let line = e / ${r.quads}u % ${lines}u;
      let channel = e / ${r.quads * lines}u;
      let c = ${o.first} + channel;
      let start = top + line / ${r.staged}u * ${r.height}u;
      let image = start / ${g.y.size}u;
      let y = i32(start % ${g.y.size}u + line % ${r.staged}u) + ${reach(g.y).low};
      let inside = c < ${g.inChannels}u && image < ${g.batch}u && y >= 0 && y < ${g.y.size};
      let plane = min(image, ${g.batch - 1}u) * ${g.groups * g.inChannels}u + z * ${g.inChannels}u + min(c, ${g.inChannels - 1}u);
      let v = images[(plane * ${g.y.size}u + u32(clamp(y, 0, ${g.y.size - 1}))) * ${r.quads}u + quad];
      window[channel * ${o.channelPitch}u + line * ${r.pitch}u + ${r.left}u + quad] = select(vec4f(), ${load.value('v', `stats[z * ${g.inChannels}u + min(c, ${g.inChannels - 1}u)]`)}, inside);
    }`;
}

/** vec4s around a thread's own that its taps read, from the leftmost on. */
const unitsOf = (g: Gather): number[] => {
  const { low, high } = reach(g.x);
  const first = Math.floor(low / 4);
  return Array.from({ length: Math.floor((high + 3) / 4) - first + 1 }, (_, i) => first + i);
};

/** WGSL of the number at `offset` from a thread's first pixel, from vec4s called `name`0, `name`1 … */
const numberAt = (name: string, units: readonly number[], offset: number): string => {
  const unit = Math.floor(offset / 4);
  return `${name}${units.indexOf(unit)}[${offset - 4 * unit}]`;
};

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

/** Bindings as those of `simtGather`; null where no window slides over whole rows. */
export function stagedGather(name: string, g: Gather, norm?: ImageNorm, sums?: ChunkSums): Kernel | null {
  const layout = layoutOf(g);
  if (!layout) return null;
  const { rows: r, pixels, blocks, depth, workgroups } = layout;
  const taps = g.kernelHeight * g.kernelWidth;
  const threads = pixels * blocks;
  const channels = blocks * BLOCK;
  const [mTiles, nTiles] = [Math.ceil(g.outChannels / channels), Math.ceil((g.batch * g.y.size) / r.rows)];
  const channelPitch = r.blocks * r.staged * r.pitch;
  const load = imageLoad('weights', 'result', norm, 'vec4f');
  const stored = sums && storedSums(g, sums, load.access);
  const units = unitsOf(g);
  const quads = Array.from({ length: BLOCK }, (_, i): Quad => ({ sums: `acc${i}`, m: `(m0 + ${i}u)`, n: 'n0' }));
  const windowSize = Math.max(depth * channelPitch, stored ? (BLOCK / 4) * threads : 0);
  /** WGSL of one row of taps of one channel. */
  const row = (i: number) => {
    const { tap, offset } = g.y.taps[0][i];
    const line = `c * ${channelPitch}u + base + ${(offset - reach(g.y).low) * r.pitch}u`;
    const column = (j: number) => {
      const slot = tap * g.kernelWidth + g.x.taps[0][j].tap;
      const at = `(c * ${taps}u + ${g.flipped ? taps - 1 - slot : slot}u) * ${weightPitch(blocks)}u + block * ${BLOCK / 4}u`;
      const numbers = [0, 1, 2, 3].map((k) => numberAt('v', units, g.x.taps[0][j].offset + k));
      return `{ let x = vec4f(${numbers.join(', ')});
        ${unroll(BLOCK / 4, (h) => `let w${h} = taps[${at} + ${h}u];`)}
        ${unroll(BLOCK, (b) => `acc${b} = fma(vec4f(w${b >> 2}[${b % 4}]), x, acc${b});`)} }`;
    };
    return `{ ${units.map((u, k) => `let v${k} = window[${line} + ${u + r.left}u];`).join(' ')}
      ${unroll(g.kernelWidth, column)} }`;
  };
  // Neighbouring threads load along the weights as they lie in memory: taps, then the channels of the smaller stride.
  const inner = g.weightStride.in < g.weightStride.out;
  const code = wgsl`
${load.bindings}${load.declarations}${stored?.bindings ?? ''}
var<workgroup> window: array<vec4f, ${windowSize}>;
var<workgroup> taps: array<vec4f, ${depth * taps * weightPitch(blocks)}>;
${stored ? foldChunks('window', BLOCK / 4, threads) : ''}
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
    ${stageRows(g, r, load, { channels: depth, first: 'c0', channelPitch, threads })}
    for (var e = local; e < ${depth * taps * channels}u; e += ${threads}u) {
      let tap = e % ${taps}u;
      let c = ${inner ? `e / ${taps}u % ${depth}u` : `e / ${taps * channels}u`};
      let m = ${inner ? `e / ${taps * depth}u` : `e / ${taps}u % ${channels}u`};
      let source = z * ${g.weightStride.group}u + min(group % ${mTiles}u * ${channels}u + m, ${g.outChannels - 1}u) * ${g.weightStride.out}u + min(c0 + c, ${g.inChannels - 1}u) * ${g.weightStride.in}u;
      taps[(c * ${taps}u + tap) * ${weightPitch(blocks)}u + m / 4u][m % 4u] = weights[source * ${taps}u + tap];
    }
    workgroupBarrier();
    for (var c = 0u; c < min(${depth}u, ${g.inChannels}u - c0); c++) {
      ${unroll(g.kernelHeight, row)}
    }
  }
  ${stored ? `workgroupBarrier();\n${stored.epilogue(quads)}` : ''}
  let image = n0 / ${g.y.size * g.x.size}u;
  let at = (image * ${g.groups * g.outChannels}u + z * ${g.outChannels}u + m0) * ${g.y.size * r.quads}u + n0 / 4u % ${g.y.size * r.quads}u;
  ${unroll(BLOCK, (b) => `if (m0 + ${b}u < ${g.outChannels}u && image < ${g.batch}u) { result[at + ${b * g.y.size * r.quads}u] = acc${b}; }`)}
}`;
  return { name, code, access: stored?.access ?? load.access, workgroups: foldWorkgroups(workgroups) };
}

interface GradientLayout {
  readonly rows: Rows;
  /** Read channels of a workgroup. */
  readonly inputs: number;
  readonly window: number;
  /** vec4s between the numbers of two blocks of written channels. */
  readonly pitch: number;
}

const OUTPUTS = 16; // written channels of a workgroup
const OUTPUT_BLOCK = 4; // of a thread

/** As many rows as fit, and more channels rather than more rows. */
function gradientLayout(g: Gather, inputs: number, outputs: number): GradientLayout | null {
  if (!slides(g) || outputs < BLOCK || reach(g.y).high - reach(g.y).low !== g.kernelHeight - 1) return null;
  const most = Math.min(16, 2 ** Math.ceil(Math.log2(inputs)));
  for (let rows = Math.max(2, Math.floor(128 / g.x.size)); rows >= 1; rows = Math.floor(rows / 2))
    for (const across of [most, Math.min(8, most)]) {
      const r = rowsOf(g, rows);
      if (!r) continue;
      const window = across * gradientPitch(r);
      const pitch = r.rows * 4 * r.quads + 1;
      if (window + (OUTPUTS / OUTPUT_BLOCK) * pitch <= MEMORY) return { rows: r, inputs: across, window, pitch };
    }
  return null;
}

/** vec4s between two staged channels: an odd number, so that neighbouring channels lie in other memory banks. */
const gradientPitch = (r: Rows): number => (r.blocks * r.staged * r.pitch) | 1;

/** Partial weight gradients, [split][outChannel][inChannel][ky][kx]; bindings as those of `simtWeightGradient`. */
export function stagedWeightGradient(
  name: string,
  s: Conv2dShape,
  variant: Variant,
  norm?: ImageNorm,
): Partials | null {
  const g = gatherOf('forward', s);
  const layout = gradientLayout(g, g.inChannels, g.outChannels);
  if (!layout) return null;
  const { rows: r, inputs, window, pitch } = layout;
  const taps = g.kernelHeight * g.kernelWidth;
  const perSlice = inputs * (OUTPUTS / OUTPUT_BLOCK);
  const columns = r.blocks * r.quads;
  const slices = Math.max(1, Math.min(Math.floor(THREADS / perSlice), columns));
  const threads = slices * perSlice;
  const [mTiles, nTiles] = [Math.ceil(g.outChannels / OUTPUTS), Math.ceil(g.inChannels / inputs)];
  const tiles = mTiles * nTiles * g.groups;
  const units = Math.ceil((g.batch * g.y.size) / r.rows);
  const wanted = scaleSplits(Math.min(units, Math.ceil(ENOUGH_WORKGROUPS / tiles)), variant);
  const perSplit = Math.ceil(units / Math.min(units, wanted));
  const splits = Math.ceil(units / perSplit);
  const channelPitch = gradientPitch(r);
  const load = imageLoad('dy', 'partials', norm, 'vec4f');
  const around = unitsOf(g);
  const last = g.kernelHeight - 1;
  const read = (i: number, line: string) =>
    around.map((u, k) => `let x${i}_${k} = window[${line} + ${u + r.left}u];`).join(' ');
  /** Values of all slices, for as many taps at once as the window has room for. */
  const atOnce = Math.min(taps, Math.floor(window / threads));
  if (slices > 1 && atOnce < 1) return null;
  const folds = Math.ceil(taps / atOnce);
  const code = wgsl`
${load.bindings}${load.declarations}
var<workgroup> window: array<vec4f, ${window}>;
var<workgroup> slopes: array<vec4f, ${(OUTPUTS / OUTPUT_BLOCK) * pitch}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(tiles * splits)}
  let m0 = group % ${mTiles}u * ${OUTPUTS}u;
  let n0 = group / ${mTiles}u % ${nTiles}u * ${inputs}u;
  let z = group / ${mTiles * nTiles}u % ${g.groups}u;
  let split = group / ${tiles}u;
  let channel = local % ${inputs}u;
  let block = local / ${inputs}u % ${OUTPUTS / OUTPUT_BLOCK}u;
  let slice = local / ${perSlice}u;
  ${unroll(taps, (t) => `var acc${t} = vec4f();`)}
  for (var e = local; e < ${window}u; e += ${threads}u) { window[e] = vec4f(); }
  for (var unit = split * ${perSplit}u; unit < min((split + 1u) * ${perSplit}u, ${units}u); unit++) {
    let top = unit * ${r.rows}u;
    workgroupBarrier();
    ${stageRows(g, r, load, { channels: inputs, first: 'n0', channelPitch, threads })}
    for (var e = local; e < ${(OUTPUTS / OUTPUT_BLOCK) * (pitch - 1)}u; e += ${threads}u) {
      let pixel = top * ${g.x.size}u + e % ${pitch - 1}u;
      let m = m0 + e / ${pitch - 1}u * ${OUTPUT_BLOCK}u;
      let image = pixel / ${g.y.size * g.x.size}u;
      let at = (min(image, ${g.batch - 1}u) * ${g.groups * g.outChannels}u + z * ${g.outChannels}u) * ${g.y.size * g.x.size}u + pixel % ${g.y.size * g.x.size}u;
      slopes[e / ${pitch - 1}u * ${pitch}u + e % ${pitch - 1}u] = select(vec4f(), vec4f(${[0, 1, 2, 3].map((k) => `dy[at + min(m + ${k}u, ${g.outChannels - 1}u) * ${g.y.size * g.x.size}u]`).join(', ')}), image < ${g.batch}u);
    }
    workgroupBarrier();
    for (var column = slice; column < ${columns}u; column += ${slices}u) {
      let base = channel * ${channelPitch}u + column / ${r.quads}u * ${r.staged * r.pitch}u + column % ${r.quads}u;
      let slope = block * ${pitch}u + column / ${r.quads}u * ${r.height * g.x.size}u + column % ${r.quads}u * 4u;
      ${unroll(last, (i) => around.map((u, k) => `var x${i}_${k} = window[base + ${i * r.pitch + u + r.left}u];`).join(' '))}
      for (var y = 0u; y < ${r.height}u; y++) {
        ${read(last, `base + (y + ${last}u) * ${r.pitch}u`)}
        ${unroll(4, (p) => `let d${p} = slopes[slope + y * ${g.x.size}u + ${p}u];`)}
        ${unroll(g.kernelHeight, (i) =>
          unroll(g.kernelWidth, (j) =>
            unroll(4, (p) => {
              const t = i * g.kernelWidth + j;
              return `acc${t} = fma(d${p}, vec4f(${numberAt(`x${i}_`, around, g.x.taps[0][j].offset + p)}), acc${t});`;
            }),
          ),
        )}
        ${unroll(last, (i) => around.map((_, k) => `x${i}_${k} = x${i + 1}_${k};`).join(' '))}
      }
    }
  }
  ${
    slices === 1
      ? ''
      : unroll(folds, (f) => {
          const some = Array.from({ length: Math.min(atOnce, taps - f * atOnce) }, (_, i) => f * atOnce + i);
          return `workgroupBarrier();
  ${some.map((t, i) => `window[${i * threads}u + local] = acc${t};`).join(' ')}
  workgroupBarrier();
  if (slice == 0u) { for (var i = 1u; i < ${slices}u; i++) { ${some.map((t, k) => `acc${t} += window[${k * threads}u + i * ${perSlice}u + local];`).join(' ')} } }`;
        })
  }
  if (slice > 0u || n0 + channel >= ${g.inChannels}u) { return; }
  let m = m0 + block * ${OUTPUT_BLOCK}u;
  let at = ((split * ${g.groups * g.outChannels}u + z * ${g.outChannels}u + m) * ${g.inChannels}u + n0 + channel) * ${taps}u;
  ${unroll(OUTPUT_BLOCK, (k) => `if (m + ${k}u < ${g.outChannels}u) { ${Array.from({ length: taps }, (_, t) => `partials[at + ${k * g.inChannels * taps + t}u] = acc${t}[${k}];`).join(' ')} }`)}
}`;
  return { kernel: { name, code, access: load.access, workgroups: foldWorkgroups(tiles * splits) }, splits };
}
