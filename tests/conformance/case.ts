// The cases of ../shared/conformance/vectors (schema.md beside them) as types, and their tensors.
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';

/** A number, or one that JSON cannot write. */
export type Value = number | boolean | string;

export interface StoredTensor {
  shape: number[];
  dtype: 'float32' | 'int32' | 'bool';
  data: Value[];
}

export type Named = Record<string, StoredTensor>;
// biome-ignore lint/suspicious/noExplicitAny: attributes are checked by the operations that take them
export type Attributes = Record<string, any>;

export interface Step {
  op: string;
  in: (string | null)[];
  attrs: Attributes;
  out: (string | null)[];
}

export interface Tolerance {
  abs: number;
  rel: number;
}

interface Common {
  id: string;
  /** The operation under test. */
  group: string;
  tags?: string[];
  tolerance: Tolerance;
}

export interface ProgramCase extends Common {
  kind: 'forward' | 'gradient' | 'training';
  inputs: Named;
  steps: Step[];
  expect?: Named;
  grad?: { of: string; upstream: string | null; expect: Named };
}

export interface Update {
  grads?: Named;
  loss?: { kind: string; [key: string]: unknown };
  repeat?: number;
  expect?: Named;
  expect_state?: Record<string, Record<string, StoredTensor>>;
}

export interface OptimizerCase extends Common {
  kind: 'optimizer';
  optimizer: Attributes & { name: string; lr: number };
  params: Named;
  state?: Record<string, Record<string, StoredTensor | number>>;
  updates: Update[];
}

export type Case = ProgramCase | OptimizerCase;

/** The number that a stored value stands for. */
export const numberOf = (value: Value): number => Number(value); // also 'NaN', 'Infinity', '-Infinity', true, false

/** Thrown for what the framework has no counterpart of; the message is the reason. */
export class NotApplicable extends Error {}

/** A stored tensor on the GPU. */
export function load(t: StoredTensor, requiresGrad = false): Tensor {
  const values = t.data.map(numberOf);
  if (t.dtype === 'float32' && values.some((v) => Number.isFinite(v) && !Number.isFinite(Math.fround(v))))
    throw new NotApplicable('it holds numbers beyond the range of float32');
  return tensor(values, { shape: t.shape, dtype: t.dtype, requiresGrad });
}
