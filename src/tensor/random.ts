// Random tensors. Every call is one draw of the global generator (`manualSeed`, `seed.ts`).

import { Rng, Stream } from '../../datasets/random';
import type { Drawing } from '../../shaders/draw';
import { draw as kernel } from '../../shaders/draw';
import { heldLike } from '../../shaders/holding';
import type { Constant, Scalar, TypedBinding } from '../gpu';
import { device, f32, InputError, scalar } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import type { TensorOptions } from './create';
import { factory } from './create';
import { bind, evaluate } from './elementwise';
import { nextDraw } from './seed';
import type { Shape } from './shape';
import { checkShape, size } from './shape';
import type { Tensor } from './tensor';
import { empty, requireFloats } from './tensor';

/** The Philox stream of tensors, beside those of `datasets/random.ts`: they leave 7 free. */
export const TENSOR_STREAM = 7;

/** The key of one draw. In a compiled step every call draws again, so its constants are read at each launch. */
export interface Draw {
  readonly seed: Scalar;
  readonly draws: Scalar;
}

let log: Draw[] | null = null;
let script: Draw[] | null = null;

/** Runs `body` and lists the draws that it took. */
export function loggedDraws<T>(body: () => T): { result: T; draws: readonly Draw[] } {
  const outer = log;
  const draws = (log = [] as Draw[]);
  try {
    return { result: body(), draws };
  } finally {
    log = outer;
    outer?.push(...draws);
  }
}

/** Runs `body` with these draws in place of new ones. */
export function withDraws<T>(draws: readonly Draw[], body: () => T): T {
  const outer = script;
  script = [...draws];
  try {
    return body();
  } finally {
    script = outer;
  }
}

/** Takes the next draw of the global generator. */
export function takeDraw(): Draw {
  const given = script?.shift();
  if (given) return given;
  const draw = { seed: scalar(0, 'u32'), draws: scalar(0, 'u32') };
  device().effect(() => {
    const state = nextDraw();
    draw.seed.value = state.seed;
    draw.draws.value = state.draws;
  });
  log?.push(draw);
  return draw;
}

/** Writes one draw into the last of `buffers`: four numbers a thread, `n` in all. */
export function fill(
  kind: Drawing,
  { seed, draws }: Draw,
  buffers: readonly TypedBinding[],
  n: number,
  low: Constant,
  width: Constant,
) {
  const stream = kind === 'dropout' ? Stream.dropout : TENSOR_STREAM;
  const constants = [Math.ceil(n / 4), seed, stream, draws, low, width];
  device().launch(heldLike(kernel(kind), buffers), buffers, constants, n);
}

type Drawn = [what: string, kind: Drawing, shape: Shape, low: Constant, width: Constant, options: TensorOptions];

function drawn(...[what, kind, shape, low, width, { dtype = 'float32', requiresGrad }]: Drawn): Tensor {
  checkShape(what, shape);
  const draw = takeDraw(); // captured: the same numbers again when the memory is made again
  return factory(what, shape, dtype, (to) => fill(kind, draw, [to], size(shape), low, width), requiresGrad);
}

type FloatOptions = Omit<TensorOptions, 'dtype'>;
const FLOATS: OptionTable<FloatOptions> = { requiresGrad: is.flag };

/** Uniform numbers in [0, 1) with 24 bits. */
export const rand = (shape: Shape, options: FloatOptions = {}): Tensor =>
  drawn('rand', 'uniform', shape, f32(0), f32(1), checked('rand', options, FLOATS));

/** Standard normal numbers. */
export const randn = (shape: Shape, options: FloatOptions = {}): Tensor =>
  drawn('randn', 'normal', shape, f32(0), f32(1), checked('randn', options, FLOATS));

/** Uniform integers low ≤ i < high (int32, or uint32). */
export function randint(
  low: number,
  high: number,
  shape: Shape,
  options: { /** Type of the result (default int32). */ dtype?: 'int32' | 'uint32' } = {},
): Tensor {
  const { dtype = 'int32' } = checked('randint', options, { dtype: word('int32', 'uint32') });
  const [least, most] = dtype === 'int32' ? [-(2 ** 31), 2 ** 31] : [0, 2 ** 32];
  if (![low, high].every(Number.isInteger) || !(low < high && low >= least && high <= most && high - low < 2 ** 32))
    throw new InputError(`randint: integers low < high within ${dtype} are needed, got ${low} and ${high}`);
  return drawn('randint', 'integer', shape, low, high - low, { dtype });
}

/** The integers 0 … n − 1 in random order (int32). Drawn on the host, hence not inside of a compiled step. */
export function randperm(n: number): Tensor {
  checkShape('randperm', [n]);
  if (device().tracing)
    throw new InputError('randperm: a compiled step would repeat its order; pass the permutation as an argument');
  const { seed, draws } = nextDraw();
  const order = () => new Int32Array(new Rng(seed, TENSOR_STREAM, draws).permutation(n));
  return factory('randperm', [n], 'int32', (storage) => device().write(storage, order()));
}

/** Uniform numbers in [0, 1) of the shape of x, float32 by default, as `torch.rand_like`. */
export const randLike = (x: Tensor, options?: FloatOptions): Tensor => rand(x.shape, options);
/** Standard normal numbers of the shape of x, float32 by default, as `torch.randn_like`. */
export const randnLike = (x: Tensor, options?: FloatOptions): Tensor => randn(x.shape, options);

/** 1 with the probability that p gives for each element, else 0 (float32, the shape of p). */
export function bernoulli(p: Tensor): Tensor {
  requireFloats('bernoulli', { p });
  const u = empty('bernoulli', p.shape);
  fill('uniform', takeDraw(), [bind(u)], u.size, f32(0), f32(1));
  const operands = { a: u, b: p };
  return evaluate({ name: 'bernoulli', expression: 'select(0.0, 1.0, a < b)', operands, shape: p.shape });
}
