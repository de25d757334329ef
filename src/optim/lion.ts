// Lion: the sign of momentum.
import { InputError } from '../gpu';
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.Lion`. */
export interface LionOptions {
  /** Learning rate: the size of every step of each weight (default 1e-4). */
  lr: number;
  /** The share of the momentum in the step, and the momentum's decay. */
  betas: readonly [number, number];
  /** Weights shrink by 1 − lr·weightDecay before the step. */
  weightDecay: number;
}

/** Lion (Chen et al. 2023): w ← (1 − lr·weightDecay)w − lr · sign(β₁m + (1 − β₁)g); m ← β₂m + (1 − β₂)g. */
export class Lion extends Optimizer<LionOptions> {
  constructor(params: Params<LionOptions>, options: Partial<LionOptions> = {}) {
    super(params, { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0 }, options);
  }

  protected override check({ lr, betas, weightDecay }: LionOptions): void {
    requireNonNegative(this, { lr, weightDecay });
    if (!betas.every((beta) => beta >= 0 && beta < 1))
      throw new InputError(`Lion: betas [${betas}] must be in 0 ≤ β < 1`);
  }

  protected override rule(): Rule<LionOptions> {
    return {
      decoupled: true,
      scalars: {
        beta1: ({ betas }) => betas[0],
        rest1: ({ betas }) => 1 - betas[0],
        beta2: ({ betas }) => betas[1],
        rest2: ({ betas }) => 1 - betas[1],
      },
      state: { expAvg: 0 },
      code: `
        x -= lr * signOf4(beta1 * expAvg + rest1 * d);
        expAvg = beta2 * expAvg + rest2 * d;`,
    };
  }
}
