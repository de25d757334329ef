// Adagrad.
import type { Parameter } from '../nn/parameter';
import type { Tensor } from '../tensor/tensor';
import type { Params, Scalars } from './optimizer';
import { Optimizer, requireNonNegative } from './optimizer';
import { update } from './update';

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
    for (const { lr, lrDecay, weightDecay, initialAccumulator, eps } of this.groups)
      requireNonNegative(this, { lr, lrDecay, weightDecay, initialAccumulator, eps });
  }

  protected override slots({ initialAccumulator }: AdagradOptions): Record<string, number> {
    return { sum: initialAccumulator };
  }

  protected override derived({ lr, lrDecay }: AdagradOptions, step: number): Record<string, number> {
    return { rate: lr / (1 + (step - 1) * lrDecay) };
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    buffers: readonly Tensor[],
    _: AdagradOptions,
    s: Scalars<AdagradOptions>,
  ): void {
    update({ rule: 'adagrad' }, parameter, gradient, buffers, { ...s, lr: s.rate });
  }
}
