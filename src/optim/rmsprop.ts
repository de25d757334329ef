// RMSprop.
import type { Parameter } from '../nn/parameter';
import type { Tensor } from '../tensor/tensor';
import type { Params, Scalars } from './optimizer';
import { Optimizer, requireNonNegative } from './optimizer';
import { update } from './update';

export interface RMSpropOptions {
  lr: number;
  /** Decay of the running mean square. */
  alpha: number;
  eps: number;
  weightDecay: number;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·w joining the gradient. */
  decoupled: boolean;
  momentum: number;
  /** Divide by the standard deviation instead of the root mean square. */
  centered: boolean;
  /** Divide by √(a + eps) as TensorFlow, instead of √a + eps. */
  epsInside: boolean;
}

/** RMSprop as `torch.optim.RMSprop`: a ← αa + (1 − α)d²; w ← w − lr · d / (√a + eps), or with momentum b ← momentum·b + d / (√a + eps). */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: Params<RMSpropOptions>, options: Partial<RMSpropOptions> = {}) {
    const flags = { decoupled: false, centered: false, epsInside: false };
    super(params, { lr: 0.01, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, ...flags }, options);
    for (const { lr, alpha, eps, weightDecay, momentum } of this.groups)
      requireNonNegative(this, { lr, alpha, eps, weightDecay, momentum });
  }

  protected override slots({ centered, momentum }: RMSpropOptions): Record<string, number> {
    return { squareAvg: 0, ...(centered && { gradAvg: 0 }), ...(momentum !== 0 && { momentum: 0 }) };
  }

  protected override derived({ alpha }: RMSpropOptions): Record<string, number> {
    return { rest: 1 - alpha };
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    o: RMSpropOptions,
    s: Scalars<RMSpropOptions>,
  ): void {
    const { decoupled, centered, epsInside } = o;
    const rule = { rule: 'rmsprop', decoupled, momentum: o.momentum !== 0, centered, epsInside } as const;
    update(rule, parameter, gradient, buffers, s);
  }
}
