// Adagrad.
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

export interface AdagradOptions {
  lr: number;
  /** Step t uses lr / (1 + (t − 1)·lrDecay). */
  lrDecay: number;
  weightDecay: number;
  /** What the sums of squares start with. */
  initialAccumulator: number;
  eps: number;
}

/** Adagrad as `torch.optim.Adagrad`: a ← a + d²; w ← w − lr · d / (√a + eps). t counts the updates of the parameter. */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(params: Params<AdagradOptions>, options: Partial<AdagradOptions> = {}) {
    super(params, { lr: 0.01, lrDecay: 0, weightDecay: 0, initialAccumulator: 0, eps: 1e-10 }, options);
  }

  protected override check({ lr, lrDecay, weightDecay, initialAccumulator, eps }: AdagradOptions): void {
    requireNonNegative(this, { lr, lrDecay, weightDecay, initialAccumulator, eps });
  }

  protected override rule({ initialAccumulator }: AdagradOptions): Rule<AdagradOptions> {
    return {
      scalars: { lr: ({ lr, lrDecay }, step) => lr / (1 + (step - 1) * lrDecay) },
      state: { sum: initialAccumulator },
      code: `
        sum += d * d;
        x -= lr * (d / (sqrt(sum) + eps));`,
    };
  }
}
