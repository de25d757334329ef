// RMSprop.

import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { FormerOptions } from './option-names';
import type { Rule } from './rule';

/** Options of `optim.RMSprop`, with PyTorch's defaults. */
export interface RMSpropOptions {
  /** Learning rate (default 0.01). */
  lr: number;
  /** Decay of the running mean square. */
  alpha: number;
  /** Added to the root of the mean square, or under it with `epsInside` (default 1e-8). */
  eps: number;
  /** λ: λ·w joins the gradient, or see `decoupledWeightDecay` (default 0). */
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupledWeightDecay: boolean;
  /** Decay of the sum of steps that weights move by (default 0: none). */
  momentum: number;
  /** Divide by the standard deviation instead of the root mean square. */
  centered: boolean;
  /** Divide by √(a + eps) as TensorFlow, instead of √a + eps. */
  epsInside: boolean;
  /** Goes up the gradient. */
  maximize: boolean;
}

/** RMSprop as `torch.optim.RMSprop`: a ← αa + (1 − α)d²; w ← w − lr · d / (√a + eps), or with momentum b ← momentum·b + d / (√a + eps). */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: Params<RMSpropOptions>, options: Partial<RMSpropOptions> & FormerOptions = {}) {
    const flags = { decoupledWeightDecay: false, centered: false, epsInside: false, maximize: false };
    super(params, { lr: 0.01, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, ...flags }, options);
  }

  protected override check({ lr, alpha, eps, weightDecay, momentum }: RMSpropOptions): void {
    requireNonNegative(this, { lr, alpha, eps, weightDecay, momentum });
  }

  protected override rule({
    decoupledWeightDecay,
    centered,
    epsInside,
    momentum,
  }: RMSpropOptions): Rule<RMSpropOptions> {
    return {
      decoupled: decoupledWeightDecay,
      scalars: { rest: ({ alpha }) => 1 - alpha, mu: (o) => o.momentum },
      state: { squareAvg: 0, ...(centered && { gradAvg: 0 }), ...(momentum !== 0 && { momentum: 0 }) },
      code: `
        squareAvg = alpha * squareAvg + rest * d * d;
        ${centered ? 'gradAvg = alpha * gradAvg + rest * d;' : ''}
        let square = ${centered ? 'maxOf4(vec4f(), squareAvg - gradAvg * gradAvg)' : 'squareAvg'};
        let q = d / (${epsInside ? 'sqrt(square + eps)' : 'sqrt(square) + eps'});
        ${momentum !== 0 ? 'momentum = mu * momentum + q;' : ''}
        x -= lr * ${momentum !== 0 ? 'momentum' : 'q'};`,
    };
  }
}
