// Lion (Chen et al. 2023), written with what the package exports: w ← w − lr·(sign(β₁m + (1 − β₁)g) + weightDecay·w); m ← β₂m + (1 − β₂)g.
import { optim } from '../../src';

export interface LionOptions {
  lr: number;
  betas: readonly [number, number];
  weightDecay: number;
}

export class Lion extends optim.Optimizer<LionOptions> {
  constructor(params: optim.Params<LionOptions>, options: Partial<LionOptions> = {}) {
    super(params, { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0 }, options);
  }

  protected override rule(): optim.Rule<LionOptions> {
    return {
      decoupled: true,
      scalars: { beta1: ({ betas }) => betas[0], beta2: ({ betas }) => betas[1] },
      state: { expAvg: 0 },
      code: `
        x -= lr * sign(beta1 * expAvg + (1 - beta1) * d);
        expAvg = beta2 * expAvg + (1 - beta2) * d;`,
    };
  }
}
