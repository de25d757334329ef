// A run as a folder for PyTorch, and back. run.json says what does not change; weights.safetensors has the weights by PyTorch's names,
// optimizer.safetensors what is kept for them by the same names and the progress, data.npz the images where they are no public files.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { explain, readBytes, readJson, writeAtomic } from '../../src/files/files.node.js';
import { parseSafetensors, type StoredTensor, serializeSafetensors } from '../../src/formats/safetensors';
import { PRIVATE } from '../../src/nn/stored';
import { type Checkpoint, checkVersion, type Json, type JsonObject } from '../../src/train/checkpoint';
import { checkpointFile, RunFolder } from '../../src/train/run-folder.node.js';
import { checkGptRecipe, isGpt } from './gpt-recipe';
import { checkRecipe } from './recipe';

export const FORMAT = 'dawnfield-torch';
const VERSION = 1;
/** What optimizers keep for each parameter, with PyTorch's names of it. */
const BUFFERS: Readonly<Record<string, string>> = { momentum: 'momentum', expAvg: 'exp_avg', expAvgSq: 'exp_avg_sq' };
const PREFIXES = Object.values(BUFFERS).map((name) => `${name}/`);
const isBuffer = (name: string) => PREFIXES.some((prefix) => name.startsWith(prefix));

/** run.json: what belongs to a run beside its tensors and its progress. */
export interface About {
  readonly recipe: JsonObject;
  readonly dataset: JsonObject;
  /** Of each group of parameters their names, the initial rate, momentum and decay, by PyTorch's names. */
  readonly groups: readonly JsonObject[];
  /** Names of the parameters in the order of our optimizer's. */
  readonly parameters: readonly string[];
  readonly engine: JsonObject;
}

/** What only our checkpoint has: options of the groups and counts of steps, as lists of integers. */
type Kept = Record<string, { dtype: 'U32' | 'I32'; data: number[] }>;

/** Makes the folder, or takes an empty one. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new Error(`${path}: the folder could not be made (${explain(error)})`, { cause: error });
  }
  if (readdirSync(path).length) throw new Error(`${path} is not empty: choose another folder, or empty it`);
}

/** Writes the tensors and run.json. `weights` are the names of the model's state dict. */
export function writeTensors(path: string, checkpoint: Checkpoint, about: About, weights: ReadonlySet<string>): void {
  const entries = Object.entries(checkpoint.tensors);
  const own: Record<string, StoredTensor> = {};
  const kept: Record<string, StoredTensor> = {};
  const options: Kept = {};
  for (const [name, x] of entries) {
    const key = name.startsWith(PRIVATE.optimizer) ? name.slice(PRIVATE.optimizer.length) : null;
    const [, index, buffer = ''] = /^(\d+)\.(\w+)$/.exec(key ?? '') ?? [];
    if (weights.has(name)) own[name] = x;
    else if (index !== undefined && BUFFERS[buffer]) kept[`${BUFFERS[buffer]}/${about.parameters[Number(index)]}`] = x;
    else if (key !== null && (x.dtype === 'U32' || x.dtype === 'I32'))
      options[key] = { dtype: x.dtype, data: Array.from(x.data, Number) };
    else if (!name.startsWith(PRIVATE.trainer)) kept[name] = x;
  }
  const step = String(checkpoint.progress.step);
  const progress = JSON.stringify(checkpoint.progress);
  writeAtomic(join(path, 'weights.safetensors'), serializeSafetensors(own, { step }));
  writeAtomic(join(path, 'optimizer.safetensors'), serializeSafetensors(kept, { step, progress }));
  const shapes = Object.fromEntries(
    [...Object.entries(own), ...Object.entries(kept)].map(([name, x]) => [name, [...x.shape]]),
  );
  const all = { format: FORMAT, version: VERSION, ...about, step: checkpoint.progress.step, options, shapes };
  writeAtomic(join(path, 'run.json'), `${JSON.stringify(all, null, 1)}\n`);
}

interface Read {
  about: About & { options: Kept; shapes: Record<string, readonly number[]>; step: number };
  tensors: Record<string, StoredTensor>;
  progress: JsonObject;
}

/** What a folder for PyTorch holds now. Throws an error that names the file and what is wrong with it. */
function readFolder(path: string): Read {
  const file = (name: string) => join(path, name);
  if (!existsSync(file('run.json')))
    throw new Error(`${path} is not a folder that 'dawnfield export RUN --torch' has written: it has no run.json`);
  const about = readJson(file('run.json')) as Read['about'] & { format?: string; version?: number };
  if (about?.format !== FORMAT) throw new Error(`${file('run.json')}: is not of a run for PyTorch`);
  checkVersion(Number(about.version), VERSION, `${file('run.json')}: this folder`);
  const [weights, kept] = ['weights.safetensors', 'optimizer.safetensors'].map((name) =>
    parseSafetensors(readBytes(file(name)), file(name)),
  ) as [ReturnType<typeof parseSafetensors>, ReturnType<typeof parseSafetensors>];
  if (weights.metadata.step !== kept.metadata.step)
    throw new Error(
      `${path}: weights.safetensors is of step ${weights.metadata.step}, optimizer.safetensors of ${kept.metadata.step}: they must be of one`,
    );
  const tensors = Object.fromEntries([...weights.tensors, ...kept.tensors]);
  for (const [name, shape] of Object.entries(about.shapes)) {
    const found = tensors[name]?.shape;
    if (String(found) !== String(shape))
      throw new Error(
        `${path}: '${name}' is ${found ? `[${found}]` : 'missing'}, the run that was exported has [${shape}]`,
      );
  }
  const more = Object.keys(tensors).find((name) => !about.shapes[name] && !isBuffer(name));
  if (more) throw new Error(`${path}: '${more}' is not in the run that was exported`);
  return { about, tensors, progress: JSON.parse(kept.metadata.progress ?? '{}') as JsonObject };
}

/** Our integers have 32 bits: counts of batches and numbers of particles. */
const narrowed = (x: StoredTensor): StoredTensor =>
  x.dtype === 'I64' ? { ...x, dtype: 'I32', data: Int32Array.from(x.data, Number) } : x;

/** Makes a run folder of one that PyTorch went on with. Returns where it stands. */
export function importFolder(path: string, out: string): { step: number; epoch: number | null } {
  const { about, tensors, progress } = readFolder(path);
  const isText = isGpt(about.recipe);
  const recipe = (isText ? checkGptRecipe : checkRecipe)(about.recipe, join(path, 'run.json'));
  const updates = Number(progress.step) - about.step;
  const all: Record<string, StoredTensor> = {};
  if (!isText) all[`${PRIVATE.trainer}sums`] = { dtype: 'F32', shape: [3], data: new Float32Array(3) };
  const buffers: string[] = [];
  const keep = (key: string, x: StoredTensor) => {
    buffers.push(key);
    all[PRIVATE.optimizer + key] = x;
  };
  for (const [name, x] of Object.entries(tensors)) if (!isBuffer(name)) all[name] = narrowed(x);
  const moved = about.parameters.map((parameter, i) => {
    const found = Object.entries(BUFFERS).filter(([, name]) => tensors[`${name}/${parameter}`]);
    for (const [buffer, name] of found) keep(`${i}.${buffer}`, tensors[`${name}/${parameter}`] as StoredTensor);
    return found.length > 0;
  });
  for (const [key, { dtype, data }] of Object.entries(about.options)) {
    const numbers = key === 'steps' ? data.map((n, i) => (moved[i] ? n + updates : n)) : data;
    const array = dtype === 'U32' ? Uint32Array.from(numbers) : Int32Array.from(numbers);
    keep(key, { dtype, shape: [array.length], data: array });
  }
  const checkpoint = {
    tensors: all,
    progress: isText ? progress : { ...progress, buffers: buffers as Json },
    options: recipe,
    engine: about.engine,
  };
  const folder = RunFolder.create(out, recipe);
  try {
    const metrics = join(path, 'metrics.jsonl');
    const lines = existsSync(metrics) ? new TextDecoder().decode(readBytes(metrics)).split('\n').filter(Boolean) : [];
    for (const line of lines) folder.appendMetrics(JSON.parse(line));
    if (progress.bestEpoch === progress.epoch && progress.position === 0) folder.saveCheckpoint(checkpoint, 'best');
    folder.saveCheckpoint(checkpoint, 'last');
  } finally {
    folder.close();
  }
  return { step: Number(progress.step), epoch: isText ? null : Number(progress.epoch) };
}

/** The checkpoint of a run that is exported: the last one. */
export const lastCheckpoint = (run: string): string => join(run, checkpointFile('last'));
