// Differentiable views and rearrangements. Views share memory with their input; the gradient of a view is a view of the gradient wherever
// strides allow.

import { at, mapTuple } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import { record, recordLinear, SYMMETRIC } from '../autograd/tape';
import { inputError, requireIntegers } from '../tensor/context';
import { copy } from '../tensor/elementwise';
import { sumTo } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import {
  broadcastShapes,
  checkShape,
  existingAxis,
  normalizeAxes,
  normalizeAxis,
  reducedShape,
  requireList,
  sameShape,
  size,
} from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import type { Steps } from '../tensor/views';
import * as raw from '../tensor/views';
import { resolveRange, type SliceIndex } from './ranges';

export type { Range, SliceIndex } from './ranges';

/** Resolves a −1 in a wanted shape, and checks that the number of elements stays. */
function resolveShape(op: string, x: Tensor, shape: Shape): number[] {
  if (!Array.isArray(shape)) throw inputError(op, `a shape is a list of whole numbers, got ${String(shape)}`);
  const unknown = shape.indexOf(-1);
  const known = shape.reduce((product, n, i) => (i === unknown ? product : product * n), 1);
  const filled = shape.map((n, i) => (i === unknown ? x.size / known : n));
  if (filled.some((n) => !Number.isInteger(n) || n < 0) || size(filled) !== x.size)
    throw inputError(
      op,
      `${x.size} elements do not fill the new shape`,
      { input: x, wanted: shape },
      'One −1 stands for what is left over.',
    );
  return filled;
}

/** As `torch.reshape`: the same elements in row-major order in another shape; one −1 is computed. A view where strides allow, else a copy. */
export const reshape = operation('reshape', function reshape(x: Tensor, shape: Shape): Tensor {
  const to = resolveShape('reshape', x, shape);
  checkShape('reshape', to);
  const reshaped = (t: Tensor) => raw.reshape(t, to);
  return recordLinear('reshape', x, reshaped, (g) => raw.reshape(g, x.shape));
});

/** The same memory in another shape, as PyTorch's `view`: refused where only a copy could have it. `x.view([2, -1])` or `x.view(2, -1)`. */
export function view(x: Tensor, ...shape: number[] | [Shape]): Tensor {
  const wanted = typeof shape[0] === 'object' ? shape[0] : (shape as number[]);
  if (!Array.isArray(wanted) || (wanted === shape[0] && shape.length > 1))
    throw inputError(
      'view',
      'a shape is needed, and nothing besides',
      { input: x },
      'x.view([2, -1]) or x.view(2, -1).',
    );
  const to = resolveShape('view', x, wanted);
  if (!raw.viewStrides(x.shape, x.strides, to))
    throw inputError(
      'view',
      'the elements do not lie in memory in the order of the new shape',
      { input: x, wanted: to },
      'reshape() copies them where it must.',
    );
  return reshape(x, to);
}

/** Dimensions in another order: dimension i of the result is dimension `order[i]` of x. A view. */
export const permute = operation('permute', function permute(x: Tensor, order: readonly number[]): Tensor {
  const to = requireList('permute', order).map((axis) => normalizeAxis('permute', axis, x.shape));
  if (to.length !== x.ndim || new Set(to).size !== x.ndim)
    throw inputError(
      'permute',
      `the order [${order.join(', ')}] does not fit`,
      { input: x },
      `Name each of the ${x.ndim} dimensions once.`,
    );
  const back = to.map((_, i) => to.indexOf(i));
  const permuted = (t: Tensor) => raw.permute(t, to);
  return recordLinear('permute', x, permuted, (g) => raw.permute(g, back));
});

/** Swaps two dimensions, by default the last two. A view. */
export function transpose(x: Tensor, first = -2, second = -1): Tensor {
  const order = x.shape.map((_, i) => i);
  const [a, b] = mapTuple([first, second], (axis) => normalizeAxis('transpose', axis, x.shape));
  if (x.ndim) [order[a], order[b]] = [b, a];
  return permute(x, order);
}

/** Without the dimensions of size 1: those given (which must have size 1), or all. A view. */
export function squeeze(x: Tensor, axes?: number | readonly number[]): Tensor {
  const drop =
    axes === undefined
      ? x.shape.map((_, i) => i).filter((i) => x.shape[i] === 1)
      : normalizeAxes('squeeze', axes, x.shape);
  const wide = drop.find((i) => x.shape[i] !== 1);
  if (wide !== undefined)
    throw inputError(
      'squeeze',
      `dimension ${wide} has size ${x.shape[wide]}`,
      { input: x },
      'Only dimensions of size 1 can go; select(axis, index) takes one position.',
    );
  return reshape(x, reducedShape(x.shape, drop, false));
}

/** With a new dimension of size 1 at `axis`; negative ones count from the end of the result. A view. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis('unsqueeze', axis, [...x.shape, 1]);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Dimensions `start` … `end` as one. */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  const from = normalizeAxis('flatten', start, x.shape);
  const to = normalizeAxis('flatten', end, x.shape);
  if (from > to) throw inputError('flatten', `dimension ${start} comes after dimension ${end}`, { input: x });
  return reshape(x, [...x.shape.slice(0, from), size(x.shape.slice(from, to + 1)), ...x.shape.slice(to + 1)]);
}

/** Repeats dimensions of size 1 (and new leading ones) up to `shape`, without a copy; −1 keeps a size. */
export const expand = operation('expand', function expand(x: Tensor, shape: Shape): Tensor {
  const lead = requireList('expand', shape).length - x.ndim;
  const to = shape.map((n, i) => (n === -1 && i >= lead ? at(x.shape, i - lead) : n));
  checkShape('expand', to);
  if (lead < 0 || !sameShape(broadcastShapes('expand', x.shape, to), to))
    throw inputError('expand', 'only dimensions of size 1 can be repeated', { input: x, wanted: shape });
  const expanded = (t: Tensor) => raw.expand(t, to);
  return recordLinear('expand', x, expanded, (g) => sumTo(g, x.shape));
});

/** `x` repeated as a whole, `repeats[i]` times along dimension i, as `torch.tile`. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  if (requireList('tile', repeats).some((n) => !Number.isInteger(n) || n < 0))
    throw inputError('tile', `repeats are [${repeats.join(', ')}]`, { input: x }, 'Use integers of at least 0.');
  const rank = Math.max(x.ndim, repeats.length);
  const sizes = [...new Array<number>(rank - x.ndim).fill(1), ...x.shape];
  const times = [...new Array<number>(rank - repeats.length).fill(1), ...repeats];
  return times.reduce((y, count, axis) => (count === 1 ? y : repeated(y, axis, count)), reshape(x, sizes));
}

/** One dimension repeated: through three dimensions, so that tensors of any rank can be. */
function repeated(x: Tensor, axis: number, count: number): Tensor {
  const [outer, inner] = [size(x.shape.slice(0, axis)), size(x.shape.slice(axis))];
  const wide = expand(reshape(x, [outer, 1, inner]), [outer, count, inner]);
  return reshape(wide, x.shape.with(axis, at(x.shape, axis) * count));
}

/** The elements in the opposite order along dimensions (all by default). A view. */
export const flip = operation('flip', function flip(x: Tensor, axes?: number | readonly number[]): Tensor {
  const over = normalizeAxes('flip', axes, x.shape);
  const steps = x.shape.map((count, i) =>
    over.includes(i) ? { start: Math.max(0, count - 1), count, step: -1 } : { start: 0, count, step: 1 },
  );
  const flipped = (t: Tensor) => raw.slice(t, steps);
  return recordLinear('flip', x, flipped, flipped);
});

/**
 * A part of a tensor, one index a dimension from the first: `{ start, stop, step }` as in Python (also negative), null for all, or a
 * number, which drops the dimension: `slice(x, [0, null, { step: 2 }])` is `x[0, :, ::2]`. A view.
 */
export const slice = (x: Tensor, indices: readonly SliceIndex[]): Tensor => sliced('slice', x, indices);

function sliced(op: string, x: Tensor, indices: readonly SliceIndex[]): Tensor {
  if (!Array.isArray(indices))
    throw inputError(
      op,
      `the indices are ${String(indices)}`,
      { input: x },
      'Give a list, an index for each dimension.',
    );
  if (indices.length > x.ndim)
    throw inputError(
      op,
      `${indices.length} indices for ${x.ndim} dimensions`,
      { input: x },
      'Give at most one for each dimension.',
    );
  const part = sliceSteps(
    x,
    x.shape.map((_, i) => resolveRange(op, x, i, indices[i] ?? null)),
  );
  const left = part.shape.filter((_, i) => typeof indices[i] !== 'number');
  return left.length < x.ndim ? reshape(part, left) : part;
}

/** The elements at `steps` of each dimension. A view. */
export const sliceSteps = operation('slice', function sliceSteps(x: Tensor, steps: readonly Steps[]): Tensor {
  const part = (t: Tensor) => raw.slice(t, steps);
  return recordLinear('slice', x, part, (g) => raw.embed('slice gradient', g, x.shape, steps));
});

/** `length` elements from `start` along a dimension. A view. */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
  const along = existingAxis('narrow', axis, x.shape);
  const n = at(x.shape, along);
  requireIntegers('narrow', { start, length });
  if (start < 0 || length < 0 || start + length > n)
    throw inputError(
      'narrow',
      `elements ${start} … ${start + length - 1} of dimension ${along}, which has size ${n}`,
      { input: x },
      'The arguments are axis, start, length.',
    );
  return sliceSteps(x, raw.stepsFrom(start, along, x.shape.with(along, length)));
}

/** One position along a dimension, which is dropped: `x[:, index]` for axis 1. A view. */
export function select(x: Tensor, axis: number, index: number): Tensor {
  const at = existingAxis('select', axis, x.shape);
  requireIntegers('select', { index });
  return sliced('select', x, [...new Array<null>(at).fill(null), index]);
}

/** A copy with memory of its own. */
export const clone = operation(
  'clone',
  (x: Tensor): Tensor => record('clone', [x], copy(x), [], (g) => [g], { push: SYMMETRIC, differentiable: (g) => [g] }),
);

/** The tensor itself when it is contiguous, else a contiguous copy. */
export const contiguous = (x: Tensor): Tensor => (x.isContiguous ? x : clone(x));
