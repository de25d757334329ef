// A checkpoint: one safetensors file with everything that a run needs in order to go on bit for bit.
// Weights, running statistics and optimizer slots are its tensors; the rest is JSON in its metadata.

import { parseSafetensors, type StoredTensor, serializeSafetensors } from '../formats/safetensors';
import { clip } from '../formats/safetensors-header';

/** A value that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };
/** An object of values that JSON can hold. */
export type JsonObject = { readonly [key: string]: Json | undefined };

/** Everything that a run needs to go on bit for bit. */
export interface Checkpoint {
  /** Weights, and what optimizer and trainer keep, by name. */
  readonly tensors: Record<string, StoredTensor>;
  /** Where the run stands: epoch, step, partial sums, … Finite numbers survive exactly. */
  readonly progress: JsonObject;
  /** The options that the run was started with. */
  readonly options: JsonObject;
  /** Adapter and chosen kernels: another tile sums in another order and gives other bits. */
  readonly engine: JsonObject;
}

const format = 'dawnfield-checkpoint';
const version = 1;
const parts = ['progress', 'options', 'engine'] as const;

/** The file of a checkpoint; `extra` metadata is stored beside it. Throws when a value cannot be kept as JSON. */
export function encodeCheckpoint(state: Checkpoint, extra: Record<string, string> = {}): Uint8Array<ArrayBuffer> {
  const json = parts.map((part) => [part, stringify(state[part], part)]);
  const metadata = { ...extra, format, version: String(version), ...Object.fromEntries(json) };
  return serializeSafetensors(state.tensors, metadata);
}

/** Reads what `encodeCheckpoint` wrote; errors begin with `what`, the file's name. */
export function decodeCheckpoint(bytes: Uint8Array, what = 'checkpoint') {
  const { tensors, metadata } = parseSafetensors(bytes, what);
  if (metadata.format !== format) {
    throw new Error(
      `${what}: holds weights, but is not a checkpoint of a run (its format is '${metadata.format ?? 'not named'}'); ` +
        'a run cannot be resumed from it',
    );
  }
  checkVersion(Number(metadata.version), version, `${what}: this checkpoint`);
  const [progress, options, engine] = parts.map((part) => {
    if (metadata[part] === undefined) throw new Error(`${what}: the checkpoint lacks '${part}'`);
    return parseObject(metadata[part], `${what}: metadata '${part}'`);
  }) as [JsonObject, JsonObject, JsonObject];
  return { tensors: Object.fromEntries(tensors), progress, options, engine, metadata };
}

function parseObject(text: string, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON (${(error as Error).message})`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} is ${clip(text)}, it must be a JSON object`);
  return value as JsonObject;
}

/** Throws unless `found` is a version that this code reads; `subject` opens the sentence. */
export function checkVersion(found: number, known: number, subject: string): void {
  if (!Number.isInteger(found) || found < 1) throw new Error(`${subject} has no valid format version`);
  if (found > known) {
    throw new Error(
      `${subject} has format version ${found}, but this Dawnfield reads up to version ${known}; update Dawnfield`,
    );
  }
}

/** JSON text of a value. NaN and Infinity are refused: JSON would turn them into null, silently. */
export function stringify(value: unknown, where: string): string {
  return JSON.stringify(value, (key, entry) => {
    if (typeof entry === 'number' && !Number.isFinite(entry)) {
      throw new Error(`${where}: '${key}' is ${entry}, which JSON cannot hold`);
    }
    return entry;
  });
}

/**
 * Compares the options that a saved run was started with to those given now, and throws an error that lists every one
 * of `fixedKeys` that differs, with both values. An option that is `undefined` in `given` was not stated: it agrees.
 */
export function checkResumable(saved: JsonObject, given: JsonObject, fixedKeys: readonly string[]): void {
  const stated = fixedKeys.filter((key) => given[key] !== undefined);
  const lines = differences(saved, given, stated, (run, now) => `the run has ${run}, given is ${now}`);
  if (lines)
    throw new Error(`a resumed run cannot change these options:\n${lines}\nleave them out, or start a new run`);
}

/** Throws where options in the file `what` are not those that a checkpoint of the run was saved with. */
export function checkUnchanged(what: string, found: JsonObject, saved: JsonObject, keys: readonly string[]): void {
  const lines = differences(saved, found, keys, (run, now) => `the run was saved with ${run}, the file has ${now}`);
  if (lines)
    throw new Error(
      `${what}: options of a run that has begun cannot be edited:\n${lines}\nrestore them, or start a new run`,
    );
}

/** A line for each key whose values differ; '' when none does. */
function differences(a: JsonObject, b: JsonObject, keys: readonly string[], say: (a: string, b: string) => string) {
  const show = (value: Json | undefined) => (value === undefined ? 'not set' : JSON.stringify(value));
  return keys
    .filter((key) => canonical(a[key]) !== canonical(b[key]))
    .map((key) => `  ${key}: ${say(show(a[key]), show(b[key]))}`)
    .join('\n');
}

/** JSON with sorted keys, so that equal objects are equal text. */
function canonical(value: Json | undefined): string | undefined {
  return JSON.stringify(value, (_, entry) =>
    entry && typeof entry === 'object' && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}
