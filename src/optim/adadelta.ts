// Adadelta.
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.Adadelta`, with PyTorch's defaults. */
export interface AdadeltaOptions {
  /** Factor on the step that the running means give (default 1). */
  lr: number;
  /** Decay of the running means of the squares of gradients and steps. */
  rho: number;
  /** Added to both mean squares under the roots (default 1e-6). */
  eps: number;
  /** λ: λ·w joins the gradient (default 0). */
  weightDecay: number;
  /** Goes up the gradient. */
  maximize: boolean;
}

/** Adadelta as `torch.optim.Adadelta`: v ← ρv + (1 − ρ)d²; Δ = √(u + eps) / √(v + eps) · d; u ← ρu + (1 − ρ)Δ²; w ← w − lr · Δ. */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  constructor(params: Params<AdadeltaOptions>, options: Partial<AdadeltaOptions> = {}) {
    super(params, { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false }, options);
  }

  protected override check({ lr, rho, eps, weightDecay }: AdadeltaOptions): void {
    requireNonNegative(this, { lr, rho, eps, weightDecay, '1 − rho': 1 - rho });
  }

  protected override rule(): Rule<AdadeltaOptions> {
    return {
      scalars: { rest: ({ rho }) => 1 - rho },
      state: { squareAvg: 0, accDelta: 0 },
      code: `
        squareAvg = rho * squareAvg + rest * d * d;
        let change = sqrt(accDelta + eps) / sqrt(squareAvg + eps) * d;
        accDelta = rho * accDelta + rest * change * change;
        x -= lr * change;`,
    };
  }
}
