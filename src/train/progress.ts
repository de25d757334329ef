// Where a run stands, besides its tensors: what a checkpoint holds of it, checked field by field when it is read.
import type { RngState } from '../tensor/seed';
import { getRngState } from '../tensor/seed';
import type { JsonObject } from './checkpoint';
import type { SummaryLine } from './metrics';

export interface Standing {
  /** Which epoch, from 0. */
  epoch: number;
  /** Steps so far, all epochs together. */
  step: number;
  /** Mean loss of the epoch's steps. */
  trainLoss: number | null;
  /** Wrong answers on the test set, in percent. */
  testError: number | null;
  /** The least test error so far, in percent. */
  bestError: number | null;
  /** In place of the errors, where a step of one's own is trained. */
  testLoss?: number;
  /** The least test loss so far. */
  bestLoss?: number;
  /** Epoch with the least test error, or test loss. */
  bestEpoch: number | null;
  /** Seconds of training and evaluation, all sessions of the run together. */
  seconds: number;
}

/** How a run has ended. */
export interface RunSummary extends SummaryLine, Standing {
  /** False when the signal stopped the run. */
  finished: boolean;
}

/** Everything besides tensors that a run needs in order to go on. Epochs are counted from 0 here, from 1 in reports. */
export interface Progress extends Standing {
  /** Images of the epoch's order that were used. */
  position: number;
  /** Sums over the epoch, as far as they were read. */
  loss: number;
  correct: number;
  images: number;
  metrics?: Record<string, number>;
  /** Steps and images that are in the tally on the GPU. */
  pendingSteps: number;
  pendingImages: number;
  rng: RngState;
  /** Updates so far, in checkpoints of earlier versions, whose optimizer state does not count them. */
  optimizerSteps?: number;
  epochSeconds: number;
}

/** The test error of the best epoch, or its test loss; null where there is none. */
export const bestOf = ({ bestError, bestLoss }: { readonly bestError?: unknown; readonly bestLoss?: unknown }) =>
  [bestError, bestLoss].find((value) => typeof value === 'number') ?? null;

/** Before the first step. */
export const beginning = (): Progress => ({
  ...{ epoch: 0, position: 0, step: 0, loss: 0, correct: 0, images: 0, pendingSteps: 0, pendingImages: 0 },
  ...{ rng: getRngState(), seconds: 0, epochSeconds: 0 },
  ...{ trainLoss: null, testError: null, bestError: null, bestEpoch: null },
});

/** What a field must be, in words, and whether a value is that. */
type Check = readonly [must: string, is: (value: unknown) => boolean];

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isEach = (is: (value: unknown) => boolean) => (value: unknown) =>
  isObject(value) && Object.values(value).every(is);
const isRng = (value: unknown): boolean => {
  const { seed, draws } = (isObject(value) ? value : {}) as Partial<RngState>;
  return isCount(seed) && seed <= 0xffffffff && isCount(draws);
};
const orNull = ([must, is]: Check): Check => [`${must}, or null`, (value) => value === null || is(value)];

const count: Check = ['a whole number of at least 0', isCount];
const finite: Check = ['a finite number', isNumber];
const duration: Check = ['a finite number of at least 0', (value) => isNumber(value) && value >= 0];
const percent: Check = ['a number from 0 to 100', (value) => isNumber(value) && value >= 0 && value <= 100];
const sums: Check = ['an object of finite numbers', isEach(isNumber)];

const optional = ([must, is]: Check): Check => [must, (value) => value === undefined || is(value)];

const FIELDS: Record<keyof Progress, Check> = {
  ...{ epoch: count, step: count, position: count, correct: count, images: count },
  ...{ pendingSteps: count, pendingImages: count, optimizerSteps: optional(count), metrics: optional(sums) },
  ...{ loss: finite, seconds: duration, epochSeconds: duration },
  ...{ testLoss: optional(finite), bestLoss: optional(finite) },
  ...{ trainLoss: orNull(finite), testError: orNull(percent), bestError: orNull(percent), bestEpoch: orNull(count) },
  rng: ['{ seed, draws }, a whole number below 2³² and one of at least 0', isRng],
};

/** The names that are taken by the progress of the Trainer itself; others are those of hooks. */
export const OWN_FIELDS: ReadonlySet<string> = new Set([...Object.keys(FIELDS), 'buffers']);

/** The progress of a checkpoint. Throws an error that begins with `what` (the file's name) and names the field that cannot be. */
export function checkProgress(saved: JsonObject, what: string): Progress {
  const own = Object.entries(saved).filter(([field]) => Object.hasOwn(FIELDS, field));
  const progress = structuredClone(Object.fromEntries(own)) as unknown as Progress;
  for (const [field, [must, is]] of Object.entries(FIELDS)) {
    const value = progress[field as keyof Progress];
    if (!is(value)) throw new Error(`${what}: progress.${field} is ${JSON.stringify(value)}, it must be ${must}`);
  }
  const { epoch, step, position, images, pendingImages, pendingSteps, correct, bestEpoch } = progress;
  const best = bestOf(progress);
  const contradictions: [string, boolean][] = [
    [
      `position is ${position}, but images + pendingImages are ${images + pendingImages}`,
      position !== images + pendingImages,
    ],
    [`correct is ${correct} of ${images} images`, correct > images],
    [`pendingSteps is ${pendingSteps}, but pendingImages ${pendingImages}`, pendingSteps > pendingImages],
    [`step is ${step}, but epoch ${epoch} and position ${position}`, step < epoch + Math.min(position, 1)],
    [`bestEpoch is ${bestEpoch}, but epoch ${epoch}`, bestEpoch !== null && bestEpoch > epoch],
    [`bestEpoch is ${bestEpoch}, but bestError ${best}`, (bestEpoch === null) !== (best === null)],
  ];
  for (const [problem, found] of contradictions) if (found) throw new Error(`${what}: progress.${problem}`);
  return progress;
}
