// Values by their rank along a dimension, with their positions: extremes, medians, modes, running extremes. The gradient of a value goes to its position; that of
// a median or extreme of the whole tensor is shared evenly by ties.
import { at } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import { arange, full } from '../tensor/create';
import { isFloat } from '../tensor/dtype';
import { normalizeAxis } from '../tensor/shape';
import { requireTensors, strided, type Tensor } from '../tensor/tensor';
import { truncDiv } from './binary';
import { eq, isnan, logicalOr, maximum, ne, sub } from './elementwise';
import { gathered } from './gather';
import { concat } from './join';
import { mixed } from './mixed';
import { order } from './order';
import { argmax, argmin, max, min, sum } from './reduce';
import { scan } from './scan';
import type { Sorted } from './sort';
import { narrow, reshape, squeeze } from './views';
import { where } from './where';

/** The values at positions along an axis (size 1 there), both without that dimension unless it stays. */
function valuesAt(x: Tensor, axis: number, positions: Tensor, keepDim: boolean): Sorted {
  const values = gathered(null, x, axis, positions);
  return keepDim || !x.ndim
    ? { values, indices: positions }
    : { values: squeeze(values, axis), indices: squeeze(positions, axis) };
}

function axisOf(op: string, x: Tensor, dim: number): number {
  requireTensors(op, { input: x });
  const axis = normalizeAxis(op, dim, x.shape);
  if (x.shape[axis] === 0)
    throw inputError(op, `there is no ${op} of nothing`, { input: x }, 'The dimension has size 0.');
  return axis;
}

const extreme =
  (op: string, find: typeof argmax) =>
  (x: Tensor, dim: number, keepDim = false): Sorted => {
    const axis = axisOf(op, x, dim);
    return valuesAt(x, axis, find(x, axis, true), keepDim);
  };

/** The largest values along a dimension and their positions, of ties the first: `torch.max(x, dim)`. `max` and `amax` give the values alone, over several dimensions. */
export const maxWithIndices = extreme('maxWithIndices', argmax);

/** The smallest values along a dimension and their positions, of ties the first: `torch.min(x, dim)`. */
export const minWithIndices = extreme('minWithIndices', argmin);

/** Largest value over dimensions, by PyTorch's name: `max`. */
export const amax = max;

/** Smallest value over dimensions, by PyTorch's name: `min`. */
export const amin = min;

/** The smallest and the largest value, along a dimension or of all, as `torch.aminmax`. */
export function aminmax(x: Tensor, dim?: number | null, keepDim = false): { min: Tensor; max: Tensor } {
  return { min: min(x, dim, keepDim), max: max(x, dim, keepDim) };
}

/** The position of rank k (from 0) in each sorted line. */
const ranked = (sorted: Tensor, axis: number, k: number): Tensor => (sorted.ndim ? narrow(sorted, axis, k, 1) : sorted);

/** The k-th smallest values (k from 1) along a dimension, the last by default, and their positions, as `torch.kthvalue`. NaN is the largest. */
export function kthvalue(x: Tensor, k: number, dim = -1, keepDim = false): Sorted {
  const axis = axisOf('kthvalue', x, dim);
  const n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 1 || k > n)
    throw inputError('kthvalue', `k = ${k} of ${n} elements`, { input: x }, `Use 1 … ${n}.`);
  return valuesAt(x, axis, ranked(order(x, axis, false), axis, k - 1), keepDim);
}

/** Positions of the medians along an axis: of an even number of elements the lower one. Without `skip` a NaN is the median. */
function medianPositions(x: Tensor, axis: number, skip: boolean): Tensor {
  const n = x.shape[axis] ?? 1;
  const sorted = order(x, axis, false);
  if (!isFloat(x.dtype)) return ranked(sorted, axis, (n - 1) >> 1);
  // NaN comes last.
  const numbers = sub(n, sum(isnan(x), axis, true));
  const k = skip ? maximum(truncDiv(sub(numbers, 1), 2), 0) : where(eq(numbers, n), (n - 1) >> 1, numbers);
  return gathered(null, sorted, axis, k);
}

function medianAlong(op: string, x: Tensor, dim: number, keepDim: boolean, skip: boolean): Sorted {
  const axis = axisOf(op, x, dim);
  return valuesAt(x, axis, medianPositions(x, axis, skip), keepDim);
}

/** The median of all elements. */
function medianOfAll(x: Tensor, skip: boolean): Tensor {
  if (!x.size) return full([], isFloat(x.dtype) ? Number.NaN : -(2 ** 31), { dtype: x.dtype });
  const flat = reshape(x, [-1]);
  const value = valuesAt(strided(flat, flat.shape, flat.strides), 0, medianPositions(flat, 0, skip), true).values;
  if (!x.requiresGrad) return reshape(value, []);
  // As the largest of those that equal it, so that ties share its gradient.
  const equal = logicalOr(eq(flat, value), isnan(value));
  return max(where(equal, flat, Number.NEGATIVE_INFINITY));
}

/** The median of all elements, the lower one of an even number, as `torch.median(x)`; NaN where there is one. */
export function median(x: Tensor): Tensor;
/** The medians along a dimension and their positions, as `torch.median(x, dim)`. */
export function median(x: Tensor, dim: number, keepDim?: boolean): Sorted;
export function median(x: Tensor, dim?: number, keepDim = false): Tensor | Sorted {
  return dim === undefined ? medianOfAll(x, false) : medianAlong('median', x, dim, keepDim, false);
}

/** As `median`, of the elements that are not NaN: `torch.nanmedian`. */
export function nanmedian(x: Tensor): Tensor;
/** The medians along a dimension and their positions. */
export function nanmedian(x: Tensor, dim: number, keepDim?: boolean): Sorted;
export function nanmedian(x: Tensor, dim?: number, keepDim = false): Tensor | Sorted {
  return dim === undefined ? medianOfAll(x, true) : medianAlong('nanmedian', x, dim, keepDim, true);
}

/** Whether each element of the sorted values differs from the one before it along the axis. */
export function firsts(sorted: Tensor, axis: number): Tensor {
  const n = at(sorted.shape, axis);
  const head = full(sorted.shape.with(axis, Math.min(1, n)), 1, { dtype: 'bool' });
  return concat(
    [head, ne(narrow(sorted, axis, Math.min(1, n), Math.max(0, n - 1)), narrow(sorted, axis, 0, Math.max(0, n - 1)))],
    axis,
  );
}

/** The most frequent values along a dimension, the last by default, of equally frequent ones the smallest, and the last position of each, as `torch.mode`. */
export function mode(x: Tensor, dim = -1, keepDim = false): Sorted {
  const axis = axisOf('mode', x, dim);
  if (!x.ndim) return valuesAt(x, 0, full([], 0, { dtype: 'int32' }), keepDim);
  const sorted = order(x, axis, false);
  const values = gathered(null, strided(x, x.shape, x.strides), axis, sorted);
  const n = at(x.shape, axis);
  const place = reshape(
    arange(n),
    x.shape.map((_, d) => (d === axis ? n : 1)),
  );
  const starts = where(firsts(values, axis), place, 0);
  const begun = gathered(null, starts, axis, scan('argmax', starts, axis));
  // How long the run is up to each element: it is longest first at the end of the smallest of the most frequent values.
  const end = argmax(sub(place, begun), axis, true);
  return valuesAt(x, axis, gathered(null, sorted, axis, end), keepDim);
}

const running =
  (op: string, kind: 'argmax' | 'argmin') =>
  (x: Tensor, dim: number): Sorted => {
    requireTensors(op, { input: x });
    const axis = normalizeAxis(op, dim, x.shape);
    const indices = scan(kind, x, axis);
    return { values: gathered(null, x, axis, indices), indices };
  };

/** The largest values so far along a dimension and their positions, of ties the last, as `torch.cummax`. */
export const cummax = mixed('cummax', running('cummax', 'argmax'));

/** The smallest values so far along a dimension and their positions, of ties the last, as `torch.cummin`. */
export const cummin = mixed('cummin', running('cummin', 'argmin'));
