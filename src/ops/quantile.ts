// Quantiles: the values at a share of the way through the sorted elements.

import { at } from '../../shaders/checked';
import { checked, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { tensor } from '../tensor/create';
import { normalizeAxis } from '../tensor/shape';
import { requireFloats, Tensor } from '../tensor/tensor';
import { cast, isnan, logicalNot, mul } from './elementwise';
import { gather } from './gather';
import { mixed } from './mixed';
import { expression } from './operands';
import { sum } from './reduce';
import { sort } from './sort';
import { expand, narrow, permute, reshape } from './views';

/** What to take between two elements. */
export type Interpolation = 'linear' | 'lower' | 'higher' | 'nearest' | 'midpoint';

/** Options of `quantile` and `nanquantile`. */
export interface QuantileOptions {
  /** 'linear' by default. */
  interpolation?: Interpolation;
}

const WORDS = word('linear', 'lower', 'higher', 'nearest', 'midpoint');

/** Both neighbours of the rank r, and the share of the upper one. */
const RANKS: Record<Interpolation, { low: string; high: string; share: string }> = {
  linear: { low: 'floor(r)', high: 'ceil(r)', share: 'r - floor(r)' },
  lower: { low: 'floor(r)', high: 'floor(r)', share: '0.0' },
  higher: { low: 'ceil(r)', high: 'ceil(r)', share: '0.0' },
  nearest: { low: 'round(r)', high: 'round(r)', share: '0.0' },
  midpoint: { low: 'floor(r)', high: 'ceil(r)', share: '0.5' },
};

/** From the nearer neighbour. */
const BETWEEN = 'select(b - (b - a) * (1.0 - w), a + w * (b - a), w < 0.5)';

/** A rank that is a whole number but for rounding. */
const SNAPPED = 'select(r, round(r), abs(r - round(r)) <= 1e-6 * abs(r))';

type Shares = number | readonly number[] | Tensor;

/** The ranks of the quantiles, along the axis of a tensor of `x`'s rank: shares of the way to the last element, or to the last that is no NaN. */
function ranksOf(op: 'quantile' | 'nanquantile', x: Tensor, axis: number, given: readonly number[] | Tensor): Tensor {
  const last = at(x.shape, axis) - 1;
  const alongAxis = (t: Tensor) =>
    reshape(
      t,
      x.shape.map((_, i) => (i === axis ? t.size : 1)),
    );
  const isTensor = given instanceof Tensor;
  // In float64 where the host knows them.
  if (op === 'quantile') return alongAxis(isTensor ? mul(given, last) : tensor(given.map((p) => p * last)));
  const n = sum(logicalNot(isnan(x)), axis, true);
  const r = expression(op, 'q * max(n - 1.0, 0.0)', { q: alongAxis(isTensor ? given : tensor(given)), n });
  return isTensor ? r : expression(op, SNAPPED, { r });
}

function quantileOf(
  op: 'quantile' | 'nanquantile',
  x: Tensor,
  q: Shares,
  dim: number | null,
  keepDims: boolean,
  options: QuantileOptions,
): Tensor {
  const { interpolation = 'linear' } = checked(op, options, { interpolation: WORDS });
  requireFloats(op, { input: x });
  const given = q instanceof Tensor ? q : typeof q === 'number' ? [q] : [...q];
  if (given instanceof Tensor) {
    requireFloats(op, { input: x, q: given });
    if (given.ndim > 1) throw inputError(op, 'q has more than one dimension', { input: x, q: given });
  } else if (!given.every((p) => p >= 0 && p <= 1))
    throw inputError(op, `q is ${given}`, { input: x }, 'Use numbers from 0 to 1.');
  if (x.size === 0) throw inputError(op, 'there are no elements', { input: x });
  const flat = dim === null || !x.ndim ? reshape(x, [x.size]) : x;
  const axis = dim === null ? 0 : normalizeAxis(op, dim, x.shape);
  const { values } = sort(flat, { dim: axis });
  const r = ranksOf(op, flat, axis, given);
  const count = at(r.shape, axis);
  const lines = flat.shape.with(axis, count);
  const ranked = (position: string) =>
    gather(values, axis, expand(cast(expression(op, position, { r }), 'int32'), lines));
  const { low, high, share } = RANKS[interpolation];
  let y = ranked(low);
  if (high !== low) y = expression(op, BETWEEN, { a: y, b: ranked(high), w: expression(op, share, { r }) });
  // NaN is sorted to the end.
  const last = narrow(values, axis, at(flat.shape, axis) - 1, 1);
  if (op === 'quantile') y = expression(op, 'select(a, b, isNan(b))', { a: y, b: last });
  const kept = dim === null ? x.shape.map(() => 1) : keepDims && x.ndim ? x.shape.with(axis, 1) : [];
  const rest = keepDims ? kept : dim === null ? [] : flat.shape.filter((_, i) => i !== axis);
  const several = given instanceof Tensor ? given.ndim === 1 : typeof q !== 'number';
  const front = permute(y, [axis, ...flat.shape.map((_, i) => i).filter((i) => i !== axis)]);
  return reshape(front, several ? [count, ...rest] : rest);
}

/**
 * The quantiles along `dim` (null: of all elements), as `torch.quantile`: q is a number, which gives the shape of a reduction, or a list or vector, whose
 * results lie along a new first dimension. NaN where there is one. Throws InputError for a number outside of 0 … 1.
 */
export const quantile = mixed(
  'quantile',
  (x: Tensor, q: Shares, dim: number | null = null, keepDims = false, options: QuantileOptions = {}): Tensor =>
    quantileOf('quantile', x, q, dim, keepDims, options),
);

/** The same of the elements that are not NaN, as `torch.nanquantile`; NaN where there are none. */
export const nanquantile = mixed(
  'nanquantile',
  (x: Tensor, q: Shares, dim: number | null = null, keepDims = false, options: QuantileOptions = {}): Tensor =>
    quantileOf('nanquantile', x, q, dim, keepDims, options),
);
