// Random tensors and dropout without gradients. Every call is one draw of the global generator (`manualSeed`, `seed.ts`).

import { Rng, Stream } from '../../datasets/random';
import type { Drawing } from '../../shaders/draw';
import { DRAW_TILE, draw as kernel } from '../../shaders/draw';
import type { Binding, Constant } from '../gpu';
import { device, f32, InputError } from '../gpu';
import type { TensorOptions } from './create';
import { factory } from './create';
import { bind, contiguous, evaluate, gridFor } from './elementwise';
import type { RngState } from './seed';
import { nextDraw } from './seed';
import type { Shape } from './shape';
import { checkShape, size } from './shape';
import type { Tensor } from './tensor';
import { empty } from './tensor';

/** The Philox stream of tensors, beside those of `datasets/random.ts`. */
export const TENSOR_STREAM = 7;

function fill(
  kind: Drawing,
  { seed, draws }: RngState,
  stream: number,
  buffers: readonly Binding[],
  elements: number,
  low: Constant,
  width: Constant,
): void {
  const blocks = Math.ceil(elements / 4);
  device().launch(kernel(kind), buffers, [blocks, seed, stream, draws, low, width], gridFor(elements, DRAW_TILE));
}

function drawn(
  what: string,
  kind: Drawing,
  shape: Shape,
  low: Constant,
  width: Constant,
  options: TensorOptions,
): Tensor {
  const { dtype = 'float32', requiresGrad } = options;
  checkShape(what, shape);
  const state = nextDraw(); // captured: the same numbers again when the memory is made anew
  return factory(
    what,
    shape,
    dtype,
    (storage) => fill(kind, state, TENSOR_STREAM, [storage], size(shape), low, width),
    requiresGrad,
  );
}

type FloatOptions = Omit<TensorOptions, 'dtype'>;

/** Uniform numbers in [0, 1) with 24 bits. */
export const rand = (shape: Shape, options: FloatOptions = {}): Tensor =>
  drawn('rand', 'uniform', shape, f32(0), f32(1), options);

/** Standard normal numbers. */
export const randn = (shape: Shape, options: FloatOptions = {}): Tensor =>
  drawn('randn', 'normal', shape, f32(0), f32(1), options);

/** Uniform integers low ≤ i < high (int32, or uint32). */
export function randint(
  low: number,
  high: number,
  shape: Shape,
  { dtype = 'int32' }: { dtype?: 'int32' | 'uint32' } = {},
): Tensor {
  const [least, most] = dtype === 'int32' ? [-(2 ** 31), 2 ** 31] : [0, 2 ** 32];
  if (![low, high].every(Number.isInteger) || !(low < high && low >= least && high <= most && high - low < 2 ** 32))
    throw new InputError(`randint: integers low < high within ${dtype} are needed, got ${low} and ${high}`);
  return drawn('randint', 'integer', shape, low, high - low, { dtype });
}

/** The integers 0 … n − 1 in random order (int32). Drawn on the host. */
export function randperm(n: number): Tensor {
  checkShape('randperm', [n]);
  const { seed, draws } = nextDraw();
  const order = () => new Int32Array(new Rng(seed, TENSOR_STREAM, draws).permutation(n));
  return factory('randperm', [n], 'int32', (storage) => device().write(storage, order()));
}

export const randLike = (x: Tensor, options?: FloatOptions): Tensor => rand(x.shape, options);
export const randnLike = (x: Tensor, options?: FloatOptions): Tensor => randn(x.shape, options);

/** 1 with the probability that p gives for each element, else 0 (float32, the shape of p). */
export function bernoulli(p: Tensor): Tensor {
  const u = empty('bernoulli', p.shape);
  fill('uniform', nextDraw(), TENSOR_STREAM, [bind(u)], u.size, f32(0), f32(1));
  const operands = { a: u, b: p };
  return evaluate({
    name: 'bernoulli',
    expression: 'select(0.0, 1.0, a < b)',
    operands,
    shape: p.shape,
    result: 'float32',
  });
}

/** x / (1 − p) with probability 1 − p, else 0. The same `state` gives the same mask. */
export function dropout(x: Tensor, p: number, state: RngState): Tensor {
  const y = empty('dropout', x.shape);
  fill('dropout', state, Stream.dropout, [bind(contiguous(x)), bind(y)], x.size, f32(p), f32(p < 1 ? 1 / (1 - p) : 0));
  return y;
}
