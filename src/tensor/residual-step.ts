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
import { empty, requireFloats, strided } from './tensor';

/** x + (τ_l − τ_{l−1})·f with τ_{−1} = 0. `x` and `f` have the same shape, `tau` [n]. */
export function residualStep(x: Tensor, f: Tensor, tau: Tensor, l: number): Tensor {
  requireFloats('MeanField', { x, 'f(x)': f, times: tau });
  if (!sameShape(x.shape, f.shape))
    throw inputError(
      'MeanField',
      'a particle must keep the shape of its input, since x + Δτ·f(x) adds the two',
      { x, 'f(x)': f },
      'Change shapes in a module of its own in front of the particles.',
    );
  const y = empty('residual step', x.shape);
  const buffers = [contiguous(x), contiguous(f), tau, y].map(bind);
  device().launch(stepKernel, buffers, [x.size, l], gridFor(x.size, STEP_TILE));
  return y;
}

/** Room for the partial sums of ⟨g, f⟩ of n steps. */
export const stepSums = (n: number): Tensor => empty('residual step gradient', [n, SUMS]);

/**
 * ∂E/∂f and ∂E/∂x from the gradient of the step's result, which is g, or g + h where `h` is given. Leaves the partial sums of ⟨∂E/∂x, f⟩ in
 * row l of `sums`.
 */
export function residualStepGradient(
  g: Tensor,
  h: Tensor | null,
  f: Tensor,
  tau: Tensor,
  l: number,
  sums: Tensor,
): { df: Tensor; dx: Tensor } {
  const df = empty('residual step gradient', f.shape);
  const dx = h ? empty('residual step gradient', f.shape) : g;
  const row = strided(sums, [SUMS], [1], l * SUMS);
  const bindings = [contiguous(g), contiguous(f), tau, df, row, ...(h ? [contiguous(h), dx] : [])].map(bind);
  device().launch(gradientKernel(h ? 1 : 0), bindings, [f.size, l]);
  return { df, dx };
}

/** ∂E/∂τ [n]: ∂E/∂τ_l = s_l − s_{l+1}, s_l = ⟨∂E/∂X^{l+1}, f_l⟩, with s_l = 0 behind step `top`. */
export function timesGradient(sums: Tensor, tau: Tensor, top: number): Tensor {
  const gradient = empty('residual step gradient', tau.shape);
  device().launch(timeGradient(tau.size, top), [bind(sums), bind(gradient)]);
  return gradient;
}
