// The loss and the metrics of a model over a whole data set.

import { scopedNoGrad } from '../autograd/tape';
import type { Batch, BatchSource } from '../data/batches';
import { requireWhole } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { type AnyModule, inEvaluation } from '../nn/module';
import { locateNonFinite, NonFiniteEvaluationError } from './diagnose';
import type { TrainerHook } from './hooks';
import { batchesOf, countOf, forStep, isSource, type Loader, sizeOf, visit } from './loader';
import { addTo, defaultReadEvery, type Totals } from './tally';
import type { Classifier, LossFunction, Means, Step, Task } from './task';
import { classification, named, ownStep } from './task';

interface Options {
  /** For a BatchSource; a DataLoader has its own. */
  batchSize?: number;
  /** Batches between two reads. */
  readEvery?: number;
  /** Called after every read with the samples done and all of them. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the evaluation early; `evaluate` then gives null. */
  signal?: AbortSignal;
}

/** Options of `evaluate` for a classifier. */
export interface EvaluationOptions extends Options {
  /** Images that are evaluated at a time. */
  batchSize: number;
  /** Mean loss over a batch (default cross-entropy). */
  lossFunction?: LossFunction;
}

/** Options of `evaluate` for any model, by a step of one's own. */
export interface OwnEvaluationOptions<B> extends Options {
  /** As that of the Trainer. */
  step: Step<B>;
}

const OPTIONS: OptionTable<EvaluationOptions & OwnEvaluationOptions<never>> = {
  batchSize: is.number,
  lossFunction: is.func,
  step: is.func,
  readEvery: is.number,
  onProgress: is.func,
  signal: is.object,
};

/** Loss and errors of a classifier on a data set. */
export interface Evaluation {
  /** Mean over the samples. */
  loss: number;
  /** Wrong answers in percent. */
  error: number;
  /** Number of wrong answers. */
  wrong: number;
  /** Number of samples. */
  count: number;
}

/**
 * Evaluates a classifier, or with a `step` of one's own anything, in evaluation mode without recording; for whoever uses the model meanwhile it
 * keeps its own. With a step it gives the means of the loss and of the metrics. Null when `signal` was aborted before the end. Throws
 * NonFiniteEvaluationError where a loss, a metric or a logit is NaN.
 */
export function evaluate(
  model: Classifier,
  source: BatchSource,
  options: EvaluationOptions,
): Promise<Evaluation | null>;
export function evaluate<B>(
  model: AnyModule,
  loader: Loader<B>,
  options: OwnEvaluationOptions<B>,
): Promise<Means | null>;
export async function evaluate(
  model: AnyModule,
  loader: Loader<Batch>,
  options: EvaluationOptions | OwnEvaluationOptions<Batch>,
): Promise<Evaluation | Means | null> {
  checked('evaluate', options as EvaluationOptions & OwnEvaluationOptions<Batch>, OPTIONS);
  const { lossFunction, step, ...rest } = options as EvaluationOptions & OwnEvaluationOptions<Batch>;
  const own = step as Step<Batch> | undefined;
  const task = own ? ownStep(own) : classification(model as Classifier, lossFunction);
  const totals = await total(model, loader, task, rest);
  if (!totals || own) return totals && task.tested(totals);
  const { correct, images: count } = totals;
  return { ...(task.tested(totals) as Means & { error: number }), wrong: count - correct, count };
}

/** The test values of the model, and those of the other forms that hooks bring, with the name of the form in front. */
export async function tested<B>(
  model: AnyModule,
  loader: Loader<B>,
  task: Task<B>,
  forms: readonly NonNullable<TrainerHook['tests']>[],
  options: Options,
): Promise<Means | null> {
  const totals = await total(model, loader, task, options);
  if (!totals) return null;
  const means = task.tested(totals);
  for (const { name, within } of forms) {
    const run = (batch: B) => within(() => task.run(batch));
    const other = await total(model, loader, { ...task, run }, options);
    if (!other) return null;
    Object.assign(means, named(name, task.tested(other)));
  }
  return means;
}

/** The sums of a task over all batches of a loader. */
export async function total<B>(
  model: AnyModule,
  loader: Loader<B>,
  task: Task<B>,
  { batchSize, readEvery = defaultReadEvery(), onProgress, signal }: Options,
): Promise<Totals | null> {
  if (isSource(loader)) requireWhole('evaluate: batchSize', batchSize, 1, 1e9);
  const tally = task.tally();
  const totals: Totals = { loss: 0, correct: 0, images: 0 };
  const pass = () => batchesOf(loader, { batchSize });
  let batches = 0;
  const read = async () => {
    const first = batches - tally.steps;
    const values = await tally.read();
    if ([values.loss, ...Object.values(values.metrics ?? {})].some(Number.isNaN))
      throw await explain(first + values.badStep);
    addTo(totals, values);
    onProgress?.(totals.images, countOf(loader));
  };
  /** `bad` is the number of the batch, counted from 1. */
  const explain = async (bad: number) => {
    let number = 0;
    let where = 'the batch cannot be made again';
    await visit(pass(), async (batch) => {
      if (++number < bad) return true;
      where = await inEvaluation(model, () => locateNonFinite(model, task, batch));
      return false;
    });
    return new NonFiniteEvaluationError(bad, where);
  };
  try {
    await visit(pass(), (batch) => {
      batches++;
      const step = tally.count(sizeOf(batch));
      // The mode changes for the batch alone: whoever trains the model while this waits trains it in its own.
      inEvaluation(model, () => scopedNoGrad(() => task.run(forStep(batch, false)).count(tally, step)));
      const goOn = () => !signal?.aborted;
      return tally.steps === readEvery ? read().then(goOn) : goOn();
    });
    if (signal?.aborted) return null;
    if (tally.steps) await read();
  } finally {
    tally.dispose();
  }
  return totals;
}
