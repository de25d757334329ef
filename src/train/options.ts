// What a Trainer is told.
import type { Batch } from '../data/batches';
import { InputError, requireWhole } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import type { AnyModule } from '../nn/module';
import type { Optimizer } from '../optim/optimizer';
import type { Schedule } from '../optim/schedule';
import type { Checkpoint, JsonObject } from './checkpoint';
import type { TrainerHook } from './hooks';
import { isSource, type Loader } from './loader';
import type { EpochLine, MetricsLine, StepLine } from './metrics';
import type { Classifier, LossFunction, Step } from './task';

/** Where a run is written. `RunFolder` is one, on disk. */
export interface RunStore {
  /** Adds a line to the metrics of the run. */
  appendMetrics(line: MetricsLine): void;
  /** Keeps a checkpoint in place of the former one of that name. */
  saveCheckpoint(state: Checkpoint, name: 'last' | 'best'): unknown;
}

/** Running means of the epoch. */
export interface StepReport {
  /** Counted from 1, as users see it. */
  readonly epoch: number;
  /** Steps so far, all epochs together. */
  readonly step: number;
  /** Images, or other samples, of the epoch so far, and all of them; Infinity where the loader does not say. */
  readonly done: number;
  /** Samples of the epoch; Infinity where the loader does not say. */
  readonly total: number;
  /** Mean loss of the epoch so far. */
  readonly loss: number;
  /** Of a classifier, in percent. */
  readonly accuracy?: number;
  /** The error of a classifier in percent, or the metrics of a step of one's own. */
  readonly metrics: Readonly<Record<string, number>>;
}

interface CommonOptions<B> {
  /** Made of the model's parameters. */
  optimizer: Optimizer<{ lr: number }>;
  /** The batches to train with. */
  train: Loader<B>;
  /** Evaluated after epochs; without it there are no test values. */
  test?: Loader<B>;
  /** Epochs to train, those of earlier sessions of the run included. */
  epochs: number;
  /** Ends the run after so many steps, within an epoch if need be: that part of an epoch is evaluated, but is no candidate for the best one. */
  steps?: number;
  /** Factor on the learning rate by epoch (default constant). */
  schedule?: Schedule;
  /** Seed of order and augmentation (default 0). */
  seed?: number;
  /** Functions called in the loop; see `TrainerHook`. Those that modules bring come before them. */
  hooks?: readonly TrainerHook[];
  /** Epochs between two evaluations and between two checkpoints (default 1); the last epoch always gets both. */
  evalEvery?: number;
  /** Epochs between two checkpoints (default 1); the last epoch always gets one. */
  checkpointEvery?: number;
  /**
   * Compiles the step (default true): the same numbers with far less work for the host. Forward passes may then depend on nothing but
   * tensors, modes and the framework's own randomness.
   */
  compile?: boolean;
  /**
   * Mixed precision (default false): forward passes in autocast, the loss scaled by a `GradScaler`, whose state is in the checkpoints. Throws
   * AdapterError where the adapter has no 'shader-f16'.
   */
  amp?: boolean;
  /** Steps between two read-backs of the loss, which are also what `onStep` and the metrics see. */
  readEvery?: number;
  /** Where metrics and checkpoints go. */
  store?: RunStore;
  /** Options of the run, stored in checkpoints. */
  config?: JsonObject;
  /** Stops the run after the current step, with a checkpoint. */
  signal?: AbortSignal;
  /** Called before an epoch with its number, the samples done in it and all of them. */
  onEpochStart?: (epoch: number, done: number, total: number) => void;
  /** After every read-back of the loss. What it returns is awaited: it may look at the model, and must leave it as it is. */
  onStep?: (report: StepReport, line: StepLine) => unknown;
  /** Called during an evaluation with the samples done and all of them. */
  onEvaluate?: (done: number, total: number) => void;
  /** Called after an epoch with its line of metrics. */
  onEpoch?: (line: EpochLine) => void;
  /** Sentences for people. */
  onNotice?: (text: string) => void;
}

/** Options for a classifier: batches { images, labels }, cross-entropy, the error in percent. */
export interface TrainerOptions extends CommonOptions<Batch> {
  /** Images to logits [N, classes]. */
  model: Classifier;
  /** Mean loss over a batch (default cross-entropy). */
  lossFunction?: LossFunction;
  /** Images of a batch. */
  batchSize: number;
  /** Random crops and flips (default true). */
  augment?: boolean;
}

/** Options for anything else: any model, batches and loss. */
export interface OwnTrainerOptions<B> extends CommonOptions<B> {
  /** Any module; `step` calls it. */
  model: AnyModule;
  /** Of a batch the loss, or { loss, … } with metrics. */
  step: Step<B>;
  /** For a BatchSource; a DataLoader has its own. */
  batchSize?: number;
  /** For a BatchSource (default true). */
  augment?: boolean;
}

/** Both together, as the Trainer sees them. */
export type AllOptions<B> = CommonOptions<B> &
  Pick<OwnTrainerOptions<B>, 'batchSize' | 'augment'> &
  Partial<Pick<OwnTrainerOptions<B>, 'step'>> &
  Pick<TrainerOptions, 'lossFunction'> & { model: AnyModule };

const OPTIONS: OptionTable<AllOptions<never>> = {
  ...{
    model: is.object,
    optimizer: is.object,
    train: is.object,
    test: is.object,
    lossFunction: is.func,
    step: is.func,
  },
  ...{ epochs: is.number, steps: is.number, batchSize: is.number, schedule: is.func, seed: is.number },
  ...{ augment: is.flag, hooks: is.object, evalEvery: is.number, checkpointEvery: is.number, compile: is.flag },
  ...{ amp: is.flag, readEvery: is.number, store: is.object, config: is.object, signal: is.object },
  ...{ onEpochStart: is.func, onStep: is.func, onEvaluate: is.func, onEpoch: is.func, onNotice: is.func },
};

/** Refuses options that no run can have, by their names. */
export function checkOptions<B>(options: AllOptions<B>): void {
  checked('Trainer', options as AllOptions<never>, OPTIONS);
  for (const name of ['model', 'optimizer', 'train', 'epochs'] as const)
    if (options[name] === undefined) throw new InputError(`Trainer: ${name} is missing`);
  for (const name of ['epochs', 'batchSize', 'steps', 'evalEvery', 'checkpointEvery', 'readEvery'] as const)
    if (options[name] !== undefined) requireWhole(`Trainer: ${name}`, options[name], 1, 1e9);
  if (options.hooks && !Array.isArray(options.hooks)) throw new InputError('Trainer: hooks must be an array of hooks');
  if (options.step && options.lossFunction)
    throw new InputError('Trainer: the loss is what step(batch) returns; leave lossFunction out');
  for (const name of ['train', 'test'] as const) {
    const loader = options[name];
    if (!loader) continue;
    if (isSource(loader)) {
      if (options.batchSize === undefined) throw new InputError('Trainer: batchSize is missing');
    } else if (!(Symbol.iterator in loader || Symbol.asyncIterator in loader))
      throw new InputError(
        `Trainer: ${name} gives no batches: pass a DataLoader, or anything with batches() or to iterate over`,
      );
    else if (options.batchSize !== undefined && !isSource(options.train))
      throw new InputError(
        `Trainer: batchSize belongs to the loader ${name}, which makes its own batches; leave it out here`,
      );
  }
}
