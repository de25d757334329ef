// Adam and AdamW.

import { checked, is } from '../gpu/options';
import type { Parameter } from '../nn/parameter';
import type { Tensor } from '../tensor/tensor';
import { MomentOptimizer } from './moments';
import type { Params, Scalars } from './optimizer';
import { update } from './update';

export interface AdamOptions {
  lr: number;
  /** Decay of the running means of the gradient and of its square. */
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupled: boolean;
  /** Divide by the largest mean square so far. */
  amsgrad: boolean;
}

/**
 * Adam as `torch.optim.Adam`: d = g + weightDecay·w; m ← β₁m + (1 − β₁)d; v ← β₂v + (1 − β₂)d²;
 * w ← w − lr · m̂ / (√v̂ + eps) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). t counts the updates of the parameter.
 */
export class Adam extends MomentOptimizer<AdamOptions> {
  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    const flags = { decoupled: false, amsgrad: false };
    super(params, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...flags }, options);
  }

  protected override slots({ amsgrad }: AdamOptions): Record<string, number> {
    return { expAvg: 0, expAvgSq: 0, ...(amsgrad && { maxExpAvgSq: 0 }) };
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    { amsgrad, decoupled }: AdamOptions,
    s: Scalars<AdamOptions>,
  ): void {
    update({ rule: 'adam', decoupled, amsgrad }, parameter, gradient, buffers, s);
  }
}

/** Adam with decoupled weight decay as `torch.optim.AdamW`: weightDecay 0.01 by default, w ← w − lr·weightDecay·w before the step. */
export class AdamW extends Adam {
  constructor(params: Params<AdamOptions>, options: Partial<Omit<AdamOptions, 'decoupled'>> = {}) {
    checked('AdamW', options, {
      lr: is.number,
      betas: is.numbers,
      eps: is.number,
      weightDecay: is.number,
      amsgrad: is.flag,
    });
    super(params, { weightDecay: 0.01, ...options, decoupled: true });
  }
}
