// Stable sorting without gradients.

import type { Kernel } from '../../shaders/kernel';
import type { SortType } from '../../shaders/sort';
import { SORT_TILE, sortByRank, sortOrder, sortPairs, sortPass } from '../../shaders/sort';
import { device } from '../gpu';
import { inputError } from './context';
import { wgslType } from './dtype';
import { bind, contiguous, copy, gridFor } from './elementwise';
import { gather } from './gather';
import { linesAlong, normalizeAxis } from './shape';
import type { Tensor } from './tensor';
import { empty, strided } from './tensor';

/** Lines up to this length count ranks. */
const RANK_LIMIT = 1024;

/** Positions (int32) of the elements along `dim` in sorted order; NaN counts as the largest, equal values keep their order. */
export function argsort(x: Tensor, dim: number, descending: boolean): Tensor {
  const { lines, n, inner } = linesAlong(x.shape, normalizeAxis('sort', dim, x.shape));
  const source = contiguous(x);
  const order = empty('sort', x.shape, 'int32');
  const natural = wgslType(x.dtype);
  const type: SortType = natural === 'bool' ? 'u32' : natural;
  const run = (kernel: Kernel, buffers: Tensor[], threads: number, padded = 0, span = 0, reach = 0) =>
    device().launch(kernel, buffers.map(bind), [threads, n, inner, padded, span, reach], gridFor(threads, SORT_TILE));
  if (n <= RANK_LIMIT) {
    run(sortByRank(type, descending), [source, order], x.size);
    return order;
  }
  const padded = 2 ** Math.ceil(Math.log2(n));
  const pairs = empty('sort', [lines, padded, 2], 'uint32');
  run(sortPairs(type, descending), [source, pairs], lines * padded, padded);
  for (let span = 2; span <= padded; span *= 2)
    for (let reach = span / 2; reach >= 1; reach /= 2)
      run(sortPass(), [pairs], (lines * padded) / 2, padded, span, reach);
  run(sortOrder(), [pairs, order], x.size, padded);
  pairs.dispose();
  return order;
}

export interface Sorted {
  values: Tensor;
  /** Positions along the sorted dimension (int32). */
  indices: Tensor;
}

/** Sorted values and their positions. */
export function sort(x: Tensor, dim: number, descending: boolean): Sorted {
  const indices = argsort(x, dim, descending);
  return { values: gather(x, dim, indices, null), indices };
}

/** The k largest (or smallest) along `dim`, the most extreme first. */
export function topk(x: Tensor, k: number, dim: number, largest: boolean): Sorted {
  const axis = normalizeAxis('topk', dim, x.shape);
  const n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > n)
    throw inputError('topk', `k = ${k} of ${n} elements along dimension ${dim}`, { input: x }, `Use 0 … ${n}.`);
  const order = argsort(x, axis, largest);
  const shape = order.shape.map((m, i) => (i === axis ? k : m));
  const indices = copy(strided(order, shape, order.strides));
  return { values: gather(x, axis, indices, null), indices };
}
