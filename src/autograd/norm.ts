// Batch, layer and group normalisation with gradients.
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { contiguous, evaluate } from '../tensor/elementwise';
import type { BatchNormOptions } from '../tensor/norm';
import * as raw from '../tensor/norm';
import { reduce } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { checkShape, contiguousStrides, sameShape, showShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { present, requireFloats, requireShape, strided } from '../tensor/tensor';
import type { PushForward, Rule } from './tape';
import { record } from './tape';

const AFFINE: OptionTable<AffineOptions> = { weight: is.tensor, bias: is.tensor, eps: is.number };
const BATCH_NORM: OptionTable<BatchNormOptions> = {
  ...AFFINE,
  runningMean: is.tensor,
  runningVar: is.tensor,
  training: is.flag,
  momentum: either(is.number, is.object),
  activation: word('relu'),
};

/**
 * y = (x − mean) / √(variance + eps) · weight + bias for each channel of x [N, C, …], as `torch.nn.functional.batch_norm`.
 * In training with the mean and biased variance of the batch, and the running statistics are moved on the GPU:
 * running = (1 − momentum) · running + momentum · batch, with the unbiased variance. Otherwise with the running statistics.
 * `activation: 'relu'` is fused. Throws InputError for wrong shapes, and in training for a single value per channel.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  checked('batchNorm', options, BATCH_NORM);
  const { weight, bias, training, activation } = options;
  const { y, stats } = raw.batchNorm(x, options);
  const inputs = weight && bias ? [x, weight, bias] : [x];
  const rule: Rule = (gradient, needs) => {
    const { dx, dWeight, dBias } = raw.batchNormGradient(gradient, x, stats, { training, activation }, needs[0]);
    return [dx, dWeight, dBias];
  };
  // The Jacobian of the norm is symmetric, that of the activation stands in front of it.
  const push: PushForward = (t, ...affine) => {
    const a = raw.batchNormGradient(onlyInput('batchNorm', t, affine), x, stats, { training }).dx!;
    const through = { name: 'batchNorm tangent', expression: 'select(a, 0.0, y <= 0.0)', shape: y.shape };
    return activation ? evaluate({ ...through, operands: { a, y } }) : a;
  };
  return record('batchNorm', inputs, y, [x, stats], rule, { push });
}

/** The tangent of a norm's input; of weight and bias there is no rule. */
function onlyInput(op: string, tangent: Tensor | null, others: readonly (Tensor | null)[]): Tensor {
  if (tangent && !others.some(Boolean)) return tangent;
  throw inputError('jvp', `of ${op} only the derivative for its input is known, not for weight and bias`);
}

export interface AffineOptions {
  weight?: Tensor | null;
  bias?: Tensor | null;
  /** Added to the variance: 1e-5 by default. */
  eps?: number;
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
  // Made again for each use: a copy of a strided weight is not saved with the node, the weight is.
  const factor = () => weight && { w: seen(weight, affine) };
  const [w, b] = [factor(), bias && { b: seen(bias, affine) }];
  const { y: xhat, stats } = raw.normalizeRows(x, size(lead), eps);
  const operands = { a: seen(xhat, shape), ...w, ...b };
  const expression = `a${w ? ' * w' : ''}${b ? ' + b' : ''}`;
  const y = w || b ? evaluate({ name: op, expression, operands, shape }) : xhat;
  const inputs = [x, weight, bias].filter((t) => !!t);
  const saved = weight ? [x, stats, weight] : [x, stats];
  const rule: Rule = (gradient, needs) => {
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
      seen(reduce({ name: op, reduction: 'sum', map, operands: { g, ...more }, shape, axes: shared }), like.shape);
    const grads: (Tensor | false)[] = [needs[0] && seen(raw.normalizeRowsGradient(scaled, x, stats), x.shape)];
    if (weight) grads.push(needs[1] && sum('g * (a - m) * r', { a: seen(x, shape), m: row(0), r: row(1) }, weight));
    if (bias) grads.push(needs[inputs.length - 1] && sum('g', {}, bias));
    return grads;
  };
  const push: PushForward = (t, ...affine_) => {
    const a = seen(raw.normalizeRowsGradient(onlyInput(op, t, affine_), x, stats), shape);
    const e = { name: `${op} tangent`, expression: 'a * w', shape };
    return seen(w ? evaluate({ ...e, operands: { a, ...factor() } }) : a, x.shape);
  };
  return record(op, inputs, seen(y, x.shape), saved, rule, { push });
}

/** Normalises over the last dimensions, which must have these `sizes`; weight and bias have that shape. */
export function layerNorm(x: Tensor, sizes: number | Shape, options: AffineOptions = {}): Tensor {
  const op = 'layerNorm';
  checked(op, options, AFFINE);
  const { weight, bias } = options;
  requireFloats(op, { input: x, ...present({ weight, bias }) });
  const normalizedShape = typeof sizes === 'number' ? [sizes] : sizes;
  checkShape(op, normalizedShape);
  const at = x.ndim - normalizedShape.length;
  if (normalizedShape.length === 0 || !sameShape(x.shape.slice(Math.max(0, at)), normalizedShape))
    throw inputError(op, 'the shapes do not fit', { input: x, normalizedShape }, 'The input ends with it.');
  requireShape(op, x, { weight, bias }, normalizedShape, `the normalised shape ${showShape(normalizedShape)}`);
  const [rows, n] = [size(x.shape.slice(0, at)), size(normalizedShape)];
  return normRows(op, x, [rows], [n], [n], [0], options);
}

/** Normalises [N, C, …] over groups of C / `groups` neighbouring channels; weight and bias are per channel [C]. */
export function groupNorm(x: Tensor, groups: number, options: AffineOptions = {}): Tensor {
  const op = 'groupNorm';
  checked(op, options, AFFINE);
  const { weight, bias } = options;
  requireFloats(op, { input: x, ...present({ weight, bias }) });
  const [N, C] = x.shape;
  if (x.ndim < 2) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …].');
  if (!Number.isInteger(groups) || groups < 1 || C % groups !== 0)
    throw inputError(op, `${C} channels cannot be divided into ${groups} groups`, { input: x }, 'Use a divisor.');
  requireShape(op, x, { weight, bias }, [C], `one value for each of the ${C} channels`);
  const perGroup = C / groups;
  return normRows(op, x, [N, groups], [perGroup, size(x.shape.slice(2))], [groups, perGroup, 1], [0, 3], options);
}
