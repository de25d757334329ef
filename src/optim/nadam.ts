// NAdam: Adam with Nesterov's momentum.
import { checkMoments, momentScalars } from './moments';
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.NAdam`, with PyTorch's defaults. */
export interface NAdamOptions {
  /** Learning rate: about the size of a step of each weight (default 2e-3). */
  lr: number;
  /** Decay of the running means of the gradient and of its square. */
  betas: readonly [number, number];
  /** Added to the root of the mean square (default 1e-8). */
  eps: number;
  /** λ: λ·w joins the gradient, or see `decoupledWeightDecay` (default 0). */
  weightDecay: number;
  /** ψ: the momentum of step t is β₁(1 − 0.96^(tψ) / 2). */
  momentumDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupledWeightDecay: boolean;
  /** Goes up the gradient. */
  maximize: boolean;
}

const momentum = ({ betas, momentumDecay }: NAdamOptions, step: number): number =>
  betas[0] * (1 - 0.5 * 0.96 ** (step * momentumDecay));

/**
 * NAdam as `torch.optim.NAdam`: w ← w − lr · (d (1 − μ_t) / (1 − Πμ) + m μ_{t+1} / (1 − Πμ μ_{t+1})) / (√v̂ + eps). The product Πμ of all steps is kept with
 * the parameter, in every element.
 */
export class NAdam extends Optimizer<NAdamOptions> {
  constructor(params: Params<NAdamOptions>, options: Partial<NAdamOptions> = {}) {
    const flags = { decoupledWeightDecay: false, maximize: false };
    const defaults = { lr: 2e-3, betas: [0.9, 0.999] as const, eps: 1e-8, weightDecay: 0, momentumDecay: 4e-3 };
    super(params, { ...defaults, ...flags }, options);
  }

  protected override check(options: NAdamOptions): void {
    checkMoments(this, options);
    requireNonNegative(this, { momentumDecay: options.momentumDecay });
  }

  protected override rule({ decoupledWeightDecay }: NAdamOptions): Rule<NAdamOptions> {
    return {
      decoupled: decoupledWeightDecay,
      scalars: { ...momentScalars, mu: momentum, next: (o, step) => momentum(o, step + 1) },
      state: { expAvg: 0, expAvgSq: 0, muProduct: 1 },
      code: `
        muProduct *= mu;
        expAvg = beta1 * expAvg + rest1 * d;
        expAvgSq = beta2 * expAvgSq + rest2 * d * d;
        let q = d * (1.0 - mu) / (1.0 - muProduct) + expAvg * next / (1.0 - muProduct * next);
        x -= lr * (q / (sqrt(expAvgSq / correction2) + eps));`,
    };
  }
}
