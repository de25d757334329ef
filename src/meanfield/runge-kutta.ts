// Explicit Runge–Kutta methods on tensors, and the intervals that particles live on.
import { at } from '../../shaders/checked';
import { add, mul, sub } from '../ops/elementwise';
import { select } from '../ops/views';
import type { Tensor } from '../tensor/tensor';

/** f(·, θ_l): what a particle adds. */
export type Branch = (x: Tensor) => Tensor;

/** Weights of a method: `a` of the slopes before each slope, `b` of the result. */
export interface Tableau {
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
}

/** Methods of first, second and fourth order. */
export const METHODS = {
  euler: { a: [[]], b: [1] },
  heun: { a: [[], [1]], b: [1 / 2, 1 / 2] },
  rk4: { a: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], b: [1 / 6, 1 / 3, 1 / 3, 1 / 6] },
} as const satisfies Record<string, Tableau>;

/** x + h · Σ weightᵢ · slopeᵢ; `h` is []. */
export function advance(x: Tensor, h: Tensor, weights: readonly number[], slopes: readonly Tensor[]): Tensor {
  const terms = weights.flatMap((w, i) => (w === 0 ? [] : [w === 1 ? at(slopes, i) : mul(at(slopes, i), w)]));
  return terms.length
    ? add(
        x,
        mul(
          h,
          terms.reduce((a, b) => add(a, b)),
        ),
      )
    : x;
}

/** The length Δ_l = τ_l − τ_{l−1} of a particle's interval, τ_{−1} = 0, divided by `parts`: []. */
export function stepLength(tau: Tensor, l: number, parts = 1): Tensor {
  const end = select(tau, 0, l);
  const delta = l ? sub(end, select(tau, 0, l - 1)) : end;
  return parts === 1 ? delta : mul(delta, 1 / parts);
}
