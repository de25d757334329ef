// Starting again: what `resetParameters()` of the layers does to their tensors, whose memory and optimizer states stay.
import { noGrad } from '../autograd/tape';
import { assign_ } from '../ops/assign';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';

/** Gives a tensor other elements, or one number throughout, unrecorded. Nothing where there is no tensor, as with `bias: false`. */
export function refill(target: Tensor | null | undefined, elements: Tensor | number): void {
  if (target) noGrad(() => assign_(target, elements));
}

/** Draws parameters again, uniform in ±bound. */
export function redraw(parameters: Iterable<Tensor>, bound: number): void {
  for (const p of parameters) refill(p, init.uniform(p.shape, -bound, bound));
}
