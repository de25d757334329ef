// The residual steps of the mean-field network, recorded.
import { zeros } from '../tensor/create';
import * as raw from '../tensor/residual-step';
import type { Tensor } from '../tensor/tensor';
import type { PushForward, Rule } from './tape';
import { record, sumOf } from './tape';

/**
 * x ← x + (τ_l − τ_{l−1})·f_l(x) for l = 0 … n−1, τ_{−1} = 0 (Lu et al. 2020, eq. 4.1). `tau` is [n], every f_l keeps the shape of x.
 * The order of the times is constant for the gradient. Backward leaves ⟨∂E/∂X^{l+1}, f_l⟩ of all steps beside each other and turns them into
 * ∂E/∂τ once, at the first step, which every gradient reaches last.
 */
export function residualSteps(x: Tensor, branches: readonly ((x: Tensor) => Tensor)[], tau: Tensor): Tensor {
  let sums: Tensor | null = null;
  let top = 0;
  const step = (input: Tensor, branch: (x: Tensor) => Tensor, l: number): Tensor => {
    const f = branch(input);
    const rule: Rule = (g, needs, h = null) => {
      if (!needs[1] && !needs[2]) return [h ? sumOf(g, h) : g];
      if (!needs[2]) {
        const { df, dx } = raw.residualStepGradient(g, h, f, tau, l, raw.stepSums(branches.length));
        return [dx, df];
      }
      if (!sums) {
        sums = raw.stepSums(branches.length).keep();
        top = l;
      }
      const { df, dx } = raw.residualStepGradient(g, h, f, tau, l, sums);
      if (l > 0) return [dx, df];
      const dtau = raw.timesGradient(sums, tau, top);
      sums.dispose();
      sums = null;
      return [dx, df, dtau];
    };
    const push: PushForward = (dx, df, dtau) => {
      const still = () => zeros(x.shape);
      const moved = raw.residualStep(dx ?? still(), df ?? still(), tau, l);
      return dtau ? raw.residualStep(moved, f, dtau, l) : moved;
    };
    const y = raw.residualStep(input, f, tau, l);
    return record('residual step', [input, f, tau], y, [f, tau], rule, { pairs: true, push });
  };
  return branches.reduce(step, x);
}
