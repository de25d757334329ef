// Losses as rows: WGSL of the loss of a sample in its input a, its target b, the numbers s, t and up to two more operands. They broadcast as in
// PyTorch, are differentiated through their text to any order, and are reduced last. Integer targets are converted to float32.

import { at } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import { record, sumOfAll } from '../autograd/tape';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { evaluate } from '../tensor/elementwise';
import { sameShape } from '../tensor/shape';
import { requireFloats, requireTensors, type Tensor } from '../tensor/tensor';
import { div } from './elementwise';
import type { Reduced } from './loss';
import { mixed } from './mixed';
import { expression } from './operands';
import { mean, sum } from './reduce';
import { unsqueeze } from './views';

/** max(x, 0) with gradient 1 at 0, as PyTorch's `clamp_min`. */
const positive = (x: string): string => `clampTo(${x}, 0.0, infinity())`;
const STIRLING = `select(b * log(b) - b + 0.5 * log(${2 * Math.PI} * b), 0.0, b <= 1.0)`;

const ROWS = {
  klDiv: 'select(b * log(b), 0.0, b == 0.0) - b * a',
  klDivLog: 'exp(b) * (b - a)',
  poisson: 'a - b * log(a + s)',
  poissonLog: 'exp(a) - b * a',
  poissonFull: `a - b * log(a + s) + ${STIRLING}`,
  poissonLogFull: `exp(a) - b * a + ${STIRLING}`,
  gaussian: '0.5 * (log(q) + (a - b) * (a - b) / q) + s',
  softMargin: 'softplus(-(b * a))',
  hingeEmbedding: `select(${positive('s - a')}, 0.0, b == 1.0) + select(a, 0.0, b == -1.0)`,
  marginRanking: `${positive('s - q * (a - b)')}`,
  multilabelSoftMargin: 'b * softplus(-a) + (1.0 - b) * softplus(a)',
  cosineEmbedding: `select(0.0, 1.0 - a, b == 1.0) + select(0.0, ${positive('a - s')}, b == -1.0)`,
  triplet: positive('s + a - b'),
};

/** The losses of a row. */
export function rowLosses(
  op: string,
  row: keyof typeof ROWS,
  operands: Record<string, Tensor>,
  ...scalars: number[]
): Tensor {
  return expression(op, ROWS[row], operands, scalars);
}

/** What becomes of the losses of samples. */
export function reducedLosses(losses: Tensor, reduction: Reduced['reduction'] = 'mean'): Tensor {
  return reduction === 'none' ? losses : reduction === 'sum' ? sum(losses) : mean(losses);
}

const reduced: OptionTable<Reduced> = { reduction: word('none', 'mean', 'sum') };

/** Options of `klDiv`. */
export interface KlDivOptions {
  /** 'batchmean' divides the sum by the size of the first dimension: that is the divergence. 'mean', the default as in PyTorch, is not. */
  reduction?: 'none' | 'mean' | 'sum' | 'batchmean';
  /** The target holds logarithms. */
  logTarget?: boolean;
}

/** Options of `poissonNllLoss`. */
export interface PoissonNllOptions extends Reduced {
  /** The input is the logarithm of the rate (default true). */
  logInput?: boolean;
  /** Adds Stirling's approximation of log target!, for targets above 1. */
  full?: boolean;
  /** Keeps log(input + eps) finite without `logInput`; 1e-8 by default. */
  eps?: number;
}

/** Options of `gaussianNllLoss`. */
export interface GaussianNllOptions extends Reduced {
  /** Adds the constant log(2π) / 2. */
  full?: boolean;
  /** The least variance; 1e-6 by default. */
  eps?: number;
}

/** Options of losses with a margin. */
export interface MarginOptions extends Reduced {
  /** By how much they must differ. */
  margin?: number;
}

/** Options of `multilabelSoftMarginLoss`. */
export interface MultilabelOptions extends Reduced {
  /** Factor of each class [C], or whatever broadcasts to the input. */
  weight?: Tensor | null;
}

const margin: OptionTable<MarginOptions> = { ...reduced, margin: is.number };
/** The options of each loss. */
export const rowOptions = {
  klDiv: { reduction: word('none', 'mean', 'sum', 'batchmean'), logTarget: is.flag } as OptionTable<KlDivOptions>,
  poissonNllLoss: { ...reduced, logInput: is.flag, full: is.flag, eps: is.number } as OptionTable<PoissonNllOptions>,
  gaussianNllLoss: { ...reduced, full: is.flag, eps: is.number } as OptionTable<GaussianNllOptions>,
  softMarginLoss: reduced,
  hingeEmbeddingLoss: margin,
  marginRankingLoss: margin,
  cosineEmbeddingLoss: margin,
  multilabelSoftMarginLoss: { ...reduced, weight: is.tensor } as OptionTable<MultilabelOptions>,
};

/** target · (log target − x) for log-probabilities x, as `torch.nn.functional.kl_div`; 0 where the target is 0. */
export const klDiv = mixed(
  'klDiv',
  function klDiv(x: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
    const { reduction = 'mean', logTarget = false } = checked('klDiv', options, rowOptions.klDiv);
    requireTensors('klDiv', { input: x, target });
    const losses = rowLosses('klDiv', logTarget ? 'klDivLog' : 'klDiv', { a: x, b: target });
    if (reduction !== 'batchmean') return reducedLosses(losses, reduction);
    return x.ndim ? div(sum(losses), at(x.shape, 0)) : sum(losses);
  },
  'widest',
);

/** Negative log-likelihood of a Poisson distribution, as `poisson_nll_loss`: eˣ − target · x, or x − target · log(x + eps) without `logInput`. */
export const poissonNllLoss = mixed(
  'poissonNllLoss',
  function poissonNllLoss(x: Tensor, target: Tensor, options: PoissonNllOptions = {}): Tensor {
    const o = checked('poissonNllLoss', options, rowOptions.poissonNllLoss);
    const { logInput = true, full: whole = false, eps = 1e-8, reduction } = o;
    requireTensors('poissonNllLoss', { input: x, target });
    const row = `poisson${logInput ? 'Log' : ''}${whole ? 'Full' : ''}` as const;
    return reducedLosses(rowLosses('poissonNllLoss', row, { a: x, b: target }, eps), reduction);
  },
  'widest',
);

/** The larger of x and `least`, with the gradient of x everywhere: what PyTorch clamps outside of the graph. */
export const atLeast = operation(
  'atLeast',
  (x: Tensor, least: number): Tensor =>
    record(
      'atLeast',
      [x],
      evaluate({ name: 'atLeast', expression: 'maxOf(a, s)', operands: { a: x }, scalars: [least], shape: x.shape }),
      [],
      (g) => [g],
      { push: (t) => sumOfAll(t), differentiable: (g) => [g] },
    ),
);

/**
 * Negative log-likelihood of normal distributions with means x and variances, as `gaussian_nll_loss`: (log v + (x − target)² / v) / 2 with v =
 * max(variance, eps). `variance` is a number, has the shape of x, or one where a dimension of x is 1, or the last one is left out. A negative
 * variance gives NaN.
 */
export const gaussianNllLoss = mixed(
  'gaussianNllLoss',
  function gaussianNllLoss(
    x: Tensor,
    target: Tensor,
    variance: Tensor | number,
    options: GaussianNllOptions = {},
  ): Tensor {
    const op = 'gaussianNllLoss';
    const { full: whole = false, eps = 1e-6, reduction } = checked(op, options, rowOptions.gaussianNllLoss);
    if (typeof variance === 'number' && !(variance >= 0))
      throw inputError(op, `the variance is ${variance}`, { input: x }, 'It must not be negative.');
    const given = typeof variance === 'number' ? full(x.shape, variance) : variance;
    requireFloats(op, { input: x, variance: given });
    requireTensors(op, { target });
    const others = x.shape.filter((n, d) => n !== given.shape[d]);
    const other = x.shape.findIndex((n, d) => n !== given.shape[d]);
    const lacksLast = sameShape(x.shape.slice(0, -1), given.shape);
    const oneForMany = given.ndim === x.ndim && others.length === 1 && given.shape[other] === 1;
    if (!(others.length === 0 && given.ndim === x.ndim) && !lacksLast && !oneForMany)
      throw inputError(
        op,
        'the variance does not fit',
        { input: x, variance: given },
        'It has the shape of the input, with one dimension of size 1 or the last left out.',
      );
    const own = lacksLast && given.ndim < x.ndim ? unsqueeze(given, -1) : given;
    const checkedSign = expression(op, 'select(a, nan(), a < 0.0)', { a: own });
    const operands = { a: x, b: target, q: atLeast(checkedSign, eps) };
    return reducedLosses(rowLosses(op, 'gaussian', operands, whole ? 0.5 * Math.log(2 * Math.PI) : 0), reduction);
  },
  'widest',
);

/** log(1 + e^(−target · x)) for targets 1 and −1, as `soft_margin_loss`. */
export const softMarginLoss = mixed(
  'softMarginLoss',
  function softMarginLoss(x: Tensor, target: Tensor, options: Reduced = {}): Tensor {
    const { reduction } = checked('softMarginLoss', options, rowOptions.softMarginLoss);
    requireTensors('softMarginLoss', { input: x, target });
    return reducedLosses(rowLosses('softMarginLoss', 'softMargin', { a: x, b: target }), reduction);
  },
  'widest',
);

/** x where the target is 1, max(0, margin − x) where it is −1, as `hinge_embedding_loss`. */
export const hingeEmbeddingLoss = mixed(
  'hingeEmbeddingLoss',
  function hingeEmbeddingLoss(x: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
    const { margin = 1, reduction } = checked('hingeEmbeddingLoss', options, rowOptions.hingeEmbeddingLoss);
    requireTensors('hingeEmbeddingLoss', { input: x, target });
    return reducedLosses(rowLosses('hingeEmbeddingLoss', 'hingeEmbedding', { a: x, b: target }, margin), reduction);
  },
  'widest',
);

/** max(0, margin − target · (a − b)) for targets 1 (a is to be larger) and −1, as `margin_ranking_loss`. */
export const marginRankingLoss = mixed(
  'marginRankingLoss',
  function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
    const op = 'marginRankingLoss';
    const { margin = 0, reduction } = checked(op, options, rowOptions[op]);
    requireTensors(op, { input1: a, input2: b, target });
    if (a.ndim !== b.ndim || a.ndim !== target.ndim)
      throw inputError(op, 'inputs and target differ in the number of dimensions', { input1: a, input2: b, target });
    return reducedLosses(rowLosses(op, 'marginRanking', { a, b, q: target }, margin), reduction);
  },
  'widest',
);

/** Cross-entropies of all classes, each for itself, and their mean over the last dimension, as `multilabel_soft_margin_loss`: targets are 0 or 1. */
export const multilabelSoftMarginLoss = mixed(
  'multilabelSoftMarginLoss',
  function multilabelSoftMarginLoss(x: Tensor, target: Tensor, options: MultilabelOptions = {}): Tensor {
    const op = 'multilabelSoftMarginLoss';
    const { reduction, weight } = checked(op, options, rowOptions[op]);
    requireTensors(op, { input: x, target });
    if (x.ndim === 0) throw inputError(op, 'the input has no classes', { input: x }, 'It is [N, C] or [C].');
    const text = weight ? `q * (${ROWS.multilabelSoftMargin})` : ROWS.multilabelSoftMargin;
    const losses = expression(op, text, { a: x, b: target, ...(weight && { q: weight }) });
    return reducedLosses(mean(losses, -1), reduction);
  },
  'widest',
);

/**
 * 1 − cos(a, b) where the target is 1, max(0, cos(a, b) − margin) where it is −1, as `cosine_embedding_loss`: a and b are [N, D] with targets [N], or
 * [D] with a target without dimensions.
 */
export const cosineEmbeddingLoss = mixed(
  'cosineEmbeddingLoss',
  function cosineEmbeddingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
    const op = 'cosineEmbeddingLoss';
    const { margin = 0, reduction } = checked(op, options, rowOptions[op]);
    requireTensors(op, { input1: a, input2: b, target });
    if (target.ndim > 1 || a.ndim !== target.ndim + 1 || b.ndim !== a.ndim)
      throw inputError(
        op,
        'the shapes do not fit',
        { input1: a, input2: b, target },
        'Use [N, D] and [N], or [D] and [].',
      );
    const total = (text: string, operands: Record<string, Tensor>) => sum(expression(op, text, operands), -1);
    const [ab, aa, bb] = [total('a * b', { a, b }), total('a * a', { a }), total('b * b', { b })];
    const cosine = expression(op, 'a * inverseSqrt((b + 1e-12) * (q + 1e-12))', { a: ab, b: aa, q: bb });
    return reducedLosses(rowLosses(op, 'cosineEmbedding', { a: cosine, b: target }, margin), reduction);
  },
  'widest',
);
