// Random cases by fast-check, which shrinks one that fails. A run draws more than 2,000, each with its own views of its inputs, with the
// kernels for this adapter or for GPUs.
//   RUNS=10 SEED=7 npm test -- property                               ten times the cases, of another seed
//   SEED=1 CASE=41:0:2 npx tsx tests/property/reductions.test.ts       the case of a message
import fc from 'fast-check';
import { test } from 'uvu';
import { Rng } from '../../datasets/random';
import { backward } from '../../src/autograd/backward';
import { device } from '../../src/gpu';
import * as F from '../../src/nn/functional';
import { tensor } from '../../src/tensor/create';
import { endStep } from '../../src/tensor/memory';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, targetFor, withTarget } from '../util';
import type { Nd } from './tape';
import { Tape } from './tape';

const { SEED = '1', RUNS = '1', CASE } = process.env;

/** Sizes at the edges of tiles and subgroups. */
const SIZES = [1, 2, 3, 5, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65];

/** A shape of at most `most` elements; sizes are edges of tiles, sometimes 0. */
export function shapes(most: number, { least = 0, rank = 4, empty = true } = {}): fc.Arbitrary<number[]> {
  const dim = fc.oneof(
    { weight: 49, arbitrary: fc.constantFrom(...SIZES) },
    { weight: empty ? 1 : 0, arbitrary: fc.constant(0) },
  );
  return fc.array(dim, { minLength: least, maxLength: rank }).map((drawn) => {
    let room = most;
    return drawn.map((n) => {
      const fit = n <= room ? n : SIZES.findLast((s) => s <= room)!;
      room /= Math.max(1, fit);
      return fit;
    });
  });
}

/** Two shapes that broadcast. */
export const broadcastable = (most: number): fc.Arbitrary<[number[], number[]]> =>
  fc.tuple(shapes(most), fc.nat(4), fc.nat(15), fc.boolean()).map(([whole, from, ones, swap]) => {
    const part = whole.map((n, d) => ((ones >> d) & 1 ? 1 : n)).slice(from);
    return swap ? [part, whole] : [whole, part];
  });

/** A number that the case brings to a range of its own: `within(code, low, high)`. */
export const code = fc.nat(0xffff);
export const within = (drawn: number, low: number, high: number): number => low + (drawn % (high - low + 1));

/** Distinct axes of a tensor, in any order, and at least one. */
export const someAxes = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 1 });
export function axesOf(drawn: readonly number[], rank: number): number[] {
  const axes = drawn.filter((d) => d < rank);
  return axes.length || !rank ? axes : [0];
}

const view = fc.constantFrom('itself', 'transposed', 'flipped', 'narrowed', 'expanded');
const common = fc.record({
  seed: fc.nat(0xffff),
  views: fc.tuple(view, view, view),
  axis: fc.nat(3),
  kernels: fc.constantFrom('own', 'own', 'own', 'gpu'),
});

/** So many of these units are 1 that no kink of the functions here is an odd number of them. */
const UNITS = 61.7;

export interface Input {
  shape: Shape;
  values: Float64Array;
}

/** What is drawn for every case: its numbers, and the views that its inputs come as. */
export class Case {
  readonly #rng: Rng;

  constructor(readonly drawn: typeof common extends fc.Arbitrary<infer T> ? T : never) {
    this.#rng = new Rng(drawn.seed, 0x9709);
  }

  /** An integer from low to high. */
  int = (low: number, high: number): number => low + this.#rng.int(high - low + 1);

  /**
   * Numbers in [low, high), exact in float32 and a little away from integers, from 0.7 and from each other's second kind: where functions
   * have kinks.
   */
  values(count: number, low = -2, high = 2, kind: 0 | 1 = 1): Float64Array {
    const [from, to] = [Math.ceil((low * UNITS - kind) / 2), Math.floor((high * UNITS - kind - 0.1) / 2)];
    return Float64Array.from({ length: count }, () =>
      Math.fround((2 * this.int(from, to) + kind + 0.1 * (this.#rng.uniform() - 0.5)) / UNITS),
    );
  }

  input = (shape: Shape, low?: number, high?: number, kind?: 0 | 1): Input => ({
    shape,
    values: this.values(size(shape), low, high, kind),
  });

  /** An input of numbers between about −2 and 2 that all lie apart, and from 0: no ties. */
  apart(shape: Shape): Input {
    const n = Math.max(1, size(shape));
    const order = [...this.#rng.permutation(size(shape))];
    return { shape, values: Float64Array.from(order, (k) => Math.fround((4 * (k + 0.5) + 0.25) / n - 2)) };
  }

  /** Another tensor with the same elements: itself, or a view with other strides or an offset. */
  disguise(x: Tensor, i = 0): Tensor {
    if (!x.size || !x.ndim) return x;
    const axis = this.drawn.axis % x.ndim;
    switch (this.drawn.views[i]) {
      case 'transposed':
        return F.transpose(F.clone(F.transpose(x, axis, 0)), axis, 0);
      case 'flipped':
        return F.flip(F.clone(F.flip(x, axis)), axis);
      case 'narrowed':
        return F.narrow(
          F.pad(
            x,
            x.shape.map((_, d): [number, number] => (d === axis ? [2, 1] : [0, 0])),
          ),
          axis,
          2,
          x.shape[axis],
        );
      case 'expanded':
        return F.select(F.expand(F.unsqueeze(x, 0), [3, ...x.shape]), 0, 1);
      default:
        return x;
    }
  }

  /** Compares the value and all gradients of an operation, for a random upstream gradient, with the float64 tape. */
  async agree(
    inputs: readonly Input[],
    run: (...inputs: Tensor[]) => Tensor,
    reference: (tape: Tape, ...inputs: Nd[]) => Nd,
    tolerance = 2e-5,
  ): Promise<void> {
    const leaves = inputs.map(({ shape, values }) => tensor(Float32Array.from(values), { shape, requiresGrad: true }));
    const tape = new Tape();
    const arrays = inputs.map(({ shape, values }) => tape.leaf(values, shape));
    const y = run(...leaves.map((leaf, i) => this.disguise(leaf, i)));
    const want = reference(tape, ...arrays);
    if (y.shape.join() !== want.shape.join()) throw new Error(`shape [${y.shape}], expected [${want.shape}]`);
    close(await y.data(), tape.data(want), tolerance);
    if (y.requiresGrad) {
      const upstream = this.values(y.size, -1, 1);
      backward(y, { gradient: tensor(Float32Array.from(upstream), { shape: y.shape }) });
      for (const [i, gradient] of tape.gradients(want, upstream, arrays).entries()) {
        const { grad } = leaves[i];
        if (grad) close(await grad.data(), gradient, 5 * tolerance, `gradient of input ${i}`);
        else if (gradient.some((g) => g !== 0)) throw new Error(`input ${i} got no gradient`);
      }
    }
    for (const leaf of leaves) {
      leaf.grad?.dispose();
      leaf.dispose();
    }
  }
}

/** A test of `count` random cases of one family. */
export function property<T>(
  family: string,
  count: number,
  draws: { [K in keyof T]: fc.Arbitrary<T[K]> },
  body: (drawn: T, c: Case) => Promise<void>,
): void {
  const numRuns = CASE ? 1 : Math.ceil(count * Number(RUNS));
  test(`${family}: ${numRuns} cases`, async () => {
    const one = fc.asyncProperty(fc.record(draws) as fc.Arbitrary<T>, common, async (drawn, shared) => {
      const target = shared.kernels === 'own' ? device().target : targetFor('gpu');
      await withTarget(target, () => body(drawn, new Case(shared)));
      endStep();
    });
    const found = await fc.check(one, { seed: Number(SEED), numRuns, path: CASE, endOnFailure: !!CASE });
    if (!found.failed) return;
    const { counterexample, counterexamplePath, numShrinks, errorInstance } = found;
    const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
    throw new Error(
      `${family}: ${reason}\n  ${fc.stringify(counterexample)}\n  shrunk ${numShrinks} times; SEED=${SEED} CASE=${counterexamplePath} repeats it`,
    );
  });
}
