// Norms made of others: of each channel of each sample, by the root of the mean square, and by neighbouring channels.
import { at, there } from '../../shaders/checked';
import { byDefinition } from '../autograd/backward';
import { noGrad, type Rule, record, sumOfAll } from '../autograd/tape';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError, requireNumbers } from '../tensor/context';
import { evaluate } from '../tensor/elementwise';
import { reduce } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { contiguousStrides, sameShape, showShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { present, requireFloats, requireShape, strided } from '../tensor/tensor';
import { assign_ } from './assign';
import { alongAxis, mapFor } from './axis-map';
import { add, div, mul, pow, rsqrt, square } from './elementwise';
import { mixed, native } from './mixed';
import { type AffineOptions, batchNorm, groupNorm } from './norm';
import { rowNorm } from './norm-rows';
import { mean, variance } from './reduce';

/** Options of `instanceNorm`. */
export interface InstanceNormOptions extends AffineOptions {
  /** `[C]`: used without `useInputStats`, updated with it. */
  runningMean?: Tensor | null;
  /** `[C]`: used without `useInputStats`, updated with it. */
  runningVar?: Tensor | null;
  /** Normalise with the statistics of the input, and update the running ones where they are given; true by default. */
  useInputStats?: boolean;
  /** Weight of the input in the running statistics; 0.1 by default. */
  momentum?: number;
}

const INSTANCE_NORM: OptionTable<InstanceNormOptions> = {
  weight: is.tensor,
  bias: is.tensor,
  eps: is.number,
  runningMean: is.tensor,
  runningVar: is.tensor,
  useInputStats: is.flag,
  momentum: is.number,
};

/**
 * Normalises each channel of each sample of [N, C, …], as `torch.nn.functional.instance_norm`; weight and bias are per channel. Throws InputError for
 * other shapes, and for channels of one element.
 */
export const instanceNorm = native(
  'instanceNorm',
  function instanceNorm(x: Tensor, options: InstanceNormOptions = {}): Tensor {
    const op = 'instanceNorm';
    const {
      useInputStats = true,
      momentum = 0.1,
      runningMean,
      runningVar,
      ...affine
    } = checked(op, options, INSTANCE_NORM);
    const given = { weight: affine.weight, bias: affine.bias, runningMean, runningVar };
    requireFloats(op, { input: x, ...present(given) }, true);
    if (x.ndim < 3) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …] with pixels.');
    const channels = at(x.shape, 1);
    requireShape(op, x, given, [channels], `one value for each of the ${channels} channels`);
    if (!runningMean !== !runningVar)
      throw inputError(op, 'runningMean and runningVar must be given together', { input: x });
    if (!useInputStats) return batchNorm(x, { ...affine, runningMean, runningVar, training: false });
    const pixels = x.shape.slice(2);
    if (size(pixels) === 1)
      throw inputError(op, 'a channel has one element, which is its own mean', { input: x }, 'Use a larger image.');
    if (runningMean && runningVar)
      noGrad(() => {
        const axes = pixels.map((_, i) => i + 2);
        const move = (running: Tensor, now: Tensor) =>
          assign_(running, add(mul(running, 1 - momentum), mul(mean(now, 0), momentum)));
        move(runningMean, mean(x, axes));
        move(runningVar, variance(x, axes));
      });
    return groupNorm(x, channels, affine);
  },
  'first',
);

/** Options of `rmsNorm`. */
export interface RmsNormOptions {
  /** Scale γ, of the normalised shape. */
  weight?: Tensor | null;
  /** Added to the mean square; by default the distance from 1 to the next float32. */
  eps?: number | null;
}

const EPSILON = 2 ** -23;

/**
 * x / √(mean(x²) + eps) · weight over the last dimensions, which must have these `sizes`, as `torch.nn.functional.rms_norm`. Throws InputError for
 * other shapes.
 */
export const rmsNorm = native(
  'rmsNorm',
  function rmsNorm(x: Tensor, sizes: number | Shape, options: RmsNormOptions = {}): Tensor {
    const op = 'rmsNorm';
    const { weight, eps: given } = checked(op, options, { weight: is.tensor, eps: either(is.number, word(null)) });
    const eps = given ?? EPSILON;
    requireFloats(op, { input: x, ...present({ weight }) }, true);
    const normalizedShape = typeof sizes === 'number' ? [sizes] : sizes;
    const first = x.ndim - normalizedShape.length;
    if (!normalizedShape.length || !sameShape(x.shape.slice(Math.max(0, first)), normalizedShape))
      throw inputError(op, 'the shapes do not fit', { input: x, normalizedShape }, 'The input ends with it.');
    requireShape(op, x, { weight }, normalizedShape, `the normalised shape ${showShape(normalizedShape)}`);
    const { shape } = x;
    const axes = normalizedShape.map((_, i) => first + i);
    const common = { name: op, shape };
    const meaned = { ...common, reduction: 'sum', axes, keepDims: true } as const;
    const share = 1 / size(normalizedShape);
    const w = weight ? { w: weight } : null;
    const times = w ? ' * w' : '';
    const lead = shape.slice(0, first).map((_, i) => i);
    const short = rowNorm(op, size(shape.slice(0, first)), normalizedShape, false, eps);
    const whole = short?.forward(x, weight);
    const stats = whole?.stats;
    const perRow = [...shape.slice(0, first), ...normalizedShape.map(() => 1)];
    const r = stats
      ? strided(stats, perRow, [...contiguousStrides(perRow).map((s) => 4 * s)], 1)
      : reduce({
          ...meaned,
          map: 'a * a',
          operands: { a: x },
          final: 'inverseSqrt(acc * s + t)',
          scalars: [share, eps],
        });
    const y =
      whole?.y ?? evaluate({ ...common, expression: `a * r${times}`, operands: { a: x, r, ...w }, result: x.dtype });
    // r = (mean x² + eps)^(−1/2), so that dr = −r³ · mean(x · dx): the Jacobian of x · r is symmetric.
    const through = (g: Tensor): Tensor => {
      if (short && stats) return there(short.backward(g, x, stats, { dx: true }).dx, 'dx');
      const m = reduce({ ...meaned, map: 'g * a', operands: { g, a: x }, final: 'acc * s', scalars: [share] });
      const operands = { g, a: x, r, m };
      return evaluate({ ...common, expression: 'r * (g - a * r * r * m)', operands, result: x.dtype });
    };
    const scaled = (g: Tensor) => (w ? evaluate({ ...common, expression: 'g * w', operands: { g, ...w } }) : g);
    const forWeight = (g: Tensor) => {
      const sum = { ...common, reduction: 'sum', map: 'g * a * r', operands: { g, a: x, r }, axes: lead } as const;
      return reduce({ ...sum, result: weight?.dtype });
    };
    const rule: Rule = (g, needs, onto) => {
      if (!short || !stats) return [needs[0] && through(scaled(g)), needs[1] && forWeight(g)];
      const wanted = { dx: needs[0], dWeight: !!weight && needs[1] && weight.dtype };
      const { dx, dWeight } = short.backward(g, x, stats, wanted, weight, onto);
      return [dx, dWeight];
    };
    const inputs = weight ? [x, weight] : [x];
    const definition = (a: Tensor, scale?: Tensor): Tensor => {
      const root = rsqrt(add(mean(square(a), axes, true), eps));
      return scale ? mul(mul(a, root), scale) : mul(a, root);
    };
    return record(op, inputs, y, [r, ...inputs], rule, {
      onto: !!(short && stats),
      push: (t, tw) =>
        sumOfAll(
          t && scaled(through(t)),
          tw && evaluate({ ...common, expression: 'a * r * g', operands: { a: x, r, g: tw }, result: x.dtype }),
        ),
      differentiable: byDefinition(inputs, mixed(op, definition, 'first')),
    });
  },
  'first',
);

/** Options of `localResponseNorm`. */
export interface LocalResponseNormOptions {
  /** α in (k + α · mean of squares)^β (default 1e-4). */
  alpha?: number;
  /** β in (k + α · mean of squares)^β (default 0.75). */
  beta?: number;
  /** k in (k + α · mean of squares)^β (default 1). */
  k?: number;
}

/**
 * x / (k + alpha · mean of x² over `size` neighbouring channels)^beta of [N, C, …], zeros beyond the first and last, as
 * `torch.nn.functional.local_response_norm`: alpha 1e-4, beta 0.75, k 1 by default.
 */
export const localResponseNorm = mixed(
  'localResponseNorm',
  function localResponseNorm(x: Tensor, size: number, options: LocalResponseNormOptions = {}): Tensor {
    const op = 'localResponseNorm';
    const table = { alpha: is.number, beta: is.number, k: is.number };
    const { alpha = 1e-4, beta = 0.75, k = 1 } = checked(op, options, table);
    requireFloats(op, { input: x });
    requireNumbers(op, { size });
    if (x.ndim < 3) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …] with pixels.');
    if (!Number.isInteger(size) || size < 1)
      throw inputError(op, `size is ${size}`, { input: x }, 'Use a positive integer.');
    const channels = at(x.shape, 1);
    const map = mapFor(['channels', size], channels, channels, (c) => {
      const from = c - (size >> 1);
      const window = Array.from({ length: size }, (_, i) => from + i);
      return window.filter((i) => i >= 0 && i < channels).map((i) => [i, 1 / size]);
    });
    return div(x, pow(add(mul(alongAxis(op, square(x), 1, map), alpha), k), beta));
  },
);
