// Batch, layer and group normalisation. To the kernels layer and group norm are batch norm of one sample whose channels are the rows.
import { at, fromEnd, there, tuple } from '../../shaders/checked';
import { normBackward, normForward, walksChannels } from '../../shaders/norm/cpu';
import { normApply, normCount, normFinish, normPartials } from '../../shaders/norm/forward';
import { normGradientApply, normGradientFinish, normGradientPartials } from '../../shaders/norm/gradient';
import { chunkLength, width } from '../../shaders/norm/shared';
import { byDefinition } from '../autograd/backward';
import type { PushForward, Rule } from '../autograd/tape';
import { record } from '../autograd/tape';
import type { Constant, Scalar } from '../gpu';
import { device, f32 } from '../gpu';
import { checked } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { bind, contiguous, evaluate, launchOn } from '../tensor/elementwise';
import { reduce } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { checkShape, contiguousStrides, sameShape, showShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, present, requireFloats, requireShape, strided } from '../tensor/tensor';
import { filled } from '../tensor/views';
import { add, mul, relu, rsqrt, square, sub } from './elementwise';
import { mixed, native } from './mixed';
import { AFFINE, type AffineOptions, BATCH_NORM, type BatchNormOptions, checkBatchNorm } from './norm-options';
import { type RowNorm, rowNorm } from './norm-rows';
import { mean } from './reduce';
import { reshape } from './views';

export type { AffineOptions, BatchNormOptions } from './norm-options';

/** How x is seen by the kernels: [samples, channels, plane]. */
interface Layout {
  samples: number;
  channels: number;
  plane: number;
}

/** [N, C, …] as batch norm sees it. */
export function layoutOf({ shape }: Tensor): Layout {
  const [samples, channels] = tuple(shape.slice(0, 2), 2);
  return { samples, channels, plane: size(shape.slice(2)) };
}

/** The kernels' view of a walk over channels in chunks, for the statistics or the gradient's sums; or of one over whole channels, plane by plane. */
function chunking({ samples, channels, plane }: Layout, whole: boolean, eps = 0, momentum: number | Scalar = 0) {
  const units = (samples * plane) / width(plane);
  const length = whole ? plane / width(plane) : chunkLength(device().target, channels, units, plane);
  const chunks = Math.max(1, Math.ceil(units / length));
  const weight = typeof momentum === 'number' ? f32(momentum) : momentum;
  const constants: Constant[] = [channels, chunks, length, units, f32(eps), weight, f32(samples * plane)];
  return { chunks, constants };
}

/**
 * y, from the statistics of x (training) or the running ones, and `stats` with a row a channel: mean, 1/√(variance + eps), and scale and shift of
 * y = x · scale + shift. Not recorded.
 */
export function normalize(
  input: Tensor,
  layout: Layout,
  o: BatchNormOptions,
  result: DType = input.dtype,
): { y: Tensor; stats: Tensor } {
  const x = contiguous(input);
  const { target } = device();
  const { channels, plane } = layout;
  const { training = false, eps = 1e-5, momentum = 0.1, activation } = o;
  const { weight, bias, runningMean, runningVar } = o;
  const tracked = training && runningMean ? o.numBatchesTracked : null;
  const tracking = !tracked ? 'none' : momentum === null ? 'mean' : 'count';
  const affine = weight && bias ? [contiguous(weight), contiguous(bias)] : [];
  // Those that are only read may be views that kernels cannot bind.
  const own = (t: Tensor) => (training ? t : contiguous(t));
  const running = runningMean && runningVar ? [own(runningMean), own(runningVar), ...(tracked ? [tracked] : [])] : [];
  const whole = training && walksChannels(target, plane, channels) && affine.length > 0 && running.length > 0;
  const { chunks, constants } = chunking(layout, whole, eps, momentum ?? 0);
  const relu = activation === 'relu';
  const stats = empty('batchNorm', [channels, 4]);
  const y = empty('batchNorm', x.shape, result);
  const n = x.size / width(plane);
  const given = { affine: affine.length > 0, running: running.length > 0, tracking } as const;
  const finish = normFinish({ target, plane, training, ...given });
  const apply = () => launchOn(normApply({ target, ...layout, relu }), [x, stats, y], [n], n);
  if (!training) {
    launchOn(finish, [...affine, ...running, stats], constants, channels);
    apply();
    return { y, stats };
  }
  if (tracked && tracking === 'mean') device().launch(normCount, [bind(tracked)], []);
  if (whole) {
    launchOn(normForward({ target, plane, relu }, tracking), [...affine, ...running, x, stats, y], constants, channels);
  } else {
    const partials = empty('batchNorm', [channels, chunks, 2]);
    const sums = normPartials({ target, plane, relu: false });
    launchOn(sums, [x, partials], constants, channels * chunks);
    launchOn(finish, [partials, ...affine, ...running, stats], constants, channels);
    apply();
    partials.dispose();
  }
  runningMean?.memory.written();
  runningVar?.memory.written();
  tracked?.memory.written();
  return { y, stats };
}

/**
 * Gradients of `normalize`, from its `stats` and its `training` and `activation`; for the input only where that is needed, added to `onto`. Not recorded.
 */
export function normGradient(
  gradient: Tensor,
  input: Tensor,
  layout: Layout,
  stats: Tensor,
  { training = false, activation }: Pick<BatchNormOptions, 'training' | 'activation'>,
  needsInput = true,
  onto: Tensor | null = null,
): { dx: Tensor | null; dWeight: Tensor; dBias: Tensor } {
  const relu = activation === 'relu';
  const { target } = device();
  const { channels, plane } = layout;
  const whole = needsInput && training && walksChannels(target, plane, channels);
  const { chunks, constants } = chunking(layout, whole);
  const g = contiguous(gradient);
  const x = contiguous(input);
  const before = onto ? [contiguous(onto)] : [];
  const dWeight = empty('batchNorm', [channels]);
  const dBias = empty('batchNorm', [channels]);
  const dx = needsInput ? empty('batchNorm', input.shape, input.dtype) : null;
  if (dx && whole) {
    const operands = [stats, g, x, ...before, dWeight, dBias, dx];
    launchOn(normBackward({ target, plane, relu }, !!onto), operands, constants, channels);
    return { dx, dWeight, dBias };
  }
  const partials = empty('batchNorm', [channels, chunks, 2]);
  const sums = normGradientPartials({ target, plane, relu });
  launchOn(sums, [g, x, stats, partials], constants, channels * chunks);
  const coefficients = empty('batchNorm', [channels, 2, 4]);
  const finished = [partials, stats, dWeight, dBias, coefficients];
  launchOn(normGradientFinish(target, training), finished, constants, channels);
  if (dx) {
    const n = x.size / width(plane);
    const operands = [g, ...(training || relu ? [x] : []), coefficients, ...before, dx];
    launchOn(normGradientApply({ target, ...layout, relu }, training, !!onto), operands, [n], n);
  }
  coefficients.dispose();
  partials.dispose();
  return { dx, dWeight, dBias };
}

/** The options with weight and bias, where one of them is given: the kernels take both or none. */
function completed(x: Tensor, options: BatchNormOptions): BatchNormOptions {
  const { weight, bias } = options;
  if (!weight === !bias) return options;
  const constant = (value: number) => filled('batchNorm', [at(x.shape, 1)], value, 'float32');
  return { ...options, weight: weight ?? constant(1), bias: bias ?? constant(0) };
}

/**
 * y = (x − mean) / √(variance + eps) · weight + bias for each channel of x [N, C, …], as `torch.nn.functional.batch_norm`.
 * In training with the mean and biased variance of the batch, and the running statistics are moved on the GPU:
 * running = (1 − momentum) · running + momentum · batch, with the unbiased variance. Otherwise with the running statistics.
 * `activation: 'relu'` is fused. Throws InputError for wrong shapes, and in training for a single value per channel.
 */
export const batchNorm = native(
  'batchNorm',
  function batchNorm(x: Tensor, given: BatchNormOptions): Tensor {
    checked('batchNorm', given, BATCH_NORM);
    checkBatchNorm(x, given);
    const options = completed(x, given);
    const { weight, bias, training, activation } = options;
    const layout = layoutOf(x);
    const { y, stats } = normalize(x, layout, options);
    const inputs = weight && bias ? [x, weight, bias] : [x];
    const rule: Rule = (gradient, needs, onto) => {
      const { dx, dWeight, dBias } = normGradient(gradient, x, layout, stats, options, needs[0], onto);
      return [dx, dWeight, dBias];
    };
    // The Jacobian of the norm is symmetric, that of the activation stands in front of it.
    const push: PushForward = (t, ...affine) => {
      if (!t || affine.some(Boolean)) return null;
      const a = there(normGradient(t, x, layout, stats, { training }).dx, 'dx');
      const through = {
        name: 'batchNorm tangent',
        expression: 'select(a, 0.0, y <= 0.0)',
        shape: y.shape,
        result: y.dtype,
      };
      return activation ? evaluate({ ...through, operands: { a, y } }) : a;
    };
    const column = (k: number) => strided(stats, [layout.channels, ...planes], [4, ...planes.map(() => 0)], k);
    const planes = x.shape.slice(2).map(() => 1);
    const axes = x.shape.map((_, d) => d).filter((d) => d !== 1);
    const definition = (a: Tensor, w?: Tensor, b?: Tensor) => {
      const xhat = training ? standardized(a, axes, options.eps) : mul(sub(a, column(0)), column(1));
      const scaled = w && b ? add(mul(xhat, reshape(w, [w.size, ...planes])), reshape(b, [b.size, ...planes])) : xhat;
      return activation ? relu(scaled) : scaled;
    };
    const differentiable = byDefinition(inputs, mixed('batchNorm', definition, 'first'));
    return record('batchNorm', inputs, y, [x, stats, ...inputs.slice(1)], rule, { onto: true, push, differentiable });
  },
  'first',
);

/** (x − mean) / √(biased variance + eps) over dimensions, in recorded operations. */
function standardized(x: Tensor, axes: readonly number[], eps = 1e-5): Tensor {
  const centered = sub(x, mean(x, axes, true));
  return mul(centered, rsqrt(add(mean(square(centered), axes, true), eps)));
}

/**
 * Normalises each row of x, seen as [...lead, ...rest] with one row per index of `lead`, then applies weight and bias, which have the shape
 * `affine` once broadcast from the right; `shared` are the dimensions that they are repeated along.
 */
function normRows(
  op: string,
  x: Tensor,
  lead: Shape,
  rest: Shape,
  affine: Shape,
  shared: number[],
  o: AffineOptions,
): Tensor {
  const { weight, bias, eps = 1e-5 } = o;
  const shape = [...lead, ...rest];
  const seen = (t: Tensor, as: Shape) => strided(contiguous(t), as, contiguousStrides(as));
  const layout = { samples: 1, channels: size(lead), plane: size(rest) };
  const short = rowNorm(op, layout.channels, rest, true, eps);
  // Where each column has a weight of its own, the kernels for short rows apply it.
  const fused = affine.length === rest.length ? short : null;
  // Made again for each use: a copy of a strided weight is not saved with the node, the weight is.
  const factor = () => weight && { w: seen(weight, affine) };
  // What weight and bias are still applied to is not rounded to halves before.
  const whole = fused || !(weight || bias) ? x.dtype : 'float32';
  const normalized = () => {
    if (short) return fused ? short.forward(x, weight, bias) : short.forward(x, null, null, whole);
    return x.size
      ? normalize(x, layout, { training: true, eps }, whole)
      : { y: empty(op, x.shape, x.dtype), stats: empty(op, [layout.channels, 4]) };
  };
  const { y: result, stats } = normalized();
  const gradientFor = (g: Tensor): Tensor => {
    if (!x.size) return empty(op, x.shape, x.dtype);
    const { dx } = short
      ? short.backward(g, x, stats, { dx: true })
      : normGradient(g, x, layout, stats, { training: true });
    return seen(there(dx, 'dx'), x.shape);
  };
  const [w, b] = fused ? [null, null] : [factor(), bias && { b: seen(bias, affine) }];
  const operands = { a: seen(result, shape), ...w, ...b };
  const expression = `a${w ? ' * w' : ''}${b ? ' + b' : ''}`;
  const y = w || b ? evaluate({ name: op, expression, operands, shape, result: x.dtype }) : result;
  const inputs = [x, weight, bias].filter((t) => !!t);
  const saved = weight ? [x, stats, weight] : [x, stats];
  const together =
    (norm: RowNorm): Rule =>
    (gradient, needs, onto) => {
      const typeOf = (t: Tensor | null | undefined, i: number) => !!t && needs[i] && t.dtype;
      const wanted = { dx: needs[0], dWeight: typeOf(weight, 1), dBias: typeOf(bias, inputs.length - 1) };
      const { dx, dWeight, dBias } = norm.backward(gradient, x, stats, wanted, weight, onto);
      const like = (t: Tensor | null | undefined, d: Tensor | undefined) => (t ? [d && seen(d, t.shape)] : []);
      return [dx, ...like(weight, dWeight), ...like(bias, dBias)];
    };
  const apart: Rule = (gradient, needs) => {
    const g = seen(gradient, shape);
    const scaled = w ? evaluate({ name: op, expression: 'g * w', operands: { g, ...factor() }, shape }) : g;
    const row = (column: number) =>
      strided(
        stats,
        [...lead, ...rest.map(() => 1)],
        [...contiguousStrides(lead).map((s) => 4 * s), ...rest.map(() => 0)],
        column,
      );
    const sum = (map: string, more: Record<string, Tensor>, like: Tensor) =>
      seen(
        reduce({ name: op, reduction: 'sum', map, operands: { g, ...more }, shape, axes: shared, result: like.dtype }),
        like.shape,
      );
    const grads: (Tensor | false | undefined)[] = [needs[0] && gradientFor(scaled)];
    if (weight) grads.push(needs[1] && sum('g * (a - m) * r', { a: seen(x, shape), m: row(0), r: row(1) }, weight));
    if (bias) grads.push(needs[inputs.length - 1] && sum('g', {}, bias));
    return grads;
  };
  const rule = fused ? together(fused) : apart;
  const push: PushForward = (t, ...affine_) => {
    if (!t || affine_.some(Boolean)) return null;
    const a = seen(gradientFor(t), shape);
    const e = { name: `${op} tangent`, expression: 'a * w', shape, result: x.dtype };
    return seen(weight ? evaluate({ ...e, operands: { a, ...factor() } }) : a, x.shape);
  };
  const axes = rest.map((_, d) => lead.length + d);
  const definition = (t: Tensor, ...own: Tensor[]): Tensor => {
    const xhat = standardized(reshape(t, shape), axes, eps);
    const scaled = weight ? mul(xhat, reshape(at(own, 0), affine)) : xhat;
    return reshape(bias ? add(scaled, reshape(fromEnd(own, 1), affine)) : scaled, x.shape);
  };
  const differentiable = byDefinition(inputs, mixed(op, definition, 'first'));
  return record(op, inputs, seen(y, x.shape), [...saved, ...(bias ? [bias] : [])], rule, {
    onto: !!fused,
    push,
    differentiable,
  });
}

/**
 * Normalises over the last dimensions, which must have these `sizes`, as `torch.nn.functional.layer_norm`; weight and bias have that shape. Throws
 * InputError for other shapes.
 */
export const layerNorm = native(
  'layerNorm',
  function layerNorm(x: Tensor, sizes: number | Shape, options: AffineOptions = {}): Tensor {
    const op = 'layerNorm';
    checked(op, options, AFFINE);
    const { weight, bias } = options;
    requireFloats(op, { input: x, ...present({ weight, bias }) }, true);
    const normalizedShape = typeof sizes === 'number' ? [sizes] : sizes;
    checkShape(op, normalizedShape);
    const first = x.ndim - normalizedShape.length;
    if (normalizedShape.length === 0 || !sameShape(x.shape.slice(Math.max(0, first)), normalizedShape))
      throw inputError(op, 'the shapes do not fit', { input: x, normalizedShape }, 'The input ends with it.');
    requireShape(op, x, { weight, bias }, normalizedShape, `the normalised shape ${showShape(normalizedShape)}`);
    const [rows, n] = [size(x.shape.slice(0, first)), size(normalizedShape)];
    return normRows(op, x, [rows], [n], [n], [0], options);
  },
  'first',
);

/**
 * Normalises [N, C, …] over groups of C / `groups` neighbouring channels, as `torch.nn.functional.group_norm`; weight and bias are per channel
 * [C]. Throws InputError for other shapes.
 */
export const groupNorm = native(
  'groupNorm',
  function groupNorm(x: Tensor, groups: number, options: AffineOptions = {}): Tensor {
    const op = 'groupNorm';
    checked(op, options, AFFINE);
    const { weight, bias } = options;
    requireFloats(op, { input: x, ...present({ weight, bias }) }, true);
    if (x.ndim < 2) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …].');
    const { samples: N, channels: C, plane } = layoutOf(x);
    if (!Number.isInteger(groups) || groups < 1 || C % groups !== 0)
      throw inputError(op, `${C} channels cannot be divided into ${groups} groups`, { input: x }, 'Use a divisor.');
    requireShape(op, x, { weight, bias }, [C], `one value for each of the ${C} channels`);
    const perGroup = C / groups;
    return normRows(op, x, [N, groups], [perGroup, plane], [groups, perGroup, 1], [0, 3], options);
  },
  'first',
);
