// Stochastic gradient descent.

import { f32, InputError } from '../gpu';
import type { Parameter } from '../nn/parameter';
import type { Tensor } from '../tensor/tensor';
import type { Params, Scalars } from './optimizer';
import { Optimizer } from './optimizer';
import { update } from './update';

export interface SGDOptions {
  lr: number;
  momentum: number;
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupled: boolean;
  dampening: number;
  nesterov: boolean;
}

/**
 * SGD as `torch.optim.SGD`: d = g + weightDecay·w; the momentum buffer starts as the first d, then b ← momentum·b + (1 − dampening)·d;
 * w ← w − lr·b, or with Nesterov w − lr·(d + momentum·b).
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: { lr: number } & Partial<SGDOptions>) {
    super(params, { momentum: 0, weightDecay: 0, decoupled: false, dampening: 0, nesterov: false, ...options });
    for (const { lr, momentum, weightDecay, dampening, nesterov } of this.groups) {
      if (!(lr >= 0) || !(momentum >= 0) || !(weightDecay >= 0))
        throw new InputError(`SGD: lr ${lr}, momentum ${momentum} and weightDecay ${weightDecay} must be numbers ≥ 0`);
      if (nesterov && (momentum === 0 || dampening !== 0))
        throw new InputError('SGD: nesterov needs momentum > 0 and dampening 0');
    }
  }

  protected override update(parameter: Parameter, gradient: Tensor, o: SGDOptions, s: Scalars<SGDOptions>): void {
    const { nesterov, decoupled } = o;
    const momentum = o.momentum !== 0;
    const state = momentum ? this.buffer(parameter, 'momentum') : null;
    const rule = { rule: 'sgd', momentum, nesterov, decoupled } as const;
    update(rule, parameter, gradient, state ? [state.buffer] : [], { ...s, first: f32(state?.fresh ? 1 : 0) });
  }
}
