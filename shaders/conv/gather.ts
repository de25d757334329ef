/**
 * Forward convolution and input gradient as one problem: a *gather*.
 *
 *   forward         y[oy]  = Σ_k w[k] · x[stride·oy + dilation·k − pad]
 *   input gradient  dx[ix] = Σ_k w[k] · dy[(ix + pad − dilation·k) / stride]   over the k that divide
 *
 * Per axis, write the output position as p = classes·q + c. Within a class c the same taps are live for every q and
 * read position step·q + offset: forward has one class and step = stride; the gradient has `stride` classes and step 1,
 * so that no tap is ever multiplied by a stuffed zero.
 */
import type { Half } from '../precision';
import type { Conv2dShape } from './shape';

export interface Tap {
  readonly tap: number;
  readonly offset: number;
}

export interface Axis {
  /** Extent of what is written, and of what is read. */
  readonly size: number;
  readonly inSize: number;
  readonly classes: number;
  readonly step: number;
  /** Live taps of each class; both numbers are arithmetic progressions whose steps all classes share. */
  readonly taps: readonly (readonly Tap[])[];
}

export interface Gather {
  readonly batch: number;
  readonly groups: number;
  /** Channels per group, read and written. */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly y: Axis;
  readonly x: Axis;
  /** Taps are counted from the far end of the kernel, on both axes. */
  readonly flipped: boolean;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  /** Strides, in kernel planes, of group, written channel and read channel in the OIHW weight. */
  readonly weightStride: { readonly group: number; readonly out: number; readonly in: number };
  readonly half?: Half;
}

/** WGSL for the index in a kernel plane of tap (ky, kx), given as one index in row order. */
export const planeIndex = (g: Gather, tap: string): string =>
  g.flipped ? `(${g.kernelHeight * g.kernelWidth - 1} - (${tap}))` : `(${tap})`;

/** A convolution, or the gradient of its input, as a gather. */
export function gatherOf(kind: 'forward' | 'inputGradient', s: Conv2dShape): Gather {
  const forward = kind === 'forward';
  const { batch, groups, kernelHeight, kernelWidth } = s;
  const [inChannels, outChannels] = [s.inChannels / groups, s.outChannels / groups];
  return {
    batch,
    groups,
    inChannels: forward ? inChannels : outChannels,
    outChannels: forward ? outChannels : inChannels,
    y: axisOf(forward, s.outHeight, s.inHeight, kernelHeight, s.strideH, s.padTop, s.dilationH),
    x: axisOf(forward, s.outWidth, s.inWidth, kernelWidth, s.strideW, s.padLeft, s.dilationW),
    flipped: !forward,
    kernelHeight,
    kernelWidth,
    weightStride: { group: outChannels * inChannels, out: forward ? inChannels : 1, in: forward ? 1 : inChannels },
    half: s.half,
  };
}

function axisOf(
  forward: boolean,
  outSize: number,
  inSize: number,
  kernel: number,
  stride: number,
  pad: number,
  dilation: number,
): Axis {
  const taps = (offset: (tap: number) => number) =>
    Array.from({ length: kernel }, (_, tap) => ({ tap, offset: offset(tap) }));
  if (forward) return { size: outSize, inSize, classes: 1, step: stride, taps: [taps((tap) => tap * dilation - pad)] };
  // Counted from the far end, offsets rise with the tap: at stride 1 the code is that of a forward convolution.
  const live = Array.from({ length: stride }, (_, c) =>
    taps((tap) => (c + pad - (kernel - 1 - tap) * dilation) / stride).filter((t) => Number.isInteger(t.offset)),
  );
  return { size: inSize, inSize: outSize, classes: stride, step: 1, taps: live };
}

/** Positions of the widest class: how many q a launch must cover. */
export const positions = (axis: Axis): number => Math.ceil(axis.size / axis.classes);

/**
 * WGSL that declares, for the class index in the WGSL variable `c`, the progression of its taps:
 * `NAMECount`, then for the i-th live tap `NAMETap + i * NAMETapStep` and `NAMEOffset + i * NAMEOffsetStep` (i32).
 */
export function tapProgression(axis: Axis, name: string, c: string): string {
  const step = (of: keyof Tap) => {
    for (const [first, second] of axis.taps) if (first && second) return second[of] - first[of];
    return 0;
  };
  const table = (f: (t: readonly Tap[]) => number) => {
    const values = axis.taps.map(f);
    return values.every((v) => v === values[0])
      ? `${values[0]}`
      : values.reduceRight((rest, v, i) => (rest ? `select(${rest}, ${v}, ${c} == ${i})` : `${v}`), '');
  };
  return `
  let ${name}Count = ${table((t) => t.length)};
  let ${name}Tap = ${table((t) => t[0]?.tap ?? 0)};
  let ${name}Offset = ${table((t) => t[0]?.offset ?? 0)};
  const ${name}TapStep = ${step('tap')};
  const ${name}OffsetStep = ${step('offset')};`;
}
