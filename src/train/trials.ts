// Steps on trial: run in order to compile, to tune or to profile, then undone.
import { device, type ProfiledLaunch, tune } from '../gpu';
import type { Checkpoint } from './checkpoint';
import { type Batches, visit } from './loader';

/** What trials need of a Trainer. */
export interface Trial<B> {
  state(): Promise<Checkpoint>;
  load(state: Checkpoint): void;
  /** Batches from the beginning of the epoch, for a model that is made ready to be trained. */
  batches(): Batches<B>;
  step(batch: B): void;
  notice(text: string): void;
}

async function rehearse<B>(trial: Trial<B>, steps: number, batches = trial.batches()): Promise<void> {
  let done = 0;
  await visit(batches, (batch) => {
    trial.step(batch);
    return ++done < steps;
  });
}

/**
 * The first call of a compiled step runs uncompiled, with other last bits. In an uninterrupted run that is step 1; in a resumed one it is
 * this step, which is then undone.
 */
export async function warmUp<B>(trial: Trial<B>, before: Checkpoint): Promise<void> {
  await rehearse(trial, 1);
  trial.load(before);
}

/**
 * Chooses the kernels of a step before the first one: all steps of the run have the same, whether the choices come from measurements or from
 * the cache.
 */
export async function tuned<B>(trial: Trial<B>): Promise<void> {
  const before = await trial.state();
  trial.notice('a trial step, to see which kernels there are to tune …');
  await rehearse(trial, 1);
  await tune({ onNotice: trial.notice });
  trial.load(before);
}

/** GPU times of every launch of `steps` steps, after two that compile them. */
export async function profiled<B>(trial: Trial<B>, steps: number): Promise<ProfiledLaunch[]> {
  const before = await trial.state();
  await rehearse(trial, 2);
  let batches = trial.batches();
  if (!(Symbol.iterator in batches)) {
    const ready: B[] = []; // what is timed may wait for nothing
    await visit(batches, (batch) => ready.push(batch) < steps);
    batches = ready;
  }
  let rehearsed: Promise<void> | undefined;
  const launches = await device().timed(() => {
    rehearsed = rehearse(trial, steps, batches); // done when it returns
  });
  await rehearsed;
  trial.load(before);
  return launches;
}
