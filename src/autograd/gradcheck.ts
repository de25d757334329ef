// Checks gradients against finite differences, for operations that users write themselves.

import { DawnfieldError } from '../gpu';
import { checked, is, word } from '../gpu/options';
import { tensor } from '../tensor/create';
import { showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { backward, scopedNoGrad } from './tape';

export interface GradcheckOptions {
  /**
   * How the function bends, which decides the step: 'smooth' (0.02, extrapolated), 'linear' in each input (0.5: no truncation error, little
   * rounding), 'kinked' (0.001, so that few steps cross a kink).
   */
  kind?: 'smooth' | 'linear' | 'kinked';
  /** Another step. */
  eps?: number;
  /** Largest |analytic − numeric| allowed, relative to the largest derivative of the input (at least 1). 0.01 by default. */
  tolerance?: number;
}

export interface GradcheckReport {
  /** The worst element: which input, its position there, and both derivatives. */
  input: number;
  index: number;
  analytic: number;
  numeric: number;
  error: number;
}

const STEPS = { smooth: 0.02, linear: 0.5, kinked: 1e-3 };

/** Fixed weights between 0.5 and 1.5 in size, of both signs, that make one number of a result without letting errors cancel. */
const weight = (i: number): number => (i % 2 ? -1 : 1) * (0.5 + ((i * 0.618033988749895) % 1));

/**
 * Compares the gradients that `backward` gives for `f` with central differences in every element of every input that requires a gradient.
 * Other inputs are passed on as they are. Returns the worst element, and throws naming it when it is beyond the tolerance.
 *
 *     await gradcheck((x, w) => myOperation(x, w), [x, w]);
 */
export async function gradcheck(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<GradcheckReport> {
  checked('gradcheck', options, { kind: word('smooth', 'linear', 'kinked'), eps: is.number, tolerance: is.number });
  const { kind = 'smooth', tolerance = 0.01 } = options;
  const { eps = STEPS[kind] } = options;
  const hosts = await Promise.all(inputs.map(async (x) => Float32Array.from(await x.data())));
  const fresh = (requiresGrad: boolean) =>
    inputs.map((x, k) => (x.requiresGrad ? tensor(hosts[k], { shape: x.shape, requiresGrad }) : x));
  if (!inputs.some((x) => x.requiresGrad))
    throw new DawnfieldError('gradcheck: no input requires a gradient; make one with { requiresGrad: true }');

  const leaves = fresh(true);
  const y = f(...leaves);
  const upstream = tensor(
    Array.from({ length: y.size }, (_, i) => weight(i)),
    { shape: y.shape },
  );
  backward(y, { gradient: upstream });
  const objective = async (): Promise<number> => {
    const values = await scopedNoGrad(() => f(...fresh(false))).data();
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += weight(i) * values[i];
    return sum;
  };

  let worst: GradcheckReport = { input: -1, index: -1, analytic: 0, numeric: 0, error: -1 };
  for (const [k, leaf] of leaves.entries()) {
    if (!inputs[k].requiresGrad) continue;
    const analytic = leaf.grad ? await leaf.grad.data() : new Float32Array(leaf.size);
    const host = hosts[k];
    const numeric = new Float64Array(host.length);
    for (let i = 0; i < host.length; i++) {
      const x = host[i];
      const slope = async (step: number): Promise<number> => {
        host[i] = x + step;
        const [above, up] = [host[i], await objective()];
        host[i] = x - step;
        const [below, down] = [host[i], await objective()];
        host[i] = x;
        return (up - down) / (above - below);
      };
      const step = eps * Math.max(1, Math.abs(x));
      // Two steps cancel the error of second order.
      numeric[i] = kind === 'smooth' ? (4 * (await slope(step / 2)) - (await slope(step))) / 3 : await slope(step);
    }
    const scale = numeric.reduce((most, d) => Math.max(most, Math.abs(d)), 1);
    for (let i = 0; i < host.length; i++) {
      const error = Math.abs(analytic[i] - numeric[i]) / scale;
      if (!(error <= worst.error)) worst = { input: k, index: i, analytic: analytic[i], numeric: numeric[i], error };
    }
  }
  if (!(worst.error <= tolerance))
    throw new DawnfieldError(
      `gradcheck: ∂f/∂(input ${worst.input} ${showShape(inputs[worst.input].shape)}, element ${worst.index}) is ${worst.analytic} by backward() ` +
        `and ${worst.numeric} by finite differences, an error of ${worst.error.toExponential(2)} (tolerance ${tolerance})`,
    );
  return worst;
}
