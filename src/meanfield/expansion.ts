// A deep residual network as an ensemble of shallow ones (Lu et al. 2020, Section 2.2): its Taylor expansion in the strength of the branches,
//
//   X^n ≈ X⁰ + Σ_a Δ_a f_a(X⁰) + Σ_{b>a} Δ_b Δ_a ∇f_b(X⁰)·f_a(X⁰)
//
// with Δ = 1/L in the paper, whose second and third lines repeat X⁰ and lose a 1/L.

import { jvp } from '../autograd/forward-mode';
import { scopedNoGrad } from '../autograd/tape';
import { InputError } from '../gpu';
import { add, mul } from '../ops/elementwise';
import type { Tensor } from '../tensor/tensor';
import type { Branch } from './runge-kutta';
import { stepLength } from './runge-kutta';

/**
 * The expansion of first order (the two-layer network, with gradients) or second order (a value without history: its directional derivatives
 * are exact, by forward mode). Branches and times as in `residualSteps`.
 */
export function expand(x: Tensor, branches: readonly Branch[], tau: Tensor, order: 1 | 2): Tensor {
  if (order === 1) return branches.reduce((y, f, l) => add(y, mul(stepLength(tau, l), f(x))), x);
  if (order !== 2) throw new InputError(`expand: order ${order}; there are orders 1 and 2`);
  return scopedNoGrad(() => {
    let first: Tensor | null = null; // Σ_{a<b} Δ_a f_a(X⁰)
    let y = x;
    branches.forEach((f, l) => {
      const { value, tangent } = first ? jvp(f, [x], [first]) : { value: f(x), tangent: null };
      const step = stepLength(tau, l);
      const term = mul(step, value);
      y = add(y, tangent ? add(term, mul(step, tangent)) : term);
      first = first ? add(first, term) : term;
    });
    return y;
  });
}
