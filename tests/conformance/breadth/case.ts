// The cases of ../shared/torch-breadth (README there) as types, how they are read, and how a result is judged.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensor } from '../../../src/tensor/create';
import type { DType } from '../../../src/tensor/dtype';
import type { Tensor } from '../../../src/tensor/tensor';
import { type Attributes, numberOf, type Value } from '../case';

export type { Attributes } from '../case';

export interface Stored {
  shape: number[];
  dtype: DType;
  data: Value[];
  /** The most that an element may differ by; of `half` cases an absolute and a relative part. */
  tol?: number;
  tol_abs?: number;
  tol_rel?: number;
}

export type Named = Record<string, Stored>;
/** Names as arguments: nested lists are tuples, null is absent. */
export type Names = (string | null | Names)[];

export interface Gradients {
  upstream: Record<string, string>;
  expect: Record<string, Stored | null>;
  /** Of a module's parameters. */
  weights?: Named;
}

export interface Step {
  op: string;
  in: Names;
  kw?: Record<string, string>;
  attrs: Attributes;
  out: (string | null)[];
}

/** A case of any kind; the fields that a kind has are read by its runner. */
export interface Case extends Attributes {
  id: string;
  group: string;
  kind: 'program' | 'module' | 'optimizer' | 'scheduler' | 'half' | 'cast' | 'table' | 'state_dict';
  tags?: string[];
  inputs: Named;
}

/** Thrown for what the framework has no counterpart of, or what is left out on purpose; the message is the reason. */
export class Missing extends Error {}

/** A file of cases. */
export const readCases = (folder: string, file: string): Case[] =>
  JSON.parse(readFileSync(join(folder, 'cases', `${file}.json`), 'utf8')).cases;

/** A stored tensor on the GPU. */
export const load = ({ data, shape, dtype }: Stored, requiresGrad = false): Tensor =>
  tensor(data.map(numberOf), { shape, dtype, requiresGrad: requiresGrad && dtype.startsWith('float') });

/** The problem with a result, or null: |got − want| ≤ tol for every element, in the same shape and, of integers and bools, the same type. */
export async function difference(name: string, got: Tensor | null | undefined, want: Stored): Promise<string | null> {
  if (got && got.shape.join() !== want.shape.join()) return `${name}: shape [${got.shape}], expected [${want.shape}]`;
  if (got && got.dtype !== want.dtype) return `${name}: ${got.dtype}, expected ${want.dtype}`;
  const data = got ? await got.data() : new Float32Array(want.data.length);
  const { tol = 0, tol_abs = tol, tol_rel = 0 } = want;
  for (const [i, stored] of want.data.entries()) {
    const expected = numberOf(stored);
    const value = Number(data[i]);
    if (value === expected || Object.is(value, expected)) continue;
    if (!(Math.abs(value - expected) <= tol_abs + tol_rel * Math.abs(expected)))
      return `${name}[${i}] is ${value}, expected ${expected} (tolerance ${tol_abs}${tol_rel ? ` + ${tol_rel}·|x|` : ''})`;
  }
  return null;
}

/** The first problem with results by name. */
export async function firstDifference(
  want: Record<string, Stored | null>,
  got: (name: string) => Tensor | null | undefined,
  what = '',
): Promise<string | null> {
  for (const [name, stored] of Object.entries(want)) {
    if (!stored) continue; // the scalar does not depend on it: none and zeros are both right
    const problem = await difference(what + name, got(name), stored);
    if (problem) return problem;
  }
  return null;
}

/** `keep_dim` → `keepDim`. */
export const camel = (name: string): string => name.replace(/_+([a-z0-9])/g, (_, c: string) => c.toUpperCase());

/** PyTorch's keyword arguments as options: camel case, infinities as numbers. */
export const options = (attrs: Attributes): Attributes =>
  Object.fromEntries(
    Object.entries(attrs).map(([name, value]) => [
      camel(name),
      /^-?Infinity$|^NaN$/.test(value) ? Number(value) : value,
    ]),
  );
