// The Trainer: epochs of steps with schedule, evaluation, metrics and checkpoints. A run that was interrupted at any step goes on bit for bit.

import { Rng, Stream } from '../../datasets/random';
import { targetName } from '../../shaders/target';
import { compile } from '../autograd/compile';
import { backward } from '../autograd/tape';
import type { Batch, BatchSource } from '../data/batches';
import type { ProfiledLaunch, Scalar, TuningTable } from '../gpu';
import { device, InputError, requireWhole, tune } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { birthDeath, countEffects } from '../meanfield/birth-death';
import type { MeanField } from '../meanfield/mean-field';
import { meanFieldsIn } from '../meanfield/mean-field';
import { Parameter } from '../nn/parameter';
import { crossEntropy } from '../ops/loss';
import type { Optimizer } from '../optim/optimizer';
import type { Schedule } from '../optim/schedule';
import { constant, Scheduler } from '../optim/schedule';
import { zerosLike } from '../tensor/create';
import { copyInto } from '../tensor/elementwise';
import { getRngState, setRngState } from '../tensor/seed';
import type { Tensor } from '../tensor/tensor';
import type { Checkpoint, JsonObject } from './checkpoint';
import { locateNonFinite, NonFiniteEvaluationError, NonFiniteLossError } from './diagnose';
import type { Classifier, LossFunction } from './evaluate';
import { evaluate } from './evaluate';
import type { EpochLine, MetricsLine, StageLine, StepLine, SummaryLine } from './metrics';
import type { Progress, Standing } from './progress';
import { beginning, checkProgress } from './progress';
import { findNonFinite, fromStored, loadWeights, PRIVATE, toStored } from './state';
import { defaultReadEvery, Tally } from './tally';

/** Where a run is written. `RunFolder` is one, on disk. */
export interface RunStore {
  appendMetrics(line: MetricsLine): void;
  saveCheckpoint(state: Checkpoint, name: 'last' | 'best'): unknown;
}

/** Running means of the epoch; accuracy in percent. */
export interface StepReport {
  readonly epoch: number;
  readonly step: number;
  /** Images of the epoch so far, and all of them. */
  readonly done: number;
  readonly total: number;
  readonly loss: number;
  readonly accuracy: number;
}

export interface TrainerOptions {
  model: Classifier & { sortParticles?(): void };
  optimizer: Optimizer<{ lr: number }>;
  train: BatchSource;
  /** Evaluated after epochs; without it no test error is reported. */
  test?: BatchSource;
  /** Mean loss over a batch (default cross-entropy). */
  lossFunction?: LossFunction;
  epochs: number;
  /** Ends the run after so many steps, within an epoch if need be: that part of an epoch is evaluated, but is no candidate for the best one. */
  steps?: number;
  batchSize: number;
  /** Factor on the learning rate by epoch (default constant). */
  schedule?: Schedule;
  /** Seed of order and augmentation (default 0). */
  seed?: number;
  /** Random crops and flips (default true). */
  augment?: boolean;
  /** Kills and clones particles by their effect on the loss, before every `every`th epoch (default 1); see `birthDeath`. Off by default. */
  birthDeath?: { rate: number; every?: number };
  /**
   * The order that the particles of each stage are put into, over the same times, before every epoch but the first: position r gets what was at
   * order[r]. A control for what re-sorting does: `(n, rng) => rng.permutation(n)`. Off by default.
   */
  permute?: (n: number, rng: Rng, epoch: number) => ArrayLike<number>;
  /** Epochs between two evaluations and between two checkpoints (default 1); the last epoch always gets both. */
  evalEvery?: number;
  checkpointEvery?: number;
  /**
   * Compiles the step (default true): the same numbers with far less work for the host. Forward passes may then depend on nothing but
   * tensors, modes and the framework's own randomness.
   */
  compile?: boolean;
  /** Steps between two read-backs of the loss, which are also what `onStep` and the metrics see. */
  readEvery?: number;
  store?: RunStore;
  /** Options of the run, stored in checkpoints. */
  config?: JsonObject;
  /** Stops the run after the current step, with a checkpoint. */
  signal?: AbortSignal;
  onEpochStart?: (epoch: number, done: number, total: number) => void;
  /** After every read-back of the loss. What it returns is awaited: it may look at the model, and must leave it as it is. */
  onStep?: (report: StepReport, line: StepLine) => unknown;
  onEvaluate?: (done: number, total: number) => void;
  onEpoch?: (line: EpochLine) => void;
  /** Sentences for people. */
  onNotice?: (text: string) => void;
}

const OPTIONS: OptionTable<TrainerOptions> = {
  ...{ model: is.object, optimizer: is.object, train: is.object, test: is.object, lossFunction: is.func },
  ...{
    epochs: is.number,
    steps: is.number,
    batchSize: is.number,
    schedule: is.func,
    seed: is.number,
    augment: is.flag,
  },
  ...{
    birthDeath: is.object,
    permute: is.func,
    evalEvery: is.number,
    checkpointEvery: is.number,
    compile: is.flag,
    readEvery: is.number,
  },
  ...{ store: is.object, config: is.object, signal: is.object },
  ...{ onEpochStart: is.func, onStep: is.func, onEvaluate: is.func, onEpoch: is.func, onNotice: is.func },
};

export interface RunSummary extends SummaryLine, Standing {
  /** False when the signal stopped the run. */
  finished: boolean;
}

const SUMS = `${PRIVATE.trainer}sums`;
/** In front of a stage's name. */
const EFFECTS = `${PRIVATE.trainer}effects/`;

/** Models whose run has not ended. */
const inTraining = new WeakSet<object>();

/**
 * Trains a classifier.
 *
 *     const trainer = new Trainer({ model, optimizer, train, test, epochs: 160, batchSize: 128, schedule: multiStep([80, 120]) });
 *     const summary = await trainer.run();
 *
 * After every update a model with `sortParticles()` gets it called. To resume: `trainer.restore(checkpoint)`, then `run()`.
 */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #scheduler: Scheduler;
  readonly #tally = new Tally();
  readonly #lossFunction: LossFunction;
  readonly #readEvery: number;
  #step: ((images: Tensor, labels: Tensor, number: number) => void) & { release?(): void };
  #progress: Progress;
  /** The state at the start of the run or of the epoch: where the search for a bad number begins. */
  #good: Checkpoint | null = null;
  #tuned = false;
  #clock = 0;
  /** Speed of training in this epoch and session, evaluation left out. */
  #rate = { since: 0, images: 0, perSecond: 0 };

  constructor(options: TrainerOptions) {
    checked('Trainer', options, OPTIONS);
    if (options.birthDeath) checked('Trainer: birthDeath', options.birthDeath, { rate: is.number, every: is.number });
    for (const name of ['epochs', 'batchSize', 'steps', 'evalEvery', 'checkpointEvery', 'readEvery'] as const) {
      if (options[name] !== undefined) requireWhole(`Trainer: ${name}`, options[name], 1, 1e9);
    }
    const frozen = [...meanFieldsIn(options.model)].find(([, stage]) => !stage.tau.requiresGrad);
    if (options.birthDeath && frozen)
      throw new InputError(`Trainer: birthDeath needs trained times, those of ${frozen[0]} are frozen`);
    this.#options = options;
    this.#scheduler = new Scheduler(options.optimizer, options.schedule ?? constant);
    this.#lossFunction = options.lossFunction ?? crossEntropy;
    this.#readEvery = options.readEvery ?? defaultReadEvery();
    this.#step = this.#makeStep();
    this.#progress = beginning();
  }

  get #compiles(): boolean {
    return this.#options.compile ?? true;
  }

  /** Steps done so far. */
  get step(): number {
    return this.#progress.step;
  }

  /**
   * Trains until the end, or until the signal stops it; then everything is saved and `finished` is false.
   * Throws NonFiniteLossError when the loss is NaN or infinite.
   */
  async run(): Promise<RunSummary> {
    const { model } = this.#options;
    if (inTraining.has(model))
      throw new InputError('Trainer: this model is in training already; await the run() that has not ended');
    inTraining.add(model);
    try {
      return await this.#run();
    } finally {
      inTraining.delete(model);
      this.#step.release?.();
    }
  }

  async #run(): Promise<RunSummary> {
    const { epochs, steps = Infinity, store, signal, checkpointEvery = 1 } = this.#options;
    this.#startClock();
    await this.#tune();
    this.#good = await this.state();
    if (this.#compiles && this.#progress.step > 0) this.#warmUp();
    if (!signal?.aborted && this.#progress.step === 0) store?.saveCheckpoint(this.#good, 'last');
    while (this.#progress.epoch < epochs && !(this.#progress.position === 0 && this.#progress.step >= steps)) {
      const ended = await this.#trainEpoch();
      const test = ended === 'stopped' ? null : await this.#evaluate(ended === 'limit');
      if (ended !== 'epoch' || signal?.aborted) {
        // Before the sums are read and anything is logged: a resumed run goes on as if nothing had happened here.
        store?.saveCheckpoint(await this.#goodState(), 'last');
        if (ended !== 'limit' || signal?.aborted) return this.#summary(false);
      }
      await this.#readTally();
      const improved = await this.#finishEpoch(test, ended === 'epoch');
      if (ended === 'limit') break;
      this.#good = await this.#goodState();
      const { epoch, step } = this.#progress;
      // The best one first: whatever happens between the two, the last one never speaks of a best one that is not there.
      if (improved) store?.saveCheckpoint(this.#good, 'best');
      if (epoch === epochs || step >= steps || epoch % checkpointEvery === 0) store?.saveCheckpoint(this.#good, 'last');
    }
    const summary = this.#summary(true);
    store?.appendMetrics(summary);
    return summary;
  }

  /** The state, which may be saved: numbers that are not finite end the run instead. */
  async #goodState(): Promise<Checkpoint> {
    const state = await this.state();
    const { step, epoch, position } = this.#progress;
    const [, , badStep] = state.tensors[SUMS].data as Float32Array;
    if (badStep) throw await this.#explain(step - this.#tally.steps + badStep);
    const found = this.#findNonFinite(state.tensors);
    if (found)
      throw new NonFiniteLossError(step, epoch + Number(position > 0), this.#lr, `after it ${found}`, 'the model');
    return state;
  }

  /** The first tensor that no training can go on with, and what is wrong with it. States, such as masks, may be infinite, statistics may not. */
  #findNonFinite(tensors: Checkpoint['tensors']): string | null {
    const own = new Map(this.#options.model.namedTensors());
    const mayBeInfinite = (name: string) => {
      const tensor = own.get(name);
      return tensor !== undefined && !(tensor instanceof Parameter) && !/running_(mean|var)$/.test(name);
    };
    return findNonFinite(tensors, mayBeInfinite);
  }

  /** Everything that a run needs to go on from here. Reads weights, states, optimizer buffers and partial sums back. */
  async state(): Promise<Checkpoint> {
    const { model, optimizer, config = {} } = this.#options;
    const tensors: Checkpoint['tensors'] = {};
    for (const [name, x] of model.allNames()) tensors[name] = await toStored(x);
    for (const [name, x] of Object.entries(optimizer.stateDict()))
      tensors[PRIVATE.optimizer + name] = await toStored(x);
    for (const [name, stage] of this.#stagesWithEffects()) tensors[EFFECTS + name] = await toStored(stage.effects);
    tensors[SUMS] = await toStored(this.#tally.sums);
    await this.#stages();
    this.#stopClock();
    const progress = {
      ...structuredClone(this.#progress),
      pendingSteps: this.#tally.steps,
      pendingImages: this.#tally.images,
      rng: { ...getRngState() },
      buffers: Object.keys(optimizer.stateDict()),
    };
    return { tensors, progress, options: config, engine: engine() };
  }

  /**
   * Goes on from a checkpoint of `state()`: the model and the optimizer must be made with the options of its run.
   * All of it is checked first; errors begin with `what`, the file's name.
   */
  restore(checkpoint: Checkpoint, what = 'checkpoint'): void {
    this.#check(checkpoint, what);
    // Another variant of a kernel may add up in another order: the run's own decide, before anything is launched.
    device().tuning.install((checkpoint.engine.kernels ?? {}) as TuningTable);
    const [saved, here] = [checkpoint.engine, engine()].map((e) => JSON.stringify({ ...e, kernels: undefined }));
    if (saved !== here)
      this.#options.onNotice?.(
        `this run was begun on ${saved}, now it is ${here}: the last bits of its numbers may change`,
      );
    this.#load(checkpoint);
  }

  /** Throws where anything in a checkpoint cannot have been saved by a run like this one. */
  #check({ tensors, progress, engine }: Checkpoint, what: string): void {
    const sums = tensors[SUMS];
    if (!sums) throw new InputError(`Trainer: ${what} was not saved by a Trainer; load its weights with loadWeights()`);
    const { position } = checkProgress(progress, what);
    const { count } = this.#options.train;
    if (position > count)
      throw new InputError(`${what}: progress.position is ${position}, but there are ${count} training images`);
    if (sums.dtype !== 'F32' || sums.data.length !== 3)
      throw new InputError(`${what}: tensor '${SUMS}' is ${sums.dtype} [${sums.shape}], it must be F32 [3]`);
    const { buffers = [] } = progress as { buffers?: string[] }; // older runs do not list them
    if (!Array.isArray(buffers)) throw new InputError(`${what}: progress.buffers is no list of names`);
    const lost = buffers.find((name) => !Object.hasOwn(tensors, PRIVATE.optimizer + name));
    if (lost !== undefined) throw new InputError(`${what}: lacks the optimizer's buffer '${PRIVATE.optimizer}${lost}'`);
    const { kernels = {} } = engine;
    const isTable = kernels !== null && typeof kernels === 'object' && !Array.isArray(kernels);
    if (!isTable || !Object.values(kernels).every((variant) => typeof variant === 'string'))
      throw new InputError(`${what}: engine.kernels is no object of names`);
    const found = this.#findNonFinite(tensors);
    if (found) throw new InputError(`${what}: ${found}; a run cannot go on from it`);
  }

  /**
   * GPU times of every launch of `steps` training steps, after two that compile them. Then everything is as before.
   * Throws AdapterError where the adapter has no timestamps.
   */
  async profile(steps: number): Promise<ProfiledLaunch[]> {
    this.#startClock();
    await this.#tune();
    const before = await this.state();
    this.#rehearse(2);
    const launches = await device().timed(() => this.#rehearse(steps));
    this.#load(before);
    return launches;
  }

  #load({ tensors, progress }: Checkpoint): void {
    const { model, optimizer } = this.#options;
    loadWeights(model, tensors);
    model.zeroGrad();
    const parameters = [...optimizer.parameters()];
    for (const [name, stage] of this.#stagesWithEffects()) {
      // Earlier versions kept the effects among the optimizer's buffers.
      const saved = tensors[EFFECTS + name] ?? tensors[`${PRIVATE.optimizer}${parameters.indexOf(stage.tau)}.effect`];
      copyInto(stage.effects, saved ? fromStored(saved) : zerosLike(stage.tau));
    }
    const names = Object.keys(tensors).filter(
      (name) => name.startsWith(PRIVATE.optimizer) && !name.endsWith('.effect'),
    );
    const buffers = names.map((name) => [name.slice(PRIVATE.optimizer.length), fromStored(tensors[name])] as const);
    this.#progress = checkProgress(progress, 'checkpoint');
    optimizer.loadStateDict(Object.fromEntries(buffers), this.#progress.optimizerSteps);
    // Buffers are made again in the first step, which is not compiled.
    if (this.#progress.step === 0) this.#step = this.#makeStep();
    device().write(this.#tally.sums.storage, Float32Array.from(tensors[SUMS].data as Float32Array));
    this.#tally.sums.memory.written();
    this.#tally.steps = this.#progress.pendingSteps;
    this.#tally.images = this.#progress.pendingImages;
    setRngState(this.#progress.rng);
  }

  /**
   * The first call of a compiled step runs uncompiled, with other last bits. In an uninterrupted run that is step 1; in a resumed one it is
   * a step that is then undone.
   */
  #warmUp(): void {
    this.#rehearse(1);
    this.#load(this.#good!);
  }

  /**
   * Where tuning is on, chooses the kernels of a step before the first one: all steps of the run have the same, whether the choices come
   * from measurements or from the cache.
   */
  async #tune(): Promise<void> {
    if (this.#tuned || !device().tuning.on) return;
    this.#tuned = true;
    const before = await this.state();
    this.#options.onNotice?.('a trial step, to see which kernels there are to tune …');
    this.#rehearse(1);
    await tune({ onNotice: this.#options.onNotice });
    this.#load(before);
    this.#startClock(); // trials are no training
  }

  /** Steps from the beginning of the epoch, which are to be undone. */
  #rehearse(steps: number): void {
    this.#options.model.train();
    this.#options.model.zeroGrad();
    let done = 0;
    for (const { images, labels } of this.#batches(0)) {
      this.#step(images, labels, 1);
      if (++done === steps) break;
    }
  }

  /** Steps until the epoch ends, the limit on steps is reached, or the signal says stop. */
  async #trainEpoch(): Promise<'epoch' | 'limit' | 'stopped'> {
    const { model, train, steps = Infinity, signal, onEpochStart } = this.#options;
    const progress = this.#progress;
    this.#scheduler.setEpoch(progress.epoch);
    await this.#turnOver();
    model.train();
    model.zeroGrad();
    onEpochStart?.(progress.epoch + 1, progress.position, train.count);
    const mode = model.training;
    this.#rate = { since: performance.now(), images: 0, perSecond: 0 };
    for (const batch of this.#batches()) {
      if (signal?.aborted) return 'stopped';
      if (progress.step >= steps) return 'limit';
      if (model.training !== mode)
        throw new InputError(
          `Trainer: the model was put into ${mode ? 'evaluation' : 'training'} mode while it was trained; use evaluate(), or set it back before you await`,
        );
      this.#trainStep(batch);
      if (this.#tally.steps >= this.#readEvery) await this.#readTally();
    }
    // A run that ends here ends with a test error: where the epoch gets none, as within an epoch.
    return progress.step >= steps && !this.#evaluates ? 'limit' : 'epoch';
  }

  #batches(start = this.#progress.position): Iterable<Batch> {
    const { train, batchSize, seed, augment = true } = this.#options;
    const { epoch } = this.#progress;
    return train.batches({ batchSize, seed, epoch, augment, shuffle: true, start });
  }

  #trainStep({ images, labels, size, index }: Batch): void {
    this.#step(images, labels, this.#tally.count(size));
    this.#progress.step++;
    this.#progress.position = index + size;
    this.#rate.images += size;
  }

  /** Where births and deaths are on: their sums are a part of the state. */
  #stagesWithEffects(): [string, MeanField][] {
    return this.#options.birthDeath ? [...meanFieldsIn(this.#options.model)] : [];
  }

  #makeStep() {
    return this.#compiles ? compile(this.#update) : this.#update;
  }

  /** One update. `number` counts the steps since the last read. */
  #update = (images: Tensor, labels: Tensor, number: number | Scalar): void => {
    const { model, optimizer } = this.#options;
    const logits = model.forward(images);
    const loss = this.#lossFunction(logits, labels);
    backward(loss);
    if (this.#options.birthDeath) for (const [, stage] of meanFieldsIn(model)) countEffects(stage);
    this.#tally.add(logits, labels, loss, number);
    optimizer.step();
    model.sortParticles?.();
    optimizer.zeroGrad();
  };

  /** Births, deaths and permutations where the epoch begins with them: once, also when the run is resumed right after. */
  async #turnOver(): Promise<void> {
    const { birthDeath: options, permute, model, seed = 0 } = this.#options;
    const progress = this.#progress;
    const { epoch } = progress;
    if (epoch === 0 || progress.turnoverEpoch === epoch) return;
    const rng = new Rng(seed, Stream.turnover, epoch);
    for (const [name, stage] of meanFieldsIn(model)) {
      if (permute) await stage.permute(permute(stage.particles.length, rng, epoch));
      if (!options || epoch % (options.every ?? 1)) continue;
      const births = progress.births[name] ?? 0;
      const firstId = stage.particles.length + births;
      const events = (progress.turnover[name] = await birthDeath(stage, { rate: options.rate, rng, firstId }));
      progress.births[name] = births + events.length;
    }
    if (options || permute) progress.turnoverEpoch = epoch;
  }

  /** Reads the sums of the steps since the last read, reports them, and stops the run when one was not finite. */
  async #readTally(): Promise<void> {
    const steps = this.#tally.steps;
    if (steps === 0) return;
    const progress = this.#progress;
    const { loss, correct, images, badStep } = await this.#tally.read();
    if (badStep) throw await this.#explain(progress.step - steps + badStep);
    progress.loss += loss;
    progress.correct += correct;
    progress.images += images;
    this.#stopClock();
    this.#rate.perSecond = (1000 * this.#rate.images) / (performance.now() - this.#rate.since);
    const { store, onStep, train } = this.#options;
    const twentieth = (position: number) => Math.floor((20 * position) / train.count);
    const stages = twentieth(progress.position) > twentieth(progress.position - images) ? await this.#stages() : [];
    const line: StepLine = {
      type: 'step',
      step: progress.step,
      epoch: progress.epoch + 1,
      loss: loss / images,
      lr: this.#lr,
      imagesPerSecond: this.#rate.perSecond,
      time: progress.seconds,
      ...(stages.length && { stages }),
    };
    store?.appendMetrics(line);
    const means = { loss: progress.loss / progress.images, accuracy: (100 * progress.correct) / progress.images };
    await onStep?.({ epoch: line.epoch, step: line.step, done: progress.position, total: train.count, ...means }, line);
  }

  /** Whether a test error is due after this epoch. */
  get #evaluates(): boolean {
    const { epochs, evalEvery = 1 } = this.#options;
    const epoch = this.#progress.epoch + 1;
    return epoch === epochs || epoch % evalEvery === 0;
  }

  /** The test error where one is due: after every `evalEvery`th epoch and at the end. */
  async #evaluate(always: boolean) {
    const { model, test, batchSize, signal, onEvaluate } = this.#options;
    if (!test || !(always || this.#evaluates)) return null;
    this.#stopClock();
    const lossFunction = this.#lossFunction;
    try {
      return await evaluate(model, test, { batchSize, lossFunction, signal, onProgress: onEvaluate });
    } catch (error) {
      if (!(error instanceof NonFiniteEvaluationError)) throw error;
      // The end of the run like any other loss that is not finite: resumed, it would end here again.
      const { step, epoch } = this.#progress;
      throw new NonFiniteLossError(step, epoch + 1, this.#lr, error.where, 'the test loss');
    }
  }

  /** Logs the epoch and moves on to the next one; true when it is whole and its test error is the best so far. */
  async #finishEpoch(test: { loss: number; error: number } | null, whole: boolean): Promise<boolean> {
    const { store, onEpoch } = this.#options;
    const progress = this.#progress;
    const stages = await this.#stages();
    this.#stopClock();
    const trainLoss = progress.loss / progress.images;
    const line: EpochLine = {
      type: 'epoch',
      epoch: progress.epoch + 1,
      step: progress.step,
      trainLoss,
      trainError: 100 - (100 * progress.correct) / progress.images,
      ...(test && { testLoss: test.loss, testError: test.error }),
      lr: this.#lr,
      seconds: progress.epochSeconds,
      imagesPerSecond: this.#rate.perSecond,
      ...(stages.length && { stages }),
    };
    store?.appendMetrics(line);
    const improved = whole && test !== null && (progress.bestError === null || test.error < progress.bestError);
    if (improved) Object.assign(progress, { bestError: test.error, bestEpoch: line.epoch });
    if (test) progress.testError = test.error;
    progress.trainLoss = trainLoss;
    progress.epoch++;
    Object.assign(progress, { position: 0, loss: 0, correct: 0, images: 0, epochSeconds: 0, swaps: {}, turnover: {} });
    onEpoch?.(line);
    return improved;
  }

  /** Order, times and exchanges of the particles; moves the counts of exchanges from the GPU into the progress. */
  async #stages(): Promise<StageLine[]> {
    const lines: StageLine[] = [];
    const { swaps } = this.#progress;
    for (const [stage, particles] of meanFieldsIn(this.#options.model)) {
      const { tau, order, swaps: since } = await particles.telemetry();
      swaps[stage] = (swaps[stage] ?? 0) + since;
      const turnover = this.#progress.turnover[stage] ?? [];
      lines.push({ stage, tau, order, swaps: swaps[stage], ...(turnover.length && { turnover }) });
    }
    return lines;
  }

  /** Goes back to the last good state, repeats the steps up to the bad one and looks where it breaks. */
  async #explain(badStep: number): Promise<NonFiniteLossError> {
    const { model, signal, onNotice } = this.#options;
    const [epoch, lr] = [this.#progress.epoch + 1, this.#lr];
    const steps = badStep - Number(this.#good!.progress.step);
    if (steps > 1)
      onNotice?.(`the loss is not finite at step ${badStep}: repeating ${steps} steps to find out where it begins`);
    this.#load(this.#good!);
    await this.#turnOver();
    let where = 'the search for its origin was interrupted';
    for (const batch of this.#batches()) {
      if (this.#progress.step === badStep - 1) {
        where = await locateNonFinite(model, this.#lossFunction, batch);
        break;
      }
      this.#trainStep(batch);
      if (this.#tally.steps >= this.#readEvery) await this.#tally.read();
      if (signal?.aborted) break;
    }
    return new NonFiniteLossError(badStep, epoch, lr, where);
  }

  #summary(finished: boolean): RunSummary {
    this.#stopClock();
    const { epoch, step, trainLoss, testError, bestError, bestEpoch, seconds } = this.#progress;
    return { type: 'summary', finished, epoch, step, trainLoss, testError, bestError, bestEpoch, seconds };
  }

  get #lr(): number {
    return this.#options.optimizer.groups[0].lr;
  }

  #startClock(): void {
    this.#clock = performance.now();
  }

  /** Adds the time since the last call to the run's. */
  #stopClock(): void {
    const now = performance.now();
    const seconds = (now - this.#clock) / 1000;
    this.#clock = now;
    this.#progress.seconds += seconds;
    this.#progress.epochSeconds += seconds;
  }
}

/** What the bits of the results depend on besides the options. */
function engine(): JsonObject {
  const { info, target, profile, tuning } = device();
  const kernels = Object.keys(tuning.table).length && tuning.table;
  return {
    adapter: info.description || info.device,
    vendor: info.vendor,
    back: targetName(target),
    profile,
    ...(kernels && { kernels }),
  };
}
