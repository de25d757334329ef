// DataLoader: batches of a user's own data, in a seeded order, made ready while the GPU works on those before.

import { Rng, Stream } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { endStep, stepsEnded } from '../tensor/memory';
import { getRngState } from '../tensor/seed';
import type { Collated, FieldTypes } from './collate';
import { batchOf, fieldTypes } from './collate';
import { type Dataset, type Samples, sampleAt } from './dataset';
import { orderOf, type Sampler } from './sampler';

/** Options of `DataLoader`, by the names of `torch.utils.data.DataLoader`. */
export interface DataLoaderOptions<S, B> {
  /** Samples of a batch (default 1). */
  batchSize?: number;
  /** Whether every epoch has an order of its own (default false); needs a data set with a length. */
  shuffle?: boolean;
  /** The positions of each epoch, in their order: a `Sampler`, or any iterable of numbers. */
  sampler?: Sampler | Iterable<number>;
  /** Lists of positions, one a batch: a `BatchSampler`, or any iterable of lists. */
  batchSampler?: Sampler<number[]> | Iterable<readonly number[]>;
  /** Seed of the order, by default that of `manualSeed`: epoch e of seed s is the same everywhere. */
  seed?: number;
  /** Leaves out a last batch that is not full (default false). */
  dropLast?: boolean;
  /** Element type of the batches: one, or one for each field in the form of a sample, such as `['float32', 'int32']`. */
  dtype?: FieldTypes;
  /** Batches made in advance (default 2). */
  prefetch?: number;
  /** Makes a batch of samples; default `collate`. */
  collate?: (samples: S[]) => B;
}

const OPTIONS: OptionTable<DataLoaderOptions<unknown, unknown>> = {
  batchSize: is.number,
  shuffle: is.flag,
  sampler: is.object,
  batchSampler: is.object,
  seed: is.number,
  dropLast: is.flag,
  prefetch: is.number,
  dtype: is.anything,
  collate: is.func,
};

/**
 * Iterates over a data set in batches: `for await (const [x, y] of loader)`. `data` is a Dataset, an array of samples, or any iterable. Each
 * pass is an epoch with an order of its own when `shuffle` is on. A field's element type is decided once for the data set, not for each batch:
 * numbers are float32; in a field of a tuple or record they are labels, int32, where all are whole and fit it (all of an array, the first
 * batch of other data; a later one that does not fit is refused); `dtype` says otherwise.
 */
export class DataLoader<S, B = Collated<S>> {
  /** The epoch of the next pass; set it to go on with a run. */
  epoch = 0;
  /** The sample, in its order, that the next pass begins with: set it to go on within an epoch. Passes after that one are whole. */
  start = 0;
  readonly #options: DataLoaderOptions<S, B> &
    Required<Pick<DataLoaderOptions<S, B>, 'batchSize' | 'shuffle' | 'dropLast' | 'prefetch'>>;
  /** The types of the fields, decided once for the data set. */
  #types: FieldTypes | undefined;

  constructor(
    /** The dataset, or an iterable that is read once an epoch. */
    readonly data: Dataset<S> | readonly S[] | Iterable<S> | AsyncIterable<S>,
    options: DataLoaderOptions<S, B> = {},
  ) {
    checked('DataLoader', options, OPTIONS as OptionTable<typeof options>);
    this.#options = {
      batchSize: 1,
      shuffle: false,
      dropLast: false,
      prefetch: 2,
      ...options,
    };
    const { batchSize, prefetch, shuffle } = this.#options;
    const source = Object(data) as object;
    if (!('length' in source || Symbol.iterator in source || Symbol.asyncIterator in source))
      throw new InputError('DataLoader: data is an array, an iterable, or an object with length and get(index)');
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new InputError(`DataLoader: batchSize ${batchSize} must be a whole number of at least 1`);
    if (!Number.isInteger(prefetch) || prefetch < 0)
      throw new InputError(`DataLoader: prefetch ${prefetch} must be a whole number ≥ 0`);
    this.#checkSamplers(options);
    if (shuffle && this.count === null)
      throw new InputError('DataLoader: shuffle needs data with a length; collect the iterable in an array first');
  }

  #checkSamplers({ sampler, batchSampler, ...o }: DataLoaderOptions<S, B>): void {
    const one = batchSampler ? 'batchSampler' : sampler ? 'sampler' : null;
    if (!one) return;
    const others = batchSampler ? ['batchSize', 'shuffle', 'dropLast', ...(sampler ? ['sampler'] : [])] : ['shuffle'];
    const odd = others.find((name) => name === 'sampler' || o[name as 'shuffle']);
    if (odd) throw new InputError(`DataLoader: ${one} decides what ${odd} would: leave one of them out`);
    if (this.count === null)
      throw new InputError(`DataLoader: ${one} needs data with a length; collect the iterable in an array first`);
  }

  /** Batches of a pass; null where that is not known. */
  get length(): number | null {
    const { batchSize, dropLast, sampler, batchSampler } = this.#options;
    if (batchSampler) return lengthOf(batchSampler);
    const n = sampler ? lengthOf(sampler) : this.count;
    return n === null ? null : dropLast ? Math.floor(n / batchSize) : Math.ceil(n / batchSize);
  }

  /** Samples of the data set; null for an iterable of unknown length. */
  get count(): number | null {
    return 'length' in this.data ? this.data.length : null;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B> {
    const { prefetch } = this.#options;
    const start = this.start;
    this.start = 0;
    if (!Number.isInteger(start) || start < 0)
      throw new InputError(`DataLoader: start ${start} must be a whole number ≥ 0`);
    const batches = this.count === null ? this.#collected(start) : this.#picked(start, this.count);
    const ready: Promise<IteratorResult<() => B | Promise<B>>>[] = [];
    try {
      for (;;) {
        while (ready.length <= prefetch) {
          const next = Promise.resolve(batches.next()).then(async ({ value, done }) =>
            done ? { value, done } : { value: await value, done },
          );
          next.catch(() => undefined); // an error of a batch made in advance is thrown when its turn comes
          ready.push(next);
        }
        const { value, done } = await at(ready.splice(0, 1), 0);
        if (done) break;
        const steps = stepsEnded();
        yield await value();
        // Outside training nothing else ends a step.
        if (stepsEnded() === steps) endStep();
      }
    } finally {
      await batches.return(undefined);
    }
  }

  /** What makes a batch of samples, when its turn comes. */
  #making(samples: S[]): () => B {
    const { collate = (list: S[]) => this.#collate(list) } = this.#options;
    return () => collate(samples);
  }

  /** The default batch. All of an array is looked at for its types; of other data the first batch. */
  #collate(samples: S[]): B {
    const { dtype } = this.#options;
    if (this.#types === undefined) {
      const seen = Array.isArray(this.data) ? this.data : samples;
      // A number that is a sample of its own is no label.
      this.#types = dtype === undefined && typeof seen[0] === 'number' ? 'float32' : fieldTypes(seen, dtype);
    }
    return batchOf(samples, this.#types) as B;
  }

  /** Batches of data with a length; the samples of a batch are fetched side by side. */
  *#picked(start: number, count: number): Generator<Promise<() => B | Promise<B>>, undefined> {
    const { collate } = this.#options;
    const data = this.data as Samples<S>;
    const whole = 'getBatch' in data && !collate && this.#options.dtype === undefined ? data : null;
    const getBatch = whole?.getBatch?.bind(whole);
    for (const indices of this.#positions(start, count))
      yield getBatch
        ? Promise.resolve(() => getBatch(indices) as B | Promise<B>)
        : Promise.all(indices.map(async (i) => sampleAt(data, i))).then((samples) => this.#making(samples));
  }

  /** The positions of each batch of n samples, from the sample `start` in the epoch's order on. */
  *#positions(start: number, n: number): Generator<number[], undefined> {
    const { batchSize, shuffle, dropLast, sampler, batchSampler, seed = getRngState().seed } = this.#options;
    const epoch = this.epoch++;
    if (batchSampler) {
      let before = 0;
      for (const batch of orderOf<readonly number[]>(batchSampler, epoch)) {
        before += batch.length;
        if (before > start) yield [...batch];
      }
      return;
    }
    const shuffled = shuffle ? new Rng(seed, Stream.shuffle, epoch).permutation(n) : null;
    const order = sampler ? Array.from(orderOf(sampler, epoch)) : (shuffled ?? Array.from({ length: n }, (_, i) => i));
    for (let from = start; from < order.length; from += batchSize) {
      const batch = [...order.slice(from, from + batchSize)];
      if (dropLast && batch.length < batchSize) return;
      yield batch;
    }
  }

  /** Batches of an iterable, in its order. */
  async *#collected(start: number): AsyncGenerator<() => B, undefined> {
    const { batchSize, dropLast } = this.#options;
    this.epoch++;
    let batch: S[] = [];
    let skipped = 0;
    for await (const sample of this.data as AsyncIterable<S>) {
      if (skipped++ < start) continue;
      batch.push(sample);
      if (batch.length < batchSize) continue;
      yield this.#making(batch);
      batch = [];
    }
    if (batch.length && !dropLast) yield this.#making(batch);
  }
}

/** The length of a sampler, where it has one. */
const lengthOf = (sampler: object): number | null => ('length' in sampler ? Number(sampler.length) : null);
