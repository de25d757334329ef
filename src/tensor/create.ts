// Tensor factories. Their GPU memory is a cache: `memory.ts` says how it comes and goes.
import { InputError, device } from '../gpu';
import type { Storage } from '../gpu';
import { toHost } from './dtype';
import type { DType } from './dtype';
import { Memory, trackFactory } from './memory';
import type { NestedArray } from './tensor';
import { Tensor } from './tensor';
import { checkShape, showShape, size } from './shape';
import type { Shape } from './shape';

export interface TensorOptions {
  dtype?: DType;
  requiresGrad?: boolean;
}

/** A tensor whose content `fill` writes into fresh memory, now and whenever it has to be made again. */
export function factory(what: string, shape: Shape, dtype: DType, fill: (storage: Storage) => void, requiresGrad = false): Tensor {
  checkShape(what, shape);
  const make = () => {
    const storage = device().allocate(4 * size(shape), what);
    fill(storage);
    return storage;
  };
  const memory = new Memory(make(), what);
  trackFactory(memory, make);
  const tensor = new Tensor(memory, dtype, [...shape]);
  return requiresGrad ? leaf(tensor) : tensor;
}

/** A tensor that is trained lives until dropped. */
function leaf(tensor: Tensor): Tensor {
  tensor.requiresGrad_();
  tensor.memory.recipe = null;
  return tensor.keep();
}

type Data = number | boolean | NestedArray | Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array | readonly number[];

/**
 * A tensor of host data: a number, nested arrays, or a typed array (copied) with a `shape`.
 * The type is float32, bool for booleans, int32 for Int32Array, uint32 for Uint32Array, unless `dtype` says otherwise.
 */
export function tensor(data: Data, options: TensorOptions & { shape?: Shape } = {}): Tensor {
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
      throw new InputError(`tensor: ${values.length} values do not fill the shape ${showShape(options.shape)} (${size(options.shape)} elements)`);
    shape = [...options.shape];
  }
  const dtype = options.dtype ?? naturalType(data, flat);
  const host = toHost(values, dtype);
  return factory('tensor', shape, dtype, (storage) => device().write(storage, host), options.requiresGrad);
}

function naturalType(data: Data, flat: readonly unknown[]): DType {
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Uint32Array) return 'uint32';
  return typeof flat[0] === 'boolean' ? 'bool' : 'float32';
}

function flatten(data: NestedArray, shape: readonly number[], depth: number, out: (number | boolean)[]): void {
  if (depth === shape.length) {
    if (Array.isArray(data)) throw new InputError(`tensor: nested arrays are ragged at depth ${depth}`);
    out.push(data);
    return;
  }
  if (!Array.isArray(data) || data.length !== shape[depth])
    throw new InputError(`tensor: nested arrays are ragged at depth ${depth}: ${shape[depth]} items expected, found ${Array.isArray(data) ? data.length : 'a number'}`);
  for (const item of data) flatten(item, shape, depth + 1, out);
}

/** A tensor filled with one value. */
export function full(shape: Shape, value: number, { dtype = 'float32', requiresGrad = false }: TensorOptions = {}): Tensor {
  checkShape('full', shape);
  const host = toHost(new Array<number>(size(shape)).fill(value), dtype);
  return factory('full', shape, dtype, (storage) => device().write(storage, host), requiresGrad);
}

export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options);
