// What the optimizers of Adam's family share: the running means' decays β₁, β₂ and the numbers that follow from them.
import { InputError } from '../gpu';
import { requireNonNegative } from './optimizer';

interface MomentOptions {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

/** Complements 1 − β are rounded once, so they come from the host. */
export const momentScalars = {
  beta1: ({ betas }: MomentOptions) => betas[0],
  beta2: ({ betas }: MomentOptions) => betas[1],
  rest1: ({ betas }: MomentOptions) => 1 - betas[0],
  rest2: ({ betas }: MomentOptions) => 1 - betas[1],
  correction1: ({ betas }: MomentOptions, step: number) => 1 - betas[0] ** step,
  correction2: ({ betas }: MomentOptions, step: number) => 1 - betas[1] ** step,
};

/** Refuses options that make no sense. */
export function checkMoments(optimizer: object, { lr, eps, weightDecay, betas }: MomentOptions): void {
  requireNonNegative(optimizer, { lr, eps, weightDecay });
  if (!betas.every((beta) => beta >= 0 && beta < 1))
    throw new InputError(`${optimizer.constructor.name}: betas [${betas.join(', ')}] must be in 0 ≤ β < 1`);
}
