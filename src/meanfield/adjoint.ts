// The gradient of the continuous equation by its adjoint (Lu et al. 2020, eqs. 3.4–3.6 and Theorem 3.1). Backwards in time run together
//
//   dX/dt = f(X, θ_l)     dp/dt = −(∂f/∂X)ᵀ p,  p(end) = ∂E/∂X(end)     ∂E/∂θ_l = ∫ (∂f/∂θ)ᵀ p dt over the particle's interval
//   ∂E/∂τ_l = ⟨p, f(X, θ_l) − f(X, θ_{l+1})⟩ at τ_l: δE/δρ(θ, t) = ⟨p(t), f(X(t), θ)⟩, and τ_l moves the border of two particles
//
// Of the forward pass only the end is kept, so memory does not grow with the depth.

import { at, mapTuple } from '../../shaders/checked';
import { sameAutocast } from '../autograd/autocast';
import { gradSince } from '../autograd/backward';
import { recomputing } from '../autograd/modes';
import type { Rule } from '../autograd/tape';
import {
  enableGrad,
  isRecording,
  memoriesIn,
  nextNode,
  record,
  recordedSince,
  scopedNoGrad,
  withoutHistory,
} from '../autograd/tape';
import { mul, neg, sub } from '../ops/elementwise';
import { stack } from '../ops/join';
import { sum } from '../ops/reduce';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import { owned } from '../tensor/memory';
import { loggedDraws } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import type { Branch, Tableau } from './runge-kutta';
import { advance, stepLength } from './runge-kutta';

interface Equation {
  branches: readonly Branch[];
  tau: Tensor;
  tableau: Tableau;
  substeps: number;
}

/** What one particle does to X. */
export type Flow = (x: Tensor, tau: Tensor) => Tensor;

/**
 * The flows of all particles one after the other, with the adjoint's gradients for x, the times and whatever else the branches take from
 * outside, each once however many branches share it. The equation is solved back by the method of the flows.
 */
export function adjointSolve(flows: readonly Flow[], x: Tensor, equation: Equation): Tensor {
  const { tau } = equation;
  if (!isRecording()) return flows.reduce((y, flow) => flow(y, tau), x);
  const { y, sources } = runForward(flows, x, tau);
  const parameters = [...new Set(sources.flat())];
  const same = sameAutocast();
  const rule: Rule = (gradient) => {
    const { p, dTau, dTheta } = same(() => recomputing(() => solveBack(y, gradient, equation, sources)));
    return [p, dTau, ...parameters.map((parameter) => dTheta.get(parameter))];
  };
  return record('adjoint', [x, tau, ...parameters], y, [y, tau, ...parameters], rule);
}

/**
 * X at the end, and the tensors with gradients that each branch took from outside: what it recorded tells them. The record of a particle goes
 * before the next one runs.
 */
function runForward(flows: readonly Flow[], x: Tensor, tau: Tensor): { y: Tensor; sources: Tensor[][] } {
  const still = withoutHistory(tau);
  const sources: Tensor[][] = [];
  let y = withoutHistory(x);
  for (const [l, flow] of flows.entries()) {
    // Released is what the particle has computed, all but its result.
    const end = scopedNoGrad(() => {
      const since = nextNode();
      const start = withoutHistory(y).requiresGrad_();
      const { result, draws } = enableGrad(() => loggedDraws(() => flow(start, still)));
      if (draws.length)
        throw inputError(
          'adjoint',
          `branch ${l} draws random numbers (dropout?), which would be others on the way back`,
          {},
          "Take gradient: 'checkpoint', which repeats them.",
        );
      const recorded = recordedSince(since, result);
      sources.push(recorded.sources.filter((source) => source !== start));
      for (const node of recorded.nodes) node.finish();
      return withoutHistory(result);
    });
    if (l > 0 && y.memory !== end.memory) y.dispose();
    y = end;
  }
  return { y, sources };
}

function solveBack(
  end: Tensor,
  gradient: Tensor,
  { branches, tau, tableau, substeps }: Equation,
  sources: readonly (readonly Tensor[])[],
) {
  const dTheta = new Map<Tensor, Tensor>();
  const dTau: Tensor[] = [];
  let [x, p] = [end, gradient];
  let after: Tensor | null = null; // ⟨p, f⟩ of the next particle at this one's end
  for (let l = branches.length - 1; l >= 0; l--) {
    const f = at(branches, l);
    const trained = at(sources, l);
    const h = stepLength(tau, l, substeps);
    for (let k = 0; k < substeps; k++) {
      // Slopes against the direction of time, of X, p and the parameters' gradients.
      const slopes: { x: Tensor[]; p: Tensor[]; theta: Tensor[][] } = { x: [], p: [], theta: trained.map(() => []) };
      for (const row of tableau.a) {
        const point = withoutHistory(advance(x, h, row, slopes.x)).requiresGrad_();
        const weight = advance(p, h, row, slopes.p);
        const since = nextNode();
        const value = owned(() => enableGrad(() => f(point)), memoriesIn);
        if (k === 0 && slopes.x.length === 0) {
          const here = sum(mul(p, value));
          dTau[l] = after ? sub(here, after) : here;
        }
        const minus = neg(value);
        const wanted = [point, ...trained] as const;
        const found = value.requiresGrad ? gradSince(since, value, wanted, { gradient: weight }) : [];
        const [dp, ...dParameters] = mapTuple(wanted, (w, i) => found[i] ?? zeros(w.shape));
        slopes.x.push(minus);
        slopes.p.push(dp);
        dParameters.forEach((g, i) => at(slopes.theta, i).push(g));
      }
      x = advance(x, h, tableau.b, slopes.x);
      p = advance(p, h, tableau.b, slopes.p);
      trained.forEach((parameter, i) => {
        const before = dTheta.get(parameter) ?? zeros(parameter.shape);
        dTheta.set(parameter, advance(before, h, tableau.b, at(slopes.theta, i)));
      });
    }
    if (l > 0) after = scopedNoGrad(() => sum(mul(p, f(x))));
  }
  return { p, dTau: stack(dTau), dTheta };
}
