// What a Trainer trains: from a batch to a loss and to the numbers that are summed up over an epoch.

import { castTo } from '../autograd/cast';
import { isPlain } from '../autograd/tape';
import type { Batch } from '../data/batches';
import type { Scalar } from '../gpu';
import { InputError } from '../gpu';
import type { Module } from '../nn/module';
import { crossEntropy } from '../ops/loss';
import { Tensor } from '../tensor/tensor';
import { sizeOf } from './loader';
import { MeanTally, Tally, type Totals } from './tally';

/** A model that classifies: images → logits [N, classes]. */
export type Classifier = Module;
/** The mean loss over a batch of logits [N, classes] and labels [N], or probabilities [N, classes] where a batch has `targets`. */
export type LossFunction = (logits: Tensor, labels: Tensor) => Tensor;

/**
 * The loss of a batch, one number to differentiate; or with metrics, `{ loss, accuracy, … }`: each one number, the mean over the batch. Lightning's
 * `training_step`; under `noGrad` and in evaluation mode it is the `validation_step` as well.
 */
export type Step<B> = (batch: B) => Tensor | (Readonly<Record<string, Tensor>> & { readonly loss: Tensor });

/** What a batch comes to. */
export interface Outcome {
  readonly loss: Tensor;
  /** All that must be finite, by name. */
  readonly values: ReadonlyMap<string, Tensor>;
  /** Adds the batch to sums: `step` is its number since they were read. */
  count(tally: Tally, step: number | Scalar): void;
}

export type Means = Record<string, number> & { loss: number };

export interface Task<B> {
  /** New sums of its kind. */
  tally(): Tally;
  run(batch: B): Outcome;
  /** Loss and metrics: means over so many samples of training, and of a test. */
  means(totals: Totals): Means;
  tested(totals: Totals): Means;
  /** Which of them tells the best epoch: the lowest. */
  readonly best: 'error' | 'loss';
}

/** Images and labels, a mean loss over logits, and the error in percent. */
export function classification(model: Classifier, lossFunction: LossFunction = crossEntropy): Task<Batch> {
  return {
    best: 'error',
    tally: () => new Tally(),
    run({ images, labels, targets = labels }) {
      if (!(images instanceof Tensor && labels instanceof Tensor))
        throw new InputError(
          'Trainer: a classifier is trained on batches { images, labels }; for others pass step: (batch) => loss',
        );
      const logits = castTo(model.forward(images), 'float32');
      const loss = lossFunction(logits, targets);
      return {
        loss,
        values: new Map([['loss function', loss]]),
        count: (tally, step) => tally.add(logits, labels, loss, step),
      };
    },
    means: ({ loss, correct, images }) => ({ loss: loss / images, error: 100 - (100 * correct) / images }),
    tested: ({ loss, correct, images }) => ({ loss: loss / images, error: (100 * (images - correct)) / images }),
  };
}

/** A step of one's own. */
export function ownStep<B>(step: Step<B>): Task<B> {
  const means = ({ loss, images, metrics = {} }: Totals): Means => ({
    ...Object.fromEntries(Object.entries(metrics).map(([name, sum]) => [name, sum / images])),
    loss: loss / images,
  });
  return {
    best: 'loss',
    tally: () => new MeanTally(),
    run(batch) {
      const samples = sizeOf(batch);
      const given: unknown = step(batch);
      const named = given instanceof Tensor ? { loss: given } : isPlain(given) ? given : {};
      const { loss, ...metrics } = named as { loss: Tensor; [metric: string]: Tensor };
      const values = new Map(Object.entries({ loss, ...metrics }));
      const odd = [...values].find(([, x]) => !(x instanceof Tensor));
      if (odd)
        throw new InputError(
          `Trainer: step(batch) must return the loss, a tensor, or { loss, …metrics }; its ${odd[0]} is ${given instanceof Promise ? 'a promise: a step cannot wait' : String(odd[1])}`,
        );
      return { loss, values, count: (tally, n) => (tally as MeanTally).addMeans(values, samples, n) };
    },
    means,
    tested: means,
  };
}

/** `loss` → `trainLoss`. */
export function named<P extends string>(prefix: P, means: Means): Record<`${P}${string}`, number> {
  return Object.fromEntries(
    Object.entries(means).map(([name, value]) => [prefix + (name[0] ?? '').toUpperCase() + name.slice(1), value]),
  ) as Record<`${P}${string}`, number>;
}
