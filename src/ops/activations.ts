// Activations that are made of others: gated, with a slope of each channel, with random slopes.

import { at } from '../../shaders/checked';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, requireNumbers } from '../tensor/context';
import { rand } from '../tensor/random';
import { existingAxis } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import * as binary from './binary';
import { add, leakyRelu, mul, neg, sigmoid } from './elementwise';
import { mixed } from './mixed';
import type { Operand } from './operands';
import { requireTensor } from './operands';
import { softmax } from './softmax';
import { narrow, reshape } from './views';

/** The first half along `dim` times the sigmoid of the second, as `torch.nn.functional.glu`. Throws InputError for an odd size. */
export function glu(x: Tensor, dim = -1): Tensor {
  requireTensor('glu', x);
  const axis = existingAxis('glu', dim, x.shape);
  const half = at(x.shape, axis) / 2;
  if (!Number.isInteger(half))
    throw inputError('glu', `dimension ${axis} has the odd size ${2 * half}`, { input: x }, 'It is cut in two halves.');
  return mul(narrow(x, axis, 0, half), sigmoid(narrow(x, axis, half, half)));
}

/** softmax of −x along `dim`, as `torch.nn.functional.softmin`. */
export const softmin = (x: Tensor, dim = -1): Tensor => softmax(neg(x), dim);

/**
 * x where positive, else weight·x, as `torch.nn.functional.prelu`: a weight [C] has an element for each channel, which is dimension 1. Others are
 * numbers or broadcast.
 */
export const prelu = mixed('prelu', function prelu(x: Operand, weight: Operand): Tensor {
  const perChannel =
    x instanceof Tensor && weight instanceof Tensor && weight.ndim === 1 && weight.size > 1 && x.ndim > 2;
  if (!perChannel) return binary.prelu(x, weight);
  if (weight.size !== x.shape[1])
    throw inputError(
      'prelu',
      `${weight.size} slopes for ${x.shape[1]} channels`,
      { input: x, weight },
      'One or one each.',
    );
  return binary.prelu(x, reshape(weight, [weight.size, ...x.shape.slice(2).map(() => 1)]));
});

/** Options of `rrelu`. */
export interface RReluOptions {
  /** Least slope for x < 0 (default 1/8). */
  lower?: number;
  /** Largest slope for x < 0 (default 1/3). */
  upper?: number;
  /** Each element draws a slope; without (default) all have the mean of both bounds. */
  training?: boolean;
}

const RRELU: OptionTable<RReluOptions> = { lower: is.number, upper: is.number, training: is.flag };

/**
 * x where positive, else r·x, as `torch.nn.functional.rrelu`: r is (lower + upper) / 2 (⅛ and ⅓ by default), in training a random number between them
 * for each element.
 */
export function rrelu(x: Tensor, options: RReluOptions = {}): Tensor {
  const { lower = 1 / 8, upper = 1 / 3, training = false } = checked('rrelu', options, RRELU);
  requireNumbers('rrelu', { lower, upper });
  if (!(lower <= upper)) throw inputError('rrelu', `lower ${lower} is above upper ${upper}`, { input: x });
  if (!training) return leakyRelu(x, (lower + upper) / 2);
  return binary.prelu(x, add(mul(rand(x.shape), upper - lower), lower));
}
