// Random cases: drawn from a seed, each by itself, and named when they fail. With the files beside this one a run draws more than 2,000.
//   SEED=7 CASE=41 node --import tsx tests/property/reductions.test.ts    repeats case 41 of every family in a file, for seed 7
import { test } from 'uvu';
import { Rng } from '../../datasets/random';
import { backward } from '../../src/autograd/backward';
import { pad } from '../../src/ops/pad';
import { clone, expand, flip, narrow, select, transpose, unsqueeze } from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import { endStep } from '../../src/tensor/memory';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close } from '../util';
import type { Nd } from './tape';
import { Tape } from './tape';

const { SEED = '1', CASE } = process.env;
const STREAM = 0x9709;

/** Sizes at the edges of tiles and subgroups. */
const SIZES = [1, 2, 3, 5, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65];

export class Random {
  readonly #rng: Rng;

  constructor(seed: number, family: string, index: number) {
    const stream = [...family].reduce((h, c) => (Math.imul(h, 31) + c.charCodeAt(0)) >>> 0, STREAM);
    this.#rng = new Rng(seed, stream, index);
  }

  /** An integer from low to high, both included. */
  int(low: number, high: number): number {
    return low + this.#rng.int(high - low + 1);
  }

  chance(p: number): boolean {
    return this.#rng.uniform() < p;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#rng.int(list.length)];
  }

  permutation(n: number): number[] {
    return [...this.#rng.permutation(n)];
  }

  /** Numbers in [low, high), exact in float32. */
  values(count: number, low = -2, high = 2): Float64Array {
    return Float64Array.from({ length: count }, () => Math.fround(low + (high - low) * this.#rng.uniform()));
  }

  /** Numbers between about −2 and 2 that lie apart from each other, and from 0: no ties, no kink at 0. */
  apart(count: number): Float64Array {
    const order = this.#rng.permutation(count);
    return Float64Array.from(order, (k) =>
      Math.fround((4 * (k + 0.5)) / Math.max(1, count) - 2 + 0.25 / Math.max(1, count)),
    );
  }

  /** A shape of at most `rank` dimensions and `most` elements; sizes are edges of tiles, sometimes 0. */
  shape(rank: number, most: number, least = 0): number[] {
    const shape: number[] = [];
    for (let i = this.int(least, rank); i > 0; i--) {
      const room = most / Math.max(1, size(shape));
      shape.push(this.chance(0.02) ? 0 : this.pick(SIZES.filter((n) => n <= room)));
    }
    return shape;
  }

  /** The same without dimensions of size 0. */
  fullShape(rank: number, most: number, least = 0): number[] {
    return this.shape(rank, most, least).map((n) => n || 1);
  }

  /** Distinct axes of a tensor, in any order and sign. */
  axes(rank: number, least = 1): number[] {
    return this.permutation(rank).slice(0, this.int(Math.min(least, rank), rank));
  }

  /** Another tensor with the same elements: itself, or a view with other strides or an offset. */
  disguise(x: Tensor): Tensor {
    const axis = this.int(0, Math.max(0, x.ndim - 1));
    switch (x.ndim && x.size ? this.int(0, 5) : 0) {
      case 1:
        return transpose(clone(transpose(x, axis, 0)), axis, 0);
      case 2:
        return flip(clone(flip(x, axis)), axis);
      case 3: {
        const amounts = x.shape.map((_, d): [number, number] => (d === axis ? [this.int(0, 2), 1] : [0, 0]));
        return narrow(pad(x, amounts), axis, amounts[axis][0], x.shape[axis]);
      }
      case 4:
        return select(expand(unsqueeze(x, 0), [3, ...x.shape]), 0, 1);
      default:
        return x;
    }
  }
}

/** A test of `count` random cases of one family. */
export function property(family: string, count: number, body: (random: Random) => Promise<void>): void {
  const [from, to] = CASE === undefined ? [0, count] : [Number(CASE), Number(CASE) + 1];
  test(`${family}: ${to - from} cases`, async () => {
    for (let i = from; i < to; i++) {
      try {
        await body(new Random(Number(SEED), family, i));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`${family}, case ${i} of seed ${SEED} (SEED=${SEED} CASE=${i} repeats it): ${message}`);
      }
      endStep();
    }
  });
}

export interface Input {
  shape: Shape;
  values: ArrayLike<number>;
}

export interface Agreement {
  what: string;
  inputs: readonly Input[];
  run: (...inputs: Tensor[]) => Tensor;
  reference: (tape: Tape, ...inputs: Nd[]) => Nd;
  /** Largest error allowed, relative to the largest number of a result and to 1. */
  tolerance?: number;
  gradientTolerance?: number;
}

/** Compares the value and all gradients of an operation, for a random upstream gradient, with the float64 tape. */
export async function agree(random: Random, a: Agreement): Promise<void> {
  const { what, inputs, tolerance = 2e-5, gradientTolerance = 5 * tolerance } = a;
  const leaves = inputs.map(({ shape, values }) => tensor(Float32Array.from(values), { shape, requiresGrad: true }));
  const tape = new Tape();
  const arrays = inputs.map(({ shape, values }) => tape.leaf(values, shape));
  const y = a.run(...leaves.map((leaf) => random.disguise(leaf)));
  const want = a.reference(tape, ...arrays);
  const label = `${what} of ${inputs.map(({ shape }) => `[${shape}]`).join(' ')}`;
  if (y.shape.join() !== want.shape.join()) throw new Error(`${label}: shape [${y.shape}], expected [${want.shape}]`);
  close(await y.data(), tape.data(want), tolerance, label);
  if (y.requiresGrad) {
    const upstream = random.values(y.size, -1, 1);
    backward(y, { gradient: tensor(Float32Array.from(upstream), { shape: y.shape }) });
    const gradients = tape.gradients(want, upstream, arrays);
    for (const [i, leaf] of leaves.entries())
      if (leaf.grad) close(await leaf.grad.data(), gradients[i], gradientTolerance, `${label}, gradient ${i}`);
      else if (gradients[i].some((g) => g !== 0)) throw new Error(`${label}: input ${i} got no gradient`);
  }
  for (const leaf of leaves) {
    leaf.grad?.dispose();
    leaf.dispose();
  }
}
