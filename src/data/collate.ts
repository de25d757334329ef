// collate: one batch of many samples.

import { InputError } from '../gpu';
import { stack } from '../ops/join';
import { tensor } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import { sameShape, showShape, size } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

type HostNumbers =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray;

/** Host data with a shape, as image decoders give it. */
export interface HostArray {
  /** The numbers in row-major order, as many as `shape` has elements. */
  data: HostNumbers;
  /** Size of each dimension, the last one next to each other in `data`. */
  shape: readonly number[];
}

type Numbers = readonly number[];
type Nest =
  | Numbers
  | readonly Numbers[]
  | readonly (readonly Numbers[])[]
  | readonly (readonly (readonly Numbers[])[])[];

/** What `collate` makes of samples of a type. */
export type Collated<S> = S extends Tensor | number | boolean | ArrayBufferView | HostArray | Nest
  ? Tensor
  : { -readonly [K in keyof S]: Collated<S[K]> };

/** Element types of a sample's fields, in the form of the sample; one type is for all of them. What is left out follows from the data. */
export type FieldTypes =
  | DType
  | readonly (FieldTypes | undefined)[]
  | { readonly [field: string]: FieldTypes | undefined };

/** Numbers in any of the forms that a sample has them in, as one row of the batch. */
interface Row {
  values: ArrayLike<number>;
  shape: readonly number[];
}

/**
 * Makes a batch of samples, with the element types `types` where given, else:
 * - numbers → [N], int32 when all are whole (labels) and fit it, else float32; booleans → bool [N]
 * - typed arrays and { data, shape } → [N, …], int32 and uint32 as they are, all else float32
 * - regular nests of numbers, such as [1, 2] or [[1, 2], [3, 4]] → float32 [N, …]
 * - tensors → stacked to [N, …]
 * - other arrays are tuples and other plain objects are records: each field is collated by itself
 */
export function collate<S>(samples: readonly S[], types?: FieldTypes): Collated<S> {
  return batchOf(samples, fieldTypes(samples, types)) as Collated<S>;
}

/** What `types` says of a field. */
function ofField(types: FieldTypes | undefined, field: string | number): FieldTypes | undefined {
  return types === undefined || typeof types === 'string' ? types : (types as Record<string, FieldTypes>)[field];
}

/** The fields of a tuple or record; null for anything else. */
const fieldsOf = (sample: unknown): string[] | null =>
  !(sample instanceof Tensor) && !rowOf(sample) && (Array.isArray(sample) || isPlain(sample))
    ? Object.keys(sample)
    : null;

/**
 * The element types of the fields of these samples, for batches of them and of others like them: as `given`, and for numbers int32 where all
 * are whole and fit it, else float32.
 */
export function fieldTypes(samples: readonly unknown[], given?: FieldTypes): FieldTypes | undefined {
  const [first] = samples;
  if (typeof given === 'string') return given;
  if (typeof first === 'number') return samples.every(isLabel) ? 'int32' : 'float32';
  const fields = fieldsOf(first);
  if (!fields) return undefined;
  // A sample of another form is refused when its batch is made.
  const values = (field: string) => samples.map((s) => (Object(s) as Record<string, unknown>)[field]);
  return Object.fromEntries(fields.map((field) => [field, fieldTypes(values(field), ofField(given, field))]));
}

const isLabel = (x: unknown): boolean => Number.isInteger(x) && Math.abs(x as number) < 2 ** 31;

/** A batch of samples whose types were decided by `fieldTypes`. */
export function batchOf(samples: readonly unknown[], types: FieldTypes | undefined): unknown {
  const first = samples[0];
  if (first instanceof Tensor) return stack(samples as Tensor[]);
  const dtype = typeof types === 'string' ? types : undefined;
  if (typeof first === 'boolean') return tensor(samples as boolean[], { dtype });
  const row = rowOf(first);
  if (row) return stackRows(samples, row, dtype);
  const fields = fieldsOf(first);
  if (!fields) throw noRule(first);
  const alike = (s: unknown) => {
    const own = fieldsOf(s);
    return (
      own &&
      Array.isArray(s) === Array.isArray(first) &&
      (Array.isArray(s) ? own.length === fields.length : fields.every((f) => own.includes(f)))
    );
  };
  samples.forEach((s, i) => alike(s) || odd(i, s, first));
  const batches = fields.map((field) =>
    batchOf(
      samples.map((s) => (s as Record<string, unknown>)[field]),
      ofField(types, field),
    ),
  );
  return Array.isArray(first) ? batches : Object.fromEntries(fields.map((field, k) => [field, batches[k]]));
}

function noRule(first: unknown): InputError {
  return new InputError(
    `DataLoader: no rule makes a batch of samples like ${describe(first)}; pass { collate } to say how one is made`,
  );
}

const isPlain = (x: unknown): x is Record<string, unknown> =>
  !!x && typeof x === 'object' && Object.getPrototypeOf(x) === Object.prototype;

function rowOf(x: unknown): Row | null {
  if (typeof x === 'number') return { values: [x], shape: [] };
  if (ArrayBuffer.isView(x)) return { values: x as HostNumbers, shape: [(x as HostNumbers).length] };
  if (isPlain(x) && ArrayBuffer.isView(x.data) && Array.isArray(x.shape)) {
    const { data, shape } = x as unknown as HostArray;
    if (data.length !== size(shape))
      throw new InputError(`DataLoader: a sample has ${data.length} values and the shape ${showShape(shape)}`);
    return { values: data, shape };
  }
  const shape = Array.isArray(x) ? nestShape(x) : null;
  return shape && { values: (x as unknown[]).flat(Infinity) as number[], shape };
}

/** The shape of a regular nest of numbers; null for any other array. */
function nestShape(x: unknown): readonly number[] | null {
  if (typeof x === 'number') return [];
  if (!Array.isArray(x) || !x.length) return null;
  const inner = nestShape(x[0]);
  return inner && x.every((item) => sameShape(nestShape(item) ?? [-1], inner)) ? [x.length, ...inner] : null;
}

function stackRows(samples: readonly unknown[], { values, shape }: Row, dtype?: DType): Tensor {
  const rows = samples.map((s, i) => {
    const row = rowOf(s);
    if (!row || !sameShape(row.shape, shape)) odd(i, s, samples[0]);
    return row.values;
  });
  const own = values instanceof Uint32Array ? 'uint32' : values instanceof Int32Array ? 'int32' : 'float32';
  const n = size(shape);
  // As doubles where another type is asked for: they hold every number exactly, and what does not fit is refused.
  const Kind = dtype ? Float64Array : { uint32: Uint32Array, int32: Int32Array, float32: Float32Array }[own];
  const all = new Kind(rows.length * n);
  for (const [i, row] of rows.entries()) all.set(row, i * n);
  if (dtype === 'int32' && shape.length === 0) {
    const at = all.findIndex((x) => !isLabel(x));
    if (at >= 0)
      throw new InputError(
        `DataLoader: sample ${at} of a batch has the number ${all[at]} in a field of int32, whose numbers had all been whole. ` +
          "If they are no labels, say so: { dtype: 'float32' }, or a type for each field of a sample.",
      );
  }
  return tensor(all, { shape: [rows.length, ...shape], dtype: dtype ?? own });
}

function odd(index: number, sample: unknown, first: unknown): never {
  throw new InputError(
    `DataLoader: sample ${index} of a batch is ${describe(sample)}, sample 0 is ${describe(first)}: all must be alike. ` +
      'Crop or pad them, or pass { collate }.',
  );
}

/** A sample in a few words. */
function describe(x: unknown): string {
  const row = rowOf(x);
  if (row) return row.shape.length ? `numbers of shape ${showShape(row.shape)}` : 'a number';
  if (Array.isArray(x)) return `a tuple of ${x.length}`;
  if (isPlain(x)) return `an object with ${Object.keys(x).join(', ') || 'no fields'}`;
  return x === null || typeof x !== 'object' ? String(x) : x.constructor.name;
}
