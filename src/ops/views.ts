// Differentiable views and rearrangements. Views share memory with their input; the gradient of a view is a view of the gradient wherever
// strides allow.

import type { PushForward, Rule } from '../autograd/tape';
import { record, recordLinear, SYMMETRIC } from '../autograd/tape';
import { checked, is } from '../gpu/options';
import { inputError, requireIntegers, requireNumbers } from '../tensor/context';
import { zeros } from '../tensor/create';
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
  sameShape,
  size,
} from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import type { SliceIndex, Steps } from '../tensor/views';
import * as raw from '../tensor/views';

export type { Range, SliceIndex } from '../tensor/views';

/** The same elements in row-major order in another shape; one −1 is computed. A view where strides allow, else a copy. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const to = raw.resolveShape('reshape', x, shape);
  checkShape('reshape', to);
  const reshaped = (t: Tensor) => raw.reshape(t, to);
  return recordLinear('reshape', x, reshaped, (g) => raw.reshape(g, x.shape));
}

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
  const to = raw.resolveShape('view', x, wanted);
  if (!raw.viewStrides(x.shape, x.strides, to))
    throw inputError(
      'view',
      'the elements do not lie in memory in the order of the new shape',
      { input: x, wanted: to },
      'reshape() copies them where it must.',
    );
  return reshape(x, to);
}

/** Refuses what is no list of numbers where an operation takes one. */
function listOf(op: string, list: readonly number[]): readonly number[] {
  if (Array.isArray(list)) return list;
  throw inputError(op, `a list of whole numbers was expected, got ${String(list)}`);
}

/** Dimensions in another order: dimension i of the result is dimension `order[i]` of x. A view. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const to = listOf('permute', order).map((axis) => normalizeAxis('permute', axis, x.shape));
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
}

/** Swaps two dimensions, by default the last two. A view. */
export function transpose(x: Tensor, first = -2, second = -1): Tensor {
  const order = x.shape.map((_, i) => i);
  const [a, b] = [first, second].map((axis) => normalizeAxis('transpose', axis, x.shape));
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
export function expand(x: Tensor, shape: Shape): Tensor {
  const lead = listOf('expand', shape).length - x.ndim;
  const to = shape.map((n, i) => (n === -1 && i >= lead ? x.shape[i - lead] : n));
  checkShape('expand', to);
  if (lead < 0 || !sameShape(broadcastShapes('expand', x.shape, to), to))
    throw inputError('expand', 'only dimensions of size 1 can be repeated', { input: x, wanted: shape });
  const expanded = (t: Tensor) => raw.expand(t, to);
  return recordLinear('expand', x, expanded, (g) => sumTo(g, x.shape));
}

/** `x` repeated as a whole, `repeats[i]` times along dimension i, as `torch.tile`. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  if (listOf('tile', repeats).some((n) => !Number.isInteger(n) || n < 0))
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
  return reshape(wide, x.shape.with(axis, x.shape[axis] * count));
}

/** The elements in the opposite order along dimensions (all by default). A view. */
export function flip(x: Tensor, axes?: number | readonly number[]): Tensor {
  const over = normalizeAxes('flip', axes, x.shape);
  const flipped = (t: Tensor) => raw.flip(t, over);
  return recordLinear('flip', x, flipped, flipped);
}

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
    x.shape.map((_, i) => raw.resolveRange(op, x, i, indices[i] ?? null)),
  );
  const left = part.shape.filter((_, i) => typeof indices[i] !== 'number');
  return left.length < x.ndim ? reshape(part, left) : part;
}

function sliceSteps(x: Tensor, steps: readonly Steps[]): Tensor {
  const part = (t: Tensor) => raw.slice(t, steps);
  return recordLinear('slice', x, part, (g) => raw.embed('slice gradient', g, x.shape, steps));
}

/** `length` elements from `start` along a dimension. A view. */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
  const at = existingAxis('narrow', axis, x.shape);
  requireIntegers('narrow', { start, length });
  if (start < 0 || length < 0 || start + length > x.shape[at])
    throw inputError(
      'narrow',
      `elements ${start} … ${start + length - 1} of dimension ${at}, which has size ${x.shape[at]}`,
      { input: x },
      'The arguments are axis, start, length.',
    );
  const shape = x.shape.map((n, i) => (i === at ? length : n));
  return sliceSteps(x, raw.stepsFrom(start, at, shape));
}

/** One position along a dimension, which is dropped: `x[:, index]` for axis 1. A view. */
export function select(x: Tensor, axis: number, index: number): Tensor {
  const at = existingAxis('select', axis, x.shape);
  requireIntegers('select', { index });
  return sliced('select', x, [...new Array<null>(at).fill(null), index]);
}

/** Joins tensors along a dimension; all other dimensions agree. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const at = raw.checkJoin('concat', tensors, axis);
  const tangentOf = (t: Tensor | null, i: number) => t ?? zeros(tensors[i].shape);
  const push: PushForward = (...tangents) => raw.concat(tangents.map(tangentOf), at);
  const rule: Rule = (g, needs) => {
    let end = 0;
    return tensors.map((t, k) => {
      end += t.shape[at];
      return needs[k] && raw.slice(g, raw.stepsFrom(end - t.shape[at], at, t.shape));
    });
  };
  return record('concat', tensors, raw.concat(tensors, at), [], rule, { push });
}

/** Joins tensors of the same shape along a new dimension. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (!tensors.length) throw inputError('stack', 'an empty list of tensors', {}, 'Give at least one.');
  const odd = tensors.findIndex((t) => !sameShape(t.shape, tensors[0].shape));
  if (odd > 0)
    throw inputError(
      'stack',
      'tensors of different shapes',
      { 'tensor 0': tensors[0], [`tensor ${odd}`]: tensors[odd] },
      'concat joins along a dimension that is there.',
    );
  return concat(
    tensors.map((t) => unsqueeze(t, axis)),
    axis < 0 ? axis : normalizeAxis('stack', axis, [...tensors[0].shape, 1]),
  );
}

/** Parts along a dimension: of `sizes` elements each (the last may be shorter), or of the listed sizes. Views. */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
  const at = existingAxis('split', axis, x.shape);
  const length = x.shape[at];
  if (typeof sizes === 'number' && !(Number.isInteger(sizes) && sizes > 0))
    throw inputError('split', `parts of ${sizes} elements`, { input: x }, 'Use a positive integer.');
  const list =
    typeof sizes === 'number'
      ? Array.from({ length: Math.max(1, Math.ceil(length / sizes)) }, (_, i) => Math.min(sizes, length - i * sizes))
      : listOf('split', sizes);
  const total = list.reduce((sum, n) => sum + n, 0);
  if (total !== length)
    throw inputError(
      'split',
      `parts of [${list.join(', ')}] are ${total} elements, dimension ${at} has ${length}`,
      { input: x },
      'A single number makes parts of that size, and a shorter last one.',
    );
  let start = 0;
  return list.map((n) => {
    const part = narrow(x, at, start, n);
    start += n;
    return part;
  });
}

/** At most `chunks` parts of equal size along a dimension, the last may be shorter, as `torch.chunk`. Views. */
export function chunk(x: Tensor, chunks: number, axis = 0): Tensor[] {
  const at = existingAxis('chunk', axis, x.shape);
  if (!(Number.isInteger(chunks) && chunks > 0)) throw inputError('chunk', `${chunks} parts`, { input: x });
  return split(x, Math.max(1, Math.ceil(x.shape[at] / chunks)), at);
}

/** 'reflect' mirrors without repeating the border, 'symmetric' with it; 'edge' (or 'replicate') repeats it; 'wrap' (or 'circular') goes round. */
export type PadMode = 'constant' | 'reflect' | 'symmetric' | 'edge' | 'replicate' | 'wrap' | 'circular';

/**
 * Adds elements before and after each dimension: `amounts[i]` = [before, after] of dimension i, in the order of the dimensions.
 * 'constant' adds `value`, the other modes repeat what is there.
 */
export function pad(
  x: Tensor,
  amounts: readonly (readonly [number, number])[],
  options: { mode?: PadMode; value?: number } = {},
): Tensor {
  const { mode = 'constant', value = 0 } = checked('pad', options, { mode: is.text, value: is.number });
  requireNumbers('pad', { value });
  if (!Array.isArray(amounts) || amounts.length !== x.ndim || amounts.flat().some((n) => !Number.isInteger(n) || n < 0))
    throw inputError(
      'pad',
      `the amounts are ${JSON.stringify(amounts)}`,
      { input: x },
      `Give [before, after] for each of ${x.ndim} dimensions, integers of at least 0.`,
    );
  if (mode !== 'constant')
    return amounts.reduce((y, [before, after], axis) => padAxis(y, axis, before, after, mode), x);
  const steps = x.shape.map((count, i) => ({ start: amounts[i][0], count, step: 1 }));
  const shape = x.shape.map((n, i) => n + amounts[i][0] + amounts[i][1]);
  return record('pad', [x], raw.embed('pad', x, shape, steps, value), [], (g) => [raw.slice(g, steps)], {
    push: (t) => raw.embed('pad', t!, shape, steps, 0),
  });
}

function padAxis(x: Tensor, axis: number, before: number, after: number, mode: PadMode): Tensor {
  if (!before && !after) return x;
  const n = x.shape[axis];
  const most = mode === 'reflect' ? n - 1 : mode === 'edge' || mode === 'replicate' ? (n ? Infinity : 0) : n;
  if (Math.max(before, after) > most)
    throw inputError(
      'pad',
      `mode '${mode}' cannot add ${Math.max(before, after)} elements to dimension ${axis} of size ${n}`,
      { input: x },
      `At most ${most} on a side.`,
    );
  const part = (start: number, count: number) => narrow(x, axis, start, count);
  const repeated = (start: number, count: number) => expand(part(start, 1), x.shape.with(axis, count));
  const skip = mode === 'reflect' ? 1 : 0;
  const sides: Record<string, () => [Tensor, Tensor]> = {
    mirror: () => [flip(part(skip, before), axis), flip(part(n - skip - after, after), axis)],
    edge: () => [repeated(0, before), repeated(n - 1, after)],
    wrap: () => [part(n - before, before), part(0, after)],
  };
  const [front, back] =
    sides[
      mode === 'edge' || mode === 'replicate' ? 'edge' : mode === 'wrap' || mode === 'circular' ? 'wrap' : 'mirror'
    ]();
  return concat([front, x, back], axis);
}

/** A copy with memory of its own. */
export const clone = (x: Tensor): Tensor => record('clone', [x], copy(x), [], (g) => [g], { push: SYMMETRIC });

/** The tensor itself when it is contiguous, else a contiguous copy. */
export const contiguous = (x: Tensor): Tensor => (x.isContiguous ? x : clone(x));
