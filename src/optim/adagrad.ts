// Adagrad.

import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { FormerOptions } from './option-names';
import type { Rule } from './rule';

/** Options of `optim.Adagrad`, with PyTorch's defaults. */
export interface AdagradOptions {
  /** Learning rate of the first step (default 0.01). */
  lr: number;
  /** Step t uses lr / (1 + (t − 1)·lrDecay). */
  lrDecay: number;
  /** λ: λ·w joins the gradient (default 0). */
  weightDecay: number;
  /** What the sums of squares start with. */
  initialAccumulatorValue: number;
  /** Added to the root of the sum of squares (default 1e-10). */
  eps: number;
  /** Goes up the gradient. */
  maximize: boolean;
}

/** Adagrad as `torch.optim.Adagrad`: a ← a + d²; w ← w − lr · d / (√a + eps). t counts the updates of the parameter. */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(params: Params<AdagradOptions>, options: Partial<AdagradOptions> & FormerOptions = {}) {
    super(
      params,
      { lr: 0.01, lrDecay: 0, weightDecay: 0, initialAccumulatorValue: 0, eps: 1e-10, maximize: false },
      options,
    );
  }

  protected override check({ lr, lrDecay, weightDecay, initialAccumulatorValue, eps }: AdagradOptions): void {
    requireNonNegative(this, { lr, lrDecay, weightDecay, initialAccumulatorValue, eps });
  }

  protected override rule({ initialAccumulatorValue }: AdagradOptions): Rule<AdagradOptions> {
    return {
      scalars: { lr: ({ lr, lrDecay }, step) => lr / (1 + (step - 1) * lrDecay) },
      state: { sum: initialAccumulatorValue },
      code: `
        sum += d * d;
        x -= lr * (d / (sqrt(sum) + eps));`,
    };
  }
}
