// The Trainer: epochs of steps with schedule, evaluation, metrics and checkpoints. A run that was interrupted at any step goes on bit for bit.

import { at, there } from '../../shaders/checked';
import { backward } from '../autograd/backward';
import { compile } from '../autograd/compile';
import type { Batch } from '../data/batches';
import type { ProfiledLaunch, Scalar } from '../gpu';
import { device, InputError } from '../gpu';
import type { AnyModule } from '../nn/module';
import type { GradScaler } from '../optim/grad-scaler';
import type { Optimizer } from '../optim/optimizer';
import { Scheduler } from '../optim/schedule';
import { inAutocast, scalerFor, scalerHook } from './amp';
import type { Checkpoint } from './checkpoint';
import { Clock } from './clock';
import { locateNonFinite, NonFiniteEvaluationError, NonFiniteLossError } from './diagnose';
import { tested } from './evaluate';
import { Hooks, type TrainerRun } from './hooks';
import { batchesOf, countOf, forStep, sizeOf, visit } from './loader';
import type { EpochLine, StepLine } from './metrics';
import { type AllOptions, checkOptions, type OwnTrainerOptions, type TrainerOptions } from './options';
import type { Progress, RunSummary } from './progress';
import { beginning, bestOf } from './progress';
import { check, installEngine, notFinite, type Parts, put, sumsOf, take } from './snapshot';
import { addTo, defaultReadEvery, type Tally } from './tally';
import { type Classifier, classification, type Means, named, ownStep, type Task } from './task';
import { profiled, type Trial, tuned, warmUp } from './trials';

/** Models whose run has not ended. */
const inTraining = new WeakSet<object>();

/**
 * Trains a classifier:
 *
 *     const trainer = new Trainer({ model, optimizer, train, test, epochs: 160, batchSize: 128, schedule: multiStep([80, 120]) });
 *     const summary = await trainer.run();
 *
 * or, with a step of one's own, any model on batches of any form, by any loss and with metrics:
 *
 *     const step = ([x, y]: [Tensor, Tensor]) => {
 *       const prediction = model.forward(x);
 *       return { loss: F.mseLoss(prediction, y), absolute: F.l1Loss(prediction, y) };
 *     };
 *     const trainer = new Trainer({ model, optimizer, train: loader, step, epochs: 10, hooks: [{ afterBackward: clip }] });
 *
 * The step is compiled with the gradient, the hooks `afterBackward` and `afterStep`, and the update; see `compile` and `TrainerHook`. To resume:
 * `trainer.restore(checkpoint)`, then `run()`.
 */
export class Trainer<B = Batch> implements TrainerRun {
  readonly model: AnyModule;
  /** What updates the parameters. */
  readonly optimizer: Optimizer<{ lr: number }>;
  /** Seed of order and augmentation. */
  readonly seed: number;
  readonly #options: AllOptions<B>;
  readonly #compiles: boolean;
  readonly #scheduler: Scheduler | null; // without a schedule the rate is what hooks make of it
  readonly #task: Task<B>;
  readonly #tally: Tally;
  readonly #scaler: GradScaler;
  readonly #hooks: Hooks;
  readonly #parts: Parts;
  readonly #readEvery: number;
  readonly #clock = new Clock();
  #step: ((batch: B, number: number) => void) & { release?(): void };
  #progress: Progress;
  /** The state at the start of the run or of the epoch: where the search for a bad number begins. */
  #good: Checkpoint | null = null;
  #tuned = false;
  #stopping = false;
  readonly #trial: Trial<B> = {
    state: () => this.state(),
    load: (state) => this.#load(state),
    batches: () => {
      this.model.train();
      this.model.zeroGrad();
      return this.#batches(0);
    },
    step: (batch) => this.#step(forStep(batch, this.#compiles), 1),
    notice: (text) => this.#options.onNotice?.(text),
  };

  constructor(options: OwnTrainerOptions<B>);
  constructor(options: TrainerOptions);
  constructor(given: TrainerOptions | OwnTrainerOptions<B>) {
    const options = given as AllOptions<B>;
    checkOptions(options);
    const { model, optimizer, train, step, lossFunction, hooks, schedule, config = {} } = options;
    const { seed = 0, amp = false, compile: compiles = true, readEvery = defaultReadEvery() } = options;
    [this.model, this.optimizer, this.seed] = [model, optimizer, seed];
    this.#options = options;
    this.#compiles = compiles;
    this.#scaler = scalerFor(amp);
    this.#hooks = new Hooks(model, amp ? [...(hooks ?? []), scalerHook(this.#scaler)] : hooks);
    this.#scheduler = schedule ? new Scheduler(optimizer, schedule) : null;
    const task = step ? ownStep(step) : (classification(model as Classifier, lossFunction) as Task<unknown> as Task<B>);
    this.#task = amp ? inAutocast(task) : task;
    this.#tally = this.#task.tally();
    this.#parts = { model, optimizer, hooks: this.#hooks, tally: this.#tally, config, count: countOf(train) };
    this.#readEvery = readEvery;
    this.#step = this.#compiles ? compile(this.#update) : this.#update;
    this.#progress = beginning();
  }

  /** Steps done so far. */
  get step(): number {
    return this.#progress.step;
  }

  /** The epoch that runs, counted from 0. */
  get epoch(): number {
    return this.#progress.epoch;
  }

  /** Ends the run with this epoch: hooks call it. */
  stop(): void {
    this.#stopping = true;
  }

  /**
   * Trains until the end, or until the signal stops it; then everything is saved and `finished` is false.
   * Throws NonFiniteLossError when the loss is NaN or infinite.
   */
  async run(): Promise<RunSummary> {
    if (inTraining.has(this.model))
      throw new InputError('Trainer: this model is in training already; await the run() that has not ended');
    inTraining.add(this.model);
    try {
      return await this.#run();
    } finally {
      inTraining.delete(this.model);
      this.#step.release?.();
    }
  }

  async #run(): Promise<RunSummary> {
    const { epochs, steps = Infinity, store, signal, checkpointEvery = 1 } = this.#options;
    this.#clock.start();
    this.#stopping = false;
    await this.#tune();
    this.#good = await this.state();
    const more = ({ epoch, position, step } = this.#progress) =>
      epoch < epochs && !this.#stopping && (position > 0 || step < steps);
    if (this.#compiles && this.#progress.step > 0 && more()) await warmUp(this.#trial, this.#good);
    if (!signal?.aborted && this.#progress.step === 0) store?.saveCheckpoint(this.#good, 'last');
    while (more()) {
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
      const { epoch } = this.#progress;
      // The best one first: whatever happens between the two, the last one never speaks of a best one that is not there.
      if (improved) store?.saveCheckpoint(this.#good, 'best');
      if (!more() || epoch % checkpointEvery === 0) store?.saveCheckpoint(this.#good, 'last');
    }
    const summary = this.#summary(true);
    store?.appendMetrics(summary);
    return summary;
  }

  /** The state, which may be saved: numbers that are not finite end the run instead. */
  async #goodState(): Promise<Checkpoint> {
    const state = await this.state();
    const { step, epoch, position } = this.#progress;
    const badStep = sumsOf(state.tensors).at(-1);
    if (badStep) throw await this.#explain(step - this.#tally.steps + badStep);
    const found = notFinite(this.model, state.tensors);
    if (found)
      throw new NonFiniteLossError(step, epoch + Number(position > 0), this.#lr, `after it ${found}`, 'the model');
    return state;
  }

  /** Everything that a run needs to go on from here. Reads weights, states, optimizer buffers and partial sums back. */
  state(): Promise<Checkpoint> {
    return take(this.#parts, this.#progress, () => this.#clock.lap(this.#progress));
  }

  /**
   * Goes on from a checkpoint of `state()`: the model and the optimizer must be made with the options of its run.
   * All of it is checked first; errors begin with `what`, the file's name.
   */
  restore(checkpoint: Checkpoint, what = 'checkpoint'): void {
    check(checkpoint, this.#parts, what);
    installEngine(checkpoint.engine, this.#trial.notice);
    this.#load(checkpoint, what);
  }

  #load(checkpoint: Checkpoint, what = 'checkpoint'): void {
    this.#progress = put(checkpoint, this.#parts, this, what);
    // Buffers are made again in the first step, which is not compiled.
    if (this.#progress.step === 0) this.#step = this.#compiles ? compile(this.#update) : this.#update;
  }

  /**
   * GPU times of every launch of `steps` training steps, after two that compile them. Then everything is as before.
   * Throws AdapterError where the adapter has no timestamps.
   */
  async profile(steps: number): Promise<ProfiledLaunch[]> {
    this.#clock.start();
    await this.#tune();
    return profiled(this.#trial, steps);
  }

  async #tune(): Promise<void> {
    if (this.#tuned || !device().tuning.on) return;
    this.#tuned = true;
    await tuned(this.#trial);
    this.#clock.start(); // trials are no training
  }

  /** Steps until the epoch ends, the limit on steps is reached, or the signal says stop. */
  async #trainEpoch(): Promise<'epoch' | 'limit' | 'stopped'> {
    const { model } = this;
    const { steps = Infinity, signal, onEpochStart } = this.#options;
    const progress = this.#progress;
    this.#scheduler?.setEpoch(progress.epoch);
    await this.#hooks.beforeEpoch(this);
    model.train();
    model.zeroGrad();
    onEpochStart?.(progress.epoch + 1, progress.position, this.#parts.count);
    const mode = model.training;
    this.#clock.startEpoch();
    let ended: 'epoch' | 'limit' | 'stopped' = 'epoch';
    await visit(this.#batches(), (batch) => {
      if (signal?.aborted) ended = 'stopped';
      else if (progress.step >= steps) ended = 'limit';
      if (ended !== 'epoch') return false;
      if (model.training !== mode)
        throw new InputError(
          `Trainer: the model was put into ${mode ? 'evaluation' : 'training'} mode while it was trained; use evaluate(), or set it back before you await`,
        );
      this.#trainStep(batch);
      return this.#tally.steps >= this.#readEvery ? this.#readTally() : true;
    });
    if (progress.position === 0 && ended === 'epoch')
      throw new InputError(
        `Trainer: the loader gave no batches in epoch ${progress.epoch + 1}. It must be iterable once an epoch: a DataLoader or an array, not a generator that has run.`,
      );
    // A run that ends here ends with a test error: where the epoch gets none, as within an epoch.
    return ended === 'epoch' && progress.step >= steps && !this.#evaluates ? 'limit' : ended;
  }

  #batches(start = this.#progress.position) {
    const { train, batchSize, augment = true } = this.#options;
    return batchesOf(train, { batchSize, seed: this.seed, epoch: this.epoch, augment, shuffle: true, start });
  }

  #trainStep(batch: B): void {
    const size = sizeOf(batch);
    this.#step(forStep(batch, this.#compiles), this.#tally.count(size));
    this.#progress.step++;
    this.#progress.position += size;
    this.#clock.trained(size);
  }

  /** One update. `number` counts the steps since the last read. */
  #update = (batch: B, number: number | Scalar): void => {
    const outcome = this.#task.run(batch);
    backward(this.#scaler.scale(outcome.loss));
    this.#scaler.unscale_(this.optimizer);
    this.#hooks.afterBackward();
    outcome.count(this.#tally, number);
    this.#scaler.step(this.optimizer);
    this.#scaler.update();
    this.#hooks.afterStep();
    this.optimizer.zeroGrad();
  };

  /** Reads the sums of the steps since the last read, reports them, and stops the run when one was not finite. */
  async #readTally(): Promise<void> {
    const steps = this.#tally.steps;
    if (steps === 0) return;
    const progress = this.#progress;
    const values = await this.#tally.read();
    const { loss, images, badStep } = values;
    if (badStep) throw await this.#explain(progress.step - steps + badStep);
    addTo(progress, values);
    this.#clock.lap(progress);
    this.#clock.measure();
    const { store, onStep } = this.#options;
    const { count } = this.#parts;
    const twentieth = (position: number) => Math.floor((20 * position) / count);
    const due = twentieth(progress.position) > twentieth(progress.position - images);
    const line: StepLine = {
      type: 'step',
      step: progress.step,
      epoch: progress.epoch + 1,
      loss: loss / images,
      lr: this.#lr,
      imagesPerSecond: this.#clock.perSecond,
      time: progress.seconds,
      ...(due && (await this.#hooks.log(this))),
    };
    store?.appendMetrics(line);
    const { loss: mean, ...metrics } = this.#task.means(progress);
    const accuracy = this.#task.best === 'error' ? (100 * progress.correct) / progress.images : undefined;
    const report = { epoch: line.epoch, step: line.step, done: progress.position, total: count, loss: mean };
    await onStep?.({ ...report, accuracy, metrics }, line);
  }

  /** Whether test values are due after this epoch. */
  get #evaluates(): boolean {
    const { epochs, evalEvery = 1 } = this.#options;
    const epoch = this.#progress.epoch + 1;
    return epoch === epochs || epoch % evalEvery === 0 || this.#stopping;
  }

  /** The test values where they are due: after every `evalEvery`th epoch and at the end. */
  async #evaluate(always: boolean): Promise<Means | null> {
    const { model, test, batchSize, signal, onEvaluate } = this.#options;
    if (!test || !(always || this.#evaluates)) return null;
    this.#clock.lap(this.#progress);
    try {
      const options = { batchSize, signal, onProgress: onEvaluate };
      return await tested(model, test, this.#task, this.#hooks.tests, options);
    } catch (error) {
      if (!(error instanceof NonFiniteEvaluationError)) throw error;
      // The end of the run like any other loss that is not finite: resumed, it would end here again. It may have begun in a step that is not read yet.
      const { step, epoch } = this.#progress;
      const { steps } = this.#tally;
      const { badStep } = await this.#tally.read();
      if (badStep) throw await this.#explain(step - steps + badStep);
      throw new NonFiniteLossError(step, epoch + 1, this.#lr, error.where, 'the test loss');
    }
  }

  /** Logs the epoch and moves on to the next one; true when it is whole and its test value is the best so far. */
  async #finishEpoch(test: Means | null, whole: boolean): Promise<boolean> {
    const { store, onEpoch } = this.#options;
    const progress = this.#progress;
    const fields = await this.#hooks.log(this);
    this.#clock.lap(progress);
    const means = this.#task.means(progress);
    const line: EpochLine = {
      type: 'epoch',
      epoch: progress.epoch + 1,
      step: progress.step,
      trainLoss: means.loss,
      ...named('train', means),
      ...(test && named('test', test)),
      lr: this.#lr,
      seconds: progress.epochSeconds,
      imagesPerSecond: this.#clock.perSecond,
      ...fields,
    };
    store?.appendMetrics(line);
    await this.#hooks.afterEpoch(this, line);
    const best = bestOf(progress);
    const [value, suffix] = this.#task.best === 'error' ? [test?.error, 'Error'] : [test?.loss, 'Loss'];
    const improved = whole && value !== undefined && (best === null || value < best);
    if (improved) Object.assign(progress, { [`best${suffix}`]: value, bestEpoch: line.epoch });
    if (value !== undefined) Object.assign(progress, { [`test${suffix}`]: value });
    progress.trainLoss = means.loss;
    progress.epoch++;
    Object.assign(progress, { position: 0, loss: 0, correct: 0, images: 0, epochSeconds: 0 });
    delete progress.metrics;
    onEpoch?.(line);
    return improved;
  }

  /** Goes back to the last good state, repeats the steps up to the bad one and looks where it breaks. */
  async #explain(badStep: number): Promise<NonFiniteLossError> {
    const { model, signal, onNotice } = this.#options;
    const [epoch, lr, good] = [this.#progress.epoch + 1, this.#lr, there(this.#good, 'state to search from')];
    const steps = badStep - Number(good.progress.step);
    if (steps > 1)
      onNotice?.(`the loss is not finite at step ${badStep}: repeating ${steps} steps to find out where it begins`);
    this.#load(good);
    await this.#hooks.beforeEpoch(this);
    let where = 'the search for its origin was interrupted';
    await visit(this.#batches(), async (batch) => {
      if (this.#progress.step === badStep - 1) {
        where = await locateNonFinite(model, this.#task, batch);
        return false;
      }
      this.#trainStep(batch);
      if (this.#tally.steps >= this.#readEvery) await this.#tally.read();
      return !signal?.aborted;
    });
    return new NonFiniteLossError(badStep, epoch, lr, where);
  }

  #summary(finished: boolean): RunSummary {
    this.#clock.lap(this.#progress);
    const { epoch, step, trainLoss, testError, bestError, testLoss, bestLoss, bestEpoch, seconds } = this.#progress;
    const losses = this.#task.best === 'loss' && { testLoss, bestLoss };
    return { type: 'summary', finished, epoch, step, trainLoss, testError, bestError, ...losses, bestEpoch, seconds };
  }

  get #lr(): number {
    return at(this.optimizer.groups, 0).lr;
  }
}
