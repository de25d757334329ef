// What the folder of a run holds, as far as grids look at it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeAtomic } from '../../src/files/files.node.js';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { isRun, type RunFolder, readMetrics, readRunConfig } from '../../src/train/run-folder.node.js';
import type { Recipe } from './recipe';

export interface RunState {
  readonly metrics: readonly MetricsLine[];
  readonly epochs: readonly EpochLine[];
  readonly recipe: Recipe;
  /** Names of the adapters that it was trained on; none in folders of earlier versions. */
  readonly adapters: readonly string[];
  /** The numbers at the end, or the step at which the loss stopped being finite. */
  readonly end:
    | { testError: number; bestError: number; bestEpoch: number; seconds: number }
    | { divergedAt: number }
    | null;
}

/** The run in a folder, or null where none has begun: a process that was stopped before its first checkpoint leaves nothing to go on from. */
export function readRun(path: string): RunState | null {
  if (!isRun(path)) return null;
  const recipe = readRunConfig(path).options as Recipe;
  const metrics = existsSync(join(path, 'metrics.jsonl')) ? readMetrics(path) : [];
  const epochs = metrics.filter((line) => line.type === 'epoch');
  const last = metrics.at(-1);
  const end = last?.type === 'summary' ? (last as unknown as RunState['end']) : null;
  return { metrics, epochs, recipe, adapters: adaptersIn(path), end };
}

const adaptersIn = (path: string): string[] => {
  const file = join(path, 'adapters.json');
  return existsSync(file) ? (readJson(file) as string[]) : [];
};

/** Notes that a run is trained on this adapter. */
export function noteAdapter(folder: RunFolder, adapter: string): void {
  const noted = adaptersIn(folder.path);
  if (!noted.includes(adapter)) folder.write('adapters.json', `${JSON.stringify([...noted, adapter])}\n`);
}

/** A run that could not be trained: how often it was tried, and what went wrong last. */
export interface Failure {
  attempts: number;
  message: string;
}

const failureFile = (path: string): string => join(path, 'failure.json');

export const readFailure = (path: string): Failure | null =>
  existsSync(failureFile(path)) ? (readJson(failureFile(path)) as Failure) : null;

export const writeFailure = (path: string, failure: Failure): void =>
  writeAtomic(failureFile(path), `${JSON.stringify(failure)}\n`);
