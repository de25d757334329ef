// Pooling with gradients, over the last two dimensions of [N, C, H, W] or [C, H, W].

import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { evaluate } from '../tensor/elementwise';
import type { AveragePoolOptions, MaxPoolOptions, Pair } from '../tensor/pool';
import * as raw from '../tensor/pool';
import { reduce, restored } from '../tensor/reduce';
import type { Tensor } from '../tensor/tensor';
import { record, recordLinear } from './tape';

const window = { kernel: is.size, stride: is.size, padding: is.size, ceilMode: is.flag };
const MAX: OptionTable<MaxPoolOptions> = { ...window, dilation: is.size };
const AVERAGE: OptionTable<AveragePoolOptions> = { ...window, countIncludePad: is.flag };

/** The window, which a number may stand for, with its kernel there. */
function windowOf<O extends MaxPoolOptions>(op: string, options: O | number, table: OptionTable<O>): O {
  const given = checked(op, (typeof options === 'number' ? { kernel: options } : options) as O, table);
  if (given.kernel === undefined) throw inputError(op, 'the size of the window is missing', {}, 'Give { kernel: 2 }.');
  return given;
}

/** Checks the options of a pooling layer when it is made. */
export const poolWindow = {
  max: (op: string, options: MaxPoolOptions | number) => windowOf(op, options, MAX),
  average: (op: string, options: AveragePoolOptions | number) => windowOf(op, options, AVERAGE),
};

/** Largest value of each window; padding counts as −∞. */
export function maxPool2d(x: Tensor, options: MaxPoolOptions | number): Tensor {
  return maxPool2dWithIndices(x, options).values;
}

/** `maxPool2d`, and the position of each maximum in the H·W plane (int32; the first of equals). */
export function maxPool2dWithIndices(x: Tensor, options: MaxPoolOptions | number): { values: Tensor; indices: Tensor } {
  const plan = raw.planPool('max', x, poolWindow.max('maxPool2d', options));
  const { y, index } = raw.maxPool(x, plan);
  return { values: record('maxPool2d', [x], y, [index], (g) => [raw.gradientOfPool(g, plan, index)]), indices: index };
}

/** Mean of each window. */
export function avgPool2d(x: Tensor, options: AveragePoolOptions | number): Tensor {
  const plan = raw.planPool('average', x, poolWindow.average('avgPool2d', options));
  return averaged('avgPool2d', x, plan);
}

/** Means of windows ⌊i·H/OH⌋ … ⌈(i+1)·H/OH⌉ − 1, so that y is [N, C, OH, OW] for any input size. */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Pair): Tensor {
  const plan = raw.planAdaptive(x, outputSize);
  return averaged('adaptiveAvgPool2d', x, plan);
}

function averaged(name: string, x: Tensor, plan: raw.PoolPlan): Tensor {
  const means = (t: Tensor) => raw.average(t, plan);
  return recordLinear(name, x, means, (g) => raw.gradientOfPool(g, plan));
}

/** Mean of each plane: [N, C, H, W] → [N, C], or with `keepDims` [N, C, 1, 1]. */
export function globalAvgPool2d(x: Tensor, options: { keepDims?: boolean } = {}): Tensor {
  const op = 'globalAvgPool2d';
  const { keepDims = false } = checked(op, options, { keepDims: is.flag });
  if (x.ndim < 3) throw inputError(op, 'the input needs a plane: [N, C, H, W]', { input: x });
  const axes = [x.ndim - 2, x.ndim - 1];
  const pixels = x.shape[axes[0]] * x.shape[axes[1]];
  const common = { name: op, scalars: [pixels], shape: x.shape };
  const pooled = (t: Tensor) =>
    reduce({ ...common, operands: { a: t }, reduction: 'sum', map: 'a', final: 'acc / s', axes, keepDims });
  const rule = (g: Tensor) => evaluate({ ...common, expression: 'g / s', operands: { g: restored(g, x, axes) } });
  return recordLinear(op, x, pooled, rule);
}
