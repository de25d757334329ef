// The residual step of the mean-field network, x + (τ_l − τ_{l−1})·f, and its gradients.
import {
  residualStepGradient as gradientKernel,
  STEP_TILE,
  SUMS,
  residualStep as stepKernel,
  timeGradient,
} from '../../shaders/particles';
import { device } from '../gpu';
import { inputError } from './context';
import { bind, contiguous, gridFor } from './elementwise';
import { sameShape } from './shape';
import type { Tensor } from './tensor';
import { empty } from './tensor';

/** x + (τ_l − τ_{l−1})·f with τ_{−1} = 0. `x` and `f` have the same shape, `tau` [n]. */
export function residualStep(x: Tensor, f: Tensor, tau: Tensor, l: number): Tensor {
  if (!sameShape(x.shape, f.shape))
    throw inputError(
      'MeanField',
      'a particle must keep the shape of its input, since x + Δτ·f(x) adds the two',
      { x: x.shape, 'f(x)': f.shape },
      'Change shapes in a module of its own in front of the particles.',
    );
  const y = empty('residual step', x.shape);
  device().launch(
    stepKernel,
    [bind(contiguous(x)), bind(contiguous(f)), bind(tau), bind(y)],
    [x.size, l],
    gridFor(x.size, STEP_TILE),
  );
  return y;
}

/** Room for the partial sums of ⟨g, f⟩ of n steps. */
export const stepSums = (n: number): Tensor => empty('residual step gradient', [n, SUMS]);

/** ∂E/∂f from g = ∂E/∂y; ∂E/∂x is g itself. Leaves the partial sums of ⟨g, f⟩ in row l of `sums`. */
export function residualStepGradient(g: Tensor, f: Tensor, tau: Tensor, l: number, sums: Tensor): Tensor {
  const df = empty('residual step gradient', f.shape);
  const row = sums.view([SUMS], [1], l * SUMS);
  device().launch(
    gradientKernel,
    [bind(contiguous(g)), bind(contiguous(f)), bind(tau), bind(df), bind(row)],
    [f.size, l],
  );
  return df;
}

/** ∂E/∂τ [n]: ∂E/∂τ_l = s_l − s_{l+1}, s_l = ⟨g_l, f_l⟩, with s_l = 0 behind step `top`. */
export function timesGradient(sums: Tensor, tau: Tensor, top: number): Tensor {
  const gradient = empty('residual step gradient', tau.shape);
  device().launch(timeGradient, [bind(sums), bind(gradient)], [tau.size, top]);
  return gradient;
}
