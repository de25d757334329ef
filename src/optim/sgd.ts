// Stochastic gradient descent.

import { InputError } from '../gpu';
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

  protected override slots({ momentum }: SGDOptions): Record<string, number> {
    return momentum === 0 ? {} : { momentum: 0 };
  }

  /** Without dampening the buffer of zeros becomes the first d by itself. */
  protected override derived({ dampening }: SGDOptions, step: number): Record<string, number> {
    return { first: Number(dampening !== 0 && step === 1) };
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    { momentum, nesterov, decoupled }: SGDOptions,
    s: Scalars<SGDOptions>,
  ): void {
    update({ rule: 'sgd', momentum: momentum !== 0, nesterov, decoupled }, parameter, gradient, buffers, s);
  }
}
