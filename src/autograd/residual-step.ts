// The residual step of the mean-field network, recorded.
import * as raw from '../tensor/residual-step';
import type { Tensor } from '../tensor/tensor';
import { record } from './tape';

/** x + (τ_l − τ_{l−1})·f, τ_{−1} = 0 (Lu et al. 2020, eq. 4.1). The order of the times is constant for the gradient. */
export function residualStep(x: Tensor, f: Tensor, tau: Tensor, l: number): Tensor {
  return record('residual step', [x, f, tau], raw.residualStep(x, f, tau, l), [f, tau], (g, needs) => {
    if (!needs[1] && !needs[2]) return [g];
    const { df, dtau } = raw.residualStepGradient(g, f, tau, l);
    return [g, df, dtau];
  });
}
