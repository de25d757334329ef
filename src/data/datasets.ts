// Data sets made of tensors and of other data sets: TensorDataset, Subset, ConcatDataset, randomSplit.
// An `ArrayLike` of positions is read `as number`: who asks stays below its length.

import { Rng, Stream } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { indexSelect } from '../ops/index-select';
import { select } from '../ops/views';
import { tensor } from '../tensor/create';
import { getRngState } from '../tensor/seed';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { type Dataset, type Samples, sampleAt } from './dataset';

/**
 * Rows of tensors with one first dimension, as `torch.utils.data.TensorDataset`: sample i is `[x[i], y[i]]`. A `DataLoader` takes its batches out of the
 * tensors in one launch each.
 */
export class TensorDataset<T extends readonly Tensor[]> implements Dataset<{ [K in keyof T]: Tensor }> {
  /** The tensors; sample i is row i of each. */
  readonly tensors: T;
  /** Number of samples: the first dimension of every tensor. */
  readonly length: number;

  constructor(...tensors: T) {
    requireTensors('TensorDataset', Object.fromEntries(tensors.map((t, i) => [`tensor ${i}`, t])));
    this.length = tensors[0]?.shape[0] ?? 0;
    if (!tensors.length || tensors.some((t) => t.ndim === 0 || t.shape[0] !== this.length))
      throw new InputError(
        `TensorDataset: tensors have one first dimension, these are ${tensors.map((t) => `[${t.shape}]`).join(', ') || 'none'}`,
      );
    this.tensors = tensors;
  }

  /** Row `index` of each tensor, as views without the first dimension. */
  get(index: number): { [K in keyof T]: Tensor } {
    return this.tensors.map((t) => select(t, 0, index)) as { [K in keyof T]: Tensor };
  }

  getBatch(indices: readonly number[]): { [K in keyof T]: Tensor } {
    const rows = tensor(Int32Array.from(indices));
    return this.tensors.map((t) => indexSelect(t, 0, rows)) as { [K in keyof T]: Tensor };
  }
}

/** Some samples of another data set, by their positions, as `torch.utils.data.Subset`. */
export class Subset<S> implements Dataset<S> {
  readonly getBatch?: NonNullable<Dataset<S>['getBatch']>;

  constructor(
    /** The whole dataset. */
    readonly data: Samples<S>,
    /** Positions in `data`, in the order of the subset; they may repeat. */
    readonly indices: ArrayLike<number>,
  ) {
    const odd = Array.from(indices).find((i) => !Number.isInteger(i) || i < 0 || i >= data.length);
    if (odd !== undefined) throw new InputError(`Subset: ${odd} is no position among ${data.length} samples`);
    const whole = 'getBatch' in data ? data.getBatch?.bind(data) : undefined;
    if (whole) this.getBatch = (list) => whole(list.map((i) => indices[i] as number));
  }

  /** Number of positions, `indices.length`. */
  get length(): number {
    return this.indices.length;
  }

  /** Sample `indices[index]` of the whole dataset. */
  get(index: number): S | Promise<S> {
    return sampleAt(this.data, this.indices[index] as number);
  }
}

/** Data sets one behind the other, as `torch.utils.data.ConcatDataset`. */
export class ConcatDataset<S> implements Dataset<S> {
  /** Number of samples of all datasets together. */
  readonly length: number;

  constructor(
    /** The datasets in order: positions go on from one to the next. */ readonly datasets: readonly Samples<S>[],
  ) {
    if (!datasets.length) throw new InputError('ConcatDataset: give at least one data set');
    this.length = datasets.reduce((n, data) => n + data.length, 0);
  }

  /** The sample at a position, counted through all datasets. */
  get(index: number): S | Promise<S> {
    let i = index;
    for (const data of this.datasets) {
      if (i < data.length) return sampleAt(data, i);
      i -= data.length;
    }
    throw new InputError(`ConcatDataset: ${index} is no position among ${this.length} samples`);
  }
}

/**
 * Subsets that share a data set by chance, as `torch.utils.data.random_split`: `lengths` are numbers of samples, or shares that add up to 1, of which
 * what is left over goes to the first ones.
 */
export function randomSplit<S>(
  data: Samples<S>,
  lengths: readonly number[],
  options: { seed?: number } = {},
): Subset<S>[] {
  const { seed = getRngState().seed } = checked('randomSplit', options, { seed: is.number });
  const n = data.length;
  const total = lengths.reduce((sum, part) => sum + part, 0);
  const shares = Math.abs(total - 1) < 1e-6 && lengths.every((part) => part >= 0 && part <= 1);
  const sizes = lengths.map((part) => (shares ? Math.floor(n * part) : part));
  let rest = n - sizes.reduce((sum, part) => sum + part, 0);
  if (shares) for (let i = 0; rest > 0; rest--, i = (i + 1) % sizes.length) sizes[i] = at(sizes, i) + 1;
  if (rest !== 0 || !sizes.every((part) => Number.isInteger(part) && part >= 0))
    throw new InputError(
      `randomSplit: lengths [${lengths}] are no parts of ${n} samples, and no shares that add up to 1`,
    );
  const order = new Rng(seed, Stream.subset).permutation(n);
  let from = 0;
  return sizes.map((part) => new Subset(data, order.subarray(from, (from += part))));
}
