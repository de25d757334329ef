// Reads zip archives that may come from anywhere, as PyTorch and NumPy write them: entries stored or deflated, with zip64's long sizes. Everything
// is checked against the archive's directory, its length and the entries' checksums before it is believed, and before memory is taken.

import { inflateSync } from 'fflate';
import { mapTuple } from '../../shaders/checked';

/** One file of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes of its content. */
  readonly size: number;
  /** Whether the content is stored as it is. */
  readonly stored: boolean;
  /** The content: a view of the archive where it is stored. Throws where it does not match its checksum. */
  read(): Uint8Array;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const DIRECTORY = 0x02014b50;
const LOCAL = 0x04034b50;
const LONGEST_COMMENT = 0xffff;
/** Deflate makes at most 1032 bytes of one. */
const MOST_INFLATED = 1032;

const cut = (what: string): never => {
  throw new Error(`the archive cannot be read (${what}): it was cut off or damaged`);
};

/** The entries of an archive, by name; of several with one name the last. Throws an Error where the directory is damaged. */
export function readZip(bytes: Uint8Array): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { count, offset } = directoryOf(view);
  const found = new Map<string, ZipEntry>();
  let at = offset;
  for (let i = 0; i < count; i++) {
    if (at + 46 > view.byteLength || view.getUint32(at, true) !== DIRECTORY) cut('its list of files breaks off');
    const names = at + 46;
    const [nameBytes, extraBytes, commentBytes] = mapTuple([28, 30, 32], (field) => view.getUint16(at + field, true));
    const next = names + nameBytes + extraBytes + commentBytes;
    if (next > view.byteLength) cut('its list of files breaks off');
    const name = new TextDecoder().decode(bytes.subarray(names, names + nameBytes));
    found.set(name, entryOf(bytes, view, at, name));
    at = next;
  }
  return found;
}

/** Where the list of files is. It is found from the end of the archive, behind which only a comment may follow. */
function directoryOf(view: DataView): { count: number; offset: number } {
  const least = Math.max(0, view.byteLength - 22 - LONGEST_COMMENT);
  let end = view.byteLength - 22;
  while (end >= least && view.getUint32(end, true) !== END) end--;
  if (end < least) return cut('it has no end');
  let [count, offset] = [view.getUint16(end + 10, true), view.getUint32(end + 16, true)];
  if (end >= 20 && view.getUint32(end - 20, true) === LOCATOR_64) {
    const long = Number(view.getBigUint64(end - 12, true));
    if (long + 56 > end || view.getUint32(long, true) !== END_64) cut('its long end is missing');
    count = Number(view.getBigUint64(long + 32, true));
    offset = Number(view.getBigUint64(long + 48, true));
  }
  if (offset > end || count * 46 > end - offset) cut('its list of files lies outside of it');
  return { count, offset };
}

function entryOf(bytes: Uint8Array, view: DataView, at: number, name: string): ZipEntry {
  const [flags, method] = mapTuple([8, 10], (field) => view.getUint16(at + field, true));
  const checksum = view.getUint32(at + 16, true);
  const { packed, size, local } = sizesOf(view, at);
  const stored = method === 0;
  const fail = (problem: string): never => cut(`'${name}' ${problem}`);
  const read = (): Uint8Array => {
    if (flags & 1) throw new Error(`the archive's file '${name}' is encrypted, which is not read`);
    if (!stored && method !== 8)
      throw new Error(`the archive's file '${name}' is compressed by method ${method}, which is not read`);
    if (local + 30 > view.byteLength || view.getUint32(local, true) !== LOCAL) fail('is not where it should be');
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (start + packed > view.byteLength) fail('reaches beyond the end');
    if (stored ? packed !== size : size > packed * MOST_INFLATED) fail(`cannot have ${size} bytes`);
    const content = bytes.subarray(start, start + packed);
    const whole = stored ? content : inflated(content, size, fail);
    if (whole.byteLength !== size || crc32(whole) !== checksum) fail('does not match its checksum');
    return whole;
  };
  return { name, size, stored, read };
}

function inflated(content: Uint8Array, size: number, fail: (problem: string) => never): Uint8Array {
  try {
    return inflateSync(content, { out: new Uint8Array(size) });
  } catch (error) {
    return fail(`does not decompress: ${(error as Error).message}`);
  }
}

/** Bytes in the archive, bytes of the content, and where the entry begins; where 32 bits do not hold them, from the zip64 field. */
function sizesOf(view: DataView, at: number): { packed: number; size: number; local: number } {
  const short = { size: 24, packed: 20, local: 42 };
  const sizes = { packed: 0, size: 0, local: 0 };
  let extra = at + 46 + view.getUint16(at + 28, true);
  const end = extra + view.getUint16(at + 30, true);
  while (extra + 4 <= end && view.getUint16(extra, true) !== 1) extra += 4 + view.getUint16(extra + 2, true);
  extra += 4;
  for (const field of ['size', 'packed', 'local'] as const) {
    sizes[field] = view.getUint32(at + short[field], true);
    if (sizes[field] !== 0xffffffff || extra + 8 > end) continue;
    sizes[field] = Number(view.getBigUint64(extra, true));
    extra += 8;
  }
  return sizes;
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** The checksum of zip archives. */
function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = (c >>> 8) ^ (table[(c ^ (bytes[i] as number)) & 0xff] as number);
  return (c ^ 0xffffffff) >>> 0;
}
