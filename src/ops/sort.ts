// Stable sorting, with positions. What a value receives as its gradient goes back to where it came from.
import type { Kernel } from '../../shaders/kernel';
import type { SortType } from '../../shaders/sort';
import { sortByRank, sortOrder, sortPairs, sortPass } from '../../shaders/sort';
import { record } from '../autograd/tape';
import { device } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { wgslType } from '../tensor/dtype';
import { bind, contiguous, copy, evaluate } from '../tensor/elementwise';
import { linesAlong, normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, strided } from '../tensor/tensor';
import { pick, scatterInto } from './gather';

/** Lines up to this length count ranks. */
const RANK_LIMIT = 1024;

/** Positions (int32) of the elements along `dim` in sorted order; NaN counts as the largest, equal values keep their order. */
export function order(x: Tensor, dim: number, descending: boolean): Tensor {
  const { lines, n, inner } = linesAlong(x.shape, normalizeAxis('sort', dim, x.shape));
  const source = contiguous(x);
  const y = empty('sort', x.shape, 'int32');
  const natural = wgslType(x.dtype);
  const type: SortType = natural === 'bool' ? 'u32' : natural;
  const run = (kernel: Kernel, buffers: Tensor[], threads: number, padded = 0, span = 0, reach = 0) =>
    device().launch(kernel, buffers.map(bind), [threads, n, inner, padded, span, reach], threads);
  if (n <= RANK_LIMIT) {
    run(sortByRank(type, descending), [source, y], x.size);
    return y;
  }
  const padded = 2 ** Math.ceil(Math.log2(n));
  const pairs = empty('sort', [lines, padded, 2], 'uint32');
  run(sortPairs(type, descending), [source, pairs], lines * padded, padded);
  for (let span = 2; span <= padded; span *= 2)
    for (let reach = span / 2; reach >= 1; reach /= 2)
      run(sortPass(), [pairs], (lines * padded) / 2, padded, span, reach);
  run(sortOrder(), [pairs, y], x.size, padded);
  pairs.dispose();
  return y;
}

/** Values and where they came from. */
export interface Sorted {
  values: Tensor;
  /** Positions along the sorted dimension (int32). */
  indices: Tensor;
}

/** Options of `sort` and `argsort`. */
export interface SortOptions {
  dim?: number;
  descending?: boolean;
}

const SORT: OptionTable<SortOptions> = { dim: is.number, descending: is.flag };

/** Recorded values of x at `indices` along an axis, each at most once. */
function picked(x: Tensor, axis: number, indices: Tensor): Sorted {
  const values = record('sort', [x], pick(x, axis, indices, null), [indices], (g) => {
    const dx = evaluate({ name: 'sort', expression: '0.0', operands: {}, shape: x.shape });
    scatterInto(dx, axis, indices, g);
    return [dx];
  });
  return { values, indices };
}

/**
 * Values in ascending order along `dim` (the last), and where they stood (int32), as `torch.sort`. Stable; NaN counts as the largest, as in
 * PyTorch.
 */
export function sort(x: Tensor, options: SortOptions = {}): Sorted {
  const { dim = -1, descending = false } = checked('sort', options, SORT);
  return picked(x, normalizeAxis('sort', dim, x.shape), order(x, dim, descending));
}

/** Positions (int32) that sort x along `dim`, as `torch.argsort`. */
export function argsort(x: Tensor, options: SortOptions = {}): Tensor {
  const { dim = -1, descending = false } = checked('argsort', options, SORT);
  return order(x, dim, descending);
}

/** The k largest (or smallest) along `dim` with their positions, the most extreme first, as `torch.topk`. */
export function topk(x: Tensor, k: number, options: { dim?: number; largest?: boolean } = {}): Sorted {
  const { dim = -1, largest = true } = checked('topk', options, { dim: is.number, largest: is.flag });
  const axis = normalizeAxis('topk', dim, x.shape);
  const n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > n)
    throw inputError('topk', `k = ${k} of ${n} elements along dimension ${dim}`, { input: x }, `Use 0 … ${n}.`);
  const all = order(x, axis, largest);
  const first = strided(all, axis < x.ndim ? all.shape.with(axis, k) : all.shape, all.strides);
  return picked(x, axis, copy(first));
}
