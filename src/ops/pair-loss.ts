// Losses of pairs: of an input and a target of its shape, element by element, as functions of `torch.nn.functional`. Integer and boolean operands are
// converted to float32, as PyTorch promotes them. All reduce as in PyTorch: 'mean' (the default), 'sum', or 'none' for the loss of every element.
import { at } from '../../shaders/checked';
import { type PushForward, type Rule, record, sumOfAll } from '../autograd/tape';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { warnOnce } from '../gpu/warn';
import { inputError } from '../tensor/context';
import { evaluate } from '../tensor/elementwise';
import { reduce, restored } from '../tensor/reduce';
import { broadcastShapes, reducedShape, sameShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireShape, requireTensors } from '../tensor/tensor';
import { div, mul } from './elementwise';
import { mixed } from './mixed';
import { expression } from './operands';
import { mean, sum } from './reduce';
import { expand, reshape } from './views';

/** What becomes of the losses of the samples. */
export type LossReduction = 'none' | 'mean' | 'sum';

/** The option that all losses have. */
export interface Reduced {
  /** 'mean' (the default), 'sum' or 'none'. */
  reduction?: LossReduction;
}

/** Options of losses of pairs. */
export interface PairOptions extends Reduced {
  /** Factor of each loss, of the input's shape. 'mean' divides by the sum of the factors, of `huberLoss` by their number, as in PyTorch. */
  weight?: Tensor | null;
}

const reduced: OptionTable<Reduced> = { reduction: word('none', 'mean', 'sum') };
const paired: OptionTable<PairOptions> = { ...reduced, weight: is.tensor };
const withDelta: OptionTable<WithDelta> = { ...reduced, delta: is.number };
const smooth: OptionTable<Reduced & { beta?: number }> = { ...reduced, beta: is.number };
const logits: OptionTable<BceOptions> = { ...paired, posWeight: is.tensor };
const huber: OptionTable<PairOptions & WithDelta> = { ...paired, ...withDelta };
/** The options of each loss. */
export const pairOptions = {
  mseLoss: paired,
  l1Loss: paired,
  smoothL1Loss: smooth,
  huberLoss: huber,
  pseudoHuberLoss: withDelta,
  binaryCrossEntropy: paired,
  bceWithLogits: logits,
};

interface LossRow {
  /** WGSL of the loss of input a and target b, with the parameter s and the optional operand q. */
  value: string;
  /** Its derivatives. */
  da: string;
  db: string;
}

interface PointwiseOptions {
  reduction?: LossReduction;
  parameter?: number;
  /** Dimensions that belong to one sample: always summed. */
  axes?: number[];
  /** Factor of each loss, broadcast. */
  weight?: Tensor | null;
  /** One more operand, broadcast. */
  q?: Tensor | null;
}

/** A loss by its row, recorded. */
export function pointwise(op: string, row: LossRow, a: Tensor, b: Tensor, o: PointwiseOptions = {}): Tensor {
  const { reduction = 'mean', parameter = 0, axes = [], weight, q } = o;
  requireTensors(op, { input: a, target: b, ...(weight && { weight }), ...(q && { posWeight: q }) });
  const { shape } = a;
  if (!sameShape(shape, b.shape))
    throw inputError(
      op,
      'input and target must have the same shape',
      { input: shape, target: b },
      'Use expand or reshape to line them up.',
    );
  if (!['none', 'mean', 'sum'].includes(reduction))
    throw inputError(op, `reduction is '${reduction}'`, { input: shape }, "Use 'none', 'mean' or 'sum'.");
  const operands = { a, b, ...(q && { q }) };
  const weighted = weight ? { ...operands, w: weight } : operands;
  const value = weight ? `w * (${row.value})` : row.value;
  const samples = size(shape) / size(axes.map((d) => at(shape, d)));
  const scalars = [parameter, reduction === 'mean' ? samples : 1];
  const whole = reduction === 'none' && axes.length === 0;
  const y = whole
    ? evaluate({ name: op, expression: value, operands: weighted, scalars, shape, compute: 'float32' })
    : reduce({
        name: op,
        reduction: 'sum',
        map: value,
        operands: weighted,
        convert: true,
        scalars,
        shape,
        axes: reduction === 'none' ? axes : shape.map((_, d) => d),
        final: 'acc / t',
      });
  const rule: Rule = (gradient, needs) => {
    // A loss per sample is repeated along the dimensions that were summed.
    const perSample = reduction === 'none' && !whole ? restored(gradient, a, axes) : gradient;
    const factors = weight && { g: perSample, w: weight };
    const common = { name: op, shape, compute: 'float32' as const };
    const g = factors ? evaluate({ ...common, expression: 'g * w', operands: factors }) : perSample;
    const rule = (expression: string) =>
      evaluate({ ...common, expression: `g * (${expression}) / t`, operands: { g, ...operands }, scalars });
    return [needs[0] && rule(row.da), needs[1] && rule(row.db)];
  };
  const factor = weight ? 'g * w' : 'g';
  const differentiable: Rule = (gradient, needs) => {
    const kept = reduction === 'none' && !whole ? reshape(gradient, reducedShape(shape, axes, true)) : gradient;
    const all = { ...weighted, g: kept };
    return [row.da, row.db].map((e, i) => needs[i] && expression(op, `${factor} * (${e}) / t`, all, scalars, shape));
  };
  const push: PushForward = (...tangents) => {
    const terms = tangents.map((t, i) => {
      if (!t) return null;
      const map = `${factor} * (${i ? row.db : row.da}) / t`;
      const e = { name: `${op} tangent`, operands: { ...weighted, g: t }, scalars, shape };
      const over = reduction === 'none' ? axes : shape.map((_, d) => d);
      return whole
        ? evaluate({ ...e, expression: map, compute: 'float32' })
        : reduce({ ...e, reduction: 'sum', map, convert: true, axes: over });
    });
    return sumOfAll(...terms);
  };
  return record(op, [a, b], y, Object.values(weighted), rule, { push, differentiable });
}

const ROWS = {
  mseLoss: { value: '(a - b) * (a - b)', da: '2.0 * (a - b)', db: '2.0 * (b - a)' },
  l1Loss: { value: 'abs(a - b)', da: 'signOf(a - b)', db: 'signOf(b - a)' },
  smoothL1Loss: {
    value: 'select(abs(a - b) - 0.5 * s, 0.5 * (a - b) * (a - b) / s, abs(a - b) < s)',
    da: 'clampTo((a - b) / s, -1.0, 1.0)',
    db: 'clampTo((b - a) / s, -1.0, 1.0)',
  },
  huberLoss: {
    value: 'select(s * (abs(a - b) - 0.5 * s), 0.5 * (a - b) * (a - b), abs(a - b) <= s)',
    da: 'clampTo(a - b, -s, s)',
    db: 'clampTo(b - a, -s, s)',
  },
} satisfies Record<string, LossRow>;

/** Losses of input and target, which are broadcast, and for `weight` their weighted mean. */
function ofPair(op: keyof typeof ROWS, x: Tensor, target: Tensor, o: PairOptions, parameter?: number): Tensor {
  const { reduction = 'mean', weight } = o;
  requireTensors(op, { input: x, target, ...(weight && { weight }) });
  const pair = broadcastPair(op, x, target);
  if (!weight) return pointwise(op, ROWS[op], ...pair, { reduction, parameter });
  requireShape(op, x, { weight }, x.shape, 'the shape of the input');
  const weighted = mul(pointwise(op, ROWS[op], ...pair, { reduction: 'none', parameter }), weight);
  if (reduction === 'none') return weighted;
  if (reduction === 'mean' && op === 'huberLoss') return mean(weighted);
  return reduction === 'sum' ? sum(weighted) : div(sum(weighted), sum(weight));
}

/** Both in their common shape. Shapes that differ are seldom meant, [N, 1] and [N] least of all, so that is told once. */
function broadcastPair(op: string, x: Tensor, target: Tensor): [Tensor, Tensor] {
  if (sameShape(x.shape, target.shape)) return [x, target];
  const shape = broadcastShapes(op, x.shape, target.shape);
  warnOnce(
    `${op}: the target [${target.shape}] is broadcast against the input [${x.shape}], which gives [${shape}]; ` +
      'reshape one of them if that is not meant',
  );
  return [expand(x, shape), expand(target, shape)];
}

/**
 * (x − target)², as `torch.nn.functional.mse_loss`. Shapes that differ are broadcast, with a warning; throws InputError where that cannot be, as do
 * the losses below.
 */
export const mseLoss = mixed(
  'mseLoss',
  (x: Tensor, target: Tensor, options: PairOptions = {}): Tensor =>
    ofPair('mseLoss', x, target, checked('mseLoss', options, pairOptions.mseLoss)),
  'widest',
);

/** |x − target|, with gradient 0 at 0, as `l1_loss`. */
export const l1Loss = mixed(
  'l1Loss',
  (x: Tensor, target: Tensor, options: PairOptions = {}): Tensor =>
    ofPair('l1Loss', x, target, checked('l1Loss', options, pairOptions.l1Loss)),
  'widest',
);

/** `smooth_l1_loss`: d² / 2beta for |d| < beta, |d| − beta/2 beyond it, d = x − target; with beta 0 it is `l1Loss`. */
export const smoothL1Loss = mixed(
  'smoothL1Loss',
  function smoothL1Loss(x: Tensor, target: Tensor, options: Reduced & { beta?: number } = {}): Tensor {
    const { beta = 1, reduction } = checked('smoothL1Loss', options, pairOptions.smoothL1Loss);
    requireTensors('smoothL1Loss', { input: x, target });
    if (!(beta >= 0)) throw inputError('smoothL1Loss', `beta is ${beta}`, { input: x }, 'It must not be negative.');
    return ofPair(beta === 0 ? 'l1Loss' : 'smoothL1Loss', x, target, { reduction }, beta);
  },
  'widest',
);

type WithDelta = Reduced & { delta?: number };

function requireDelta(op: string, delta: number, x: Tensor): void {
  if (!(delta > 0)) throw inputError(op, `delta is ${delta}`, { input: x }, 'It must be positive.');
}

/** `huber_loss`: d²/2 for |d| ≤ delta, delta · (|d| − delta/2) beyond it, d = x − target. */
export const huberLoss = mixed(
  'huberLoss',
  function huberLoss(x: Tensor, target: Tensor, options: WithDelta & PairOptions = {}): Tensor {
    const { delta = 1, ...o } = checked('huberLoss', options, pairOptions.huberLoss);
    requireTensors('huberLoss', { input: x, target });
    requireDelta('huberLoss', delta, x);
    return ofPair('huberLoss', x, target, o, delta);
  },
  'widest',
);

/** delta² · (√(1 + r²) − 1) with r = (x − target) / delta, computed as delta² · r² / (1 + √(1 + r²)) so that small r keep their digits. */
export const pseudoHuberLoss = mixed(
  'pseudoHuberLoss',
  function pseudoHuberLoss(x: Tensor, target: Tensor, options: WithDelta = {}): Tensor {
    const { delta = 1, reduction } = checked('pseudoHuberLoss', options, pairOptions.pseudoHuberLoss);
    requireTensors('pseudoHuberLoss', { input: x, target });
    requireDelta('pseudoHuberLoss', delta, x);
    const root = 'sqrt(1.0 + (a - b) / s * ((a - b) / s))';
    const row = { value: `(a - b) * (a - b) / (1.0 + ${root})`, da: `(a - b) / ${root}`, db: `(b - a) / ${root}` };
    return pointwise('pseudoHuberLoss', row, x, target, { reduction, parameter: delta });
  },
  'widest',
);

/** Refuses a factor of the losses that does not broadcast to the input. */
function requireFactor(op: string, x: Tensor, weight: Tensor | null | undefined): void {
  if (weight && !sameShape(broadcastShapes(op, x.shape, weight.shape), x.shape))
    throw inputError(op, 'a weight is larger than the input', { input: x, weight });
}

/**
 * Binary cross-entropy of probabilities x in 0 … 1 with targets in 0 … 1, as `binary_cross_entropy`: −target · log x − (1 − target) · log(1 − x),
 * logarithms not below −100. `weight` is broadcast; 'mean' does not divide by it. A probability outside of 0 … 1 gives NaN.
 */
export const binaryCrossEntropy = mixed(
  'binaryCrossEntropy',
  function binaryCrossEntropy(x: Tensor, target: Tensor, options: PairOptions = {}): Tensor {
    const op = 'binaryCrossEntropy';
    const { reduction, weight } = checked(op, options, pairOptions[op]);
    requireFactor(op, x, weight);
    const row = {
      value: '-(b * maxOf(log(a), -100.0) + (1.0 - b) * maxOf(log1p(-a), -100.0))',
      da: 'select(nan(), (a - b) / maxOf((1.0 - a) * a, 1e-12), a >= 0.0 && a <= 1.0)',
      db: 'log1p(-a) - log(a)',
    };
    return pointwise(op, row, x, target, { reduction, weight });
  },
  'widest',
);

/** Options of `binaryCrossEntropyWithLogits`. */
export interface BceOptions extends Reduced {
  /** Factor of each loss; its shape is broadcast. */
  weight?: Tensor | null;
  /** Factor of the positive part of each loss; its shape is broadcast. */
  posWeight?: Tensor | null;
}

/** Binary cross-entropy of logits x with targets in 0 … 1: −posWeight · target · log σ(x) − (1 − target) · log(1 − σ(x)). */
export const bceWithLogits = mixed(
  'bceWithLogits',
  function bceWithLogits(x: Tensor, target: Tensor, options: BceOptions = {}): Tensor {
    const op = 'bceWithLogits';
    const { reduction, weight, posWeight } = checked(op, options, pairOptions[op]);
    for (const t of [weight, posWeight]) requireFactor(op, x, t);
    const more = posWeight ? '(q - 1.0)' : '0.0';
    const softplus = 'softplus(-a)'; // −log σ(a)
    const row = {
      value: `(1.0 - b) * a + (1.0 + ${more} * b) * ${softplus}`,
      da: `(1.0 - b) - (1.0 + ${more} * b) * sigmoid(-a)`,
      db: `${more} * ${softplus} - a`,
    };
    return pointwise(op, row, x, target, { reduction, weight, q: posWeight });
  },
  'widest',
);

/** `bceWithLogits` under its name in `torch.nn.functional`. */
export const binaryCrossEntropyWithLogits = bceWithLogits;
