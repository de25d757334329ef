// What command lines find on disk: the newest run, and weights with what is known about them.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Classifier, models } from '../../src/index.node.js';
import { decodeCheckpoint, type JsonObject } from '../../src/train/checkpoint';
import { readBytes } from '../../src/train/files.node.js';
import { parseSafetensors, type StoredTensor } from '../../src/train/safetensors';

/** The folder under `runs` that was written to last, or null. */
export function newestRun(runs = 'runs'): string | null {
  if (!existsSync(runs)) return null;
  const written = (folder: string) => statSync(join(folder, 'metrics.jsonl'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const folders = readdirSync(runs)
    .map((name) => join(runs, name))
    .filter((folder) => existsSync(join(folder, 'config.json')));
  return folders.sort((a, b) => written(b) - written(a))[0] ?? null;
}

export interface WeightsFile {
  readonly tensors: Readonly<Record<string, StoredTensor>>;
  /** The options of the run, where the file is a checkpoint of one. */
  readonly options: JsonObject | null;
}

/** Reads a safetensors file: weights from anywhere, or a checkpoint. Throws an error that names the file. */
export function readWeights(path: string): WeightsFile {
  const bytes = readBytes(path);
  const { tensors, metadata } = parseSafetensors(bytes, path);
  if (metadata.format === 'dawnfield-checkpoint') return decodeCheckpoint(bytes, path);
  return { tensors: Object.fromEntries(tensors), options: null };
}

/** The network that a file's weights are of: a feature-flow network's width is among the options of its run. */
export function createSavedModel(name: string, classes: number, { options }: WeightsFile): Classifier {
  return models.createModel(name, {
    classes,
    featureFlow: { width: options?.width as number | undefined },
  }) as Classifier;
}
