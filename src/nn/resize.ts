// Resizing, rearranging and padding as layers; the functions of `F` say what each computes.

import { checked } from '../gpu/options';
import { channelShuffle, FOLD, type FoldOptions, fold, pixelShuffle, pixelUnshuffle, unfold } from '../ops/fold';
import { checkInterpolate, type InterpolateOptions, interpolate } from '../ops/interpolate';
import { type PadMode, pad } from '../ops/pad';
import { type Sizes, sizesOf } from '../ops/sizes';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { Apply } from './apply';

type Pair = number | readonly [number, number];

/** Resizes [N, C, …] as `F.interpolate`, whose options it has: `new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' })`. */
export class Upsample extends Apply {
  constructor(options: Omit<InterpolateOptions, 'antialias'>) {
    checkInterpolate(new.target.name, options);
    super((x) => interpolate(x, options), JSON.stringify(options));
  }
}

/** The class of a layer that takes one whole number. */
const byNumber = (f: (x: Tensor, n: number) => Tensor): (new (n: number) => Apply) =>
  class extends Apply {
    constructor(n: number) {
      super((x) => f(x, n), `${n}`);
    }
  };

/** [*, C·r², H, W] → [*, C, H·r, W·r] for the factor r. */
export class PixelShuffle extends byNumber(pixelShuffle) {}
/** [*, C, H·r, W·r] → [*, C·r², H, W] for the factor r. */
export class PixelUnshuffle extends byNumber(pixelUnshuffle) {}
/** Mixes the channels of so many groups. */
export class ChannelShuffle extends byNumber(channelShuffle) {}

/** Refuses windows that are none of images. */
function checkFold(op: string, sizes: Record<string, Pair>, options: FoldOptions): void {
  const { stride = 1, dilation = 1, padding = 0 } = checked(op, options, FOLD);
  const positive = { ...sizes, stride, dilation };
  for (const [name, value] of Object.entries(positive)) sizesOf(op, name, value, 2, { least: 1 });
  sizesOf(op, 'padding', padding, 2);
}

/** The windows of images as columns: [N, C, H, W] → [N, C·kH·kW, L]. */
export class Unfold extends Apply {
  constructor(kernelSize: Pair, options: FoldOptions = {}) {
    checkFold(new.target.name, { kernelSize }, options);
    super((x) => unfold(x, kernelSize, options), JSON.stringify(kernelSize));
  }
}

/** Adds up columns at the places of their windows: [N, C·kH·kW, L] → [N, C, H, W]. */
export class Fold extends Apply {
  constructor(outputSize: Pair, kernelSize: Pair, options: FoldOptions = {}) {
    checkFold(new.target.name, { outputSize, kernelSize }, options);
    super(
      (x) => fold(x, outputSize, kernelSize, options),
      `${JSON.stringify(outputSize)}, ${JSON.stringify(kernelSize)}`,
    );
  }
}

/** One number for all sides of the last `dims` dimensions, or PyTorch's list, which begins with the last: [left, right, top, bottom]. */
function sides(op: string, padding: Sizes, dims: number): readonly number[] {
  const list = typeof padding === 'number' ? new Array<number>(2 * dims).fill(padding) : padding;
  if (!Array.isArray(list) || list.length !== 2 * dims || !list.every(Number.isInteger))
    throw inputError(op, `padding is ${JSON.stringify(padding)}`, {}, `Give one whole number, or ${2 * dims}.`);
  return list;
}

const padding = (dims: number, mode: PadMode): (new (padding: Sizes) => Apply) =>
  class extends Apply {
    constructor(amounts: Sizes) {
      const list = sides(new.target.name, amounts, dims);
      super((x) => pad(x, list, { mode }), JSON.stringify(amounts));
    }
  };

const constant = (dims: number): (new (padding: Sizes, value: number) => Apply) =>
  class extends Apply {
    constructor(amounts: Sizes, value: number) {
      const list = sides(new.target.name, amounts, dims);
      super((x) => pad(x, list, { value }), `${JSON.stringify(amounts)}, ${value}`);
    }
  };

/** Zeros around lines; one number, or [left, right]. */
export class ZeroPad1d extends padding(1, 'constant') {}
/** Zeros around images; one number, or [left, right, top, bottom]. */
export class ZeroPad2d extends padding(2, 'constant') {}
/** Zeros around volumes; one number, or [left, right, top, bottom, front, back]. */
export class ZeroPad3d extends padding(3, 'constant') {}
/** A value around lines. */
export class ConstantPad1d extends constant(1) {}
/** A value around images. */
export class ConstantPad2d extends constant(2) {}
/** A value around volumes. */
export class ConstantPad3d extends constant(3) {}
/** Lines mirrored at their ends, which are not repeated. */
export class ReflectionPad1d extends padding(1, 'reflect') {}
/** Images mirrored at their borders. */
export class ReflectionPad2d extends padding(2, 'reflect') {}
/** Volumes mirrored at their faces. */
export class ReflectionPad3d extends padding(3, 'reflect') {}
/** Lines whose ends are repeated. */
export class ReplicationPad1d extends padding(1, 'replicate') {}
/** Images whose borders are repeated. */
export class ReplicationPad2d extends padding(2, 'replicate') {}
/** Volumes whose faces are repeated. */
export class ReplicationPad3d extends padding(3, 'replicate') {}
/** Lines that go on at their other end. */
export class CircularPad1d extends padding(1, 'circular') {}
/** Images that go on at their other side. */
export class CircularPad2d extends padding(2, 'circular') {}
/** Volumes that go on at their other side. */
export class CircularPad3d extends padding(3, 'circular') {}
