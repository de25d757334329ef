// Runs of a grid: what is left of them, and training them one after the other in this process.

import { join } from 'node:path';
import type { HeldClaim } from '../../src/files/fence.node.js';
import { device, NonFiniteLossError } from '../../src/index.node.js';
import { checkResumable } from '../../src/train/checkpoint';
import { RunFolder, readRunConfig } from '../../src/train/run-folder.node.js';
import type { DatasetName } from './dataset-names';
import { adapterName, reopenDevice } from './device';
import { SharedImages } from './images';
import { count, formatDuration } from './progress';
import { completeRecipe, type Recipe, type Wanted } from './recipe';
import { percent, type Report } from './report';
import { noteAdapter, readRun } from './run-state';
import { createNetwork, createTrainer, initialise } from './training';

/** A run as it is wanted: the name of its folder, and the network whose pipelines it shares with others. */
export interface WantedRun {
  readonly name: string;
  readonly row: string;
  readonly wanted: Wanted & { dataset: DatasetName };
}

/** A run with its complete recipe, and the images of an epoch. */
export type Planned<R extends WantedRun = WantedRun> = R & {
  readonly recipe: Recipe;
  readonly trainImages: number;
  readonly testImages: number;
};

/** Completes the recipes by the data that there are, and refuses runs in `out` that were begun with other options. */
export async function planRuns<R extends WantedRun>(
  runs: readonly R[],
  out: string,
  images: SharedImages,
): Promise<Planned<R>[]> {
  const plan: Planned<R>[] = [];
  for (const run of runs) {
    const data = await images.data(run.wanted);
    const recipe = completeRecipe({ ...run.wanted, dataset: data.name as DatasetName });
    const folder = join(out, run.name);
    if (readRun(folder)) {
      try {
        checkResumable(readRunConfig(folder).options, recipe, Object.keys(recipe));
      } catch (error) {
        throw new Error(`${folder}: ${(error as Error).message}: --out names another folder`, { cause: error });
      }
    }
    plan.push({ ...run, recipe, trainImages: data.train.count, testImages: data.test.count });
  }
  return plan;
}

/** Epochs of a run that are still to be trained; 0 when it has ended. */
export function epochsLeft({ name, recipe }: Planned, out: string): number {
  const run = readRun(join(out, name));
  return run?.end ? 0 : recipe.epochs - (run?.epochs.length ?? 0);
}

export const hasEnded = ({ name }: { name: string }, out: string): boolean => Boolean(readRun(join(out, name))?.end);

/** Seconds that so many epochs take: an evaluation costs a third of a training step, forward without backward. */
export function secondsFor(
  epochs: number,
  { trainImages, testImages, recipe }: Planned,
  imagesPerSecond: number,
): number {
  return (epochs * (trainImages + testImages / 3 / recipe.evalEvery)) / imagesPerSecond;
}

/** How much of the work is done, and how long the rest will take at the pace so far. */
export class WorkLeft {
  readonly #began = performance.now();
  readonly #open: Map<string, number>;
  #worked = 0;
  #done = 0;

  constructor(open: readonly Planned[], out: string) {
    this.#open = new Map(open.map((run) => [run.name, secondsFor(epochsLeft(run, out), run, 1)]));
  }

  /** A run has ended. */
  finished({ name }: WantedRun): { done: number; secondsLeft: number } {
    this.#worked += this.#open.get(name) ?? 0;
    this.#open.delete(name);
    const left = [...this.#open.values()].reduce((sum, work) => sum + work, 0);
    const seconds = (performance.now() - this.#began) / 1000;
    return { done: ++this.#done, secondsLeft: this.#worked ? (seconds * left) / this.#worked : 0 };
  }
}

/** Bytes on the device between two runs: what the collector has not seen yet. */
const MOST_LEFT = 2 ** 30;

export type Events = Partial<ReturnType<Report['events']>>;

export interface Training {
  /** The folder of the run. */
  path: string;
  recipe: Recipe;
  signal: AbortSignal;
  say: (text: string) => void;
  events: Events;
  /** Behind the fence of this claim. */
  claim?: HeldClaim;
  /** false: a loss that is not finite is an error, and not yet the end of the run. */
  mayDiverge?: boolean;
}

/** How a call of `train` ended: 'stopped' was asked for and has saved. */
export type Ending =
  | { kind: 'finished'; testError: number | null; seconds: number }
  | { kind: 'diverged'; step: number; message: string }
  | { kind: 'stopped'; step: number };

/** Trains runs one after the other on the device of this process. Runs of one network share its pipelines, which take longest to make, and images. */
export class Session {
  readonly #images: SharedImages;
  #row: string | null = null;

  constructor(
    readonly given: { data?: string; fallback?: boolean; autotune?: boolean },
    images: SharedImages | null,
    report: Pick<Report, 'say'>,
  ) {
    this.#images = images ?? new SharedImages(given, report);
  }

  /** Begins a run or goes on with it. A loss that is not finite ends it for good. */
  async train(row: string, training: Training): Promise<Ending> {
    // Another network finds all memory free.
    if (this.#row !== null && (this.#row !== row || device().stats().liveBytes > MOST_LEFT)) {
      this.#images.release();
      await reopenDevice(this.given);
    }
    this.#row = row;
    const { path, recipe, signal, say, events, claim, mayDiverge = true } = training;
    const model = createNetwork(recipe); // first: a name of no network leaves no folder
    const folder = readRun(path) ? RunFolder.open(path, claim) : RunFolder.create(path, recipe, claim);
    try {
      noteAdapter(folder, adapterName());
      const data = await this.#images.data(recipe);
      const { train, test } = await this.#images.resident(recipe);
      const checkpoint = folder.resume([], say);
      if (!checkpoint) await initialise(model, recipe, data, say);
      const trainer = createTrainer(model, recipe, data, { train, test, store: folder, signal, ...events });
      if (checkpoint) {
        trainer.restore(checkpoint, checkpoint.path);
        say(`going on after step ${count(trainer.step)}`);
      }
      const { finished, step, testError, seconds } = await trainer.run();
      return finished ? { kind: 'finished', testError, seconds } : { kind: 'stopped', step };
    } catch (error) {
      if (!(error instanceof NonFiniteLossError)) throw error;
      const { step, message } = error;
      if (mayDiverge) folder.appendMetrics({ type: 'summary', divergedAt: step });
      return { kind: 'diverged', step, message };
    } finally {
      folder.close();
      for (const [, tensor] of model.namedTensors()) tensor.dispose();
    }
  }
}

/** Trains the open runs of a plan in this process; false when the signal stopped it. `onEnd` is called after each run. */
export async function trainHere<R extends WantedRun>(
  plan: readonly Planned<R>[],
  out: string,
  session: Session,
  signal: AbortSignal,
  report: Report,
  onEnd: () => Promise<void>,
): Promise<boolean> {
  const open = plan.filter((run) => epochsLeft(run, out) > 0);
  const work = new WorkLeft(open, out);
  for (const run of open) {
    if (signal.aborted) return false;
    const { name, recipe } = run;
    const title = `[${plan.indexOf(run) + 1}/${plan.length}] ${name}`;
    const say = (text: string) => report.say(`${title}: ${text}`);
    const events = report.events(recipe.epochs, name, title);
    const ending = await session.train(run.row, { path: join(out, name), recipe, signal, say, events });
    report.end();
    if (ending.kind === 'stopped') return false;
    if (ending.kind === 'diverged') say(ending.message);
    else if (ending.testError !== null)
      say(`test error ${percent(ending.testError)}, ${formatDuration(ending.seconds)}`);
    await onEnd();
    tellProgress(plan, open, work.finished(run), report);
  }
  return true;
}

/** How many runs have ended, and how long the others will take. */
export function tellProgress(
  plan: readonly Planned[],
  open: readonly Planned[],
  { done, secondsLeft }: ReturnType<WorkLeft['finished']>,
  report: Report,
): void {
  const ended = plan.length - open.length + done;
  if (done < open.length)
    report.say(`${ended} of ${plan.length} runs finished, about ${formatDuration(secondsLeft)} to go`);
  report.emit({ type: 'progress', finished: ended, runs: plan.length, secondsLeft });
}
