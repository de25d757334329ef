// Pooling as layers; the functions of `F` say what each computes.

import { checked, is, type OptionTable } from '../gpu/options';
import { LP, type LpPoolOptions, lpPool1d, lpPool2d, lpPool3d } from '../ops/lp-pool';
import {
  type AveragePoolOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  adaptiveMaxPool2dWithIndices,
  avgPool2d,
  globalAvgPool2d,
  type Maxima,
  type MaxPoolOptions,
  maxPool2d,
  maxPool2dWithIndices,
  type OutputSize,
  poolWindow,
  type Window,
} from '../ops/pool';
import type { AvgPool1dOptions, AvgPool3dOptions, MaxPool1dOptions, MaxPool3dOptions } from '../ops/pool-nd';
import * as nd from '../ops/pool-nd';
import { type Sizes, sizesOf } from '../ops/sizes';
import { maxUnpool1d, maxUnpool2d, maxUnpool3d, UNPOOL, type UnpoolOptions } from '../ops/unpool';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Apply, applying } from './apply';
import { Module } from './module';

/** What max pooling layers take besides: with `returnIndices` they give { values, indices }, of which max-unpooling takes the indices. */
export interface IndicesOptions<R extends boolean> {
  /** `forward` gives { values, indices }, for unpooling (default false). */
  returnIndices?: R;
}

type Result<R extends boolean> = R extends true ? Maxima : Tensor;

/** Arguments of a layer without `returnIndices`, and what that is. */
function withoutIndices<W, O>(op: string, window: W, options: O): { window: W; options: O; returnIndices: boolean } {
  const [first, second] = [window, options].map((given) => {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return { rest: given };
    const { returnIndices, ...rest } = given as IndicesOptions<boolean>;
    checked<IndicesOptions<boolean>>(op, { returnIndices }, INDICES);
    return { rest, returnIndices };
  });
  const returnIndices = first?.returnIndices ?? second?.returnIndices ?? false;
  return { window: first?.rest as W, options: second?.rest as O, returnIndices };
}

const INDICES: OptionTable<IndicesOptions<boolean>> = { returnIndices: is.flag };

/** Largest value of each window of [N, C, H, W]. Arguments as of `F.maxPool2d`, and `returnIndices`. */
export class MaxPool2d<R extends boolean = false> extends Apply<Result<R>> {
  constructor(window: Window<MaxPoolOptions & IndicesOptions<R>>, options?: MaxPoolOptions & IndicesOptions<R>) {
    const given = withoutIndices(new.target.name, window, options);
    const o = poolWindow.max(new.target.name, given.window, given.options);
    const pool = given.returnIndices ? maxPool2dWithIndices : maxPool2d;
    super((x) => pool(x, o) as Result<R>, JSON.stringify(o));
  }
}

/** Mean of each window of [N, C, H, W]. Arguments as of `F.avgPool2d`. */
export class AvgPool2d extends Apply {
  constructor(window: Window<AveragePoolOptions>, options?: AveragePoolOptions) {
    const o = poolWindow.average(new.target.name, window, options);
    super((x) => avgPool2d(x, o), JSON.stringify(o));
  }
}

/** What a layer shows of its arguments. */
const shown = (window: unknown, options: unknown): string =>
  [window, options]
    .filter((part) => part !== undefined)
    .map((part) => JSON.stringify(part))
    .join(', ');

/** Largest value of each window of [N, C, L]. Arguments as of `F.maxPool1d`, and `returnIndices`. */
export class MaxPool1d<R extends boolean = false> extends Apply<Result<R>> {
  constructor(window: Sizes | (MaxPool1dOptions & IndicesOptions<R>), options?: MaxPool1dOptions & IndicesOptions<R>) {
    const given = withoutIndices(new.target.name, window, options);
    nd.checkPool.max(new.target.name, 1, given.window, given.options);
    const pool = given.returnIndices ? nd.maxPool1dWithIndices : nd.maxPool1d;
    super((x) => pool(x, given.window, given.options) as Result<R>, shown(given.window, given.options));
  }
}

/** Largest value of each window of [N, C, D, H, W]. Arguments as of `F.maxPool3d`, and `returnIndices`. */
export class MaxPool3d<R extends boolean = false> extends Apply<Result<R>> {
  constructor(window: Sizes | (MaxPool3dOptions & IndicesOptions<R>), options?: MaxPool3dOptions & IndicesOptions<R>) {
    const given = withoutIndices(new.target.name, window, options);
    nd.checkPool.max(new.target.name, 3, given.window, given.options);
    const pool = given.returnIndices ? nd.maxPool3dWithIndices : nd.maxPool3d;
    super((x) => pool(x, given.window, given.options) as Result<R>, shown(given.window, given.options));
  }
}

/** Mean of each window of [N, C, L]. Arguments as of `F.avgPool1d`. */
export class AvgPool1d extends Apply {
  constructor(window: Sizes | AvgPool1dOptions, options?: AvgPool1dOptions) {
    nd.checkPool.average(new.target.name, 1, window, options);
    super((x) => nd.avgPool1d(x, window, options), shown(window, options));
  }
}

/** Mean of each window of [N, C, D, H, W]. Arguments as of `F.avgPool3d`. */
export class AvgPool3d extends Apply {
  constructor(window: Sizes | AvgPool3dOptions, options?: AvgPool3dOptions) {
    nd.checkPool.average(new.target.name, 3, window, options);
    super((x) => nd.avgPool3d(x, window, options), shown(window, options));
  }
}

/** Refuses the size of a result in another number of dimensions; null keeps the input's. */
function checkOutput(op: string, size: number | readonly (number | null)[], dims: number): void {
  sizesOf(op, 'outputSize', Array.isArray(size) ? size.map((n: number | null) => n ?? 1) : (size as number), dims, {
    least: 1,
  });
}

/** The class of a layer whose only argument is the size of its result. */
const sized = <S extends number | readonly (number | null)[]>(
  f: (x: Tensor, outputSize: S) => Tensor,
  dims: number,
): (new (
  outputSize: S,
) => Apply) =>
  class extends Apply {
    constructor(outputSize: S) {
      checkOutput(new.target.name, outputSize, dims);
      super((x) => f(x, outputSize), JSON.stringify(outputSize));
    }
  };

type Volume = Parameters<typeof nd.adaptiveAvgPool3d>[1];

/** Means over windows chosen so that the result has the given length. */
export class AdaptiveAvgPool1d extends sized<Sizes>(nd.adaptiveAvgPool1d, 1) {}
/** Means over windows chosen so that the result has the given height and width. */
export class AdaptiveAvgPool2d extends sized<OutputSize>(adaptiveAvgPool2d, 2) {}
/** Means over windows chosen so that the result has the given depth, height and width. */
export class AdaptiveAvgPool3d extends sized<Volume>(nd.adaptiveAvgPool3d, 3) {}

/** What the layers of largest values over such windows share. */
abstract class AdaptiveMax<S extends number | readonly (number | null)[], R extends boolean> extends Apply<Result<R>> {
  constructor(
    outputSize: S,
    options: IndicesOptions<R> | undefined,
    values: (x: Tensor, outputSize: S) => Tensor,
    both: (x: Tensor, outputSize: S) => Maxima,
    dims: number,
  ) {
    checkOutput(new.target.name, outputSize, dims);
    checked<IndicesOptions<boolean>>(new.target.name, options, INDICES);
    const pool = options?.returnIndices ? both : values;
    super((x) => pool(x, outputSize) as Result<R>, JSON.stringify(outputSize));
  }
}

/** Largest values of such windows of lines. */
export class AdaptiveMaxPool1d<R extends boolean = false> extends AdaptiveMax<Sizes, R> {
  constructor(outputSize: Sizes, options?: IndicesOptions<R>) {
    super(outputSize, options, nd.adaptiveMaxPool1d, nd.adaptiveMaxPool1dWithIndices, 1);
  }
}
/** Largest values of such windows of images. */
export class AdaptiveMaxPool2d<R extends boolean = false> extends AdaptiveMax<OutputSize, R> {
  constructor(outputSize: OutputSize, options?: IndicesOptions<R>) {
    super(outputSize, options, adaptiveMaxPool2d, adaptiveMaxPool2dWithIndices, 2);
  }
}
/** Largest values of such windows of volumes. */
export class AdaptiveMaxPool3d<R extends boolean = false> extends AdaptiveMax<Volume, R> {
  constructor(outputSize: Volume, options?: IndicesOptions<R>) {
    super(outputSize, options, nd.adaptiveMaxPool3d, nd.adaptiveMaxPool3dWithIndices, 3);
  }
}

/** Mean over all pixels: [N, C, H, W] → [N, C]. */
export class GlobalAvgPool2d extends applying((x) => globalAvgPool2d(x)) {}

/** Refuses a window in another number of dimensions. */
function checkWindow(op: string, dims: number, kernelSize: Sizes, { stride, padding = 0 }: UnpoolOptions): void {
  for (const [name, value] of Object.entries({ kernelSize, stride: stride ?? kernelSize }))
    sizesOf(op, name, value, dims, { least: 1 });
  sizesOf(op, 'padding', padding, dims);
}

/** The class of a layer of power means. */
const power = (
  f: (x: Tensor, normType: number, kernelSize: Sizes, options: LpPoolOptions) => Tensor,
  dims: number,
): (new (
  normType: number,
  kernelSize: Sizes,
  options?: LpPoolOptions,
) => Apply) =>
  class extends Apply {
    constructor(normType: number, kernelSize: Sizes, options: LpPoolOptions = {}) {
      checked(new.target.name, options, LP);
      checkWindow(new.target.name, dims, kernelSize, options);
      super((x) => f(x, normType, kernelSize, options), `${normType}, ${JSON.stringify(kernelSize)}`);
    }
  };

/** (Σ xᵖ)^(1/p) of windows of lines, as `F.lpPool1d`. */
export class LPPool1d extends power(lpPool1d, 1) {}
/** The same of images. */
export class LPPool2d extends power(lpPool2d, 2) {}
/** The same of volumes. */
export class LPPool3d extends power(lpPool3d, 3) {}

/** What undoes a max pooling: `forward(x, indices, outputSize?)` with the indices of `F.maxPool2dWithIndices`. */
abstract class Unpooling extends Module<[x: Tensor, indices: Tensor, outputSize?: Shape]> {
  constructor(
    private readonly unpool: typeof maxUnpool2d,
    dims: number,
    /** Size of the window that the maxima were taken from. */
    readonly kernelSize: Sizes,
    /** As they were given, without defaults. */
    readonly options: Omit<UnpoolOptions, 'outputSize'> = {},
  ) {
    super();
    const { outputSize: _, ...table } = UNPOOL;
    checked(new.target.name, options, table);
    checkWindow(new.target.name, dims, kernelSize, options);
  }

  override forward(x: Tensor, indices: Tensor, outputSize?: Shape): Tensor {
    return this.unpool(x, indices, this.kernelSize, { ...this.options, outputSize });
  }
}

/** Puts the maxima of lines back, as `F.maxUnpool1d`. */
export class MaxUnpool1d extends Unpooling {
  constructor(kernelSize: Sizes, options?: Omit<UnpoolOptions, 'outputSize'>) {
    super(maxUnpool1d, 1, kernelSize, options);
  }
}
/** The same of images. */
export class MaxUnpool2d extends Unpooling {
  constructor(kernelSize: Sizes, options?: Omit<UnpoolOptions, 'outputSize'>) {
    super(maxUnpool2d, 2, kernelSize, options);
  }
}
/** The same of volumes. */
export class MaxUnpool3d extends Unpooling {
  constructor(kernelSize: Sizes, options?: Omit<UnpoolOptions, 'outputSize'>) {
    super(maxUnpool3d, 3, kernelSize, options);
  }
}
