// Activations as layers; `F` has them as functions.
import { glu, rrelu, softmin } from '../ops/activations';
import * as binary from '../ops/binary';
import { gelu } from '../ops/elementwise';
import { logSoftmax, softmax } from '../ops/softmax';
import * as unary from '../ops/unary';
import { reshape } from '../ops/views';
import { full } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import { Apply, applying } from './apply';
import { Module } from './module';
import { Parameter } from './parameter';
import { refill } from './reset';

/** max(x, 0) */
export class ReLU extends applying(unary.relu) {}

/** x where positive, slope·x elsewhere (default slope 0.01). */
export class LeakyReLU extends Apply {
  constructor(slope = 0.01) {
    super((x) => unary.leakyRelu(x, slope), `slope=${slope}`);
  }
}

/** x·Φ(x), exactly or by the tanh approximation. */
export class GELU extends Apply {
  constructor(approximate: 'none' | 'tanh' = 'none') {
    super((x) => gelu(x, { approximate }), `approximate=${approximate}`);
  }
}

/** x·sigmoid(x) */
export class SiLU extends applying(unary.silu) {}

/** (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ) */
export class Tanh extends applying(unary.tanh) {}

/** 1 / (1 + e⁻ˣ) */
export class Sigmoid extends applying(unary.sigmoid) {}

/** x between 0 and 6. */
export class ReLU6 extends applying(unary.relu6) {}

/** λx where positive, λα(eˣ − 1) elsewhere, with the constants of self-normalising networks. */
export class SELU extends applying(unary.selu) {}

/** x·tanh(softplus(x)) */
export class Mish extends applying(unary.mish) {}

/** x / (1 + |x|) */
export class Softsign extends applying(unary.softsign) {}

/** log(sigmoid(x)), stable for large |x|. */
export class LogSigmoid extends applying(unary.logSigmoid) {}

/** x · clamp(x + 3, 0, 6) / 6 */
export class Hardswish extends applying(unary.hardSwish) {}

/** x/6 + 1/2 between 0 and 1. */
export class Hardsigmoid extends applying(unary.hardSigmoid) {}

/** x where positive, α(eˣ − 1) elsewhere (default α 1). */
export class ELU extends Apply {
  constructor(alpha = 1) {
    super((x) => unary.elu(x, alpha), `alpha=${alpha}`);
  }
}

/** x where positive, α(e^(x/α) − 1) elsewhere (default α 1). */
export class CELU extends Apply {
  constructor(alpha = 1) {
    super((x) => unary.celu(x, alpha), `alpha=${alpha}`);
  }
}

/** log(1 + e^βx) / β, and x itself where βx is above the threshold (default β 1, threshold 20). */
export class Softplus extends Apply {
  constructor(beta = 1, threshold = 20) {
    super((x) => unary.softplus(x, beta, threshold), `beta=${beta}, threshold=${threshold}`);
  }
}

/** x between two numbers (default −1 and 1). */
export class Hardtanh extends Apply {
  constructor(min = -1, max = 1) {
    super((x) => unary.hardTanh(x, min, max), `min=${min}, max=${max}`);
  }
}

/** x where it is above the threshold, else the value. */
export class Threshold extends Apply {
  constructor(threshold: number, value: number) {
    super((x) => unary.threshold(x, threshold, value), `threshold=${threshold}, value=${value}`);
  }
}

/** x where |x| is above λ (default ½), else 0. */
export class Hardshrink extends Apply {
  constructor(lambd = 0.5) {
    super((x) => unary.hardshrink(x, lambd), `lambd=${lambd}`);
  }
}

/** x moved towards 0 by λ (default ½), 0 on the way. */
export class Softshrink extends Apply {
  constructor(lambd = 0.5) {
    super((x) => unary.softshrink(x, lambd), `lambd=${lambd}`);
  }
}

/** x − tanh x */
export class Tanhshrink extends applying(unary.tanhshrink) {}

/** The first half along a dimension times the sigmoid of the second. */
export class GLU extends Apply {
  constructor(dim = -1) {
    super((x) => glu(x, dim), `dim=${dim}`);
  }
}

/** x where positive, r·x elsewhere: in training with a random r between lower and upper (default ⅛ and ⅓) for each element, else their mean. */
export class RReLU extends Module {
  constructor(
    /** Least slope for x < 0 (default 1/8). */
    readonly lower = 1 / 8,
    /** Largest slope for x < 0 (default 1/3). */
    readonly upper = 1 / 3,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return rrelu(x, { lower: this.lower, upper: this.upper, training: this.training });
  }

  protected override describe(): string {
    return `lower=${this.lower}, upper=${this.upper}`;
  }
}

/** exp(−x) / Σ exp(−x) along `axis`. */
export class Softmin extends Apply {
  constructor(axis = -1) {
    super((x) => softmin(x, axis), `axis=${axis}`);
  }
}

/** x where positive, w·x elsewhere, with one trained w or one for each channel (dimension 1); it starts at 0.25. */
export class PReLU extends Module {
  /** Slopes for x < 0 [count]. */
  readonly weight: Parameter;

  constructor(
    /** Number of slopes: 1 (default) for all elements, or one for each channel. */
    readonly count = 1,
    /** What the slopes start with (default 0.25). */
    readonly initial = 0.25,
  ) {
    super();
    this.weight = new Parameter(full([count], initial));
  }

  /** Sets the slopes to what they started with, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    refill(this.weight, this.initial);
  }

  override forward(x: Tensor): Tensor {
    const perChannel = [this.count, ...x.shape.slice(2).map(() => 1)];
    return binary.prelu(x, this.count === 1 ? this.weight : reshape(this.weight, perChannel));
  }

  protected override describe(): string {
    return String(this.count);
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
