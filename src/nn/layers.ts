// Layers without parameters: activations, pooling, shape changes.
import { gelu, unaryFunctions } from '../autograd/elementwise';
import { adaptiveAvgPool2d, avgPool2d, globalAvgPool2d, maxPool2d } from '../autograd/pool';
import { logSoftmax, softmax } from '../autograd/softmax';
import { flatten } from '../autograd/views';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

/** A layer that applies a function; `toString` shows its name and options. */
class Apply extends Module {
  constructor(
    readonly apply_: (x: Tensor) => Tensor,
    readonly text = '',
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return this.apply_(x);
  }

  protected override describe(): string {
    return this.text;
  }
}

/** Returns its input. */
export class Identity extends Apply {
  constructor() {
    super((x) => x);
  }
}

/** max(x, 0) */
export class ReLU extends Apply {
  constructor() {
    super(unaryFunctions.relu);
  }
}

/** x where positive, slope·x elsewhere (default slope 0.01). */
export class LeakyReLU extends Apply {
  constructor(slope = 0.01) {
    super((x) => unaryFunctions.leakyRelu(x, slope), `slope=${slope}`);
  }
}

/** x·Φ(x), exactly or by the tanh approximation. */
export class GELU extends Apply {
  constructor(approximate: 'none' | 'tanh' = 'none') {
    super((x) => gelu(x, { approximate }), `approximate=${approximate}`);
  }
}

/** x·sigmoid(x) */
export class SiLU extends Apply {
  constructor() {
    super(unaryFunctions.silu);
  }
}

export class Tanh extends Apply {
  constructor() {
    super(unaryFunctions.tanh);
  }
}

export class Sigmoid extends Apply {
  constructor() {
    super(unaryFunctions.sigmoid);
  }
}

/** exp(x) / Σ exp(x) along `axis`. */
export class Softmax extends Apply {
  constructor(axis = -1) {
    super((x) => softmax(x, axis), `axis=${axis}`);
  }
}

/** log of softmax along `axis`. */
export class LogSoftmax extends Apply {
  constructor(axis = -1) {
    super((x) => logSoftmax(x, axis), `axis=${axis}`);
  }
}

/** [N, a, b, …] → [N, a·b·…] (from `start` on). */
export class Flatten extends Apply {
  constructor(start = 1, end = -1) {
    super((x) => flatten(x, start, end), `start=${start}`);
  }
}

type Second<F> = F extends (x: Tensor, options: infer O) => unknown ? O : never;

/** Largest value of each window of [N, C, H, W]. */
export class MaxPool2d extends Apply {
  constructor(options: Second<typeof maxPool2d>) {
    super((x) => maxPool2d(x, options), JSON.stringify(options));
  }
}

/** Mean of each window of [N, C, H, W]. */
export class AvgPool2d extends Apply {
  constructor(options: Second<typeof avgPool2d>) {
    super((x) => avgPool2d(x, options), JSON.stringify(options));
  }
}

/** Means over windows chosen so that the result has the given height and width. */
export class AdaptiveAvgPool2d extends Apply {
  constructor(outputSize: Second<typeof adaptiveAvgPool2d>) {
    super((x) => adaptiveAvgPool2d(x, outputSize), JSON.stringify(outputSize));
  }
}

/** Mean over all pixels: [N, C, H, W] → [N, C]. */
export class GlobalAvgPool2d extends Apply {
  constructor() {
    super((x) => globalAvgPool2d(x));
  }
}
