// NumPy's files: .npy, one array behind a line of Python that describes it, and .npz, a zip archive of such.
import { zipSync } from 'fflate';
import type { StoredData, StoredDtype, StoredTensor } from './safetensors';
import { readZip } from './zip';

const MAGIC = '\x93NUMPY';

/** NumPy's type codes without the byte order, with ours and the array that holds them. */
const types: Record<string, [StoredDtype, new (buffer: ArrayBuffer) => StoredData]> = {
  f8: ['F64', Float64Array],
  f4: ['F32', Float32Array],
  f2: ['F16', Uint16Array],
  i8: ['I64', BigInt64Array],
  u8: ['U64', BigUint64Array],
  i4: ['I32', Int32Array],
  u4: ['U32', Uint32Array],
  i2: ['I16', Int16Array],
  u2: ['U16', Uint16Array],
  i1: ['I8', Int8Array],
  u1: ['U8', Uint8Array],
  b1: ['BOOL', Uint8Array],
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** `header` is a dictionary of Python with exactly these three keys, as NumPy writes it. */
function parseHeader(header: string): { descr: string; fortran: boolean; shape: number[] } {
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const shape = /'shape':\s*\(([\d\s,]*)\)/.exec(header)?.[1];
  if (/'descr':\s*\[/.test(header)) throw new Error('it is an array of records, which is not read: save its fields');
  if (descr === undefined || order === undefined || shape === undefined)
    throw new Error(`its header is not one of NumPy's: ${header.trim().slice(0, 100)}`);
  const extents = shape.split(',').flatMap((text) => (text.trim() ? [Number(text)] : []));
  return { descr, fortran: order === 'True', shape: extents };
}

/** Reads a .npy file. Throws an error that begins with `what` where it is damaged or holds anything but numbers and bools. */
export function parseNpy(bytes: Uint8Array, what = 'file'): StoredTensor {
  try {
    return readNpy(bytes);
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
}

function readNpy(bytes: Uint8Array): StoredTensor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin1 = new TextDecoder('latin1');
  if (bytes.byteLength < 10 || latin1.decode(bytes.subarray(0, 6)) !== MAGIC) throw new Error('it is no .npy file');
  const [major, minor] = [view.getUint8(6), view.getUint8(7)];
  const long = major >= 2;
  if (major < 1 || major > 3) throw new Error(`its version ${major}.${minor} is not known`);
  if (long && bytes.byteLength < 12) throw new Error('it was cut off');
  const start = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  if (start > bytes.byteLength) throw new Error('it was cut off in its header');
  const { descr, fortran, shape } = parseHeader(latin1.decode(bytes.subarray(long ? 12 : 10, start)));
  const [, order, code = ''] = /^([<>|=])?(\w+)$/.exec(descr) ?? [];
  const type = types[code];
  if (!type)
    throw new Error(`its elements are '${descr}': numbers and bools are read (${Object.keys(types).join(', ')})`);
  const width = Number(code.slice(1));
  const count = sizeOf(shape);
  if (!Number.isSafeInteger(count * width) || bytes.byteLength - start !== count * width)
    throw new Error(
      `an array [${shape}] of ${descr} has ${count * width} bytes, there are ${bytes.byteLength - start}`,
    );
  const buffer = new Uint8Array(bytes.subarray(start)).buffer;
  if (order === '>' && width > 1) swap(new Uint8Array(buffer), width);
  const data = new type[1](buffer);
  return { dtype: type[0], shape, data: fortran && shape.length > 1 ? rowMajor(data, shape) : data };
}

/** Turns the bytes of each element round. */
function swap(bytes: Uint8Array, width: number): void {
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse();
}

/** Elements whose first index runs fastest, in the order in which the last one does. */
function rowMajor(data: StoredData, shape: readonly number[]): StoredData {
  const result = data.slice();
  const axes = shape.map((size) => ({ size, index: 0 }));
  for (let from = 0; from < data.length; from++) {
    result[axes.reduce((place, { size, index }) => place * size + index, 0)] = data[from] as number | bigint;
    for (const axis of axes) {
      if (++axis.index < axis.size) break;
      axis.index = 0;
    }
  }
  return result;
}

/** The bytes of a .npy file, as `numpy.save` writes it. BF16, which NumPy lacks, is refused. */
export function serializeNpy({ dtype, shape, data }: StoredTensor): Uint8Array {
  const code = Object.entries(types).find(([, [name]]) => name === dtype)?.[0];
  if (!code) throw new Error(`NumPy has no ${dtype}: convert it to float32 first`);
  if (data.length !== sizeOf(shape)) throw new Error(`${data.length} numbers do not fill the shape [${shape}]`);
  const descr = `${code.endsWith('1') ? '|' : '<'}${code}`;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // Data begin at a multiple of 64; the header ends in a line break.
  const padded = `${header.padEnd(Math.ceil((10 + header.length + 1) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + padded.length + data.byteLength);
  bytes.set(Uint8Array.from(`${MAGIC}\x01\x00`, (letter) => letter.charCodeAt(0)));
  new DataView(bytes.buffer).setUint16(8, padded.length, true);
  bytes.set(new TextEncoder().encode(padded), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + padded.length);
  return bytes;
}

const MOST = 2 ** 32; // bytes of all arrays: an archive may be a thousand times smaller than what it holds

/** Reads a .npz file, compressed or not: its arrays by name. Throws as `parseNpy` does. */
export function parseNpz(bytes: Uint8Array, what = 'file'): Map<string, StoredTensor> {
  try {
    const entries = [...readZip(bytes).values()].filter(({ name }) => name.endsWith('.npy'));
    const total = entries.reduce((sum, { size }) => sum + size, 0);
    if (total > MOST) throw new Error(`it holds ${total} bytes, more than ${MOST}, which are read`);
    return new Map(entries.map((entry) => [entry.name.slice(0, -4), parseNpy(entry.read(), entry.name)]));
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
}

/** The bytes of a .npz file, as `numpy.savez` writes it. */
export function serializeNpz(
  arrays: ReadonlyMap<string, StoredTensor> | Readonly<Record<string, StoredTensor>>,
): Uint8Array {
  const entries = arrays instanceof Map ? [...arrays] : Object.entries(arrays);
  return zipSync(Object.fromEntries(entries.map(([name, array]) => [`${name}.npy`, serializeNpy(array)])), {
    level: 0,
  });
}
