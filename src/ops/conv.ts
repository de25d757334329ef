// Differentiable convolutions.

import type { Conv2dShape } from '../../shaders/conv/lower';
import type { PushForward, Rule } from '../autograd/tape';
import { record, sumOfAll } from '../autograd/tape';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { Conv2dOptions, ConvTranspose2dOptions } from '../tensor/conv';
import * as raw from '../tensor/conv';
import { sum } from '../tensor/reduce';
import type { Tensor } from '../tensor/tensor';
import { requireFloats, strided } from '../tensor/tensor';
import { expand } from '../tensor/views';
import { addBias } from './matmul';
import { reshape } from './views';

export type { Conv2dOptions, ConvTranspose2dOptions } from '../tensor/conv';

/** The convolution plus bias, recorded; `transposed` exchanges it with its input gradient. */
function convolution(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  shape: Conv2dShape,
  transposed: boolean,
): Tensor {
  const [forward, back] = transposed
    ? (['inputGradient', 'forward'] as const)
    : (['forward', 'inputGradient'] as const);
  const products = raw.conv2d(forward, x, weight, shape);
  const y = bias ? addBias(products, bias, products.shape[2] * products.shape[3]) : products;
  const rule: Rule = (g, needs) => [
    needs[0] && raw.conv2d(back, g, weight, shape),
    needs[1] && (transposed ? raw.conv2d('weightGradient', g, x, shape) : raw.conv2d('weightGradient', x, g, shape)),
    needs[2] && sum(g, [0, 2, 3]),
  ];
  const push: PushForward = (s, t, b) => {
    const planes = b && expand(strided(b, [1, b.size, 1, 1], [0, b.strides[0], 0, 0]), y.shape);
    return sumOfAll(s && raw.conv2d(forward, s, weight, shape), t && raw.conv2d(forward, x, t, shape), planes);
  };
  return record(op, bias ? [x, weight, bias] : [x, weight], y, [x, weight], rule, { push });
}

const size = { stride: is.size, padding: either(is.size, word('same', 'valid')), dilation: is.size };
export const CONV: OptionTable<Conv2dOptions> = { ...size, groups: is.number };
export const TRANSPOSED: OptionTable<ConvTranspose2dOptions> = { ...CONV, padding: is.size, outputPadding: is.size };

/**
 * Convolution (cross-correlation, as in PyTorch) of images x [N, C, H, W] with weight [O, C/groups, kH, kW] and bias [O]:
 *   y[n,o,p] = bias[o] + Σ_{c,k} weight[o,c,k] · x[n,c, stride·p + dilation·k − padding].
 */
export function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor {
  checked('conv2d', options, CONV);
  requireFloats('conv2d', { input: x, weight, ...(bias && { bias }) });
  const shape = raw.conv2dShape('conv2d', x, weight, bias, options);
  return convolution('conv2d', x, weight, bias, shape, false);
}

/** The transpose of a convolution, its input gradient as an operation: x [N, C, H, W], weight [C, O/groups, kH, kW], bias [O]. */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTranspose2dOptions = {},
): Tensor {
  checked('convTranspose2d', options, TRANSPOSED);
  requireFloats('convTranspose2d', { input: x, weight, ...(bias && { bias }) });
  const shape = raw.transposedShape('convTranspose2d', x, weight, bias, options);
  return convolution('convTranspose2d', x, weight, bias, shape, true);
}

export interface Conv1dOptions {
  stride?: number;
  /** Zeros on both sides, [left, right], or 'same'. */
  padding?: number | readonly [number, number] | 'same' | 'valid';
  dilation?: number;
  groups?: number;
}

/** Convolution along a line: x [N, C, L], weight [O, C/groups, K], bias [O]. */
export function conv1d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv1dOptions = {}): Tensor {
  checked('conv1d', options, CONV as OptionTable<Conv1dOptions>);
  requireFloats('conv1d', { input: x, weight, ...(bias && { bias }) });
  if (x.ndim !== 3 || weight.ndim !== 3)
    throw inputError(
      'conv1d',
      'input and weight have three dimensions',
      { input: x, weight },
      'They are [N, C, L] and [O, C/groups, K].',
    );
  const { stride = 1, padding = 0, dilation = 1, groups } = options;
  const sides = typeof padding === 'number' ? [padding, padding] : padding;
  const row = ([n, c, l]: readonly number[]) => [n, c, 1, l];
  const y = conv2d(reshape(x, row(x.shape)), reshape(weight, row(weight.shape)), bias, {
    stride: [1, stride],
    padding: typeof sides === 'string' ? sides : [0, 0, sides[0], sides[1]],
    dilation: [1, dilation],
    groups,
  });
  return reshape(y, [y.shape[0], y.shape[1], y.shape[3]]);
}
