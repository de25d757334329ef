// What the optimizers of Adam's family share: the running means' decays β₁, β₂ and the numbers that follow from them.
import { InputError } from '../gpu';
import type { Params } from './optimizer';
import { Optimizer, requireNonNegative } from './optimizer';

interface MomentOptions {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

export abstract class MomentOptimizer<O extends MomentOptions> extends Optimizer<O> {
  constructor(params: Params<O>, defaults: O, options: Partial<O>) {
    super(params, defaults, options);
    for (const { lr, eps, weightDecay, betas } of this.groups) {
      requireNonNegative(this, { lr, eps, weightDecay });
      if (!betas.every((beta) => beta >= 0 && beta < 1))
        throw new InputError(`${this.constructor.name}: betas [${betas.join(', ')}] must be in 0 ≤ β < 1`);
    }
  }

  protected override derived({ betas: [beta1, beta2] }: O, step: number): Record<string, number> {
    const [correction1, correction2] = [1 - beta1 ** step, 1 - beta2 ** step];
    return { beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, correction1, correction2 };
  }
}
