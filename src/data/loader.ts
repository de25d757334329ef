// DataLoader: batches of a user's own data, in a seeded order, made ready while the GPU works on those before.
import { Rng, Stream } from '../../datasets/random';
import { isTapeOpen } from '../autograd/tape';
import { InputError } from '../gpu';
import { tensor } from '../tensor/create';
import { endStep } from '../tensor/memory';
import { size } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

/** Samples by number. `get` may be async (decoding a file, say). */
export interface Dataset<S> {
  readonly length: number;
  get(index: number): S | Promise<S>;
}

export interface DataLoaderOptions<S, B> {
  /** Samples of a batch (default 1). */
  batchSize?: number;
  /** Whether every epoch has an order of its own (default false); needs a data set with a length. */
  shuffle?: boolean;
  /** Seed of the order (default 0): epoch e of seed s is the same everywhere. */
  seed?: number;
  /** Leaves out a last batch that is not full (default false). */
  dropLast?: boolean;
  /** Batches made in advance (default 2). */
  prefetch?: number;
  /** Makes a batch of samples; default `collate`. */
  collate?: (samples: S[]) => B;
}

/**
 * Stacks samples: numbers become a tensor [N] (int32 when all are whole, else float32), typed or nested arrays and tensors [N, …], and
 * tuples and plain objects are stacked field by field.
 */
export function collate(samples: readonly unknown[]): unknown {
  const first = samples[0];
  if (typeof first === 'number') {
    const whole = samples.every((x) => Number.isInteger(x));
    return tensor(whole ? Int32Array.from(samples as number[]) : Float32Array.from(samples as number[]));
  }
  if (typeof first === 'boolean') return tensor(samples as boolean[]);
  if (ArrayBuffer.isView(first)) return stackArrays(samples as Float32Array[], [(first as Float32Array).length]);
  if (isImage(first))
    return stackArrays(
      (samples as HostArray[]).map((s) => s.data),
      first.shape,
    );
  if (Array.isArray(first)) {
    if (
      typeof first.flat(Infinity)[0] === 'number' &&
      first.every((x) => typeof x === 'number' || Array.isArray(x)) &&
      !isTuple(samples as unknown[][])
    )
      return tensor(samples as number[][]);
    return first.map((_, k) => collate((samples as unknown[][]).map((s) => s[k])));
  }
  if (first && typeof first === 'object' && !(first instanceof Tensor))
    return Object.fromEntries(
      Object.keys(first).map((key) => [key, collate(samples.map((s) => (s as Record<string, unknown>)[key]))]),
    );
  throw new InputError(
    `DataLoader: cannot stack samples like ${String(first)}; pass { collate } to say how a batch is made`,
  );
}

/** Host data with a shape, as image decoders give it. */
export interface HostArray {
  data: Float32Array | Uint8Array;
  shape: readonly number[];
}

const isImage = (x: unknown): x is HostArray =>
  !!x && typeof x === 'object' && 'data' in x && 'shape' in x && !(x instanceof Tensor);

/** A sample [a, b] with parts of different kinds is a tuple of fields, not a row of numbers. */
const isTuple = (samples: unknown[][]): boolean =>
  samples[0].some((x) => ArrayBuffer.isView(x) || isImage(x)) ||
  samples[0].some((x) => Array.isArray(x) !== Array.isArray(samples[0][0]));

function stackArrays(arrays: ArrayLike<number>[], shape: readonly number[]): Tensor {
  const n = size(shape);
  const out = arrays[0] instanceof Int32Array ? new Int32Array(arrays.length * n) : new Float32Array(arrays.length * n);
  arrays.forEach((array, i) => {
    if (array.length !== n)
      throw new InputError(`DataLoader: sample ${i} of a batch has ${array.length} values, sample 0 has ${n}`);
    out.set(array, i * n);
  });
  return tensor(out, { shape: [arrays.length, ...shape] });
}

/**
 * Iterates over a data set in batches: `for await (const [x, y] of loader)`. `data` is a Dataset, an array of samples, or any iterable. Each
 * pass is an epoch with an order of its own when `shuffle` is on. What a loop computes from a batch is given back as the loop goes on.
 */
export class DataLoader<S, B = unknown> {
  /** The epoch of the next pass; set it to go on with a run. */
  epoch = 0;
  readonly #options: Required<Omit<DataLoaderOptions<S, B>, 'collate'>> & { collate: (samples: S[]) => B };

  constructor(
    readonly data: Dataset<S> | readonly S[] | Iterable<S> | AsyncIterable<S>,
    options: DataLoaderOptions<S, B> = {},
  ) {
    this.#options = {
      batchSize: 1,
      shuffle: false,
      seed: 0,
      dropLast: false,
      prefetch: 2,
      collate: collate as (samples: S[]) => B,
      ...options,
    };
    const { batchSize, prefetch, shuffle } = this.#options;
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new InputError(`DataLoader: batchSize ${batchSize} must be a whole number of at least 1`);
    if (!Number.isInteger(prefetch) || prefetch < 0)
      throw new InputError(`DataLoader: prefetch ${prefetch} must be a whole number ≥ 0`);
    if (shuffle && this.#count === null)
      throw new InputError('DataLoader: shuffle needs data with a length; collect the iterable in an array first');
  }

  /** Batches of a pass; null for an iterable of unknown length. */
  get length(): number | null {
    const { batchSize, dropLast } = this.#options;
    const n = this.#count;
    return n === null ? null : dropLast ? Math.floor(n / batchSize) : Math.ceil(n / batchSize);
  }

  get #count(): number | null {
    return 'length' in this.data ? this.data.length : null;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B> {
    const { prefetch, collate: make } = this.#options;
    const samples = this.#batches();
    const ready: Promise<IteratorResult<S[]>>[] = [];
    for (;;) {
      while (ready.length <= prefetch) ready.push(samples.next());
      const { value, done } = await ready.shift()!;
      if (done) break;
      yield make(value);
      // Outside training nothing else ends a step.
      if (!isTapeOpen()) endStep();
    }
  }

  async *#batches(): AsyncGenerator<S[]> {
    const { batchSize, dropLast } = this.#options;
    let batch: S[] = [];
    for await (const sample of this.#samples()) {
      batch.push(sample);
      if (batch.length < batchSize) continue;
      yield batch;
      batch = [];
    }
    if (batch.length && !dropLast) yield batch;
  }

  async *#samples(): AsyncGenerator<S> {
    const { shuffle, seed } = this.#options;
    const n = this.#count;
    const epoch = this.epoch++;
    if (n === null) {
      yield* this.data as Iterable<S>;
      return;
    }
    const get =
      'get' in this.data
        ? (i: number) => (this.data as Dataset<S>).get(i)
        : (i: number) => (this.data as readonly S[])[i];
    const order = shuffle ? new Rng(seed, Stream.shuffle, epoch).permutation(n) : null;
    for (let i = 0; i < n; i++) yield await get(order ? order[i] : i);
  }
}
