// Distances and similarities. Pairs of all rows are reduced without a tensor of all differences.

import { at, fromEnd } from '../../shaders/checked';
import { byDefinition } from '../autograd/backward';
import { record, sumOfAll } from '../autograd/tape';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError, requireNumbers } from '../tensor/context';
import { tensor } from '../tensor/create';
import { evaluateTo, reduce } from '../tensor/reduce';
import { broadcastShapes } from '../tensor/shape';
import { requireFloats, type Tensor } from '../tensor/tensor';
import { add, div, mul, sub } from './elementwise';
import { indexSelect } from './index-select';
import { atLeast } from './losses';
import { mixed } from './mixed';
import { expression } from './operands';
import { type Axes, norm, sum } from './reduce';
import { expand, reshape, unsqueeze } from './views';

/** Options of `cosineSimilarity`. */
export interface CosineOptions {
  /** The dimension of the vectors; 1 by default. */
  dim?: number;
  /** The least length of a vector; 1e-8 by default. */
  eps?: number;
}

/** Options of `pairwiseDistance`. */
export interface PairwiseOptions {
  /** The norm: 2 by default, 1, 0, Infinity or any other. */
  p?: number;
  /** Added to every difference, so that the gradient exists at 0; 1e-6 by default. */
  eps?: number;
  /** Keeps the last dimension with size 1 (default false). */
  keepDims?: boolean;
}

/** Options of `cdist`. */
export interface CdistOptions {
  /** The norm: 2 by default, 0 counts differences, Infinity takes the largest. */
  p?: number;
  /** PyTorch's choice between matrix products and differences. Here differences are taken in any case. */
  computeMode?: 'use_mm_for_euclid_dist_if_necessary' | 'use_mm_for_euclid_dist' | 'donot_use_mm_for_euclid_dist';
}

const MODES = [
  'use_mm_for_euclid_dist_if_necessary',
  'use_mm_for_euclid_dist',
  'donot_use_mm_for_euclid_dist',
] as const;

/** The options of each. */
export const distanceOptions = {
  cosineSimilarity: { dim: is.number, eps: is.number } as OptionTable<CosineOptions>,
  pairwiseDistance: { p: is.number, eps: is.number, keepDims: is.flag } as OptionTable<PairwiseOptions>,
};

/** Cosine of the angle between vectors along `dim`, as `torch.nn.functional.cosine_similarity`; both broadcast. Lengths below eps count as eps. */
export const cosineSimilarity = mixed(
  'cosineSimilarity',
  function cosineSimilarity(a: Tensor, b: Tensor, options: CosineOptions = {}): Tensor {
    const { dim = 1, eps = 1e-8 } = checked('cosineSimilarity', options, distanceOptions.cosineSimilarity);
    requireFloats('cosineSimilarity', { x1: a, x2: b });
    const shape = broadcastShapes('cosineSimilarity', a.shape, b.shape);
    const axis = dim < 0 ? dim : dim - shape.length; // from the end, where both begin
    if (!Number.isInteger(dim) || axis < -shape.length || axis >= 0)
      throw inputError('cosineSimilarity', `there is no dimension ${dim}`, { x1: a, x2: b });
    const unit = (x: Tensor) => {
      const own = x.ndim < shape.length || x.shape.at(axis) !== shape.at(axis) ? expand(x, shape) : x;
      return div(own, atLeast(norm(own, 2, axis, true), eps));
    };
    return sum(mul(unit(a), unit(b)), axis);
  },
  'widest',
);

/** The p-norm of a − b + eps along the last dimension, as `pairwise_distance`; both broadcast. */
export const pairwiseDistance = mixed(
  'pairwiseDistance',
  function pairwiseDistance(a: Tensor, b: Tensor, options: PairwiseOptions = {}): Tensor {
    const o = checked('pairwiseDistance', options, distanceOptions.pairwiseDistance);
    const { p = 2, eps = 1e-6, keepDims = false } = o;
    requireFloats('pairwiseDistance', { x1: a, x2: b });
    return norm(add(sub(a, b), eps), p, -1, keepDims);
  },
  'widest',
);

/** x / max(‖x‖, eps) with the p-norm along `dim`, as `torch.nn.functional.normalize`. */
export const normalize = mixed(
  'normalize',
  function normalize(
    x: Tensor,
    options: {
      /** Which norm (default 2). */
      p?: number;
      /** Along which dimensions. */
      dim?: Axes;
      /** The least norm that is divided by (default 1e-12). */
      eps?: number;
    } = {},
  ): Tensor {
    const table = { p: is.number, dim: is.size, eps: is.number };
    const { p = 2, dim = 1, eps = 1e-12 } = checked('normalize', options, table);
    requireFloats('normalize', { input: x });
    return div(x, expression('normalize', 'clampTo(a, s, infinity())', { a: norm(x, p, dim, true) }, [eps]));
  },
  'widest',
);

/** What is added up of a pair's differences, what becomes of the sum, and the derivative by a, in the distance y and s = p. */
function minkowski(p: number): { map: string; final?: string; slope: string } {
  if (p === 0) return { map: 'select(f32((a - b) != 0.0), a - b, isNan(a - b))', slope: '0.0' };
  if (p === 1) return { map: 'abs(a - b)', slope: 'signOf(a - b)' };
  if (p === 2) return { map: '(a - b) * (a - b)', final: 'sqrt(acc)', slope: 'select((a - b) / y, 0.0, y == 0.0)' };
  if (p === Infinity) return { map: 'abs(a - b)', slope: 'select(0.0, signOf(a - b), abs(a - b) == y)' };
  const slope = 'select(signOf(a - b) * power(abs(a - b) / y, s - 1.0), 0.0, y == 0.0 || a == b)';
  return { map: 'power(abs(a - b), s)', final: 'power(acc, t)', slope };
}

/**
 * The p-norms of the differences of all rows of a [..., P, M] and b [..., R, M], as `torch.cdist`: [..., P, R]. Batch dimensions broadcast. No tensor of
 * differences is made. Throws InputError where the rows differ in length.
 */
export const cdist = mixed(
  'cdist',
  function cdist(a: Tensor, b: Tensor, options: CdistOptions = {}): Tensor {
    const { p = 2 } = checked('cdist', options, { p: is.number, computeMode: word(...MODES) });
    requireFloats('cdist', { x1: a, x2: b });
    requireNumbers('cdist', { p });
    if (!(p >= 0)) throw inputError('cdist', `p is ${p}`, { x1: a, x2: b }, 'It must not be negative.');
    if (a.ndim < 2 || b.ndim < 2 || a.shape.at(-1) !== b.shape.at(-1))
      throw inputError(
        'cdist',
        'these are no rows of one length',
        { x1: a, x2: b },
        'Use [..., P, M] and [..., R, M].',
      );
    return distances(unsqueeze(a, -2), unsqueeze(b, -3), p);
  },
  'widest',
);

/** The p-norm of a − b along the last dimension; both broadcast. */
function distances(a: Tensor, b: Tensor, p: number): Tensor {
  const shape = broadcastShapes('cdist', a.shape, b.shape);
  const axes = [shape.length - 1];
  const { map, final, slope } = minkowski(p);
  const common = { name: 'cdist', shape, scalars: [p, 1 / p] };
  const over = { ...common, axes, reduction: 'sum' as const };
  const empty = fromEnd(shape, 1) === 0; // there is no largest of nothing, but it is 0
  const y = reduce({ ...over, reduction: p === Infinity && !empty ? 'max' : 'sum', map, final, operands: { a, b } });
  const column = (t: Tensor) => unsqueeze(t, -1);
  return record(
    'cdist',
    [a, b],
    y,
    [a, b, y],
    (g, needs) => {
      const operands = { a, b, y: column(y), g: column(g) };
      const times = (sign: string, to: Tensor) =>
        evaluateTo(to.shape, { ...common, name: 'cdist gradient', expression: `${sign}g * ${slope}`, operands });
      return [needs[0] && times('', a), needs[1] && times('-', b)];
    },
    {
      push: (...tangents) =>
        sumOfAll(
          ...tangents.map(
            (d, i) =>
              d && reduce({ ...over, map: `${'-'.repeat(i)}d * ${slope}`, operands: { a, b, y: column(y), d } }),
          ),
        ),
      differentiable: byDefinition([a, b], (u, v) => norm(sub(u, v), p, -1)),
    },
  );
}

/** The p-norms of the differences of all rows i < j of x [N, M], as `torch.nn.functional.pdist`: [N (N − 1) / 2]. */
export const pdist = mixed(
  'pdist',
  function pdist(x: Tensor, options: { /** Which norm (default 2). */ p?: number } = {}): Tensor {
    const { p = 2 } = checked('pdist', options, { p: is.number });
    requireFloats('pdist', { input: x });
    if (x.ndim !== 2) throw inputError('pdist', `${x.ndim} dimensions`, { input: x }, 'Use rows [N, M].');
    const n = at(x.shape, 0);
    const upper = Array.from({ length: n }, (_, i) => Array.from({ length: n - 1 - i }, (_, k) => i * n + i + 1 + k));
    return indexSelect(reshape(cdist(x, x, { p }), [n * n]), 0, tensor(Int32Array.from(upper.flat())));
  },
  'widest',
);
