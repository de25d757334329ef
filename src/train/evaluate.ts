// The loss and the error of a model over a whole data set.

import { scopedNoGrad } from '../autograd/tape';
import type { BatchSource } from '../data/batches';
import { checked, is, type OptionTable } from '../gpu/options';
import { inEvaluation, type Module } from '../nn/module';
import { crossEntropy } from '../ops/loss';
import type { Tensor } from '../tensor/tensor';
import { locateNonFinite, NonFiniteEvaluationError } from './diagnose';
import { defaultReadEvery, Tally } from './tally';

/** A model that classifies: images → logits [N, classes]. */
export type Classifier = Module & { forward(x: Tensor): Tensor };
/** The mean loss over a batch of logits [N, classes] and labels [N]. */
export type LossFunction = (logits: Tensor, labels: Tensor) => Tensor;

export interface EvaluationOptions {
  batchSize: number;
  lossFunction?: LossFunction;
  /** Batches between two reads. */
  readEvery?: number;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

const OPTIONS: OptionTable<EvaluationOptions> = {
  batchSize: is.number,
  lossFunction: is.func,
  readEvery: is.number,
  onProgress: is.func,
  signal: is.object,
};

export interface Evaluation {
  loss: number;
  /** Wrong answers in percent. */
  error: number;
  wrong: number;
  count: number;
}

/**
 * Evaluates in evaluation mode without recording; for whoever uses the model meanwhile it keeps its own. Null when `signal` was aborted before the end. Throws
 * NonFiniteEvaluationError where the loss or a logit is NaN.
 */
export async function evaluate(
  model: Classifier,
  source: BatchSource,
  options: EvaluationOptions,
): Promise<Evaluation | null> {
  checked('evaluate', options, OPTIONS);
  const { batchSize, lossFunction = crossEntropy, readEvery = defaultReadEvery(), onProgress, signal } = options;
  const tally = new Tally();
  const total = { loss: 0, correct: 0, images: 0 };
  let batches = 0;
  const read = async () => {
    const first = batches - tally.steps;
    const values = await tally.read();
    if (Number.isNaN(values.loss)) throw await explain(first + values.badStep);
    total.loss += values.loss;
    total.correct += values.correct;
    total.images += values.images;
    onProgress?.(total.images, source.count);
  };
  /** The number of the batch, counted from 1. */
  const explain = async (bad: number) => {
    let number = 0;
    for (const batch of source.batches({ batchSize }))
      if (++number === bad)
        return new NonFiniteEvaluationError(
          bad,
          await inEvaluation(model, () => locateNonFinite(model, lossFunction, batch)),
        );
    return new NonFiniteEvaluationError(bad, 'the batch cannot be made again');
  };
  try {
    for (const { images, labels, size } of source.batches({ batchSize })) {
      batches++;
      const step = tally.count(size);
      // The mode changes for the batch alone: whoever trains the model while this waits trains it in its own.
      inEvaluation(model, () =>
        scopedNoGrad(() => {
          const logits = model.forward(images);
          tally.add(logits, labels, lossFunction(logits, labels), step);
        }),
      );
      if (tally.steps === readEvery) await read();
      if (signal?.aborted) return null;
    }
    if (tally.steps) await read();
  } finally {
    tally.dispose();
  }
  const { loss, correct, images: count } = total;
  const wrong = count - correct;
  return { loss: loss / count, error: (100 * wrong) / count, wrong, count };
}
