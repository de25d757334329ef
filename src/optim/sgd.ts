// Stochastic gradient descent.

import { InputError } from '../gpu';
import { Optimizer, type Params } from './optimizer';
import type { FormerOptions } from './option-names';
import type { Rule } from './rule';

/** Options of `optim.SGD`, by PyTorch's names. */
export interface SGDOptions {
  /** Learning rate (default 1e-3). */
  lr: number;
  /** Decay of the sum of gradients that weights move by (default 0: none). */
  momentum: number;
  /** λ: λ·w joins the gradient, or see `decoupledWeightDecay` (default 0). */
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupledWeightDecay: boolean;
  /** The gradient joins the sum times 1 − dampening (default 0). */
  dampening: number;
  /** Steps by the gradient and the momentum to come (default false); needs momentum and no dampening. */
  nesterov: boolean;
  /** Goes up the gradient. */
  maximize: boolean;
  /** Factor on the gradients, as if the loss were so many times as large (default 1). Weight decay is not scaled. */
  gradientScale: number;
}

/**
 * SGD as `torch.optim.SGD`: d = g + weightDecay·w; the momentum buffer starts as the first d, then b ← momentum·b + (1 − dampening)·d;
 * w ← w − lr·b, or with Nesterov w − lr·(d + momentum·b). g is the gradient times `gradientScale`, the group's and the parameter's.
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: Partial<SGDOptions> & FormerOptions = {}) {
    const flags = { decoupledWeightDecay: false, nesterov: false, maximize: false };
    const defaults = { lr: 1e-3, momentum: 0, weightDecay: 0, dampening: 0, gradientScale: 1, ...flags };
    super(params, defaults, options);
  }

  protected override check({ lr, momentum, weightDecay, dampening, nesterov, gradientScale }: SGDOptions): void {
    if (!(gradientScale > 0)) throw new InputError(`SGD: gradientScale ${gradientScale} must be a number > 0`);
    if (!(lr >= 0) || !(momentum >= 0) || !(weightDecay >= 0))
      throw new InputError(`SGD: lr ${lr}, momentum ${momentum} and weightDecay ${weightDecay} must be numbers ≥ 0`);
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new InputError('SGD: nesterov needs momentum > 0 and dampening 0');
  }

  /**
   * A gradient c times as large is a rate c times as large with a c-th of the decay: all that follows is linear in d. Without dampening the
   * buffer of zeros becomes the first d by itself.
   */
  protected override rule({ momentum, nesterov, decoupledWeightDecay }: SGDOptions): Rule<SGDOptions> {
    return {
      decoupled: decoupledWeightDecay,
      perParameter: (parameter) => parameter.gradientScale,
      scalars: {
        lr: ({ lr, gradientScale }, _, scale) => lr * (scale * gradientScale),
        weightDecay: ({ weightDecay, gradientScale }, _, scale) => weightDecay / (scale * gradientScale),
        mu: (o) => o.momentum,
        first: ({ dampening }, step) => Number(dampening !== 0 && step === 1),
      },
      state: momentum === 0 ? {} : { momentum: 0 },
      code:
        momentum === 0
          ? 'x -= lr * d;'
          : `
        momentum = select(mu * momentum + (1.0 - dampening) * d, d, first != 0.0);
        x -= lr * ${nesterov ? '(d + mu * momentum)' : 'momentum'};`,
    };
  }
}
