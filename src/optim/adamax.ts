// Adamax: Adam with the largest gradient in place of the mean square.

import type { Parameter } from '../nn/parameter';
import type { Tensor } from '../tensor/tensor';
import { MomentOptimizer } from './moments';
import type { Params, Scalars } from './optimizer';
import { update } from './update';

export interface AdamaxOptions {
  lr: number;
  /** Decay of the running mean of the gradient and of its largest size. */
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

/** Adamax as `torch.optim.Adamax`: u ← max(β₂u, |d| + eps); w ← w − lr · m / (1 − β₁ᵗ) / u. t counts the updates of the parameter. */
export class Adamax extends MomentOptimizer<AdamaxOptions> {
  constructor(params: Params<AdamaxOptions>, options: Partial<AdamaxOptions> = {}) {
    super(params, { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 }, options);
  }

  protected override slots(): Record<string, number> {
    return { expAvg: 0, expInf: 0 };
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    _: AdamaxOptions,
    s: Scalars<AdamaxOptions>,
  ): void {
    update({ rule: 'adamax' }, parameter, gradient, buffers, s);
  }
}
