// Algorithm 1 of Fang et al. 2020: gradient descent whose steps are scaled by the widths of the layers that a weight connects.

import { InputError } from '../gpu';
import { Parameter } from '../nn/parameter';
import { Optimizer, type Params, requireNonNegative } from '../optim/optimizer';
import type { Rule } from '../optim/rule';
import { showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';

/** A weight between two layers of units that knows the scale of its steps: m_{l−1}·m_l, for a k×k convolution C_in·k²·C_out. */
export class ScaledParameter extends Parameter {
  constructor(
    initial: Tensor,
    /** The gradient is multiplied by this before the step. */
    readonly scale: number,
  ) {
    super(initial);
    if (!(scale > 0)) throw new InputError(`ScaledParameter: scale ${scale} must be a number > 0`);
  }
}

/** Options of `ScaledGradientDescent`. */
export interface ScaledGradientDescentOptions {
  /** η, in the time units of the neural feature flow, which do not depend on the width. */
  lr: number;
  /** Heavy-ball momentum. Not in the paper: our extension, with the scale on the step and not in the buffer. */
  momentum: number;
}

/**
 * v ← v − lr·scale·∂L/∂v with the scale of each `ScaledParameter` (Algorithm 1; on minibatches its footnote 1), with momentum b ← momentum·b +
 * ∂L/∂v and v ← v − lr·scale·b. Throws InputError for a parameter without a scale.
 */
export class ScaledGradientDescent extends Optimizer<ScaledGradientDescentOptions> {
  constructor(
    params: Params<ScaledGradientDescentOptions>,
    options: { lr: number } & Partial<ScaledGradientDescentOptions>,
  ) {
    super(params, { momentum: 0 }, options);
  }

  protected override check({ lr, momentum }: ScaledGradientDescentOptions): void {
    requireNonNegative(this, { lr, momentum });
  }

  protected override rule({ momentum }: ScaledGradientDescentOptions): Rule<ScaledGradientDescentOptions> {
    return {
      perParameter: scaleOf,
      scalars: { lr: ({ lr }, _, scale) => lr * scale, mu: (o) => o.momentum },
      state: momentum === 0 ? {} : { momentum: 0 },
      code: momentum === 0 ? 'x -= lr * d;' : 'momentum = mu * momentum + d; x -= lr * momentum;',
    };
  }
}

function scaleOf(parameter: Parameter): number {
  if (parameter instanceof ScaledParameter) return parameter.scale;
  throw new InputError(
    `ScaledGradientDescent: a parameter of shape ${showShape(parameter.shape)} has no scale m_{l−1}·m_l. Train the parameters of a ` +
      'FeatureFlowNet or FeatureFlowResNet, or make weights of your own with new ScaledParameter(tensor, sources * targets).',
  );
}
