// Between tensors on the GPU and safetensors files, and their arrays.

import type { StoredDtype, StoredTensor } from '../formats/safetensors';
import { fromFloat32, parseSafetensors, serializeSafetensors, toFloat32 } from '../formats/safetensors';
import { InputError } from '../gpu';
import { checked, is, word } from '../gpu/options';
import { tensor } from '../tensor/create';
import { bytesOf as bytesOfElement, type DType } from '../tensor/dtype';
import { requireTensors, type Tensor } from '../tensor/tensor';

/** Tensors by name. */
export type StateDict = Record<string, Tensor>;

/** What `loadStateDict` found amiss; with `strict: false` it is returned instead of thrown. */
export interface LoadReport {
  /** Names of the module that the state dict has no value for. */
  missing: string[];
  /** Keys of the state dict that the module has no name for. */
  unexpected: string[];
}

/** A module, or what loads a state dict as one does. */
interface Loading {
  loadStateDict(dict: Readonly<StateDict>, options?: { strict?: boolean }): LoadReport;
}

const STORED: Record<Exclude<DType, 'bool'>, StoredDtype> = {
  float32: 'F32',
  float16: 'F16',
  int32: 'I32',
  uint32: 'U32',
};

/** The elements of a tensor, read back. */
export async function toStored(x: Tensor): Promise<StoredTensor> {
  if (x.dtype === 'bool')
    throw new InputError(`a bool tensor of shape [${x.shape}] cannot be stored: convert it to int32`);
  const data = await x.data();
  const stored = x.dtype === 'float16' ? fromFloat32(data as Float32Array<ArrayBuffer>, 'F16') : data;
  return { dtype: STORED[x.dtype], shape: [...x.shape], data: stored };
}

/**
 * A tensor of stored elements: floats of any width become float32, integers int32 or uint32. With `keepHalf` F16 becomes float16, which not all
 * adapters have.
 */
export function fromStored({ dtype, shape, data }: StoredTensor, keepHalf = false): Tensor {
  if (dtype === 'F16' && keepHalf) return tensor(toFloat32({ dtype, shape, data }), { shape, dtype: 'float16' });
  if (!/^[IU]\d/.test(dtype))
    return tensor(toFloat32({ dtype, shape, data }), { shape, dtype: dtype === 'BOOL' ? 'bool' : 'float32' });
  const numbers = Array.from(data as ArrayLike<number | bigint>, Number);
  const beyond = dtype === 'U32' ? undefined : numbers.find((n) => n !== (n | 0));
  if (beyond !== undefined)
    throw new InputError(`a stored ${dtype} tensor of shape [${shape}] holds ${beyond}, which int32 cannot hold`);
  return tensor(numbers, { shape, dtype: dtype === 'U32' ? 'uint32' : 'int32' });
}

/** Names with this in front are no weights: what a checkpoint holds of the optimizer and the trainer. */
export const PRIVATE = { optimizer: 'optimizer/', trainer: 'trainer/' } as const;

/**
 * Loads stored weights into a model: PyTorch's names, a `module.` in front of all of them (DataParallel) left out, and what a checkpoint
 * holds besides weights passed over. Throws one error that lists what is missing, unexpected or misshapen.
 */
export function loadWeights(
  model: Loading,
  tensors: Readonly<Record<string, StoredTensor>>,
  options: { strict?: boolean } = {},
): LoadReport {
  checked('loadWeights', options, { strict: is.flag });
  const known = Object.entries(tensors).filter(
    ([name]) => !Object.values(PRIVATE).some((prefix) => name.startsWith(prefix)),
  );
  const wrapped = known.length > 0 && known.every(([name]) => name.startsWith('module.'));
  // Not by assignment: that would make a tensor named __proto__ the dictionary's prototype.
  const dict: StateDict = Object.fromEntries(
    known.map(([name, value]) => [wrapped ? name.slice('module.'.length) : name, fromStored(value)]),
  );
  try {
    return model.loadStateDict(dict, options);
  } finally {
    for (const x of Object.values(dict)) x.dispose();
  }
}

/** Reads and writes whole files, where there are any: `index.node.ts` sets it. */
export const disk: { read?: (path: string) => Uint8Array; write?: (path: string, content: Uint8Array) => void } = {};

/** The most that is read side by side, each with a buffer of its own: one at a time, a small network would wait for hundreds of answers. */
const AT_ONCE = { reads: 128, bytes: 1 << 26 };

/** The elements of tensors by name, read back. */
export async function readAll(named: readonly (readonly [string, Tensor])[]): Promise<Record<string, StoredTensor>> {
  const stored: Record<string, StoredTensor> = {};
  const left = [...named];
  while (left.length) {
    let [count, bytes] = [0, 0];
    for (const [, x] of left.slice(0, AT_ONCE.reads)) {
      bytes += x.size * bytesOfElement(x.dtype);
      if (count > 0 && bytes > AT_ONCE.bytes) break;
      count++;
    }
    const some = left.splice(0, count);
    const read = await Promise.all(some.map(async ([name, x]) => [name, await toStored(x)] as const));
    for (const [name, value] of read) stored[name] = value;
  }
  return stored;
}

/** How `save` writes. */
export interface SaveOptions {
  /** The type that float32 tensors are stored in, rounded to nearest: 'F32' (the default), 'F16' or 'BF16'. */
  floats?: 'F32' | 'F16' | 'BF16';
}

/** How `load` reads. */
export interface LoadOptions {
  /** F16 becomes float16, where the adapter has that; otherwise, and BF16 always, float32. */
  keepHalf?: boolean;
}

const narrowed = ({ dtype, shape, data }: StoredTensor, floats: 'F32' | 'F16' | 'BF16'): StoredTensor =>
  dtype === 'F32'
    ? { dtype: floats, shape, data: fromFloat32(data as Float32Array<ArrayBuffer>, floats) }
    : { dtype, shape, data };

/**
 * Writes tensors by name into a safetensors file, as `torch.save(model.state_dict(), path)`; a file that is there is replaced as a whole. Without
 * a path, as in browsers, resolves to the file's bytes. float16 is stored as F16, float32 as `floats` says. Throws InputError for what is no tensor, and for bool tensors.
 */
export function save(dict: Readonly<StateDict>, path: string, options?: SaveOptions): Promise<void>;
export function save(
  dict: Readonly<StateDict>,
  path?: undefined,
  options?: SaveOptions,
): Promise<Uint8Array<ArrayBuffer>>;
export async function save(
  dict: Readonly<StateDict>,
  path?: string,
  options: SaveOptions = {},
  // biome-ignore lint/suspicious/noConfusingVoidType: one function for both
): Promise<Uint8Array<ArrayBuffer> | void> {
  const { floats = 'F32' } = checked('save', options, { floats: word('F32', 'F16', 'BF16') });
  requireTensors('save', dict);
  if (path !== undefined && typeof path !== 'string') throw new InputError(`save: the path must be a string`);
  if (path !== undefined && !disk.write)
    throw new InputError(`save: there are no files here to write '${path}' to; save(dict) gives the bytes`);
  const stored = Object.entries(await readAll(Object.entries(dict))).map(([name, x]) => [name, narrowed(x, floats)]);
  const bytes = serializeSafetensors(Object.fromEntries(stored));
  if (path === undefined) return bytes;
  disk.write?.(path, bytes);
}

/**
 * The tensors of a safetensors file, by name, as `torch.load`: of a path, or in browsers of its bytes, `load(await response.arrayBuffer())`. Throws
 * an error that names the file where it cannot be read, or is none of this format.
 */
export function load(file: string | Uint8Array | ArrayBuffer, options: LoadOptions = {}): StateDict {
  const { keepHalf } = checked('load', options, { keepHalf: is.flag });
  const { tensors } = parseSafetensors(bytesOf(file), typeof file === 'string' ? file : 'load');
  return Object.fromEntries([...tensors].map(([name, stored]) => [name, fromStored(stored, keepHalf)]));
}

function bytesOf(file: string | Uint8Array | ArrayBuffer): Uint8Array {
  if (file instanceof ArrayBuffer) return bytesOf(new Uint8Array(file));
  if (file instanceof Uint8Array) {
    if (file[0] === 0x50 && file[1] === 0x4b)
      throw new InputError('load: these are the bytes of a zip archive, as torch.save writes: use parseTorch(bytes)');
    return file;
  }
  if (typeof file !== 'string') throw new InputError('load: give a path, a Uint8Array or an ArrayBuffer');
  if (!disk.read) throw new InputError(`load: there are no files here to read '${file}' from; give its bytes`);
  return bytesOf(disk.read(file));
}

/**
 * Says of the first tensor with NaN, with infinite elements unless they `mayBeInfinite`, or with a negative variance how many there are;
 * null when there is none.
 */
export function findNonFinite(
  tensors: Readonly<Record<string, StoredTensor>>,
  mayBeInfinite: (name: string) => boolean,
): string | null {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!tensor.dtype.includes('F')) continue;
    const { shape } = tensor;
    const data = toFloat32(tensor);
    const least = name.endsWith('running_var') ? 0 : -Infinity;
    const isGood = mayBeInfinite(name) ? (x: number) => x >= least : (x: number) => Number.isFinite(x) && x >= least;
    let bad = 0;
    for (const x of data) if (!isGood(x)) bad++;
    const kind = least === 0 ? 'NaN, infinite or negative' : 'NaN or infinite';
    if (bad) return `${name} [${shape}] has ${bad} of ${data.length} elements that are ${kind}`;
  }
  return null;
}
