// Differentiable reductions. `axes` is a dimension, a list of them, or left out for all; negative ones count from the end.

import { needsGradient, record, recordLinear } from '../autograd/tape';
import { requireNumbers } from '../tensor/context';
import type { Expression } from '../tensor/elementwise';
import { contiguous, evaluate } from '../tensor/elementwise';
import type { Axes } from '../tensor/reduce';
import * as raw from '../tensor/reduce';
import { contiguousStrides, normalizeAxes } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { strided } from '../tensor/tensor';
import { expand, permute } from '../tensor/views';
import { scan } from './scan';

export type { Axes } from '../tensor/reduce';

/** A reduced tensor repeated along the dimensions that were reduced, without a copy. */
const spreadOut = (y: Tensor, input: Tensor, axes: readonly number[]): Tensor =>
  expand(raw.restored(y, input, axes), input.shape);

/** The gradient for `x` from an expression over tensors of its shape or reduced from it. */
const forInput = (
  name: string,
  x: Tensor,
  expression: string,
  operands: Record<string, Tensor>,
  scalars: Expression['scalars'] = [],
): Tensor => evaluate({ name: `${name} gradient`, expression, operands, scalars, shape: x.shape });

/** Sum. Integers stay integers (modulo 2³²), booleans are counted in int32. */
export function sum(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const over = normalizeAxes('sum', axes, x.shape);
  const summed = (t: Tensor) => raw.sum(t, over, keepDims);
  return recordLinear('sum', x, summed, (g) => spreadOut(g, x, over));
}

/** Mean, in float32. */
export function mean(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const over = normalizeAxes('mean', axes, x.shape);
  const share = 1 / raw.countOver(x, over);
  const averaged = (t: Tensor) => raw.mean(t, over, keepDims);
  return recordLinear('mean', x, averaged, (g) => spreadOut(forInput('mean', g, 'g * s', { g }, [share]), x, over));
}

function spread(name: 'var' | 'std', x: Tensor, axes: Axes | undefined, keepDims: boolean, correction: number): Tensor {
  requireNumbers(name, { correction });
  const over = normalizeAxes(name, axes, x.shape);
  const center = raw.mean(x, over, true);
  const y = raw.spread(name, x, center, over, keepDims, correction);
  const scale = (name === 'var' ? 2 : 1) / Math.max(0, raw.countOver(x, over) - correction);
  const expression = name === 'var' ? 'g * s * (a - m)' : 'select(g * s * (a - m) / y, 0.0, y == 0.0)';
  return record(name, [x], y, [x, center, y], (g) => {
    const operands = {
      a: x,
      m: center,
      g: raw.restored(g, x, over),
      ...(name === 'std' && { y: raw.restored(y, x, over) }),
    };
    return [forInput(name, x, expression, operands, [scale])];
  });
}

/** Variance Σ(x − mean)² / (n − correction): unbiased with 1 (as in PyTorch), biased with 0. Two passes. */
export const variance = (x: Tensor, axes?: Axes, keepDims = false, correction = 1): Tensor =>
  spread('var', x, axes, keepDims, correction);

/** Standard deviation: the root of the variance. */
export const std = (x: Tensor, axes?: Axes, keepDims = false, correction = 1): Tensor =>
  spread('std', x, axes, keepDims, correction);

/** Product. The gradient is right where factors are zero. */
export function prod(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const over = normalizeAxes('prod', axes, x.shape);
  const y = raw.prod(x, over, keepDims);
  if (!needsGradient(x)) return y;
  return record('prod', [x], y, [x], (g) => {
    // The product of the other factors: of those before and those after, along the reduced dimensions as one.
    const rest = x.shape.map((_, i) => i).filter((i) => !over.includes(i));
    const order = [...rest, ...over];
    const flat = [raw.countOver(x, rest), raw.countOver(x, over)];
    const matrix = strided(contiguous(permute(x, order)), flat, contiguousStrides(flat));
    const before = scan('prod', matrix, 1, { exclusive: true });
    const after = scan('prod', matrix, 1, { exclusive: true, reverse: true });
    const back = contiguousStrides(order.map((i) => x.shape[i]));
    const strides = x.shape.map((_, i) => back[order.indexOf(i)]);
    const operands = {
      g: raw.restored(g, x, over),
      before: strided(before, x.shape, strides),
      after: strided(after, x.shape, strides),
    };
    return [forInput('prod', x, 'g * before * after', operands)];
  });
}

/** How many elements are where the result `y` comes from, by the condition `equal` on a and y. */
const ties = (
  name: string,
  x: Tensor,
  equal: string,
  operands: Record<'a' | 'y', Tensor>,
  axes: readonly number[],
): Tensor =>
  raw.reduce({ name, reduction: 'sum', map: `f32(${equal})`, operands, shape: x.shape, axes, keepDims: true });

function extreme(name: 'max' | 'min', x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  const over = normalizeAxes(name, axes, x.shape);
  const y = raw.extreme(name, x, over, keepDims);
  return record(name, [x], y, [x, y], (g) => {
    const operands = { a: x, y: raw.restored(y, x, over) };
    const n = ties(name, x, 'a == y', operands, over);
    return [
      forInput(name, x, 'select(select(0.0, g / n, a == y), y, isNan(y))', {
        ...operands,
        g: raw.restored(g, x, over),
        n,
      }),
    ];
  });
}

/** Largest value, as `torch.amax`: the gradient is shared evenly by ties. Positions are `argmax`'s. */
export const max = (x: Tensor, axes?: Axes, keepDims = false): Tensor => extreme('max', x, axes, keepDims);

/** Smallest value, as `torch.amin`. */
export const min = (x: Tensor, axes?: Axes, keepDims = false): Tensor => extreme('min', x, axes, keepDims);

/** Position (int32) of the first largest value along a dimension, or in the flattened tensor. */
export const argmax = (x: Tensor, axis?: number | null, keepDims = false): Tensor =>
  raw.argExtreme('argmax', x, axis, keepDims);

/** Position (int32) of the first smallest value along a dimension, or in the flattened tensor. */
export const argmin = (x: Tensor, axis?: number | null, keepDims = false): Tensor =>
  raw.argExtreme('argmin', x, axis, keepDims);

/** Whether any element is non-zero. */
export const any = (x: Tensor, axes?: Axes, keepDims = false): Tensor => raw.truth('any', x, axes, keepDims);

/** Whether all elements are non-zero. */
export const all = (x: Tensor, axes?: Axes, keepDims = false): Tensor => raw.truth('all', x, axes, keepDims);

/** log Σ eˣ without overflow. */
export function logsumexp(x: Tensor, axes?: Axes, keepDims = false): Tensor {
  const over = normalizeAxes('logsumexp', axes, x.shape);
  const y = raw.logsumexp(x, over, keepDims);
  return record('logsumexp', [x], y, [x, y], (g) => {
    const operands = { a: x, y: raw.restored(y, x, over), g: raw.restored(g, x, over) };
    return [forInput('logsumexp', x, 'g * exp(a - y)', operands)];
  });
}

/** The p-norm (Σ|x|ᵖ)^(1/p), p = 2 by default; ∞, −∞ and 0 as in `torch.linalg.vector_norm`. */
export function norm(x: Tensor, p = 2, axes?: Axes, keepDims = false): Tensor {
  requireNumbers('norm', { p });
  const over = normalizeAxes('norm', axes, x.shape);
  const y = raw.norm(x, p, over, keepDims);
  return record('norm', [x], y, [x, y], (g) => {
    const operands = { a: x, y: raw.restored(y, x, over), g: raw.restored(g, x, over) };
    if (p === 0) return [forInput('norm', x, '0.0', {})];
    if (p === 1) return [forInput('norm', x, 'g * signOf(a)', { a: x, g: operands.g })];
    if (p === 2) return [forInput('norm', x, 'select(g * a / y, 0.0, y == 0.0)', operands)];
    if (Math.abs(p) === Infinity) {
      const n = ties('norm', x, 'abs(a) == y', { a: x, y: operands.y }, over);
      const expression = 'select(0.0, g * signOf(a) / n, abs(a) == y)';
      return [forInput('norm', x, expression, { ...operands, n })];
    }
    return [
      forInput('norm', x, 'select(g * signOf(a) * power(abs(a) / y, s - 1.0), 0.0, y == 0.0 || a == 0.0)', operands, [
        p,
      ]),
    ];
  });
}
