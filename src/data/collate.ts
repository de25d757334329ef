// collate: one batch of many samples.
import { stack } from '../autograd/views';
import { InputError } from '../gpu';
import { tensor } from '../tensor/create';
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
  data: HostNumbers;
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

/** Numbers in any of the forms that a sample has them in, as one row of the batch. */
interface Row {
  values: ArrayLike<number>;
  shape: readonly number[];
}

/**
 * Makes a batch of samples:
 * - numbers → [N], int32 when all are whole (labels), else float32; booleans → bool [N]
 * - typed arrays and { data, shape } → [N, …], int32 and uint32 as they are, all else float32
 * - regular nests of numbers, such as [1, 2] or [[1, 2], [3, 4]] → float32 [N, …]
 * - tensors → stacked to [N, …]
 * - other arrays are tuples and other plain objects are records: each field is collated by itself
 */
export function collate<S>(samples: readonly S[]): Collated<S> {
  return batchOf(samples) as Collated<S>;
}

function batchOf(samples: readonly unknown[]): unknown {
  const first = samples[0];
  if (first instanceof Tensor) return stack(samples as Tensor[]);
  if (typeof first === 'boolean') return tensor(samples as boolean[]);
  const row = rowOf(first);
  if (row) return stackRows(samples, row);
  if (Array.isArray(first)) {
    const parts = samples.map((s, i) => (Array.isArray(s) && s.length === first.length ? s : odd(i, s, first)));
    return first.map((_, k) => batchOf(parts.map((s) => s[k])));
  }
  if (isPlain(first))
    return Object.fromEntries(
      Object.keys(first).map((key) => [
        key,
        batchOf(samples.map((s, i) => (isPlain(s) && key in s ? s[key] : odd(i, s, first)))),
      ]),
    );
  throw new InputError(
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

function stackRows(samples: readonly unknown[], { values, shape }: Row): Tensor {
  const rows = samples.map((s, i) => {
    const row = rowOf(s);
    if (!row || !sameShape(row.shape, shape)) odd(i, s, samples[0]);
    return row.values;
  });
  const whole = shape.length === 0 && rows.every((row) => Number.isInteger(row[0]));
  const Kind =
    values instanceof Uint32Array ? Uint32Array : whole || values instanceof Int32Array ? Int32Array : Float32Array;
  const n = size(shape);
  const all = new Kind(rows.length * n);
  for (const [i, row] of rows.entries()) all.set(row, i * n);
  return tensor(all, { shape: [rows.length, ...shape] });
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
