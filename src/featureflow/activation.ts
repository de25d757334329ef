// h1 and h2 of feature-flow nets: bounded, smooth functions (Assumption 1), by name or the user's own.

import { InputError } from '../gpu';
import { erf, sigmoid, tanh } from '../ops/elementwise';
import type { Tensor } from '../tensor/tensor';

const functions = { tanh, sigmoid, erf };

/** Any elementwise function will do; the theorems need it and its derivative bounded and Lipschitz. */
export type Activation = keyof typeof functions | ((x: Tensor) => Tensor);

export function activation(h: Activation): (x: Tensor) => Tensor {
  const found = typeof h === 'function' ? h : functions[h];
  if (!found)
    throw new InputError(
      `activation '${h}' is unknown: use ${Object.keys(functions).join(', ')}, or a function of a tensor`,
    );
  return found;
}
