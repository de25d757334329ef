// Rprop: steps that follow the signs of the gradient, for whole batches.
import { InputError } from '../gpu';
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.Rprop`, with PyTorch's defaults. */
export interface RpropOptions {
  /** The size of the first step. */
  lr: number;
  /** Factors of a step's size where the sign has changed and where it has not. */
  etas: readonly [number, number];
  /** The least and the largest step. */
  stepSizes: readonly [number, number];
  /** Goes up the gradient. */
  maximize: boolean;
}

/** Rprop as `torch.optim.Rprop`: each number has a step size of its own; where the sign of the gradient changes, the step shrinks and is left out once. */
export class Rprop extends Optimizer<RpropOptions> {
  constructor(params: Params<RpropOptions>, options: Partial<RpropOptions> = {}) {
    super(params, { lr: 0.01, etas: [0.5, 1.2], stepSizes: [1e-6, 50], maximize: false }, options);
  }

  protected override check({ lr, etas: [less, more], stepSizes }: RpropOptions): void {
    requireNonNegative(this, { lr, least: stepSizes[0], most: stepSizes[1] });
    if (!(less > 0 && less < 1 && more > 1))
      throw new InputError(`Rprop: etas [${less}, ${more}] must be 0 < η⁻ < 1 < η⁺`);
  }

  protected override rule({ lr }: RpropOptions): Rule<RpropOptions> {
    return {
      scalars: {
        less: ({ etas }) => etas[0],
        more: ({ etas }) => etas[1],
        least: ({ stepSizes }) => stepSizes[0],
        most: ({ stepSizes }) => stepSizes[1],
      },
      state: { prev: 0, stepSize: lr },
      code: `
        let change = d * prev;
        let factor = select(select(vec4f(1.0), vec4f(more), change > vec4f()), vec4f(less), change < vec4f());
        stepSize = clamp(stepSize * factor, vec4f(least), vec4f(most));
        prev = select(d, vec4f(), change < vec4f());
        x -= signOf4(prev) * stepSize;`,
    };
  }
}
