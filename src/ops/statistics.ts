// Covariances, moments in pairs, sums without NaN, traces, and integrals by trapezoids: made of other operations.

import { at, tuple } from '../../shaders/checked';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { broadcastShapes, existingAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { div, isnan, logicalNot, maximum, mul, sqrt, sub } from './elementwise';
import { matmul } from './matmul';
import { mixed } from './mixed';
import { expression } from './operands';
import type { Axes } from './reduce';
import { mean, std, sum, variance } from './reduce';
import { cumsum } from './scan';
import { narrow, reshape, slice, transpose } from './views';
import { clamp, where } from './where';

/** `variance` and `mean`, as `torch.var_mean`. */
export const varMean = mixed(
  'varMean',
  (x: Tensor, axes?: Axes, keepDims = false, correction = 1): { var: Tensor; mean: Tensor } => ({
    var: variance(x, axes, keepDims, correction),
    mean: mean(x, axes, keepDims),
  }),
);

/** `std` and `mean`, as `torch.std_mean`. */
export const stdMean = mixed(
  'stdMean',
  (x: Tensor, axes?: Axes, keepDims = false, correction = 1): { std: Tensor; mean: Tensor } => ({
    std: std(x, axes, keepDims, correction),
    mean: mean(x, axes, keepDims),
  }),
);

/** Sum of the elements that are not NaN, as `torch.nansum`. */
export const nansum = mixed(
  'nansum',
  (x: Tensor, axes?: Axes, keepDims = false): Tensor =>
    sum(x.dtype === 'float32' ? where(isnan(x), 0, x) : x, axes, keepDims),
);

/** Mean of the elements that are not NaN, as `torch.nanmean`; NaN where there are none. */
export const nanmean = mixed(
  'nanmean',
  (x: Tensor, axes?: Axes, keepDims = false): Tensor =>
    div(nansum(x, axes, keepDims), sum(logicalNot(isnan(x)), axes, keepDims)),
);

/** The sum of the diagonal of a matrix, as `torch.trace`. */
export const trace = mixed('trace', function trace(x: Tensor): Tensor {
  if (x.ndim !== 2) throw inputError('trace', 'the input is no matrix', { input: x });
  return sum(diagonalOf(x));
});

/** The diagonal over the last two dimensions, a view where the elements lie together. */
export function diagonalOf(x: Tensor): Tensor {
  const n = Math.min(...x.shape.slice(-2));
  const lead = x.shape.slice(0, -2);
  const square = narrow(narrow(x, -1, 0, n), -2, 0, n);
  return slice(reshape(square, [...lead, n * n]), [...lead.map(() => null), { step: n + 1 }]);
}

/** Options of `cov`. */
export interface CovOptions {
  /** Taken from the number of observations: 1 by default. */
  correction?: number;
  /** How often each observation counts: whole numbers, [observations]. */
  fweights?: Tensor | null;
  /** How much each observation weighs, [observations]. */
  aweights?: Tensor | null;
}

const COV: OptionTable<CovOptions> = { correction: is.number, fweights: is.tensor, aweights: is.tensor };

/** The covariances of variables, as `torch.cov`: x [variables, observations] → [variables, variables]; of one variable [observations] a number. */
export const cov = mixed('cov', function cov(x: Tensor, options: CovOptions = {}): Tensor {
  const { correction = 1, fweights = null, aweights = null } = checked('cov', options, COV);
  requireTensors('cov', { input: x });
  if (x.ndim > 2)
    throw inputError('cov', 'the input has more than two dimensions', { input: x }, '[variables, observations].');
  const rows = x.ndim === 2 ? x : reshape(x, [1, x.size]);
  const [variables, n] = tuple(rows.shape, 2);
  for (const [name, w] of Object.entries({ fweights, aweights }))
    if (w && (w.ndim !== 1 || w.size !== n))
      throw inputError('cov', `${name} do not fit`, { input: x, [name]: w }, `One for each of ${n} observations.`);
  if (fweights?.dtype === 'float32')
    throw inputError(
      'cov',
      'fweights are no whole numbers',
      { input: x, fweights },
      "aweights are weights; or fweights.to('int32').",
    );
  const weights = fweights && aweights ? mul(fweights, aweights) : (fweights ?? aweights);
  const total = weights ? sum(weights) : n;
  const weighted = (t: Tensor) => (weights ? mul(t, weights) : t);
  const center = div(sum(weighted(rows), 1, true), total);
  const centered = sub(rows, center);
  const products = matmul(weighted(centered), transpose(centered));
  const taken =
    weights && aweights && correction ? mul(div(sum(mul(weights, aweights)), total), correction) : correction;
  const left = typeof total === 'number' ? Math.max(0, n - correction) : maximum(sub(total, taken), 0);
  return reshape(div(products, left), x.ndim === 2 && variables !== 1 ? [variables, variables] : []);
});

/** The correlations of variables, as `torch.corrcoef`: `cov` divided by both standard deviations. */
export const corrcoef = mixed('corrcoef', function corrcoef(x: Tensor): Tensor {
  const c = cov(x);
  if (!c.ndim) return div(c, c);
  const deviation = sqrt(diagonalOf(c));
  const n = deviation.size;
  return clamp(expression('corrcoef', 'c / a / b', { c, a: reshape(deviation, [n, 1]), b: deviation }), -1, 1);
});

/** Options of `trapezoid` and `cumulativeTrapezoid`. */
export interface TrapezoidOptions {
  /** Where the values are taken: a vector along `dim`, or broadcasting with the values. */
  x?: Tensor | null;
  /** The distance of neighbours otherwise: 1 by default. */
  dx?: number;
  /** −1 by default. */
  dim?: number;
}

const TRAPEZOID: OptionTable<TrapezoidOptions> = { x: is.tensor, dx: is.number, dim: is.number };

/** The areas between neighbours along an axis. */
function trapezoids(op: string, y: Tensor, options: TrapezoidOptions): { areas: Tensor; axis: number } {
  const { x = null, dx = 1, dim = -1 } = checked(op, options, TRAPEZOID);
  requireTensors(op, { y, ...(x && { x }) });
  const axis = existingAxis(op, dim, y.shape);
  const ends = (t: Tensor, along: number) => {
    const length = at(t.shape, along);
    const n = Math.max(0, length - 1);
    return { a: narrow(t, along, length - n, n), b: narrow(t, along, 0, n) };
  };
  if (!x) return { areas: expression(op, '0.5 * s * (a + b)', ends(y, axis), [dx]), axis };
  if (options.dx !== undefined) throw inputError(op, 'both x and dx are given', { y, x });
  const places =
    x.ndim === 1
      ? reshape(
          x,
          y.shape.map((_, i) => (i === axis ? x.size : 1)),
        )
      : x;
  const wide = [...new Array<number>(Math.max(0, y.ndim - places.ndim)).fill(1), ...places.shape];
  if (wide[axis] !== y.shape[axis])
    throw inputError(
      op,
      `there are ${wide[axis]} places for ${y.shape[axis]} values`,
      { y, x },
      'One for each along `dim`.',
    );
  const { a: c, b: d } = ends(reshape(places, wide), axis);
  const { a, b } = ends(y, axis);
  const shape = broadcastShapes(op, a.shape, c.shape);
  return { areas: expression(op, '0.5 * (c - d) * (a + b)', { a, b, c, d }, [], shape), axis };
}

/** The integral along `dim` by trapezoids, as `torch.trapezoid`: `y` are values at `x`, or `dx` apart. */
export const trapezoid = mixed('trapezoid', function trapezoid(y: Tensor, options: TrapezoidOptions = {}): Tensor {
  const { areas, axis } = trapezoids('trapezoid', y, options);
  return sum(areas, axis);
});

/** The integrals up to each place but the first, as `torch.cumulative_trapezoid`. */
export const cumulativeTrapezoid = mixed(
  'cumulativeTrapezoid',
  function cumulativeTrapezoid(y: Tensor, options: TrapezoidOptions = {}): Tensor {
    const { areas, axis } = trapezoids('cumulativeTrapezoid', y, options);
    return cumsum(areas, axis);
  },
);
