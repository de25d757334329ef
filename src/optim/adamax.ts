// Adamax: Adam with the largest gradient in place of the mean square.

import { checkMoments, momentScalars } from './moments';
import { Optimizer, type Params } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.Adamax`, with PyTorch's defaults. */
export interface AdamaxOptions {
  /** Learning rate: about the size of a step of each weight (default 2e-3). */
  lr: number;
  /** Decay of the running mean of the gradient and of its largest size. */
  betas: readonly [number, number];
  /** Added to the size of the gradient (default 1e-8). */
  eps: number;
  /** λ: λ·w joins the gradient (default 0). */
  weightDecay: number;
  /** Goes up the gradient. */
  maximize: boolean;
}

/** Adamax as `torch.optim.Adamax`: u ← max(β₂u, |d| + eps); w ← w − lr · m / (1 − β₁ᵗ) / u. t counts the updates of the parameter. */
export class Adamax extends Optimizer<AdamaxOptions> {
  constructor(params: Params<AdamaxOptions>, options: Partial<AdamaxOptions> = {}) {
    super(params, { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, maximize: false }, options);
  }

  protected override check(options: AdamaxOptions): void {
    checkMoments(this, options);
  }

  protected override rule(): Rule<AdamaxOptions> {
    return {
      scalars: momentScalars,
      state: { expAvg: 0, expInf: 0 },
      code: `
        expAvg = beta1 * expAvg + rest1 * d;
        expInf = maxOf4(beta2 * expInf, abs(d) + eps);
        x -= lr * (expAvg / correction1 / expInf);`,
    };
  }
}
