// Stable sorting, with positions. What a value receives as its gradient goes back to where it came from.
import { recordLinear } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { copy, evaluate } from '../tensor/elementwise';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { strided } from '../tensor/tensor';
import { pick, scatterInto } from './gather';
import { mixed } from './mixed';
import { order } from './order';

/** Values and where they came from. */
export interface Sorted {
  /** The elements in their new order, of the dtype of the input. */
  values: Tensor;
  /** Positions along the sorted dimension (int32). */
  indices: Tensor;
}

/** Options of `sort` and `argsort`. */
export interface SortOptions {
  /** The dimension to sort along (default the last). */
  dim?: number;
  /** The largest first (default false). */
  descending?: boolean;
  /** Sorting is stable in any case. */
  stable?: boolean;
}

const SORT: OptionTable<SortOptions> = { dim: is.number, descending: is.flag, stable: is.flag };

/** Recorded values of x at `indices` along an axis, each at most once. */
function picked(x: Tensor, axis: number, indices: Tensor): Sorted {
  const back = (g: Tensor) => {
    const dx = evaluate({ name: 'sort', expression: '0.0', operands: {}, shape: x.shape });
    scatterInto(dx, axis, indices, g);
    return dx;
  };
  return { values: recordLinear('sort', x, (t) => pick(t, axis, indices, null), back, [indices]), indices };
}

/**
 * Values in ascending order along `dim` (the last), and where they stood (int32), as `torch.sort`. Stable; NaN counts as the largest, as in
 * PyTorch.
 */
export const sort = mixed('sort', function sort(x: Tensor, options: SortOptions = {}): Sorted {
  const { dim = -1, descending = false } = checked('sort', options, SORT);
  return picked(x, normalizeAxis('sort', dim, x.shape), order(x, dim, descending));
});

/** Positions (int32) that sort x along `dim`, as `torch.argsort`. */
export const argsort = mixed('argsort', function argsort(x: Tensor, options: SortOptions = {}): Tensor {
  const { dim = -1, descending = false } = checked('argsort', options, SORT);
  return order(x, dim, descending);
});

/** As `sort` along dimension 0, the values alone: `torch.msort`. */
export const msort = (x: Tensor): Tensor => sort(x, { dim: 0 }).values;

/** Options of `topk`. */
export interface TopkOptions {
  /** The dimension to choose along (default the last). */
  dim?: number;
  /** The k largest, or with false the k smallest (default true). */
  largest?: boolean;
  /** The results are sorted in any case. */
  sorted?: boolean;
}

const TOPK: OptionTable<TopkOptions> = { dim: is.number, largest: is.flag, sorted: is.flag };

/** The k largest (or smallest) along `dim` with their positions, the most extreme first, as `torch.topk`. */
export const topk = mixed('topk', function topk(x: Tensor, k: number, options: TopkOptions = {}): Sorted {
  const { dim = -1, largest = true } = checked('topk', options, TOPK);
  const axis = normalizeAxis('topk', dim, x.shape);
  const n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > n)
    throw inputError('topk', `k = ${k} of ${n} elements along dimension ${dim}`, { input: x }, `Use 0 … ${n}.`);
  const all = order(x, axis, largest);
  const first = strided(all, axis < x.ndim ? all.shape.with(axis, k) : all.shape, all.strides);
  return picked(x, axis, copy(first));
});
