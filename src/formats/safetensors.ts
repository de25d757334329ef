// safetensors: named arrays with a JSON header, the format in which weights are exchanged with PyTorch.
//
//   8 bytes   length of the header, little-endian
//   header    {"__metadata__": {key: text}, "name": {"dtype", "shape", "data_offsets": [begin, end]}, …}, padded with spaces
//   data      the arrays, row-major and little-endian, without gaps or overlaps; offsets count from here
//
// Typed arrays have the machine's byte order; every platform with WebGPU is little-endian, so data is used in place.

import { bfloatBits, fromHalf, halfBits } from '../../shaders/half';
import { clip, type Fail, metadataKey, parseHeader, show } from './safetensors-header';

/** Element types with the array that holds one, in the order in which a file lays them out: widest first. */
const storage = {
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  U16: Uint16Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type StoredDtype = keyof typeof storage;
export type StoredData = InstanceType<(typeof storage)[StoredDtype]>;

/** An array as a file holds it. F16 and BF16 are kept as their 16 bits; `toFloat32` turns them into numbers. */
export interface StoredTensor {
  /** Element type by safetensors' name, such as 'F32'. */
  readonly dtype: StoredDtype;
  /** Size of each dimension; [] is one number. */
  readonly shape: readonly number[];
  /** The elements in row-major order, as many as `shape` has. */
  readonly data: StoredData;
}

export interface SafetensorsFile {
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}

const maxHeaderBytes = 100_000_000;
const dtypes = Object.keys(storage) as StoredDtype[];

/**
 * Reads a whole file and checks all of it. Arrays are views of `bytes` where their alignment allows, copies elsewhere.
 * Throws an error that begins with `what` (the file's name) when anything is not as the format says.
 */
export function parseSafetensors(bytes: Uint8Array, what = 'file'): SafetensorsFile {
  const fail = (problem: string): never => {
    throw new Error(`${what}: ${problem}`);
  };
  const size = bytes.byteLength;
  if (size < 8) fail(`${size} bytes are too few for a safetensors file; the file is empty or was cut off`);
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > maxHeaderBytes || headerBytes < 2) {
    fail(
      `the header's length reads as ${headerBytes} bytes, so this is not a safetensors file ` +
        "(parseTorch and loadTorch read PyTorch's .pt, .pth and .th files)",
    );
  }
  const start = 8 + headerBytes;
  if (start > size) fail(cutOff(size, `at least ${start}`));

  const header = parseHeader(bytes.subarray(8, start), fail);
  const entries = [...header.entries].map(([name, entry]) => ({ name, ...checkEntry(clip(name), entry, fail) }));
  const byOffset = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  let previous = 'the header';
  for (const { name, begin, end } of byOffset) {
    if (begin < position) fail(`tensors '${clip(previous)}' and '${clip(name)}' overlap`);
    if (begin > position)
      fail(`bytes ${position} to ${begin} between ${clip(previous)} and '${clip(name)}' belong to no tensor`);
    position = end;
    previous = name;
  }
  if (start + position > size) fail(cutOff(size, String(start + position)));
  if (start + position < size) fail(`${size - start - position} bytes follow after the last tensor`);

  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const array = storage[dtype];
    const from = bytes.byteOffset + start + begin;
    const aligned = from % array.BYTES_PER_ELEMENT === 0;
    // Not `bytes.slice`: a Node Buffer's slice is no copy but a view of the same, still unaligned, memory.
    const source = aligned ? bytes.buffer : bytes.buffer.slice(from, from + end - begin);
    const data = new array(source as ArrayBuffer, aligned ? from : 0, (end - begin) / array.BYTES_PER_ELEMENT);
    tensors.set(name, { dtype, shape, data });
  }
  return { tensors, metadata: header.metadata };
}

function cutOff(size: number, expected: string): string {
  return `the file ends after ${size} of ${expected} bytes: it was cut off while being written or copied`;
}

function checkEntry(name: string, entry: Record<string, unknown>, fail: Fail) {
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!dtypes.includes(dtype as StoredDtype)) {
    fail(`tensor '${name}' has dtype ${show(dtype)}; known are ${dtypes.join(', ')}`);
  }
  if (!isCounts(shape)) return fail(`tensor '${name}' has a bad shape ${show(shape)}`);
  const [begin, end, ...more] = isCounts(offsets) ? offsets : [];
  if (begin === undefined || end === undefined || more.length || begin > end)
    return fail(`tensor '${name}' has bad data offsets ${show(offsets)}`);
  const expected = byteLength(dtype as StoredDtype, shape);
  if (expected === null) return fail(`tensor '${name}' has a bad shape ${show(shape)}: no file is that large`);
  if (end - begin !== expected) {
    fail(`tensor '${name}' of ${dtype} ${show(shape)} needs ${expected} bytes, but its offsets span ${end - begin}`);
  }
  return { dtype: dtype as StoredDtype, shape, begin, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** Null where it, or the product of the first few dimensions, cannot be counted. */
function byteLength(dtype: StoredDtype, shape: readonly number[]): number | null {
  let bytes = storage[dtype].BYTES_PER_ELEMENT;
  for (const n of shape) {
    bytes *= n;
    if (!Number.isSafeInteger(bytes)) return null;
  }
  return bytes;
}

/**
 * Writes a file. Equal input gives equal bytes: tensors stand in the order of the reference implementation (widest
 * type first, then by name), metadata by key. Throws when an array does not match its dtype or shape.
 */
export function serializeSafetensors(
  tensors: Record<string, StoredTensor>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = Object.entries(tensors).sort(
    ([a, x], [b, y]) => dtypes.indexOf(x.dtype) - dtypes.indexOf(y.dtype) || (a < b ? -1 : 1),
  );
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    entries.push([metadataKey, Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)))]);
  }
  let offset = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    if (name === metadataKey) throw new Error(`serializeSafetensors: '${metadataKey}' cannot be a tensor's name`);
    if (!dtypes.includes(dtype) || !(data instanceof storage[dtype])) {
      throw new Error(`serializeSafetensors: tensor '${name}' of dtype ${dtype} holds a ${data.constructor.name}`);
    }
    const expected = byteLength(dtype, shape);
    if (expected === null || data.byteLength !== expected) {
      throw new Error(
        `serializeSafetensors: tensor '${name}' of ${dtype} [${shape}] needs ${expected} bytes, got ${data.byteLength}`,
      );
    }
    entries.push([name, { dtype, shape: [...shape], data_offsets: [offset, offset + expected] }]);
    offset += expected;
  }

  // Not through one object: JSON.stringify would put names that look like integers ('0', '1') first.
  const fields = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const header = new TextEncoder().encode(`{${fields.join(',')}}`);
  const start = 8 + Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(start + offset).fill(0x20, 8, start);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - 8), true);
  bytes.set(header, 8);
  let position = start;
  for (const [, { data }] of sorted) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return bytes;
}

/** The numbers of any stored tensor as float32; F32 itself is returned without a copy. */
export function toFloat32({ dtype, data }: StoredTensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer);
  if (dtype === 'F16') return Float32Array.from(data as Uint16Array, fromHalf);
  return Float32Array.from(data as ArrayLike<number | bigint>, Number);
}

/** Numbers as an array of floats of another width, each rounded to the nearest; float32 itself is returned without a copy. */
export function fromFloat32(values: Float32Array<ArrayBuffer>, dtype: 'F32' | 'F16' | 'BF16'): StoredData {
  if (dtype === 'F32') return values;
  return Uint16Array.from(values, dtype === 'F16' ? halfBits : bfloatBits);
}
