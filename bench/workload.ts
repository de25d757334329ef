// What a contestant gives to be measured, and how it is measured.
import type { Case } from './cases';

/** Something to repeat. */
export interface Workload {
  /** What of the case this is, such as 'forward'; '' for all of it. */
  readonly part: string;
  /** Does it so many times and waits for the GPU. */
  run(times: number): Promise<void>;
  /** Asks for it so many times without waiting: then the host's part alone is timed, `times` at a time. */
  readonly issue?: { readonly times: number; ask(times: number): void };
  /** After the measurement: throws where the results cannot be right. */
  check?(): Promise<void>;
}

/** One framework on the adapter. */
export interface Contestant {
  readonly adapter: GPUAdapterInfo;
  prepare(given: Case): Promise<Workload[]>;
}

/** Waits for the GPU. Where awaiting spins (dawn.node on a software driver) the thread naps, for every contestant alike. */
export type Wait = <T>(promise: Promise<T>) => Promise<T>;

export interface Timing {
  /** Seconds of one run: median, least and most of the samples. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly samples: number;
}

const FILL = 0.15; // seconds that a sample lasts at least
const ENOUGH = 40; // seconds after which three samples are enough

/** Runs three times to compile everything and to settle, then times `repeat` samples (three, where they last long). */
export async function measure({ run }: Workload, repeat: number): Promise<Timing> {
  const seconds = async (times: number) => {
    const begin = performance.now();
    await run(times);
    return (performance.now() - begin) / 1000;
  };
  for (let i = 0; i < 2; i++) await run(1);
  let times = 1;
  for (let s = await seconds(1); s < FILL; s = await seconds(times))
    times = Math.ceil(times * Math.min(8, (1.2 * FILL) / s));
  const samples: number[] = [];
  const begin = performance.now();
  while (samples.length < repeat && !(samples.length >= 3 && performance.now() - begin > 1000 * ENOUGH))
    samples.push((await seconds(times)) / times);
  samples.sort((a, b) => a - b);
  return { median: median(samples), least: samples[0], most: samples[samples.length - 1], samples: samples.length };
}

/** Of sorted numbers. */
const median = (sorted: readonly number[]): number =>
  (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

/** Seconds that the host needs for one: the first of all, then, when everything is warm, the median of the samples. */
export async function measureHost({ run, issue }: Workload, repeat: number): Promise<{ first: number } & Timing> {
  if (!issue) throw new Error('only what can be issued is timed on the host');
  const seconds = async () => {
    const begin = performance.now();
    issue.ask(issue.times);
    const asked = performance.now() - begin;
    await run(1);
    return asked / 1000 / issue.times;
  };
  const first = await seconds();
  for (let i = 0; i < 10; i++) await seconds();
  const samples: number[] = [];
  while (samples.length < repeat) samples.push(await seconds());
  samples.sort((a, b) => a - b);
  return {
    ...{ first, median: median(samples), least: samples[0], most: samples[samples.length - 1] },
    samples: samples.length,
  };
}

/** Throws where a training loss is not finite or has not fallen. */
export function checkLosses(first: number, last: number): void {
  if (!(last < first) || !Number.isFinite(first))
    throw new Error(`the training loss went from ${first} to ${last}: that is not training`);
}
