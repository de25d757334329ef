/**
 * Convolution for GPUs where a window slides over whole rows (stride 1, output as large as the input, rows of vec4s): a workgroup stages the
 * rows that its pixels need, with what the kernel sees beside them, and every tap reads them from there. A staged number serves all taps,
 * where the implicit matrix product (gpu-tiles.ts) fetches it, with the arithmetic of its address, for each.
 * Here is what the gather (gpu-staged-gather.ts) and the weight gradient (gpu-staged-weight-gradient.ts) share.
 *
 * What lies above, below or beside an image is staged as zero. Rows, channels and pixels outside of the product are staged as zero too and
 * not stored.
 */
import { at, fromEnd, tuple } from '../checked';
import type { Axis, Gather, Tap } from './gather';
import type { imageLoad } from './norm-load';

export const MEMORY = 1024; // vec4s of workgroup memory that every WebGPU device has
export const THREADS = 128;
export const BLOCK = 8; // written channels that a workgroup has at least
const MAX_TAPS = 9; // unrolled

/** A kernel's taps on an axis that a window slides along, which has one class. */
export const tapsOf = (axis: Axis): readonly Tap[] => tuple(axis.taps, 1)[0];

/** How they lie around a pixel: lowest and highest offset. */
export const reach = (axis: Axis) => ({ low: at(tapsOf(axis), 0).offset, high: fromEnd(tapsOf(axis), 1).offset });

/** Rows and columns that a workgroup stages for each channel: `rows` output rows in `blocks` images, `quads` vec4s in a row. */
export interface Rows {
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
export const slides = ({ x, y, kernelHeight, kernelWidth }: Gather): boolean =>
  [x, y].every((axis) => axis.classes === 1 && axis.step === 1 && axis.size === axis.inSize) &&
  x.size % 4 === 0 &&
  kernelHeight * kernelWidth > 1 &&
  kernelHeight * kernelWidth <= MAX_TAPS;

/** `rows` rows of the images one below the other, if images have whole blocks of them. */
export function rowsOf({ x, y }: Gather, rows: number): Rows | null {
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
 * The columns beside the rows must be zero already. `keeps` is true in the one workgroup of those with the same rows that writes a norm's gradient.
 */
export function stageRows(
  g: Gather,
  r: Rows,
  load: ReturnType<typeof imageLoad>,
  o: { channels: number; first: string; channelPitch: number; threads: number; keeps?: string },
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
      let i = (plane * ${g.y.size}u + u32(clamp(y, 0, ${g.y.size - 1}))) * ${r.quads}u + quad;
      let v = ${load.image('i', `z * ${g.inChannels}u + min(c, ${g.inChannels - 1}u)`)};
      window[channel * ${o.channelPitch}u + line * ${r.pitch}u + ${r.left}u + quad] = select(vec4f(), v, inside);
      ${load.keep('i', 'v', `${o.keeps} && inside && line % ${r.staged}u - ${-reach(g.y).low}u < ${r.height}u`)}
    }`;
}

/** vec4s around a thread's own that its taps read, from the leftmost on. */
export const unitsOf = (g: Gather): number[] => {
  const { low, high } = reach(g.x);
  const first = Math.floor(low / 4);
  return Array.from({ length: Math.floor((high + 3) / 4) - first + 1 }, (_, i) => first + i);
};

/** WGSL of the number at `offset` from a thread's first pixel, from vec4s called `name`0, `name`1 … */
export const numberAt = (name: string, units: readonly number[], offset: number): string => {
  const unit = Math.floor(offset / 4);
  return `${name}${units.indexOf(unit)}[${offset - 4 * unit}]`;
};
