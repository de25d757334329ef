// Adam and AdamW.

import { checked, is, numbers } from '../gpu/options';
import { checkMoments, momentScalars } from './moments';
import { Optimizer, type Params } from './optimizer';
import type { FormerOptions } from './option-names';
import type { Rule } from './rule';

/** Options of `optim.Adam`, with PyTorch's defaults. */
export interface AdamOptions {
  /** Learning rate: about the size of a step of each weight (default 1e-3). */
  lr: number;
  /** Decay of the running means of the gradient and of its square. */
  betas: readonly [number, number];
  /** Added to the root of the mean square (default 1e-8). */
  eps: number;
  /** λ: λ·w joins the gradient, or see `decoupledWeightDecay` (default 0; of AdamW 0.01). */
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupledWeightDecay: boolean;
  /** Divide by the largest mean square so far. */
  amsgrad: boolean;
  /** Goes up the gradient. */
  maximize: boolean;
}

/**
 * Adam as `torch.optim.Adam`: d = g + weightDecay·w; m ← β₁m + (1 − β₁)d; v ← β₂v + (1 − β₂)d²;
 * w ← w − lr · m̂ / (√v̂ + eps) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). t counts the updates of the parameter.
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> & FormerOptions = {}) {
    const flags = { decoupledWeightDecay: false, amsgrad: false, maximize: false };
    super(params, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...flags }, options);
  }

  protected override check(options: AdamOptions): void {
    checkMoments(this, options);
  }

  protected override rule({ amsgrad, decoupledWeightDecay }: AdamOptions): Rule<AdamOptions> {
    return {
      decoupled: decoupledWeightDecay,
      scalars: momentScalars,
      state: { expAvg: 0, expAvgSq: 0, ...(amsgrad && { maxExpAvgSq: 0 }) },
      code: `
        expAvg = beta1 * expAvg + rest1 * d;
        expAvgSq = beta2 * expAvgSq + rest2 * d * d;
        ${amsgrad ? 'maxExpAvgSq = maxOf4(maxExpAvgSq, expAvgSq);' : ''}
        x -= lr * (expAvg / correction1 / (sqrt(${amsgrad ? 'maxExpAvgSq' : 'expAvgSq'} / correction2) + eps));`,
    };
  }
}

/** Adam with decoupled weight decay as `torch.optim.AdamW`: weightDecay 0.01 by default, w ← w − lr·weightDecay·w before the step. */
export class AdamW extends Adam {
  constructor(params: Params<AdamOptions>, options: Partial<Omit<AdamOptions, 'decoupledWeightDecay'>> = {}) {
    checked('AdamW', options, {
      lr: is.number,
      betas: numbers(2),
      eps: is.number,
      weightDecay: is.number,
      amsgrad: is.flag,
      maximize: is.flag,
    });
    super(params, { weightDecay: 0.01, ...options, decoupledWeightDecay: true });
  }
}
