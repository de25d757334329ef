// Losses as modules, for those who keep the loss with the model; `F` has them as functions.

import { checked, type OptionTable } from '../gpu/options';
import { type CtcOptions, ctcLoss, ctcOptions, type Lengths } from '../ops/ctc';
import { cosineSimilarity, distanceOptions, pairwiseDistance } from '../ops/distance';
import * as loss from '../ops/loss';
import * as losses from '../ops/losses';
import * as margins from '../ops/margin-loss';
import type { Tensor } from '../tensor/tensor';
import { type Inputs, Module } from './module';
import { State } from './parameter';

/** A loss as a module: its options are given once, `forward(x, target)` is the loss. */
export type Loss<O, In extends readonly unknown[] = [x: Tensor, target: Tensor]> = Module<In> & {
  /** As they were given, without defaults. */
  readonly options?: O;
  forward(...inputs: In): Tensor;
};

/** Weights among the options, which state dicts hold as in PyTorch. */
const WEIGHTS = ['weight', 'posWeight'];

/** A module of a loss that takes `In`. */
function lossModule<O extends object, In extends unknown[]>(
  compute: (inputs: In, options: O | undefined) => Tensor,
  table: OptionTable<O>,
): new (
  options?: O,
) => Loss<O, In> {
  return class extends Module<In> {
    protected static override readonly tensorNames: Readonly<Record<string, string>> = { posWeight: 'pos_weight' };
    readonly options?: O;

    constructor(options?: O) {
      super();
      checked(new.target.name, options, table);
      const given = { ...options } as Record<string, unknown>;
      for (const name of WEIGHTS)
        if (given[name]) {
          given[name] = new State(given[name] as Tensor);
          Object.defineProperty(this, name, { value: given[name], enumerable: true });
        }
      this.options = options && (given as O);
      Object.defineProperty(this, 'options', { enumerable: false });
    }

    override forward(...inputs: Inputs<In>): Tensor {
      return compute(inputs as In, this.options);
    }
  } as unknown as new (
    options?: O,
  ) => Loss<O, In>;
}

const two = <O extends object>(f: (x: Tensor, target: Tensor, options?: O) => Tensor, table: OptionTable<O>) =>
  lossModule(([x, target]: [x: Tensor, target: Tensor], o: O | undefined) => f(x, target, o), table);
const three = <O extends object>(f: (a: Tensor, b: Tensor, c: Tensor, options?: O) => Tensor, table: OptionTable<O>) =>
  lossModule(([a, b, c]: [a: Tensor, b: Tensor, c: Tensor], o: O | undefined) => f(a, b, c, o), table);

const { lossOptions } = loss;
const { rowOptions } = losses;
const { marginOptions } = margins;

/** Cross-entropy of logits [N, C, …] with int32 labels [N, …] or probabilities. */
export class CrossEntropyLoss extends two(loss.crossEntropy, lossOptions.crossEntropy) {}

/** The same of log-probabilities, such as LogSoftmax gives, with int32 labels. */
export class NLLLoss extends two(loss.nllLoss, lossOptions.nllLoss) {}

/** (x − target)² */
export class MSELoss extends two(loss.mseLoss, lossOptions.mseLoss) {}

/** |x − target| */
export class L1Loss extends two(loss.l1Loss, lossOptions.l1Loss) {}

/** Squared below `beta`, linear beyond it; the slope there is 1. */
export class SmoothL1Loss extends two(loss.smoothL1Loss, lossOptions.smoothL1Loss) {}

/** Squared near zero, linear beyond `delta`. */
export class HuberLoss extends two(loss.huberLoss, lossOptions.huberLoss) {}

/** Binary cross-entropy of probabilities. */
export class BCELoss extends two(loss.binaryCrossEntropy, lossOptions.binaryCrossEntropy) {}

/** Binary cross-entropy of logits, stable for large ones. */
export class BCEWithLogitsLoss extends two(loss.bceWithLogits, lossOptions.bceWithLogits) {}

/** Kullback–Leibler divergence of log-probabilities from a target. */
export class KLDivLoss extends two(losses.klDiv, rowOptions.klDiv) {}

/** Negative log-likelihood of a Poisson distribution. */
export class PoissonNLLLoss extends two(losses.poissonNllLoss, rowOptions.poissonNllLoss) {}

/** Negative log-likelihood of normal distributions: `forward(mean, target, variance)`. */
export class GaussianNLLLoss extends lossModule(
  (i: [x: Tensor, target: Tensor, variance: Tensor | number], o) => losses.gaussianNllLoss(...i, o),
  rowOptions.gaussianNllLoss,
) {}

/** log(1 + e^(−target · x)) for targets ±1. */
export class SoftMarginLoss extends two(losses.softMarginLoss, rowOptions.softMarginLoss) {}

/** x for targets 1, max(0, margin − x) for −1. */
export class HingeEmbeddingLoss extends two(losses.hingeEmbeddingLoss, rowOptions.hingeEmbeddingLoss) {}

/** Which of two inputs is to be larger: `forward(a, b, target)`, target ±1. */
export class MarginRankingLoss extends three(losses.marginRankingLoss, rowOptions.marginRankingLoss) {}

/** Whether two vectors are to point the same way: `forward(a, b, target)`, target ±1. */
export class CosineEmbeddingLoss extends three(losses.cosineEmbeddingLoss, rowOptions.cosineEmbeddingLoss) {}

/** Cross-entropies of all classes, each for itself. */
export class MultiLabelSoftMarginLoss extends two(
  losses.multilabelSoftMarginLoss,
  rowOptions.multilabelSoftMarginLoss,
) {}

/** Labels of a sample, ended by −1, are to be a margin above the other classes. */
export class MultiLabelMarginLoss extends two(margins.multilabelMarginLoss, marginOptions.multilabelMarginLoss) {}

/** The label's score is to be a margin above the others. */
export class MultiMarginLoss extends two(margins.multiMarginLoss, marginOptions.multiMarginLoss) {}

/** The anchor is to be nearer to the positive than to the negative: `forward(anchor, positive, negative)`. */
export class TripletMarginLoss extends three(margins.tripletMarginLoss, marginOptions.tripletMarginLoss) {}

/** The same with a distance of one's own. */
export class TripletMarginWithDistanceLoss extends three(
  margins.tripletMarginWithDistanceLoss,
  marginOptions.tripletMarginWithDistanceLoss,
) {}

/** Connectionist temporal classification: `forward(logProbs, targets, inputLengths, targetLengths)`. */
export class CTCLoss extends lossModule(
  (i: [logProbs: Tensor, targets: Tensor, inputLengths: Lengths, targetLengths: Lengths], o?: CtcOptions) =>
    ctcLoss(...i, o),
  ctcOptions,
) {}

/** Cosine of the angle between vectors. */
export class CosineSimilarity extends two(cosineSimilarity, distanceOptions.cosineSimilarity) {}

/** p-norm of the difference of vectors. */
export class PairwiseDistance extends two(pairwiseDistance, distanceOptions.pairwiseDistance) {}
