// PyTorch's files of `torch.save` (.pt, .pth, .th): a zip archive of a pickle and raw storages, and the older form of five pickles before the
// storages. Tensors and plain containers are read, without Python and without running anything: a pickle that names anything else is refused.

import { at, there } from '../../shaders/checked';
import { type PickleGlobal, type PickleValue, readPickle } from './pickle';
import type { StoredData, StoredDtype, StoredTensor } from './safetensors';
import { readZip } from './zip';

/** What `loadTorch` and `parseTorch` find in a file of `torch.save`. */
export interface TorchFile {
  /** What was saved: Maps for dictionaries, arrays for lists and tuples, `StoredTensor`s. */
  readonly value: unknown;
  /** The state dict in it: the value itself, or what it has under `state_dict`, `model_state_dict`, `model` or `net`. Empty where there is none. */
  readonly tensors: Map<string, StoredTensor>;
}

/** Numbers of a storage's classes and of `torch.dtype`s. */
const classes: Record<string, StoredDtype> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  UntypedStorage: 'U8',
};
const dtypes: Record<string, StoredDtype> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
};
const arrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** Numbers that tensors share. In the older form their bytes come after the pickle: they are looked up when everything is read. */
class Storage {
  constructor(
    readonly key: string,
    readonly dtype: StoredDtype,
    readonly count: number,
  ) {}
}

/** A tensor as the pickle describes it. */
class Described {
  constructor(
    readonly storage: Storage,
    readonly dtype: StoredDtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** How much larger than its file all tensors may be: that many bytes, or as many times. */
const MOST_EXPANDED = { bytes: 2 ** 27, times: 8 };

const isGlobal = (x: unknown): x is PickleGlobal =>
  typeof x === 'object' && x !== null && 'module' in x && 'name' in x && Object.isFrozen(x);

const nameOf = ({ module, name }: PickleGlobal): string => `${module}.${name}`;

const isCount = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0;

type Arguments = readonly PickleValue[];

/** What a dictionary is made of: another, or pairs. */
const dictionary = ([from = []]: Arguments): Map<unknown, unknown> => {
  if (from instanceof Map) return new Map(from);
  if (!Array.isArray(from) || !from.every((pair) => Array.isArray(pair) && pair.length === 2))
    throw new Error('it makes a dictionary of something else than pairs');
  return new Map(from as [unknown, unknown][]);
};
const set = ([from = []]: Arguments) => new Set(Array.isArray(from) ? from : []);

/** Plain values that are made by a call: the containers, sizes, devices and bytes of checkpoints, learning-rate schedulers' too. */
const PLAIN: Readonly<Record<string, (args: Arguments) => PickleValue>> = {
  'collections.OrderedDict': dictionary,
  'collections.Counter': dictionary,
  '__builtin__.set': set,
  'builtins.set': set,
  '__builtin__.frozenset': set,
  'builtins.frozenset': set,
  'torch.Size': ([sizes]) => sizes,
  'torch.device': (parts) => parts.join(':'),
  '_codecs.encode': ([text]) => Uint8Array.from(String(text), (letter) => letter.charCodeAt(0)),
};

/** The functions that make tensors. */
const REBUILD = /^torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter)$/;
const KNOWN = (it: PickleGlobal): boolean =>
  Object.hasOwn(PLAIN, nameOf(it)) ||
  REBUILD.test(nameOf(it)) ||
  (['torch', 'torch.storage'].includes(it.module) && Object.hasOwn(classes, it.name)) ||
  (it.module === 'torch' && Object.hasOwn(dtypes, it.name));

function refuse(it: PickleGlobal): never {
  throw new Error(
    `it holds a ${nameOf(it)}, and only tensors, numbers, text and containers of them are read. ` +
      'Save model.state_dict() instead of the whole object.',
  );
}

function call(callable: PickleValue, args: readonly PickleValue[]): PickleValue {
  if (!isGlobal(callable)) throw new Error('it calls something that is no function');
  const name = nameOf(callable);
  const plain = PLAIN[name];
  if (plain) return plain(args);
  const kind = REBUILD.exec(name)?.[1];
  if (!kind) return refuse(callable);
  if (kind === 'parameter') return args[0];
  const [storage, offset, shape, strides] = args;
  const dtype = kind === 'tensor_v3' ? args[6] : null;
  const good =
    storage instanceof Storage &&
    isCount(offset) &&
    Array.isArray(shape) &&
    shape.every(isCount) &&
    Array.isArray(strides) &&
    strides.length === shape.length &&
    strides.every(isCount);
  const numbers = isGlobal(dtype) ? dtypes[dtype.name] : good && storage.dtype;
  if (!good || !numbers)
    throw new Error(`it describes a tensor by something else than a storage, an offset, a shape and strides`);
  return new Described(storage, numbers, offset as number, shape as number[], strides as number[]);
}

function persistent(id: PickleValue): Storage {
  const [tag, kind, key, , count] = Array.isArray(id) ? id : [];
  const dtype = isGlobal(kind) ? classes[kind.name] : undefined;
  if (tag !== 'storage' || !dtype || !isCount(count))
    throw new Error('it refers to something outside that is no storage of numbers');
  return new Storage(String(key), dtype, count);
}

const hooks = {
  global: (it: PickleGlobal) => (KNOWN(it) ? Object.freeze({ ...it }) : refuse(it)),
  call,
  persistent,
};

/** The numbers of a tensor, row-major. */
function gather(
  { storage, dtype, offset, shape, strides }: Described,
  bytes: Uint8Array | undefined,
  room: { bytes: number },
): StoredTensor {
  if (!bytes) throw new Error(`the storage '${storage.key}' of a tensor [${shape}] is missing`);
  const array = arrays[dtype];
  const width = array.BYTES_PER_ELEMENT;
  const size = shape.includes(0) ? 0 : shape.reduce((product, n) => product * n, 1);
  const axes = shape.map((size, i) => ({ size, stride: at(strides, i), index: 0 })).reverse();
  const last = axes.reduce((sum, { size, stride }) => sum + (size - 1) * stride, offset);
  if (size && (last + 1) * width > bytes.byteLength)
    throw new Error(`a tensor [${shape}] reaches beyond its storage of ${bytes.byteLength} bytes: the file is damaged`);
  room.bytes -= size * width;
  // Strides of zero make many numbers of few bytes, and so do many views of one storage.
  if (room.bytes < 0)
    throw new Error(
      `its tensors, views of ${bytes.byteLength} bytes among them as [${shape}], are so much larger than the file that they are not read`,
    );
  const aligned = bytes.byteOffset % width ? new Uint8Array(bytes) : bytes;
  const source = new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, Math.floor(bytes.byteLength / width));
  const data = new array(size);
  let from = offset;
  for (let i = 0; i < size; i++) {
    data[i] = source[from] as never;
    for (const axis of axes) {
      from += axis.stride;
      if (++axis.index < axis.size) break;
      from -= axis.stride * axis.size;
      axis.index = 0;
    }
  }
  return { dtype, shape, data: data as StoredData };
}

/** `value` with tensors in place of their descriptions. What occurs in several places, or in itself, does so again. */
function resolve(value: PickleValue, storages: ReadonlyMap<string, Uint8Array>, fileBytes: number): unknown {
  const room = { bytes: Math.max(MOST_EXPANDED.bytes, MOST_EXPANDED.times * fileBytes) };
  const made = new Map<object, unknown>();
  const pending: (() => void)[] = [];
  const visit = (x: unknown): unknown => {
    if (typeof x !== 'object' || x === null || x instanceof Uint8Array) return x;
    if (made.has(x)) return made.get(x);
    if (x instanceof Described) made.set(x, gather(x, storages.get(x.storage.key), room));
    else if (x instanceof Map) {
      const copy = new Map<unknown, unknown>();
      made.set(x, copy);
      pending.push(() => x.forEach((v, k) => copy.set(visit(k), visit(v))));
    } else if (Array.isArray(x)) {
      const copy: unknown[] = [];
      made.set(x, copy);
      pending.push(() => x.forEach((v) => copy.push(visit(v))));
    } else made.set(x, x);
    return made.get(x);
  };
  const result = visit(value);
  for (let job = pending.pop(); job; job = pending.pop()) job();
  return result;
}

const isTensor = (x: unknown): x is StoredTensor =>
  typeof x === 'object' && x !== null && 'dtype' in x && 'shape' in x && 'data' in x;

/** Where checkpoints hold a state dict. */
const NESTED = ['state_dict', 'model_state_dict', 'model', 'net'];

/** The entries of a dictionary from names to tensors; null for anything else. */
function stateDict(value: unknown): Map<string, StoredTensor> | null {
  if (!(value instanceof Map)) return null;
  const tensors = [...value].filter(([key, x]) => typeof key === 'string' && isTensor(x));
  return tensors.length ? new Map(tensors) : null;
}

/**
 * Reads a file of `torch.save`. Throws an error that begins with `what` (the file's name) where it is damaged or where it needs more than
 * tensors, numbers, text and containers.
 */
export function parseTorch(bytes: Uint8Array, what = 'file'): TorchFile {
  try {
    const { value, storages } = isZip(bytes) ? readArchive(bytes) : readLegacy(bytes);
    const whole = resolve(value, storages, bytes.byteLength);
    const inner = whole instanceof Map ? NESTED.map((key) => whole.get(key)) : [];
    const found = [...inner, whole].map(stateDict).find((dict) => dict !== null);
    return { value: whole, tensors: found ?? new Map() };
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
}

/** Whether `bytes` begin as an archive or an older file of `torch.save` does. */
export const looksLikeTorch = (bytes: Uint8Array): boolean => isZip(bytes) || isLegacy(bytes);

/** A pickle of protocols 2 to 5 that begins with a long number, or from 4 on with a frame of one. */
const isLegacy = (bytes: Uint8Array): boolean => {
  const [proto, version = 0, first] = bytes;
  return proto === 0x80 && version >= 2 && version <= 5 && (first === 0x8a || (first === 0x95 && bytes[11] === 0x8a));
};

const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b;

interface Read {
  value: PickleValue;
  storages: Map<string, Uint8Array>;
}

function readArchive(bytes: Uint8Array): Read {
  const files = readZip(bytes);
  const name = [...files.keys()].find((file) => /(^|\/)data\.pkl$/.test(file));
  if (!name) throw new Error('the archive holds no data.pkl: it is not of torch.save');
  const folder = name.slice(0, -'data.pkl'.length);
  const names = [...files.keys()];
  if (names.some((file) => file.startsWith(`${folder}code/`)))
    throw new Error('it is a TorchScript program. Save the state_dict() of the module instead.');
  const read = (file: string) => {
    const entry = there(files.get(file), file);
    // torch.save does not compress.
    if (!entry.stored) throw new Error(`the archive's file '${file}' is compressed, as torch.save leaves none`);
    return entry.read();
  };
  const order = `${folder}byteorder`;
  if (files.has(order) && new TextDecoder().decode(read(order)).trim() !== 'little')
    throw new Error('its numbers are stored big-endian, which is not read');
  const { value } = readPickle(read(name), hooks);
  const prefix = `${folder}data/`;
  const stored = names.filter((file) => file.startsWith(prefix));
  return { value, storages: new Map(stored.map((file) => [file.slice(prefix.length), read(file)])) };
}

const MAGIC = 0x1950a86a20f9469cfc6cn;

/** The form before PyTorch 1.6: pickles of a magic number, a version, the machine, the value, the keys of the storages; then these. */
function readLegacy(bytes: Uint8Array): Read {
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = readPickle(bytes, hooks, at);
    at = end;
    return value;
  };
  if (!looksLikeTorch(bytes) || next() !== MAGIC) throw new Error('it is neither an archive nor a file of torch.save');
  next();
  const machine = next();
  if (machine instanceof Map && machine.get('little_endian') === false)
    throw new Error('its numbers are stored big-endian, which is not read');
  const dtypeOf = new Map<string, StoredDtype>();
  const { value, end } = readPickle(
    bytes,
    {
      ...hooks,
      persistent(id) {
        const storage = persistent(id);
        dtypeOf.set(storage.key, storage.dtype);
        return storage;
      },
    },
    at,
  );
  at = end;
  const keys = next();
  if (!Array.isArray(keys)) throw new Error('it has no list of its storages');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const storages = new Map<string, Uint8Array>();
  for (const key of keys.map(String)) {
    const dtype = dtypeOf.get(key);
    if (!dtype) throw new Error(`it lists the storage '${key}', which no tensor has`);
    if (at + 8 > bytes.byteLength) throw new Error('it ends before the last storage: it was cut off');
    const length = Number(view.getBigInt64(at, true)) * arrays[dtype].BYTES_PER_ELEMENT;
    at += 8;
    if (!(length >= 0) || at + length > bytes.byteLength)
      throw new Error('it ends before the last storage: it was cut off');
    storages.set(key, bytes.subarray(at, at + length));
    at += length;
  }
  return { value, storages };
}
