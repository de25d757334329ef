// The gradient of the continuous equation by its adjoint (Lu et al. 2020, eqs. 3.4–3.6 and Theorem 3.1). Backwards in time run together
//
//   dX/dt = f(X, θ_l)     dp/dt = −(∂f/∂X)ᵀ p,  p(end) = ∂E/∂X(end)     ∂E/∂θ_l = ∫ (∂f/∂θ)ᵀ p dt over the particle's interval
//   ∂E/∂τ_l = ⟨p, f(X, θ_l) − f(X, θ_{l+1})⟩ at τ_l: δE/δρ(θ, t) = ⟨p(t), f(X(t), θ)⟩, and τ_l moves the border of two particles
//
// Of the forward pass only the end is kept, so memory does not grow with the depth.
import { mul, neg, sub } from '../autograd/elementwise';
import { recomputing } from '../autograd/modes';
import { sum } from '../autograd/reduce';
import type { Rule } from '../autograd/tape';
import { detach, enableGrad, grad, noGrad, record } from '../autograd/tape';
import { stack } from '../autograd/views';
import { zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import type { Branch, Tableau } from './runge-kutta';
import { advance, stepLength } from './runge-kutta';

interface Equation {
  branches: readonly Branch[];
  tau: Tensor;
  parameters: readonly (readonly Tensor[])[];
  tableau: Tableau;
  substeps: number;
}

/** flow(x), with the adjoint's gradients for x, the times and all parameters. The equation is solved back by the method of the flow. */
export function adjointSolve(flow: (x: Tensor) => Tensor, x: Tensor, equation: Equation): Tensor {
  const { tau } = equation;
  const parameters = equation.parameters.flat();
  const y = noGrad(() => flow(x));
  const rule: Rule = (gradient) => {
    const { p, dTau, dTheta } = recomputing(() => solveBack(y, gradient, equation));
    return [p, dTau, ...parameters.map((parameter) => dTheta.get(parameter))];
  };
  return record('adjoint', [x, tau, ...parameters], y, [y, tau, ...parameters], rule);
}

function solveBack(end: Tensor, gradient: Tensor, { branches, tau, parameters, tableau, substeps }: Equation) {
  const dTheta = new Map<Tensor, Tensor>();
  const dTau: Tensor[] = [];
  let [x, p] = [end, gradient];
  let after: Tensor | null = null; // ⟨p, f⟩ of the next particle at this one's end
  for (let l = branches.length - 1; l >= 0; l--) {
    const f = branches[l];
    const trained = (parameters[l] ?? []).filter((parameter) => parameter.requiresGrad);
    const h = stepLength(tau, l, substeps);
    for (let k = 0; k < substeps; k++) {
      // Slopes against the direction of time, of X, p and the parameters' gradients.
      const slopes: { x: Tensor[]; p: Tensor[]; theta: Tensor[][] } = { x: [], p: [], theta: trained.map(() => []) };
      for (const row of tableau.a) {
        const at = detach(advance(x, h, row, slopes.x)).requiresGrad_();
        const weight = advance(p, h, row, slopes.p);
        const value = enableGrad(() => f(at));
        if (k === 0 && slopes.x.length === 0) {
          const here = sum(mul(p, value));
          dTau[l] = after ? sub(here, after) : here;
        }
        const minus = neg(value);
        const [dp, ...rest] = grad(value, [at, ...trained], { gradient: weight });
        slopes.x.push(minus);
        slopes.p.push(dp ?? zeros(p.shape));
        rest.forEach((g, i) => slopes.theta[i].push(g ?? zeros(trained[i].shape)));
      }
      x = advance(x, h, tableau.b, slopes.x);
      p = advance(p, h, tableau.b, slopes.p);
      trained.forEach((parameter, i) => {
        const before = dTheta.get(parameter) ?? zeros(parameter.shape);
        dTheta.set(parameter, advance(before, h, tableau.b, slopes.theta[i]));
      });
    }
    if (l > 0) after = sum(mul(p, f(x)));
  }
  return { p, dTau: stack(dTau), dTheta };
}
