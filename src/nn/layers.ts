// Layers without parameters that change shapes: pooling, flattening, and Identity, which changes nothing.

import { adaptiveAvgPool2d, avgPool2d, globalAvgPool2d, maxPool2d, poolWindow } from '../ops/pool';
import { flatten } from '../ops/views';
import type { Tensor } from '../tensor/tensor';
import { Apply, applying } from './apply';

/** Returns its input. */
export class Identity extends applying((x) => x) {}

/** [N, a, b, …] → [N, a·b·…] (from `start` on). */
export class Flatten extends Apply {
  constructor(start = 1, end = -1) {
    super((x) => flatten(x, start, end), `start=${start}${end === -1 ? '' : `, end=${end}`}`);
  }
}

type Second<F> = F extends (x: Tensor, options: infer O) => unknown ? O : never;

/** Largest value of each window of [N, C, H, W]. Options of `F.maxPool2d`; a number is the kernel's size. */
export class MaxPool2d extends Apply {
  constructor(options: Second<typeof maxPool2d>) {
    const window = poolWindow.max(new.target.name, options);
    super((x) => maxPool2d(x, window), JSON.stringify(window));
  }
}

/** Mean of each window of [N, C, H, W]. Options of `F.avgPool2d`; a number is the kernel's size. */
export class AvgPool2d extends Apply {
  constructor(options: Second<typeof avgPool2d>) {
    const window = poolWindow.average(new.target.name, options);
    super((x) => avgPool2d(x, window), JSON.stringify(window));
  }
}

/** Means over windows chosen so that the result has the given height and width. */
export class AdaptiveAvgPool2d extends Apply {
  constructor(outputSize: Second<typeof adaptiveAvgPool2d>) {
    super((x) => adaptiveAvgPool2d(x, outputSize), JSON.stringify(outputSize));
  }
}

/** Mean over all pixels: [N, C, H, W] → [N, C]. */
export class GlobalAvgPool2d extends applying((x) => globalAvgPool2d(x)) {}
