// RAdam: Adam that begins without the second moment, as long as its variance is not tractable.
import { checkMoments, momentScalars } from './moments';
import { Optimizer, type Params } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.RAdam`, with PyTorch's defaults. */
export interface RAdamOptions {
  /** Learning rate: about the size of a step of each weight (default 1e-3). */
  lr: number;
  /** Decay of the running means of the gradient and of its square. */
  betas: readonly [number, number];
  /** Added to the root of the mean square (default 1e-8). */
  eps: number;
  /** λ: λ·w joins the gradient, or see `decoupledWeightDecay` (default 0). */
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupledWeightDecay: boolean;
  /** Goes up the gradient. */
  maximize: boolean;
}

/** The factor on m̂ / √v̂ in a step, 0 where m̂ stands alone. */
function rectification({ betas: [, beta] }: RAdamOptions, step: number): number {
  const most = 2 / (1 - beta) - 1;
  const length = most - (2 * step * beta ** step) / (1 - beta ** step);
  if (length <= 5) return 0;
  return Math.sqrt(((length - 4) * (length - 2) * most) / ((most - 4) * (most - 2) * length));
}

/**
 * RAdam as `torch.optim.RAdam`: with ρ_∞ = 2 / (1 − β₂) − 1 and ρ_t = ρ_∞ − 2tβ₂ᵗ / (1 − β₂ᵗ), w ← w − lr · r_t · m̂ · √(1 − β₂ᵗ) / (√v + eps) where ρ_t > 5, else
 * w ← w − lr · m̂.
 */
export class RAdam extends Optimizer<RAdamOptions> {
  constructor(params: Params<RAdamOptions>, options: Partial<RAdamOptions> = {}) {
    const flags = { decoupledWeightDecay: false, maximize: false };
    super(params, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...flags }, options);
  }

  protected override check(options: RAdamOptions): void {
    checkMoments(this, options);
  }

  protected override rule({ decoupledWeightDecay }: RAdamOptions): Rule<RAdamOptions> {
    return {
      decoupled: decoupledWeightDecay,
      scalars: {
        ...momentScalars,
        factor: (o, step) => rectification(o, step) * Math.sqrt(1 - o.betas[1] ** step),
      },
      state: { expAvg: 0, expAvgSq: 0 },
      code: `
        expAvg = beta1 * expAvg + rest1 * d;
        expAvgSq = beta2 * expAvgSq + rest2 * d * d;
        let q = select(vec4f(1.0), factor / (sqrt(expAvgSq) + eps), factor > 0.0);
        x -= lr * (expAvg / correction1 * q);`,
    };
  }
}
