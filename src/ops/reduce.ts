// Reductions. `axes` is a dimension, a list of them, or left out for all; negative ones count from the end. With `keepDims` the reduced dimensions stay,
// with size 1.

import { at } from '../../shaders/checked';
import { byDefinition } from '../autograd/backward';
import { operation } from '../autograd/operation';
import { needsGradient, type Rule, record, recordLinear, sumOfAll } from '../autograd/tape';
import { inputError, requireNumbers } from '../tensor/context';
import { type DType, floatOf } from '../tensor/dtype';
import type { Expression } from '../tensor/elementwise';
import { contiguous, evaluate } from '../tensor/elementwise';
import { type Computed, reduce, restored } from '../tensor/reduce';
import { contiguousStrides, normalizeAxes, reducedShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { strided } from '../tensor/tensor';
import { expand, permute } from '../tensor/views';
import { add, mul } from './elementwise';
import { concat } from './join';
import { autocasting, mixed } from './mixed';
import { expression } from './operands';
import { scan } from './scan';
import { narrow, reshape } from './views';

/** A dimension, several, or all (null). */
export type Axes = number | readonly number[] | null;

/** What all reductions of a tensor over dimensions share. */
const over = (name: string, x: Tensor, axes: Axes | undefined, keepDims: boolean) => ({
  name,
  operands: { a: x },
  shape: x.shape,
  axes: normalizeAxes(name, axes, x.shape),
  keepDims,
});

/** The type that elements are reduced in as they are; booleans are counted. */
const countable = (x: Tensor): Computed => (x.dtype === 'bool' ? 'int32' : x.dtype);

/** Number of elements that one result is reduced from. */
const countOver = (x: Tensor, axes: readonly number[]): number => size(axes.map((axis) => at(x.shape, axis)));

function refuseEmpty(name: string, x: Tensor, axes: readonly number[]): void {
  if (axes.some((axis) => x.shape[axis] === 0))
    throw inputError(name, `there is no ${name} of nothing`, { input: x }, 'A reduced dimension has size 0.');
}

/** A reduced tensor repeated along the dimensions that were reduced, without a copy. */
const spreadOut = (y: Tensor, input: Tensor, axes: readonly number[]): Tensor =>
  expand(restored(y, input, axes), input.shape);

/** The gradient for `x` from an expression over tensors of its shape or reduced from it. */
const forInput = (
  name: string,
  x: Tensor,
  expression: string,
  operands: Record<string, Tensor>,
  scalars: Expression['scalars'] = [],
): Tensor =>
  evaluate({ name: `${name} gradient`, expression, operands, scalars, shape: x.shape, result: floatOf(x.dtype) });

/** What `recordReduced` needs of the gradient rule g ↦ g · slope, element by element. */
interface Slope {
  /** WGSL of g · slope in a (x), y (the result) and more. */
  text: string;
  scalars?: Expression['scalars'];
  /** Other operands, of x's shape or reduced: made when they are needed, or `saved` in the forward pass. */
  more?: Record<string, { of(): Tensor; saved?: Tensor }>;
  differentiable?: Rule;
}

/** Records a reduction with such a rule. Its push-forward is Σ slope · tangent over the same dimensions. */
function recordReduced(y: Tensor, x: Tensor, e: Over, slope: Slope): Tensor {
  if (!needsGradient(x)) return y;
  const { name, axes } = e;
  const { text, scalars = [], more = {} } = slope;
  const kept = reducedShape(x.shape, axes, true);
  /** Those operands that the text names; `make` gives the others. */
  const operands = (own: Record<string, Tensor>, make: (one: { of(): Tensor; saved?: Tensor }) => Tensor) => {
    const all = { ...own, ...Object.fromEntries(Object.entries(more).map(([key, one]) => [key, make(one)])) };
    return Object.fromEntries(Object.entries(all).filter(([key]) => new RegExp(`\\b${key}\\b`).test(text)));
  };
  const around = (g: Tensor) => operands({ a: x, y: restored(y, x, axes), g }, ({ of, saved }) => saved ?? of());
  const rule = (g: Tensor) => [forInput(name, x, text, around(restored(g, x, axes)), scalars)];
  const push = (t: Tensor | null) =>
    reduce({ ...e, name: `${name} tangent`, operands: around(sumOfAll(t)), reduction: 'sum', map: text, scalars });
  const recorded: Rule = (g) => {
    const all = operands({ a: x, y: reshape(y, kept), g: reshape(g, kept) }, ({ of }) => of());
    return [expression(`${name} gradient`, text, all, scalars, x.shape)];
  };
  const saved = Object.values(more).flatMap((one) => one.saved ?? []);
  return record(name, [x], y, [x, y, ...saved], rule, { push, differentiable: slope.differentiable ?? recorded });
}

/** Sum, as `torch.sum`. Integers stay integers (modulo 2³²), booleans are counted in int32. */
export const sum = autocasting('sum', function sum(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const e = over('sum', x, axes, keepDims);
  const summed = (a: Tensor) => reduce({ ...e, operands: { a }, reduction: 'sum', map: 'a', compute: countable(a) });
  return recordLinear('sum', x, summed, (g) => spreadOut(g, x, e.axes));
});

type Over = ReturnType<typeof over>;

const meanOver = (a: Tensor, e: Over, result: DType = 'float32'): Tensor => {
  const scalars = [1 / countOver(a, e.axes)];
  return reduce({ ...e, operands: { a }, reduction: 'sum', map: 'f32(a)', final: 'acc * s', scalars, result });
};

/** Mean, in float32, as `torch.mean`. */
export const mean = operation('mean', function mean(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const e = over('mean', x, axes, keepDims);
  const share = 1 / countOver(x, e.axes);
  const rule = (g: Tensor) => spreadOut(forInput('mean', g, 'g * s', { g }, [share]), x, e.axes);
  return recordLinear('mean', x, (t) => meanOver(t, e, floatOf(t.dtype)), rule);
});

function spread(name: 'var' | 'std', x: Tensor, axes: Axes | undefined, keepDims: boolean, correction: number): Tensor {
  requireNumbers(name, { correction });
  const e = over(name, x, axes, keepDims);
  const center = meanOver(x, { ...e, name: 'mean', keepDims: true });
  const share = 1 / Math.max(0, countOver(x, e.axes) - correction);
  const final = name === 'std' ? 'sqrt(acc * s)' : 'acc * s';
  const map = '(f32(a) - m) * (f32(a) - m)';
  const y = reduce({ ...e, reduction: 'sum', map, operands: { a: x, m: center }, final, scalars: [share] });
  return recordReduced(y, x, e, {
    text: name === 'var' ? 'g * s * (a - m)' : 'select(g * s * (a - m) / y, 0.0, y == 0.0)',
    scalars: [(name === 'var' ? 2 : 1) * share],
    more: { m: { of: () => mean(x, e.axes, true), saved: center } },
  });
}

/** Variance Σ(x − mean)² / (n − correction), as `torch.var`: unbiased with 1 (the default), biased with 0. Two passes. */
export const variance = mixed(
  'variance',
  (x: Tensor, axes?: Axes, keepDims = false, correction = 1): Tensor => spread('var', x, axes, keepDims, correction),
);

/** Standard deviation, as `torch.std`: the root of the variance. */
export const std = mixed(
  'std',
  (x: Tensor, axes?: Axes, keepDims = false, correction = 1): Tensor => spread('std', x, axes, keepDims, correction),
);

/** Product, as `torch.prod`. The gradient is right where factors are zero. */
export const prod = mixed('prod', function prod(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const e = over('prod', x, axes, keepDims);
  const y = reduce({ ...e, reduction: 'prod', map: 'a', compute: countable(x) });
  // The product of the other factors: of those before and those after, along the reduced dimensions as one.
  const others = (direction: { reverse?: boolean }) => () => {
    const rest = x.shape.map((_, i) => i).filter((i) => !e.axes.includes(i));
    const order = [...rest, ...e.axes];
    const flat = [countOver(x, rest), countOver(x, e.axes)];
    const matrix = strided(contiguous(permute(x, order)), flat, contiguousStrides(flat));
    const back = contiguousStrides(order.map((i) => at(x.shape, i)));
    const strides = x.shape.map((_, i) => at(back, order.indexOf(i)));
    return strided(scan('prod', matrix, 1, { exclusive: true, ...direction }), x.shape, strides);
  };
  return recordReduced(y, x, e, {
    text: 'g * before * after',
    more: { before: { of: others({}) }, after: { of: others({ reverse: true }) } },
    differentiable: byDefinition([x], (t) => reshape(e.axes.reduce(productTree, t), y.shape)),
  });
});

/** The product along a dimension, which stays with size 1, by halves: exact for zeros, and its derivatives too. */
function productTree(x: Tensor, axis: number): Tensor {
  const n = at(x.shape, axis);
  if (n < 2) return n ? x : add(sum(x, axis, true), 1); // of no factors: 1, which depends on x
  const half = n >> 1;
  const product = mul(narrow(x, axis, 0, half), narrow(x, axis, half, half));
  return productTree(n % 2 ? concat([product, narrow(x, axis, n - 1, 1)], axis) : product, axis);
}

/** How many elements are where the result `y` comes from, by the condition `equal` on a and y. */
const ties = (
  name: string,
  x: Tensor,
  equal: string,
  operands: Record<'a' | 'y', Tensor>,
  axes: readonly number[],
): Tensor => reduce({ name, reduction: 'sum', map: `f32(${equal})`, operands, shape: x.shape, axes, keepDims: true });

const extremeOver = (reduction: 'max' | 'min', x: Tensor, e: Over): Tensor =>
  reduce({ ...e, reduction, map: 'a', compute: countable(x), result: x.dtype });

function extreme(name: 'max' | 'min', x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  const e = over(name, x, axes, keepDims);
  refuseEmpty(name, x, e.axes);
  const y = extremeOver(name, x, e);
  return recordReduced(y, x, e, {
    text: 'select(select(0.0, g / n, a == y), y, isNan(y))',
    more: { n: { of: () => ties(name, x, 'a == y', { a: x, y: restored(y, x, e.axes) }, e.axes) } },
  });
}

/** Largest value, as `torch.amax`: the gradient is shared evenly by ties. Positions are `argmax`'s. Throws InputError where there is none. */
export const max = operation(
  'max',
  (x: Tensor, axes?: Axes, keepDims = false): Tensor => extreme('max', x, axes, keepDims),
);

/** Smallest value, as `torch.amin`. */
export const min = operation(
  'min',
  (x: Tensor, axes?: Axes, keepDims = false): Tensor => extreme('min', x, axes, keepDims),
);

const position = (name: 'argmax' | 'argmin') =>
  operation(name, (x: Tensor, axis?: number | null, keepDims = false): Tensor => {
    const e = over(name, x, axis, keepDims);
    refuseEmpty(name, x, e.axes);
    return reduce({ ...e, reduction: name, map: 'a', compute: countable(x) });
  });

/** Position (int32) of the first largest value along a dimension, or in the flattened tensor, as `torch.argmax`. */
export const argmax = position('argmax');

/** Position (int32) of the first smallest value along a dimension, or in the flattened tensor, as `torch.argmin`. */
export const argmin = position('argmin');

const truth = (name: 'any' | 'all') =>
  operation(name, (x: Tensor, axes?: Axes, keepDims = false): Tensor => {
    const map = x.dtype === 'bool' ? 'a' : '!(a == 0)'; // NaN counts as true
    const types = { compute: 'uint32', result: 'bool' } as const;
    const reduction = name === 'any' ? 'max' : 'min';
    return reduce({ ...over(name, x, axes, keepDims), reduction, map, final: 'acc > 0', ...types });
  });

/** Whether any element is non-zero, as `torch.any`: bool. */
export const any = truth('any');

/** Whether all elements are non-zero, as `torch.all`: bool. */
export const all = truth('all');

/** log Σ eˣ without overflow, as `torch.logsumexp`: the largest x is taken out first. */
export const logsumexp = mixed('logsumexp', function logsumexp(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const e = over('logsumexp', x, axes, keepDims);
  const y = countOver(x, e.axes) ? logOfSum(x, e) : reduce({ ...e, reduction: 'max', map: 'f32(a)' });
  return recordReduced(y, x, e, { text: 'g * exp(a - y)' });
});

function logOfSum(x: Tensor, e: Over): Tensor {
  const most = extremeOver('max', x, { ...e, name: 'max', keepDims: true });
  const finite = 'select(0.0, f32(m), isFinite(f32(m)))'; // all −∞, or a +∞: nothing to take out
  const map = `exp(f32(a) - ${finite})`;
  const rest = reduce({ ...e, reduction: 'sum', map, operands: { a: x, m: most }, keepDims: true });
  const operands = { a: rest, m: most };
  const y = evaluate({ name: e.name, expression: `log(a) + ${finite}`, operands, shape: rest.shape });
  const shape = reducedShape(x.shape, e.axes, e.keepDims);
  return strided(y, shape, contiguousStrides(shape));
}

/**
 * The p-norm (Σ|x|ᵖ)^(1/p), p = 2 by default, as `torch.linalg.vector_norm`: the largest |x| for ∞, the smallest for −∞, the number of non-zeros
 * for 0.
 */
export const norm = mixed('norm', function norm(x: Tensor, p = 2, axes?: Axes, keepDims = false): Tensor {
  requireNumbers('norm', { p });
  const e = over('norm', x, axes, keepDims);
  const y = normOver(x, p, e);
  if (p === 0) return recordReduced(y, x, e, { text: '0.0' });
  if (p === 1) return recordReduced(y, x, e, { text: 'g * signOf(a)' });
  if (p === 2) return recordReduced(y, x, e, { text: 'select(g * a / y, 0.0, y == 0.0)' });
  if (Math.abs(p) !== Infinity)
    return recordReduced(y, x, e, {
      text: 'select(g * signOf(a) * power(abs(a) / y, s - 1.0), 0.0, y == 0.0 || a == 0.0)',
      scalars: [p],
    });
  return recordReduced(y, x, e, {
    text: 'select(0.0, g * signOf(a) / n, abs(a) == y)',
    more: { n: { of: () => ties('norm', x, 'abs(a) == y', { a: x, y: restored(y, x, e.axes) }, e.axes) } },
  });
});

function normOver(x: Tensor, p: number, e: Over): Tensor {
  const common = { ...e, scalars: [p, 1 / p] };
  if (Math.abs(p) === Infinity) {
    refuseEmpty('norm', x, e.axes);
    return reduce({ ...common, reduction: p > 0 ? 'max' : 'min', map: 'abs(f32(a))' });
  }
  const [map, final] =
    p === 0
      ? ['f32(f32(a) != 0.0 || isNan(f32(a)))'] // drivers may compare as if there were no NaN
      : p === 1
        ? ['abs(f32(a))']
        : p === 2
          ? ['f32(a) * f32(a)', 'sqrt(acc)']
          : ['power(abs(f32(a)), s)', 'power(acc, t)'];
  return reduce({ ...common, reduction: 'sum', map, final });
}
