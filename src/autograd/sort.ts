// Sorting with gradients: what a value receives goes back to where it came from.

import { checked, is, type OptionTable } from '../gpu/options';
import { evaluate } from '../tensor/elementwise';
import { scatterInto } from '../tensor/gather';
import { normalizeAxis } from '../tensor/shape';
import type { Sorted } from '../tensor/sort';
import * as raw from '../tensor/sort';
import type { Tensor } from '../tensor/tensor';
import { record } from './tape';

export type { Sorted } from '../tensor/sort';

/** The gradient for x of values picked at `indices` along an axis, each at most once. */
function pickedFrom(x: Tensor, dim: number, { values, indices }: Sorted): Sorted {
  const axis = normalizeAxis('sort', dim, x.shape);
  const y = record('sort', [x], values, [indices], (g) => {
    const dx = evaluate({ name: 'sort', expression: '0.0', operands: {}, shape: x.shape });
    scatterInto(dx, axis, indices, g);
    return [dx];
  });
  return { values: y, indices };
}

export interface SortOptions {
  dim?: number;
  descending?: boolean;
}

const SORT: OptionTable<SortOptions> = { dim: is.number, descending: is.flag };

/** Values in ascending order along `dim` (the last), and where they stood (int32). Stable; NaN counts as the largest, as in PyTorch. */
export function sort(x: Tensor, options: SortOptions = {}): Sorted {
  const { dim = -1, descending = false } = checked('sort', options, SORT);
  return pickedFrom(x, dim, raw.sort(x, dim, descending));
}

/** Positions (int32) that sort x along `dim`. */
export function argsort(x: Tensor, options: SortOptions = {}): Tensor {
  const { dim = -1, descending = false } = checked('argsort', options, SORT);
  return raw.argsort(x, dim, descending);
}

/** The k largest (or smallest) along `dim` with their positions, the most extreme first. */
export function topk(x: Tensor, k: number, options: { dim?: number; largest?: boolean } = {}): Sorted {
  const { dim = -1, largest = true } = checked('topk', options, { dim: is.number, largest: is.flag });
  return pickedFrom(x, dim, raw.topk(x, k, dim, largest));
}
