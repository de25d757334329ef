// Tensor factories. Their GPU memory is a cache: `memory.ts` says how it comes and goes.

import type { Storage } from '../gpu';
import { device, InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, requireNumbers } from './context';
import type { DType, TypedArray } from './dtype';
import { byteSize, hostArray, hostNumbers, toHost } from './dtype';
import { Memory, trackFactory } from './memory';
import type { Shape } from './shape';
import { checkShape, size } from './shape';
import type { NestedArray } from './tensor';
import { Tensor } from './tensor';

/** Options of the functions that make tensors. */
export interface TensorOptions {
  /** Element type (default float32, or that of a typed array or tensor it is made from). */
  dtype?: DType;
  /** Makes a leaf that gradients are computed for (default false); floats only. */
  requiresGrad?: boolean;
}

const OPTIONS: OptionTable<TensorOptions> = { dtype: is.text, requiresGrad: is.flag };

/** A tensor whose content `fill` writes into fresh memory, now and whenever it has to be made again. */
export function factory(
  what: string,
  shape: Shape,
  dtype: DType,
  fill: (storage: Storage) => void,
  requiresGrad = false,
): Tensor {
  checkShape(what, shape);
  const bytes = byteSize(what, dtype, size(shape));
  const make = () => {
    const storage = device().allocate(bytes, what);
    fill(storage);
    return storage;
  };
  const memory = new Memory(make(), what);
  trackFactory(memory, make);
  const tensor = new Tensor(memory, dtype, [...shape]);
  if (!requiresGrad) return tensor;
  tensor.requiresGrad_();
  memory.recipe = null; // what is trained lives until dropped
  return tensor.keep();
}

type Data =
  | number
  | boolean
  | NestedArray
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Uint8Array
  | readonly number[];

/**
 * A tensor of host data: a number, nested arrays, or a typed array (copied) with a `shape`.
 * The type is float32, bool for booleans, int32 for Int32Array, uint32 for Uint32Array, unless `dtype` says otherwise.
 */
export function tensor(data: Data, options: TensorOptions & { shape?: Shape } = {}): Tensor {
  checked('tensor', options, { ...OPTIONS, shape: is.numbers });
  const flat: (number | boolean)[] = [];
  let values: ArrayLike<number | boolean> = flat;
  let shape: number[];
  if (ArrayBuffer.isView(data)) {
    values = data;
    shape = [data.length];
  } else {
    shape = [];
    for (let level: unknown = data; Array.isArray(level); level = level[0]) shape.push(level.length);
    flatten(data as NestedArray, shape, 0, flat);
  }
  if (options.shape) {
    checkShape('tensor', options.shape);
    if (size(options.shape) !== values.length)
      throw inputError(
        'tensor',
        `${values.length} values do not fill ${size(options.shape)} elements`,
        { shape: options.shape },
        'Leave the shape out, or correct it.',
      );
    shape = [...options.shape];
  }
  const dtype = options.dtype ?? naturalType(data, flat);
  const host = toHost(values, dtype);
  const made = factory('tensor', shape, dtype, (storage) => device().write(storage, host), options.requiresGrad);
  hosts.set(made.memory, host);
  return made;
}

const hosts = new WeakMap<Memory, ReturnType<typeof toHost>>();

/** The elements of a tensor that `tensor(data)` made, without waiting for the GPU; null where they are not known on the host. */
export function hostValues(x: Tensor): TypedArray | null {
  const host = x.memory.recipe && hosts.get(x.memory);
  return host ? hostNumbers(host).subarray(0, x.memory.shape ? size(x.memory.shape) : undefined) : null;
}

function naturalType(data: Data, flat: readonly unknown[]): DType {
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Uint32Array) return 'uint32';
  return typeof flat[0] === 'boolean' ? 'bool' : 'float32';
}

const ragged = (shape: Shape, depth: number, problem: string) =>
  inputError(
    'tensor',
    `nested arrays are ragged at depth ${depth}: ${problem}`,
    { 'shape of the first items': shape },
    'Arrays of one level have the same length.',
  );

function flatten(data: NestedArray, shape: readonly number[], depth: number, out: (number | boolean)[]): void {
  if (depth === shape.length) {
    if (Array.isArray(data)) throw ragged(shape, depth, 'an array among numbers');
    out.push(data);
    return;
  }
  if (!Array.isArray(data) || data.length !== shape[depth])
    throw ragged(
      shape,
      depth,
      `${shape[depth]} items expected, found ${Array.isArray(data) ? data.length : 'a number'}`,
    );
  for (const item of data) flatten(item, shape, depth + 1, out);
}

/** A tensor filled with one value. */
export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  const { dtype = 'float32', requiresGrad = false } = checked('full', options, OPTIONS);
  const one = toHost([value], dtype, 'full')[0] as number;
  const values = () => hostArray(dtype, new ArrayBuffer(byteSize('full', dtype, size(shape)))).fill(one);
  return factory('full', shape, dtype, (storage) => device().write(storage, values()), requiresGrad);
}

/** A tensor of the shape full of 0, as `torch.zeros`. */
export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options);
/** A tensor of the shape full of 1, as `torch.ones`. */
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options);

/** Filled with one value, with the shape and type of `x`. */
export const fullLike = (x: Tensor, value: number, options?: TensorOptions): Tensor =>
  full(x.shape, value, { dtype: x.dtype, ...options });
/** Zeros of the shape and dtype of x, as `torch.zeros_like`. */
export const zerosLike = (x: Tensor, options?: TensorOptions): Tensor => fullLike(x, 0, options);
/** Ones of the shape and dtype of x, as `torch.ones_like`. */
export const onesLike = (x: Tensor, options?: TensorOptions): Tensor => fullLike(x, 1, options);

/** A tensor of `shape` whose element at position i (row-major) is `value(i)`. A size that no buffer has is refused before it is filled. */
function computed(
  what: string,
  shape: Shape,
  value: (i: number) => number,
  { dtype = 'float32', requiresGrad }: TensorOptions,
): Tensor {
  device().pool.checkSize(byteSize(what, dtype, size(shape)), what);
  const values = new Float64Array(size(shape));
  for (let i = 0; i < values.length; i++) values[i] = value(i);
  return tensor(values, { shape, dtype, requiresGrad });
}

/**
 * start, start + step, … below `stop` (above it for a negative step); `arange(n)` is 0 … n − 1. As in PyTorch, int32 when all arguments are
 * whole, else float32.
 */
export function arange(start: number, stop?: number, step = 1, options: TensorOptions = {}): Tensor {
  checked('arange', options, OPTIONS);
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  requireNumbers('arange', { start: from, stop: to, step });
  const count = Math.ceil((to - from) / step);
  if (!Number.isFinite(count) || count < 0)
    throw new InputError(
      `arange: no ${step > 0 ? 'upward' : 'downward'} range from ${from} to ${to} by steps of ${step}`,
    );
  const dtype = [from, to, step].every(Number.isInteger) ? 'int32' : 'float32';
  return computed('arange', [count], (i) => from + i * step, { dtype, ...options });
}

/** `count` evenly spaced numbers from `start` to `stop`, both included. */
export function linspace(start: number, stop: number, count: number, options: TensorOptions = {}): Tensor {
  checked('linspace', options, OPTIONS);
  requireNumbers('linspace', { start, stop });
  checkShape('linspace', [count]);
  const step = (stop - start) / Math.max(1, count - 1);
  // From the nearer end, so that both ends are exact.
  return computed(
    'linspace',
    [count],
    (i) => (2 * i < count ? start + i * step : stop - (count - 1 - i) * step),
    options,
  );
}

/** Ones on the diagonal of an n×m matrix (square by default), zeros elsewhere. */
export function eye(n: number, m = n, options: TensorOptions = {}): Tensor {
  checked('eye', options, OPTIONS);
  checkShape('eye', [n, m]);
  return computed('eye', [n, m], (i) => Number(i % (m + 1) === 0 && i < m * m), options);
}
