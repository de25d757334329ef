// Samplers: the order in which a data set is gone through, by positions. Orders follow from seed and epoch alone.

import { Rng, Stream } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { getRngState } from '../tensor/seed';

/** Something with a number of samples. */
interface Counted {
  readonly length: number;
}

/** An order of positions for each epoch, as `torch.utils.data.Sampler`. A `DataLoader` asks for its own epoch's; each iteration is one epoch on. */
export abstract class Sampler<T = number> {
  /** The epoch whose positions come next, from 0; set it to repeat or to skip one. */
  epoch = 0;

  /** Number of positions, or of batches, in an epoch. */
  abstract readonly length: number;

  /** The positions of an epoch. */
  abstract order(epoch: number): Iterable<T>;

  [Symbol.iterator](): Iterator<T> {
    return this.order(this.epoch++)[Symbol.iterator]();
  }
}

/** Positions in their order. */
export class SequentialSampler extends Sampler {
  constructor(/** What has the length n: positions are 0 … n − 1. */ readonly data: Counted) {
    super();
  }

  /** Number of positions: the length of `data`. */
  get length(): number {
    return this.data.length;
  }

  *order(): Iterable<number> {
    for (let i = 0; i < this.length; i++) yield i;
  }
}

/** Positions in an order of each epoch's own; with `replacement` any of them, `numSamples` times. */
export class RandomSampler extends Sampler {
  /** Number of positions an epoch: the length of `data`, or `numSamples`. */
  readonly length: number;
  readonly #replacement: boolean;
  readonly #seed: number | undefined;

  constructor(
    /** What has the length n: positions are drawn from 0 … n − 1. */
    readonly data: Counted,
    options: {
      /** An element may be drawn more than once (default false). */
      replacement?: boolean;
      /** How many are drawn (default: as many as there are). */
      numSamples?: number;
      /** Of the draws (default: the global one). */
      seed?: number;
    } = {},
  ) {
    super();
    const table = { replacement: is.flag, numSamples: is.number, seed: is.number };
    const { replacement = false, numSamples = data.length, seed } = checked('RandomSampler', options, table);
    requireCount('RandomSampler', numSamples);
    this.length = numSamples;
    this.#replacement = replacement;
    this.#seed = seed;
  }

  *order(epoch: number): Iterable<number> {
    const rng = rngOf(this.#seed, epoch);
    const n = this.data.length;
    if (n === 0) return;
    if (this.#replacement) for (let i = 0; i < this.length; i++) yield rng.int(n);
    else for (let left = this.length; left > 0; left -= n) yield* rng.permutation(n).subarray(0, left);
  }
}

/** The given positions in an order of each epoch's own. */
export class SubsetRandomSampler extends Sampler {
  readonly #random: RandomSampler;

  constructor(
    /** The positions, each of which comes once an epoch. */
    readonly indices: readonly number[],
    options: { /** Of the draws (default: the global one). */ seed?: number } = {},
  ) {
    super();
    this.#random = new RandomSampler(indices, checked('SubsetRandomSampler', options, { seed: is.number }));
  }

  /** Number of positions, `indices.length`. */
  get length(): number {
    return this.indices.length;
  }

  *order(epoch: number): Iterable<number> {
    for (const i of this.#random.order(epoch)) yield at(this.indices, i);
  }
}

/** `numSamples` positions, each as likely as its weight says; without `replacement` (true by default) each at most once. */
export class WeightedRandomSampler extends Sampler {
  readonly #replacement: boolean;
  readonly #seed: number | undefined;

  constructor(
    /** Position i is drawn in proportion to `weights[i]`, which is ≥ 0; they need not add up to 1. */
    readonly weights: ArrayLike<number>,
    /** Positions drawn in an epoch. */
    readonly numSamples: number,
    options: {
      /** An element may be drawn more than once (default false). */
      replacement?: boolean;
      /** Of the draws (default: the global one). */
      seed?: number;
    } = {},
  ) {
    super();
    const op = 'WeightedRandomSampler';
    const { replacement = true, seed } = checked(op, options, { replacement: is.flag, seed: is.number });
    requireCount(op, numSamples);
    const list = Array.from(weights);
    const possible = list.filter((w) => w > 0).length;
    if (!list.every((w) => w >= 0 && w < Infinity) || possible === 0)
      throw new InputError(`${op}: weights are numbers ≥ 0, and one of them is more than 0`);
    if (!replacement && numSamples > possible)
      throw new InputError(`${op}: ${numSamples} different samples are asked for, ${possible} have a weight above 0`);
    this.#replacement = replacement;
    this.#seed = seed;
  }

  /** Number of positions an epoch, `numSamples`. */
  get length(): number {
    return this.numSamples;
  }

  *order(epoch: number): Iterable<number> {
    const rng = rngOf(this.#seed, epoch);
    const weights = Array.from(this.weights);
    if (!this.#replacement) {
      // Efraimidis and Spirakis (2006): those with the earliest of exponentially distributed times, of rates w.
      const times = weights.map((w, i) => ({ i, time: w > 0 ? -Math.log(1 - rng.uniform()) / w : Infinity }));
      times.sort((a, b) => a.time - b.time);
      for (const { i } of times.slice(0, this.numSamples)) yield i;
      return;
    }
    let sum = 0;
    const upTo = weights.map((w) => (sum += w));
    for (let i = 0; i < this.numSamples; i++) {
      const point = rng.uniform() * sum;
      let [low, high] = [0, upTo.length - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (at(upTo, middle) > point) high = middle;
        else low = middle + 1;
      }
      yield low;
    }
  }
}

/** Lists of `batchSize` positions of another sampler; the last one may be shorter, or is left out. */
export class BatchSampler extends Sampler<number[]> {
  constructor(
    /** Gives the positions, one after the other. */
    readonly sampler: Sampler | (Iterable<number> & Counted),
    /** Positions of a batch; the last batch may have fewer. */
    readonly batchSize: number,
    /** Leaves out a last batch that is not full (default false). */
    readonly dropLast = false,
  ) {
    super();
    requireCount('BatchSampler', batchSize);
  }

  /** Number of batches in an epoch. */
  get length(): number {
    const n = this.sampler.length / this.batchSize;
    return this.dropLast ? Math.floor(n) : Math.ceil(n);
  }

  *order(epoch: number): Iterable<number[]> {
    let batch: number[] = [];
    for (const i of orderOf(this.sampler, epoch)) {
      batch.push(i);
      if (batch.length < this.batchSize) continue;
      yield batch;
      batch = [];
    }
    if (batch.length && !this.dropLast) yield batch;
  }
}

/** What a sampler, or any iterable, gives in an epoch. */
export const orderOf = <T>(sampler: Sampler<T> | Iterable<T>, epoch: number): Iterable<T> =>
  sampler instanceof Sampler ? sampler.order(epoch) : sampler;

const rngOf = (seed = getRngState().seed, epoch: number): Rng => new Rng(seed, Stream.shuffle, epoch);

function requireCount(op: string, n: number): void {
  if (!Number.isInteger(n) || n < 0) throw new InputError(`${op}: ${n} is no number of samples`);
}
