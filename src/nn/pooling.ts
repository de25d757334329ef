// Pooling as layers; the functions of `F` say what each computes.

import { checked } from '../gpu/options';
import { LP, type LpPoolOptions, lpPool1d, lpPool2d, lpPool3d } from '../ops/lp-pool';
import {
  type AveragePoolOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  globalAvgPool2d,
  type MaxPoolOptions,
  maxPool2d,
  type OutputSize,
  poolWindow,
  type Window,
} from '../ops/pool';
import type { AvgPool1dOptions, AvgPool3dOptions, MaxPool1dOptions, MaxPool3dOptions } from '../ops/pool-nd';
import * as nd from '../ops/pool-nd';
import { maxUnpool1d, maxUnpool2d, maxUnpool3d, UNPOOL, type UnpoolOptions } from '../ops/unpool';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Apply, applying } from './apply';
import { Module } from './module';

type Sizes = number | readonly number[];

/** Largest value of each window of [N, C, H, W]. Arguments as of `F.maxPool2d`. */
export class MaxPool2d extends Apply {
  constructor(window: Window<MaxPoolOptions>, options?: MaxPoolOptions) {
    const o = poolWindow.max(new.target.name, window, options);
    super((x) => maxPool2d(x, o), JSON.stringify(o));
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

/** Largest value of each window of [N, C, L]. Arguments as of `F.maxPool1d`. */
export class MaxPool1d extends Apply {
  constructor(window: Sizes | MaxPool1dOptions, options?: MaxPool1dOptions) {
    nd.checkPool.max(new.target.name, 1, window, options);
    super((x) => nd.maxPool1d(x, window, options), shown(window, options));
  }
}

/** Largest value of each window of [N, C, D, H, W]. Arguments as of `F.maxPool3d`. */
export class MaxPool3d extends Apply {
  constructor(window: Sizes | MaxPool3dOptions, options?: MaxPool3dOptions) {
    nd.checkPool.max(new.target.name, 3, window, options);
    super((x) => nd.maxPool3d(x, window, options), shown(window, options));
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

/** The class of a layer whose only argument is the size of its result. */
const sized = <S>(f: (x: Tensor, outputSize: S) => Tensor): (new (outputSize: S) => Apply) =>
  class extends Apply {
    constructor(outputSize: S) {
      super((x) => f(x, outputSize), JSON.stringify(outputSize));
    }
  };

type Volume = Parameters<typeof nd.adaptiveAvgPool3d>[1];

/** Means over windows chosen so that the result has the given length. */
export class AdaptiveAvgPool1d extends sized<Sizes>(nd.adaptiveAvgPool1d) {}
/** Means over windows chosen so that the result has the given height and width. */
export class AdaptiveAvgPool2d extends sized<OutputSize>(adaptiveAvgPool2d) {}
/** Means over windows chosen so that the result has the given depth, height and width. */
export class AdaptiveAvgPool3d extends sized<Volume>(nd.adaptiveAvgPool3d) {}
/** Largest values of such windows of lines. */
export class AdaptiveMaxPool1d extends sized<Sizes>(nd.adaptiveMaxPool1d) {}
/** Largest values of such windows of images. */
export class AdaptiveMaxPool2d extends sized<OutputSize>(adaptiveMaxPool2d) {}
/** Largest values of such windows of volumes. */
export class AdaptiveMaxPool3d extends sized<Volume>(nd.adaptiveMaxPool3d) {}

/** Mean over all pixels: [N, C, H, W] → [N, C]. */
export class GlobalAvgPool2d extends applying((x) => globalAvgPool2d(x)) {}

/** The class of a layer of power means. */
const power = (
  f: (x: Tensor, normType: number, kernelSize: Sizes, options: LpPoolOptions) => Tensor,
): (new (
  normType: number,
  kernelSize: Sizes,
  options?: LpPoolOptions,
) => Apply) =>
  class extends Apply {
    constructor(normType: number, kernelSize: Sizes, options: LpPoolOptions = {}) {
      checked(new.target.name, options, LP);
      super((x) => f(x, normType, kernelSize, options), `${normType}, ${JSON.stringify(kernelSize)}`);
    }
  };

/** (Σ xᵖ)^(1/p) of windows of lines, as `F.lpPool1d`. */
export class LPPool1d extends power(lpPool1d) {}
/** The same of images. */
export class LPPool2d extends power(lpPool2d) {}
/** The same of volumes. */
export class LPPool3d extends power(lpPool3d) {}

/** What undoes a max pooling: `forward(x, indices, outputSize?)` with the indices of `F.maxPool2dWithIndices`. */
abstract class Unpooling extends Module<[x: Tensor, indices: Tensor, outputSize?: Shape]> {
  protected abstract readonly unpool: typeof maxUnpool2d;

  constructor(
    readonly kernelSize: Sizes,
    readonly options: Omit<UnpoolOptions, 'outputSize'> = {},
  ) {
    super();
    const { outputSize: _, ...table } = UNPOOL;
    checked(new.target.name, options, table);
  }

  override forward(x: Tensor, indices: Tensor, outputSize?: Shape): Tensor {
    return this.unpool(x, indices, this.kernelSize, { ...this.options, outputSize });
  }
}

/** Puts the maxima of lines back, as `F.maxUnpool1d`. */
export class MaxUnpool1d extends Unpooling {
  protected readonly unpool = maxUnpool1d;
}
/** The same of images. */
export class MaxUnpool2d extends Unpooling {
  protected readonly unpool = maxUnpool2d;
}
/** The same of volumes. */
export class MaxUnpool3d extends Unpooling {
  protected readonly unpool = maxUnpool3d;
}
