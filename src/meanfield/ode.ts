// The continuous view: a mean-field stage as the equation dX/dt = f(X, θ_l) for τ_{l−1} < t ≤ τ_l (Lu et al. 2020, eq. 2.2 with particles that
// are constant on their interval), solved with several steps on every interval.

import { checkpointSequential } from '../autograd/checkpoint';
import { InputError, requireWhole } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import type { Tensor } from '../tensor/tensor';
import { adjointSolve } from './adjoint';
import type { Branch, Tableau } from './runge-kutta';
import { advance, METHODS, stepLength } from './runge-kutta';

/** Method, substeps and gradient of the equation dx/dt = f(x, t). */
export interface SolverOptions {
  /** Runge–Kutta method. Euler with one step is eq. 4.1, the residual network itself (default). */
  method?: keyof typeof METHODS;
  /** Equal steps on the interval of each particle (default 1). */
  substeps?: number;
  /**
   * How gradients are found: 'backprop' through all steps (default); 'checkpoint', the same numbers with memory O(√n), computing everything
   * once more; 'adjoint', by the equation of Theorem 3.1 with memory O(1), which differs from the others by the error of the method (branches
   * may not draw random numbers).
   */
  gradient?: 'backprop' | 'checkpoint' | 'adjoint';
}

export const SOLVER: OptionTable<SolverOptions> = {
  method: is.text,
  substeps: is.number,
  gradient: word('backprop', 'checkpoint', 'adjoint'),
};

/**
 * X at the end of time, from x at its beginning. `tau` [n] are the ends of the intervals in ascending order; every branch keeps the shape of x.
 */
export function solve(x: Tensor, branches: readonly Branch[], tau: Tensor, options: SolverOptions = {}): Tensor {
  checked('solve', options, SOLVER);
  const { method = 'euler', substeps = 1, gradient = 'backprop' } = options;
  if (!(method in METHODS))
    throw new InputError(`solve: there is no method '${method}'; use ${Object.keys(METHODS).join(', ')}`);
  requireWhole('solve: substeps', substeps, 1, 10_000);
  const tableau: Tableau = METHODS[method];
  const flows = branches.map((f, l) => (start: Tensor, times: Tensor) => {
    const h = stepLength(times, l, substeps);
    let y = start;
    for (let k = 0; k < substeps; k++) {
      const slopes: Tensor[] = [];
      for (const row of tableau.a) slopes.push(f(advance(y, h, row, slopes)));
      y = advance(y, h, tableau.b, slopes);
    }
    return y;
  });
  if (gradient === 'adjoint') return adjointSolve(flows, x, { branches, tau, tableau, substeps });
  const steps = flows.map((flow) => (start: Tensor) => flow(start, tau));
  return gradient === 'checkpoint' ? checkpointSequential(steps, x) : steps.reduce((y, step) => step(y), x);
}
