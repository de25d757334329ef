// Losses that hold scores or distances a margin apart: multi-class, multi-label and triplet losses.
import { tuple } from '../../shaders/checked';
import { record } from '../autograd/tape';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { arange, zeros } from '../tensor/create';
import { evaluateTo, reduce } from '../tensor/reduce';
import { sameShape } from '../tensor/shape';
import { requireFloats, requireShape, requireTensors, type Tensor } from '../tensor/tensor';
import { pairwiseDistance } from './distance';
import { cast, eq, ge, lt, minimum, mul } from './elementwise';
import { gather } from './gather';
import { checkIndex } from './index-checks';
import { indexSelect } from './index-select';
import type { Reduced } from './loss';
import { reducedLosses, rowLosses } from './losses';
import { mixed } from './mixed';
import { expression, summedTo } from './operands';
import { mean } from './reduce';
import { cumsum } from './scan';
import { scatterAdd } from './scatter';
import { reshape, unsqueeze } from './views';
import { where } from './where';

/** Options of `multiMarginLoss`. */
export interface MultiMarginOptions extends Reduced {
  /** 1 or 2: the power of each violation. */
  p?: 1 | 2;
  /** The right class's score must exceed every other by this (default 1). */
  margin?: number;
  /** Weight of each class [C]. */
  weight?: Tensor | null;
}

/** Options of `tripletMarginLoss`. */
export interface TripletOptions extends Reduced {
  /** 1 by default. */
  margin?: number;
  /** The norm of the distance; 2 by default. */
  p?: number;
  /** Added to every difference; 1e-6 by default. */
  eps?: number;
  /** Takes the negative's distance to the positive where that is smaller. */
  swap?: boolean;
}

/** Options of `tripletMarginWithDistanceLoss`. */
export interface TripletDistanceOptions extends Reduced {
  /** The distance of two batches, `pairwiseDistance` by default. */
  distanceFunction?: ((a: Tensor, b: Tensor) => Tensor) | null;
  /** The negative must be farther than the positive by this (default 1). */
  margin?: number;
  /** Takes the negative's distance to the positive where that is smaller (default false). */
  swap?: boolean;
}

const reduced: OptionTable<Reduced> = { reduction: word('none', 'mean', 'sum') };
const triplet = { ...reduced, margin: is.number, swap: is.flag };
/** The options of each loss. */
export const marginOptions = {
  multiMarginLoss: {
    ...reduced,
    p: { what: '1 or 2', fits: (x) => x === 1 || x === 2 },
    margin: is.number,
    weight: is.tensor,
  } as OptionTable<MultiMarginOptions>,
  multilabelMarginLoss: reduced,
  tripletMarginLoss: { ...triplet, p: is.number, eps: is.number } as OptionTable<TripletOptions>,
  tripletMarginWithDistanceLoss: { ...triplet, distanceFunction: is.anything } as OptionTable<TripletDistanceOptions>,
};

/** Scores as [N, C]. */
function rows(op: string, x: Tensor): Tensor {
  requireFloats(op, { input: x });
  if (x.ndim !== 1 && x.ndim !== 2) throw inputError(op, `${x.ndim} dimensions`, { input: x }, 'Use [N, C] or [C].');
  return x.ndim === 1 ? unsqueeze(x, 0) : x;
}

/**
 * Σ_{c ≠ t} max(0, margin − x[t] + x[c])ᵖ / C of scores x [N, C] with labels t [N] (int32), as `torch.nn.functional.multi_margin_loss`; or [C] with a
 * label without dimensions. A label that is no class gives NaN, and the next read throws.
 */
export const multiMarginLoss = mixed(
  'multiMarginLoss',
  function multiMarginLoss(x: Tensor, target: Tensor, options: MultiMarginOptions = {}): Tensor {
    const op = 'multiMarginLoss';
    const { p = 1, margin = 1, weight, reduction } = checked(op, options, marginOptions[op]);
    const scores = rows(op, x);
    checkIndex(op, target);
    const [n, classes] = tuple(scores.shape, 2);
    if (target.size !== n || target.ndim > 1)
      throw inputError(op, 'the labels do not fit', { input: x, target }, 'They are [N] for [N, C].');
    requireShape(op, x, { weight }, [classes], `one value for each of the ${classes} classes`);
    const labels = reshape(target, [n, 1]);
    const own = gather(scores, 1, labels);
    const violation = 'relu(s - b + a)';
    const power = p === 2 ? `${violation} * ${violation}` : violation;
    const itself = eq(labels, arange(0, classes, 1, { dtype: 'int32' }));
    const operands = { a: scores, b: own, c: itself };
    const losses = expression(op, `select(${power}, 0.0, c != 0.0)`, operands, [margin]);
    const each = mean(losses, 1);
    const weighted = weight ? mul(each, indexSelect(weight, 0, reshape(target, [n]))) : each;
    return reducedLosses(x.ndim === 1 ? reshape(weighted, target.shape) : weighted, reduction);
  },
  'widest',
);

/**
 * Σ max(0, 1 − x[t] + x[c]) / C over the labels t of a sample and the classes c that are none, as `multilabel_margin_loss`: x [N, C], target [N, C]
 * (int32), in which the labels of a sample end where the first −1 is; or [C] each. A label that is no class gives NaN, and the next read throws.
 */
export const multilabelMarginLoss = mixed(
  'multilabelMarginLoss',
  function multilabelMarginLoss(x: Tensor, target: Tensor, options: Reduced = {}): Tensor {
    const op = 'multilabelMarginLoss';
    const { reduction } = checked(op, options, marginOptions[op]);
    const scores = rows(op, x);
    checkIndex(op, target);
    if (!sameShape(x.shape, target.shape))
      throw inputError(
        op,
        'the target has another shape',
        { input: x, target },
        'It lists labels, and −1 behind them.',
      );
    const labels = reshape(target, scores.shape);
    const given = eq(cumsum(cast(lt(labels, 0), 'int32'), 1), 0);
    const places = where(given, labels, 0);
    const taken = ge(scatterAdd(zeros(scores.shape, { dtype: 'int32' }), 1, places, cast(given, 'int32')), 1);
    const losses = hinges(gather(scores, 1, places), scores, given, taken);
    return reducedLosses(x.ndim === 1 ? reshape(losses, []) : losses, reduction);
  },
  'widest',
);

/** Σ over the given labels t and the classes c not taken of max(0, 1 − own[t] + x[c]) / C: [N], without a tensor of all pairs. */
function hinges(own: Tensor, x: Tensor, given: Tensor, taken: Tensor): Tensor {
  const name = 'multilabelMarginLoss';
  const [n, classes] = tuple(x.shape, 2);
  const shape = [n, classes, classes];
  const operands = { a: unsqueeze(own, 2), b: unsqueeze(x, 1), c: unsqueeze(given, 2), k: unsqueeze(taken, 1) };
  const map = 'select(0.0, relu(1.0 - a + b), c && !k) / s';
  const y = reduce({ name, reduction: 'sum', map, operands, scalars: [classes], shape, axes: [1, 2] });
  const slope = 'h * select(0.0, 1.0, 1.0 - a + b > 0.0 && k == 0.0) / s';
  const { a, b, k } = operands;
  /** The gradient of each given label's own losses. */
  const ofLabels = (g: Tensor) => where(operands.c, reshape(g, [n, 1, 1]), 0);
  const parts = [
    { text: `-${slope}`, to: [n, classes, 1] },
    { text: slope, to: [n, 1, classes] },
  ];
  return record(
    name,
    [own, x],
    y,
    [own, x, given, taken],
    (g, needs) => {
      const e = { name: `${name} gradient`, operands: { a, b, k, h: ofLabels(g) }, scalars: [classes], shape };
      const part = ({ text, to }: (typeof parts)[0]) =>
        reshape(evaluateTo(to, { ...e, expression: text, compute: 'float32' }), [n, classes]);
      return parts.map((p, i) => needs[i] && part(p));
    },
    {
      differentiable: (g) =>
        parts.map(({ text, to }) =>
          reshape(summedTo(expression(name, text, { a, b, k, h: ofLabels(g) }, [classes], shape), to), [n, classes]),
        ),
    },
  );
}

function tripletLosses(
  op: string,
  distance: (a: Tensor, b: Tensor) => Tensor,
  [anchor, positive, negative]: readonly [Tensor, Tensor, Tensor],
  { margin = 1, swap = false, reduction }: TripletDistanceOptions,
): Tensor {
  requireTensors(op, { anchor, positive, negative });
  if (!(margin > 0)) throw inputError(op, `the margin is ${margin}`, { anchor }, 'It must be positive.');
  if (anchor.ndim !== positive.ndim || anchor.ndim !== negative.ndim)
    throw inputError(op, 'the inputs differ in the number of dimensions', { anchor, positive, negative });
  const near = distance(anchor, positive);
  const far = distance(anchor, negative);
  const b = swap ? minimum(far, distance(positive, negative)) : far;
  return reducedLosses(rowLosses(op, 'triplet', { a: near, b }, margin), reduction);
}

/** max(0, margin + ‖anchor − positive‖ − ‖anchor − negative‖) along the last dimension, as `torch.nn.functional.triplet_margin_loss`. */
export const tripletMarginLoss = mixed(
  'tripletMarginLoss',
  function tripletMarginLoss(anchor: Tensor, positive: Tensor, negative: Tensor, options: TripletOptions = {}): Tensor {
    const { p = 2, eps = 1e-6, ...o } = checked('tripletMarginLoss', options, marginOptions.tripletMarginLoss);
    const distance = (a: Tensor, b: Tensor) => pairwiseDistance(a, b, { p, eps });
    return tripletLosses('tripletMarginLoss', distance, [anchor, positive, negative], o);
  },
  'widest',
);

/** The same with a distance of one's own, as `triplet_margin_with_distance_loss`. */
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletDistanceOptions = {},
): Tensor {
  const op = 'tripletMarginWithDistanceLoss';
  const o = checked(op, options, marginOptions[op]);
  return tripletLosses(op, o.distanceFunction ?? pairwiseDistance, [anchor, positive, negative], o);
}
