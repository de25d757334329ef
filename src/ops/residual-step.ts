// The residual steps of the mean-field network, x + (τ_l − τ_{l−1})·f_l(x), and their gradients.

import {
  residualStepGradient as gradientKernel,
  SUMS,
  residualStep as stepKernel,
  timeGradient,
} from '../../shaders/particles';
import { castTo } from '../autograd/cast';
import { operation } from '../autograd/operation';
import type { PushForward, Rule } from '../autograd/tape';
import { record } from '../autograd/tape';
import { device } from '../gpu';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import { bind, contiguous } from '../tensor/elementwise';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats, strided } from '../tensor/tensor';
import { mul, sub } from './elementwise';
import { pad } from './pad';
import { sum } from './reduce';
import { reshape, select } from './views';

/** x + (τ_l − τ_{l−1})·f with τ_{−1} = 0. `x` and `f` have the same shape, `tau` [n]. */
const step = operation('residualStep', function step(x: Tensor, f: Tensor, tau: Tensor, l: number): Tensor {
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
  device().launch(stepKernel, buffers, [x.size, l], x.size);
  return y;
});

/** Space for the partial sums of ⟨g, f⟩ of n steps. */
const stepSums = (n: number): Tensor => empty('residual step gradient', [n, SUMS]);

/** ∂E/∂f from the gradient of the step's result. Leaves the partial sums of ⟨g, f⟩ in row l of `sums`. */
function stepGradient(g: Tensor, f: Tensor, tau: Tensor, l: number, sums: Tensor): Tensor {
  const df = empty('residual step gradient', f.shape);
  const row = strided(sums, [SUMS], [1], l * SUMS);
  device().launch(gradientKernel, [contiguous(g), contiguous(f), tau, df, row].map(bind), [f.size, l]);
  return df;
}

/** ∂E/∂τ [n]: ∂E/∂τ_l = s_l − s_{l+1}, s_l = ⟨∂E/∂X^{l+1}, f_l⟩, with s_l = 0 behind step `top`. */
function timesGradient(sums: Tensor, tau: Tensor, top: number): Tensor {
  const gradient = empty('residual step gradient', tau.shape);
  device().launch(timeGradient(tau.size, top), [bind(sums), bind(gradient)]);
  return gradient;
}

/**
 * x ← x + (τ_l − τ_{l−1})·f_l(x) for l = 0 … n−1, τ_{−1} = 0 (Lu et al. 2020, eq. 4.1). `tau` is [n], every f_l keeps the shape of x.
 * float16, as under autocast, is added up in float32, which is the result's type. The order of the times is constant for the gradient. Backward leaves ⟨∂E/∂X^{l+1}, f_l⟩ of all steps beside each other and turns them into
 * ∂E/∂τ once, at the first step, which every gradient reaches last.
 */
export function residualSteps(x: Tensor, branches: readonly ((x: Tensor) => Tensor)[], tau: Tensor): Tensor {
  let sums: Tensor | null = null;
  let top = 0;
  const recorded = (input: Tensor, branch: (x: Tensor) => Tensor, l: number): Tensor => {
    const f = castTo(branch(input), 'float32');
    const rule: Rule = (g, needs) => {
      if (!needs[1] && !needs[2]) return [g];
      if (!needs[2]) return [g, stepGradient(g, f, tau, l, stepSums(branches.length))];
      if (!sums) {
        sums = stepSums(branches.length).keep();
        top = l;
      }
      const df = stepGradient(g, f, tau, l, sums);
      if (l > 0) return [g, df];
      const dtau = timesGradient(sums, tau, top);
      sums.dispose();
      sums = null;
      return [g, df, dtau];
    };
    const push: PushForward = (dx, df, dtau) => {
      const still = () => zeros(x.shape);
      const moved = step(dx ?? still(), df ?? still(), tau, l);
      return dtau ? step(moved, f, dtau, l) : moved;
    };
    const differentiable: Rule = (g, needs) => {
      const delta = l ? sub(select(tau, 0, l), select(tau, 0, l - 1)) : select(tau, 0, 0);
      const slope = needs[2] && reshape(sum(mul(g, f)), [1]);
      const at = (k: number) => pad(slope as Tensor, [[k, tau.size - 1 - k]]);
      return [g, needs[1] && mul(g, delta), slope && (l ? sub(at(l), at(l - 1)) : at(0))];
    };
    const y = step(input, f, tau, l);
    return record('residual step', [input, f, tau], y, [f, tau], rule, { push, differentiable });
  };
  return branches.reduce(recorded, castTo(x, 'float32'));
}
