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
  /** Factor on the gradients, as if the loss were so many times as large (default 1). Weight decay is not scaled. */
  gradientScale: number;
}

/**
 * SGD as `torch.optim.SGD`: d = g + weightDecay·w; the momentum buffer starts as the first d, then b ← momentum·b + (1 − dampening)·d;
 * w ← w − lr·b, or with Nesterov w − lr·(d + momentum·b). g is the gradient times `gradientScale`, the group's and the parameter's.
 */
export class SGD extends Optimizer<SGDOptions> {
  /** Scales of parameters other than 1. */
  readonly #scales: ReadonlySet<number>;

  constructor(params: Params<SGDOptions>, options: { lr: number } & Partial<SGDOptions>) {
    const defaults = { momentum: 0, weightDecay: 0, decoupled: false, dampening: 0, nesterov: false, gradientScale: 1 };
    super(params, defaults, options);
    this.#scales = new Set([...this.parameters()].map(({ gradientScale }) => gradientScale));
    for (const { lr, momentum, weightDecay, dampening, nesterov, gradientScale } of this.groups) {
      if (!(gradientScale > 0)) throw new InputError(`SGD: gradientScale ${gradientScale} must be a number > 0`);
      if (!(lr >= 0) || !(momentum >= 0) || !(weightDecay >= 0))
        throw new InputError(`SGD: lr ${lr}, momentum ${momentum} and weightDecay ${weightDecay} must be numbers ≥ 0`);
      if (nesterov && (momentum === 0 || dampening !== 0))
        throw new InputError('SGD: nesterov needs momentum > 0 and dampening 0');
    }
  }

  protected override slots({ momentum }: SGDOptions): Record<string, number> {
    return momentum === 0 ? {} : { momentum: 0 };
  }

  /**
   * Without dampening the buffer of zeros becomes the first d by itself. A gradient c times as large is a rate c times as large with a c-th of
   * the decay: all that follows is linear in d.
   */
  protected override derived(o: SGDOptions, step: number): Record<string, number> {
    const numbers: Record<string, number> = { first: Number(o.dampening !== 0 && step === 1) };
    for (const scale of this.#scales) {
      const c = scale * o.gradientScale;
      if (c !== 1) Object.assign(numbers, { [`lr·${scale}`]: o.lr * c, [`weightDecay/${scale}`]: o.weightDecay / c });
    }
    return numbers;
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    { momentum, nesterov, decoupled, gradientScale }: SGDOptions,
    s: Scalars<SGDOptions>,
  ): void {
    const scale = parameter.gradientScale;
    const values =
      scale * gradientScale === 1 ? s : { ...s, lr: s[`lr·${scale}`], weightDecay: s[`weightDecay/${scale}`] };
    update({ rule: 'sgd', momentum: momentum !== 0, nesterov, decoupled }, parameter, gradient, buffers, values);
  }
}
