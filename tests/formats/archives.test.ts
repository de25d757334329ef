// Files of torch.save and NumPy that come from anywhere: odd forms of archives and pickles, and what damage or malice can do. The pickles
// are PyTorch 2.13's own, in base64.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseNpy, parseNpz, parseTorch, serializeNpz } from '../../src/formats';
import { readZip } from '../../src/formats/zip';

const fixture = (name: string) =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url))));
const decode = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

/** {'milestones': Counter, 'device': cuda:0, 'names': {'a'}, 'raw': b'\x01\xff', 'size': torch.Size, 'net': {'w': tensor}} */
const CHECKPOINT = decode(
  'gAJ9cQAoWAoAAABtaWxlc3RvbmVzcQFjY29sbGVjdGlvbnMKQ291bnRlcgpxAn1xAyhLA0sBSwVLAnWFcQRScQVYBgAAAGRldmljZXEGY3RvcmNoCmRldmljZQpxB1gEAAAAY3VkYXEISwCGcQlScQpYBQAAAG5hbWVzcQtjX19idWlsdGluX18Kc2V0CnEMXXENWAEAAABhcQ5hhXEPUnEQWAMAAAByYXdxEWNfY29kZWNzCmVuY29kZQpxElgDAAAAAcO/cRNYBgAAAGxhdGluMXEUhnEVUnEWWAQAAABzaXplcRdjdG9yY2gKU2l6ZQpxGEsCSwOGcRmFcRpScRtYAwAAAG5ldHEcY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEdKVJxHlgBAAAAd3EfY3RvcmNoLl91dGlscwpfcmVidWlsZF90ZW5zb3JfdjIKcSAoKFgHAAAAc3RvcmFnZXEhY3RvcmNoCkZsb2F0U3RvcmFnZQpxIlgBAAAAMHEjWAMAAABjcHVxJEsCdHElUUsASwKFcSZLAYVxJ4loHSlScSh0cSlScSpzdS4=',
);
/** A file of the form before 1.6 in protocol 4: {'w': tensor([1.5])}. */
const LEGACY_4 = decode(
  'gASVDQAAAAAAAACKCmz8nEb5IGqoUBkugASVBAAAAAAAAABN6QMugASVWAAAAAAAAAB9lCiMEHByb3RvY29sX3ZlcnNpb26UTekDjA1saXR0bGVfZW5kaWFulIiMCnR5cGVfc2l6ZXOUfZQojAVzaG9ydJRLAowDaW50lEsEjARsb25nlEsEdXUugASVoAAAAAAAAAB9lIwBd5SMDHRvcmNoLl91dGlsc5SMEl9yZWJ1aWxkX3RlbnNvcl92MpSTlCgojAdzdG9yYWdllIwFdG9yY2iUjAxGbG9hdFN0b3JhZ2WUk5SMDjk0NjM3ODQ5ODYzODQwlIwDY3B1lEsBTnSUUUsASwGFlEsBhZSJjAtjb2xsZWN0aW9uc5SMC09yZGVyZWREaWN0lJOUKVKUdJRSlHMugASVFQAAAAAAAABdlIwOOTQ2Mzc4NDk4NjM4NDCUYS4BAAAAAAAAAAAAwD8=',
);
const STORAGE = new Uint8Array(Float32Array.of(1.5, -2).buffer);

const archive = (pickle: Uint8Array, files: Record<string, Uint8Array> = { 'data/0': STORAGE }, level: 0 | 6 = 0) =>
  zipSync(
    Object.fromEntries(Object.entries({ 'data.pkl': pickle, ...files }).map(([name, x]) => [`archive/${name}`, x])),
    { level },
  );
const bytes = (...parts: (string | number | readonly number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...Buffer.from(part, 'latin1')] : part)));

test('a checkpoint with what schedulers and loops put there: the state dict is found', () => {
  const { value, tensors } = parseTorch(archive(CHECKPOINT));
  const { net: _, ...rest } = Object.fromEntries(value as Map<string, unknown>);
  assert.equal(rest, {
    milestones: new Map([
      [3, 1],
      [5, 2],
    ]),
    device: 'cuda:0',
    names: new Set(['a']),
    raw: Uint8Array.of(1, 255),
    size: [2, 3],
  });
  assert.equal(tensors, new Map([['w', { dtype: 'F32', shape: [2], data: Float32Array.of(1.5, -2) }]]));
});

test('the form before 1.6 in a later protocol of pickle', () => {
  assert.equal([...parseTorch(LEGACY_4).tensors.get('w')!.data], [1.5]);
});

test('what a pickle asks for beyond data is named, and never run', () => {
  const asking = (global: string) => archive(bytes(0x80, 2, `c${global}`, '(X', [3, 0, 0, 0], 'cmdtR.'));
  for (const name of ['os.system', 'builtins.eval', 'torch.constructor', 'collections.toString', 'torch.load'])
    assert.throws(
      () => parseTorch(asking(`${name.replace('.', '\n')}\n`), 'x.pt'),
      new RegExp(`^x\\.pt: it holds a ${name.replace('.', '\\.')}, and only tensors`),
    );
  assert.throws(
    () => parseTorch(archive(bytes(0x80, 2, '(', 'i', 'os\nsystem\n', '.'))),
    /builds more than plain data/,
  );
  assert.throws(
    () => parseTorch(archive(bytes(0x80, 2, 0x8b, [0, 8, 0, 0], [...new Uint8Array(2048)], '.'))),
    /has a number of 2048 bytes/,
  );
});

/** The same archive with its directory's numbers in zip64 fields. */
function longForm(zip: Uint8Array): Uint8Array {
  const view = new DataView(zip.buffer, zip.byteOffset);
  const end = zip.length - 22;
  const [count, start] = [view.getUint16(end + 10, true), view.getUint32(end + 16, true)];
  const entries: number[] = [];
  for (let at = start, i = 0; i < count; i++) {
    const [name, extra] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
    const entry = zip.slice(at, at + 46 + name);
    const long = new DataView(new ArrayBuffer(28));
    long.setUint16(0, 1, true);
    long.setUint16(2, 24, true);
    for (const [field, to] of [
      [24, 4],
      [20, 12],
      [42, 20],
    ] as const) {
      long.setBigUint64(to, BigInt(view.getUint32(at + field, true)), true);
      new DataView(entry.buffer).setUint32(field, 0xffffffff, true);
    }
    new DataView(entry.buffer).setUint16(30, 28, true);
    entries.push(...entry, ...new Uint8Array(long.buffer));
    at += 46 + name + extra;
  }
  const tail = new DataView(new ArrayBuffer(56 + 20));
  tail.setUint32(0, 0x06064b50, true);
  tail.setBigUint64(32, BigInt(count), true);
  tail.setBigUint64(48, BigInt(start), true);
  tail.setUint32(56, 0x07064b50, true);
  tail.setBigUint64(64, BigInt(start + entries.length), true);
  const last = zip.slice(end);
  last.fill(0xff, 8, 20);
  return Uint8Array.from([...zip.subarray(0, start), ...entries, ...new Uint8Array(tail.buffer), ...last]);
}

test('long sizes of zip64 are read', () => {
  const long = longForm(archive(CHECKPOINT));
  assert.equal([...parseTorch(long).tensors.get('w')!.data], [1.5, -2]);
  const count = new DataView(long.buffer);
  const end = long.length - 22 - 20 - 56;
  count.setBigUint64(end + 32, 2n ** 40n, true); // entries that are not there: refused at once
  assert.throws(() => parseTorch(long, 'x'), /^x: the archive cannot be read \(its list of files lies outside/);
});

test('other archives of other programs say what is wrong', () => {
  assert.throws(() => parseTorch(archive(CHECKPOINT, { 'data/0': new Uint8Array(999) }, 6), 'x'), /x: .* compressed/);
  assert.throws(() => parseTorch(archive(CHECKPOINT, {}), 'x'), /^x: the storage '0' of a tensor \[2\] is missing/);
  const big = archive(CHECKPOINT, { 'data/0': STORAGE, byteorder: bytes('big') });
  assert.throws(() => parseTorch(big, 'x'), /^x: its numbers are stored big-endian/);
  assert.throws(() => parseTorch(archive(CHECKPOINT, { 'code/a.py': bytes('1') }), 'x'), /TorchScript/);
  assert.throws(() => parseTorch(zipSync({ 'a.txt': bytes('1') }), 'x'), /^x: the archive holds no data\.pkl/);
  assert.throws(() => parseTorch(bytes('PK', 5, 6, [...new Uint8Array(18)]), 'x'), /holds no data\.pkl/);
});

test('a flipped bit in the numbers is noticed', () => {
  const npz = serializeNpz({ a: { dtype: 'U8', shape: [8], data: new Uint8Array(8) } });
  for (const [good, read, entry] of [
    [fixture('linear.pt'), parseTorch, 'linear/data/0'],
    [npz, parseNpz, 'a.npy'],
  ] as const) {
    const data = readZip(good).get(entry)!.read();
    const bad = good.slice();
    bad[data.byteOffset - good.byteOffset + data.length - 1] ^= 1;
    assert.throws(() => read(bad, 'x'), /^x: the archive cannot be read \('.*' does not match its checksum\)/);
  }
});

test('tensors and arrays much larger than their files are refused before memory is taken', () => {
  /** A list of `count` views [2²⁰, 2¹⁰] of one number, with strides 0. */
  const views = (count: number) =>
    archive(
      bytes(
        ...[0x80, 2, 'ctorch._utils\n_rebuild_tensor_v2\nq', 0, '0'],
        ...['((X', [7, 0, 0, 0], 'storage', 'ctorch\nFloatStorage\n', 'X', [1, 0, 0, 0], '0', 'X', [3, 0, 0, 0], 'cpu'],
        ...['K', 2, 'tQK', 0, 'J', [0, 0, 16, 0], 'M', [0, 4], '\x86K', 0, 'K', 0, '\x86tq', 1, '0]'],
        ...Array.from({ length: count }, () => ['h', 0, 'h', 1, 'Ra']).flat(),
        '.',
      ),
    );
  assert.throws(() => parseTorch(views(1), 'x'), /^x: its tensors, .* so much larger than the file/);
  const npz = serializeNpz({ a: { dtype: 'U8', shape: [8], data: new Uint8Array(8) } });
  const view = new DataView(npz.buffer, npz.byteOffset);
  const directory = view.getUint32(npz.length - 6, true);
  view.setUint16(directory + 10, 8, true); // deflated, to 3 GB
  view.setUint32(directory + 24, 3e9, true);
  assert.throws(() => parseNpz(npz, 'x'), /^x: the archive cannot be read \('a\.npy' cannot have 3000000000 bytes\)/);
  assert.throws(
    () =>
      parseNpy(
        bytes('\x93NUMPY', 1, 0, [60, 0], "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,)}"),
        'x',
      ),
    /^x: /,
  );
});

test('random damage ends in a value or in an error that names the file', () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const readers = { pt: parseTorch, npy: parseNpy, npz: parseNpz };
  const names = ['archive.pt', 'legacy.pt', 'linear.pt', 'fortran.npy', 'compressed.npz'];
  for (let i = 0; i < 1500; i++) {
    const name = names[i % names.length] as string;
    const broken = fixture(name);
    for (let n = 1 + random(6); n > 0; n--) {
      const place = random(2) ? random(broken.length) : random(Math.min(1200, broken.length));
      broken[place] = random(3)
        ? (broken[place] as number) ^ (1 << random(8))
        : ([0, 0x7f, 0x80, 0xff][random(4)] as number);
    }
    try {
      readers[name.split('.')[1] as keyof typeof readers](
        random(4) ? broken : broken.subarray(0, random(broken.length)),
        'x',
      );
    } catch (error) {
      assert.match((error as Error).message, /^x: /, `${name}, case ${i}`);
      assert.not.match(
        (error as Error).message,
        /undefined|internal|not a function|not iterable/,
        `${name}, case ${i}`,
      );
    }
  }
});

test.run();
