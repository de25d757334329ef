// What command lines find on disk: the newest run, and networks by the files of their weights.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readBytes } from '../../src/files/files.node.js';
import { looksLikeTorch } from '../../src/formats/torch';
import {
  type Classifier,
  loadWeights,
  models,
  parseSafetensors,
  parseTorch,
  type StoredTensor,
} from '../../src/index.node.js';
import { findNonFinite } from '../../src/nn/stored';
import { decodeCheckpoint } from '../../src/train/checkpoint';
import { isRun, readRunConfig } from '../../src/train/run-folder.node.js';
import { DATASETS, type DatasetName } from './datasets';
import { isGpt } from './gpt-recipe';
import { modelName } from './model-name';
import { choice, numberList, UsageError } from './options';
import { checkRecipe } from './recipe';

/** The folder under `runs` whose run was written to last, or null. What holds no run that has begun is passed by. */
export function newestRun(runs = 'runs'): string | null {
  if (!existsSync(runs)) return null;
  const written = (folder: string) => statSync(join(folder, 'metrics.jsonl'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const folders = readdirSync(runs)
    .map((name) => join(runs, name))
    .filter((folder) => isRun(folder) && !isGpt(readRunConfig(folder).options));
  return folders.sort((a, b) => written(b) - written(a))[0] ?? null;
}

/** What the command line says of the network to look at; the rest is in the file of its weights. */
export interface SavedOptions {
  model?: string;
  dataset?: DatasetName;
  /** Normalisation in place of the data set's. */
  mean?: [number, number, number];
  std?: [number, number, number];
  /** The averaged weights of a checkpoint instead of the plain ones. */
  averaged?: boolean;
}

/** `dataset` says what the data set is for. */
export const addSavedOptions = (program: Command, dataset: string): Command =>
  program
    .option('--model <name>', `${models.MODEL_NAMES.join(', ')}, …; a checkpoint of ours knows its own`, modelName)
    .option('--dataset <name>', `${dataset} (default: that of the checkpoint, else cifar10)`, choice(DATASETS))
    .option('--mean <r,g,b>', "normalisation of pixel values in [0, 1] (default: the data set's)", numberList(3))
    .option('--std <r,g,b>', "(default: the data set's)", numberList(3))
    .option('--averaged', 'the averaged weights of a run with --ema');

/**
 * Reads a safetensors file, weights from anywhere or a checkpoint, or a state dict of torch.save, and finds out of which network it is and
 * what data set it was trained on: 'own' are images of the user's own, in the page.
 * Throws an error that names the file. `load` makes the network in evaluation mode.
 */
export function readSaved(path: string, given: SavedOptions) {
  const bytes = readBytes(path);
  const { tensors, metadata } = looksLikeTorch(bytes)
    ? { ...parseTorch(bytes, path), metadata: {} as Record<string, string> }
    : parseSafetensors(bytes, path);
  const ours = metadata.format === 'dawnfield-checkpoint';
  const { dataset, ...rest } = ours ? decodeCheckpoint(bytes, path).options : {};
  // The page trains on images of one's own, too, which are no data set that a command line knows by its name.
  const isOwn = dataset === 'own';
  const options = ours
    ? checkRecipe(isOwn ? rest : { dataset, ...rest }, path, ['model', 'dataset', 'width', 'size', 'sort'])
    : null;
  const named = Object.fromEntries(tensors);
  const broken = findNonFinite(named, () => false);
  if (broken) throw new Error(`${path}: ${broken}`);
  if (given.averaged) useAverages(named, path);
  const model = given.model ?? options?.model;
  if (!model) throw new UsageError(`${path} does not say of which model it is: pass --model NAME`);
  const load = (classes: number): Classifier => {
    const network = models.createModel(model, {
      classes,
      width: options?.width,
      particles: { sort: options?.sort },
    }) as Classifier;
    loadWeights(network, named);
    return network.eval();
  };
  const trainedOn: DatasetName | 'own' = isOwn ? 'own' : (options?.dataset ?? 'cifar10');
  return { model, dataset: given.dataset ?? trainedOn, size: options?.size, load };
}

/** Puts the averages that a checkpoint holds in the place of its weights. */
function useAverages(tensors: Record<string, StoredTensor>, path: string): void {
  const prefix = 'trainer/averaged.module.';
  const found = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
  if (!found.length)
    throw new UsageError(`--averaged: ${path} holds no averages, which a run with --ema has; leave it out`);
  for (const [name, x] of found) tensors[name.slice(prefix.length)] = x;
}
