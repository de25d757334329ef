// ASGD: stochastic gradient descent whose weights are averaged from some step on.
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.ASGD`, with PyTorch's defaults. */
export interface ASGDOptions {
  /** Learning rate of the first step; it falls by `lambd` and `alpha` (default 0.01). */
  lr: number;
  /** Decay of the weights in each step. */
  lambd: number;
  /** Power by which the rate falls. */
  alpha: number;
  /** The step from which weights are averaged. */
  t0: number;
  /** λ: λ·w joins the gradient (default 0). */
  weightDecay: number;
  /** Goes up the gradient. */
  maximize: boolean;
}

/**
 * ASGD as `torch.optim.ASGD`: w ← (1 − λη)w − ηd; ax ← ax + μ(w − ax); then η ← lr / (1 + λ·lr·t)^α and μ ← 1 / max(1, t − t0). The average `ax` is a state of the
 * parameter; η and μ are too, in every element.
 */
export class ASGD extends Optimizer<ASGDOptions> {
  constructor(params: Params<ASGDOptions>, options: Partial<ASGDOptions> = {}) {
    super(params, { lr: 0.01, lambd: 1e-4, alpha: 0.75, t0: 1e6, weightDecay: 0, maximize: false }, options);
  }

  protected override check({ lr, weightDecay }: ASGDOptions): void {
    requireNonNegative(this, { lr, weightDecay });
  }

  protected override rule({ lr }: ASGDOptions): Rule<ASGDOptions> {
    return {
      scalars: {
        nextEta: ({ lr, lambd, alpha }, step) => lr / (1 + lambd * lr * step) ** alpha,
        nextMu: ({ t0 }, step) => 1 / Math.max(1, step - t0),
      },
      state: { eta: lr, mu: 1, ax: 0 },
      code: `
        x = x - lambd * eta * x - eta * d;
        ax = select(ax + (x - ax) * mu, x, mu == vec4f(1.0));
        eta = vec4f(nextEta);
        mu = vec4f(nextMu);`,
    };
  }
}
