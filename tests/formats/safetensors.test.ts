// safetensors: round trips, the layout of the reference implementation, and every kind of malformed file.

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSafetensors, type StoredTensor, serializeSafetensors, toFloat32 } from '../../src/formats/safetensors';
import { sharedPath } from '../shared';

const test = suite('safetensors');

const sample: Record<string, StoredTensor> = {
  'conv.weight': { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 1e-30, Number.NaN, -0) },
  step: { dtype: 'I64', shape: [], data: BigInt64Array.of(-5n) },
  image: { dtype: 'U8', shape: [3], data: Uint8Array.of(0, 127, 255) },
  mask: { dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
  order: { dtype: 'I32', shape: [2, 0], data: new Int32Array(0) },
  '7': { dtype: 'U32', shape: [1], data: Uint32Array.of(2 ** 32 - 1) },
};

/** A file with this header text, and this many bytes of data. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 8);
  return bytes;
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

test('what is written is read back, bit for bit', () => {
  const bytes = serializeSafetensors(sample, { format: 'test', note: 'ä "quoted" \u{1f600}' });
  const { tensors, metadata } = parseSafetensors(bytes);
  assert.equal(metadata, { format: 'test', note: 'ä "quoted" \u{1f600}' });
  assert.equal([...tensors.keys()].sort(), Object.keys(sample).sort());
  for (const [name, { dtype, shape, data }] of Object.entries(sample)) {
    const read = tensors.get(name)!;
    assert.is(read.dtype, dtype);
    assert.equal(read.shape, shape);
    assert.equal(new Uint8Array(read.data.slice().buffer), new Uint8Array(data.slice().buffer), name);
  }
});

test('unaligned data is read right, wherever the bytes lie: a Uint8Array, a Node Buffer, a part of a pool', () => {
  const header = {
    b: { dtype: 'U8', shape: [3], data_offsets: [0, 3] },
    x: f32(3, 15),
    n: { ...f32(15, 31, [2]), dtype: 'I64' },
  };
  const numbers = new Uint8Array(28);
  new Float32Array(numbers.buffer, 0, 3).set([1.5, -2, 1e10]);
  const whole = BigInt64Array.of(-7n, 1n << 40n);
  for (let pad = 0; pad < 8; pad++) {
    const bytes = file(`${JSON.stringify(header)}${' '.repeat(pad)}`, 31);
    bytes.set([1, 2, 3], bytes.length - 31);
    bytes.set(numbers.subarray(0, 12), bytes.length - 28);
    bytes.set(new Uint8Array(whole.buffer), bytes.length - 16);
    const pool = Buffer.alloc(pad + bytes.length, 0xaa);
    pool.set(bytes, pad);
    for (const given of [bytes, Buffer.from(bytes), pool.subarray(pad), pool.subarray(pad).subarray()]) {
      const { tensors } = parseSafetensors(given);
      assert.equal([...tensors.get('b')!.data], [1, 2, 3]);
      assert.equal([...tensors.get('x')!.data], [1.5, -2, 1e10]);
      assert.equal([...tensors.get('n')!.data], [...whole]);
    }
  }
});

test('equal content gives equal bytes, whatever the order of the keys', () => {
  const reversed = Object.fromEntries(Object.entries(sample).reverse());
  assert.equal(serializeSafetensors(sample, { a: '1', b: '2' }), serializeSafetensors(reversed, { b: '2', a: '1' }));
});

test('the header is padded to 8 bytes and the widest types stand first', () => {
  const bytes = serializeSafetensors(sample);
  const length = new DataView(bytes.buffer).getUint32(0, true);
  assert.is((8 + length) % 8, 0);
  const header = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const names = [...header.matchAll(/"([^"]+)":\{"dtype"/g)].map((match) => match[1]);
  assert.equal(names, ['step', 'conv.weight', '7', 'order', 'image', 'mask']);
  assert.equal(bytes.length, 8 + length + 8 + 24 + 4 + 0 + 3 + 1);
});

test('a file whose data is not aligned is read as well', () => {
  const aligned = serializeSafetensors({ x: sample['conv.weight']! });
  const moved = new Uint8Array(aligned.length + 1);
  moved.set(aligned, 1);
  const { data } = parseSafetensors(moved.subarray(1)).tensors.get('x')!;
  assert.equal([...(data as Float32Array)], [...(sample['conv.weight']!.data as Float32Array)]);
});

test('half precision, bfloat16, double and integers become float32', () => {
  const half = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000, 0x3555);
  const expected = [1, -2, 2 ** -24, 65504, Number.POSITIVE_INFINITY, -0, 0.333251953125];
  assert.equal([...toFloat32({ dtype: 'F16', shape: [7], data: half })], expected);
  assert.ok(Number.isNaN(toFloat32({ dtype: 'F16', shape: [1], data: Uint16Array.of(0x7e01) })[0]));
  const brain = Uint16Array.of(0x3f80, 0xc040, 0x7f80);
  assert.equal([...toFloat32({ dtype: 'BF16', shape: [3], data: brain })], [1, -3, Number.POSITIVE_INFINITY]);
  assert.equal([...toFloat32({ dtype: 'F64', shape: [1], data: Float64Array.of(0.1) })], [Math.fround(0.1)]);
  assert.equal([...toFloat32(sample.step!)], [-5]);
  assert.is(toFloat32(sample['conv.weight']!), sample['conv.weight']!.data);
});

const whole = serializeSafetensors(sample);
const malformed: [string, Uint8Array, RegExp][] = [
  ['an empty file', new Uint8Array(0), /w\.st: 0 bytes are too few/],
  ['half a file', whole.subarray(0, whole.length - 9), /w\.st: the file ends after \d+ of \d+ bytes: it was cut off/],
  ['half a header', whole.subarray(0, 40), /w\.st: the file ends after 40 of at least \d+ bytes: it was cut off/],
  ['another format', new Uint8Array(64).fill(0x50), /w\.st: the header's length reads as \d+ bytes.*not a safetensors/],
  ['a header that is not JSON', file('{"a": nonsense}', 0), /w\.st: the header is not JSON/],
  ['a header that is a list', file('[1, 2]', 0), /w\.st: the header is not a JSON object/],
  ['a header that is not UTF-8', file('{"a"}', 0).map((b) => (b === 97 ? 0xff : b)), /w\.st: the header is not JSON/],
  [
    'a name that stands twice',
    file(`{"x":${JSON.stringify(f32(0, 4))}, "\\u0078" :${JSON.stringify(f32(0, 4))}}`, 4),
    /names 'x' twice/,
  ],
  ['an unknown type', file({ x: { ...f32(0, 4), dtype: 'F8' } }, 4), /tensor 'x' has dtype "F8"; known are U64/],
  ['a negative dimension', file({ x: f32(0, 4, [-1, -1]) }, 4), /tensor 'x' has a bad shape \[-1,-1\]/],
  [
    'offsets in the wrong order',
    file({ x: { dtype: 'F32', shape: [1], data_offsets: [4, 0] } }, 4),
    /bad data offsets \[4,0\]/,
  ],
  ['no offsets', file({ x: { dtype: 'F32', shape: [1] } }, 4), /'x' has bad data offsets undefined/],
  ['a wrong number of bytes', file({ x: f32(0, 8, [3]) }, 8), /tensor 'x' of F32 \[3\] needs 12 bytes.* span 8/],
  ['overlapping tensors', file({ x: f32(0, 8), y: f32(4, 12) }, 12), /tensors 'x' and 'y' overlap/],
  ['a gap', file({ x: f32(0, 4), y: f32(8, 12) }, 12), /bytes 4 to 8 between x and 'y' belong to no tensor/],
  ['offsets behind the end', file({ x: f32(0, 400) }, 8), /ends after \d+ of \d+ bytes: it was cut off/],
  ['bytes after the end', file({ x: f32(0, 4) }, 7), /w\.st: 3 bytes follow after the last tensor/],
  ['metadata that is not text', file({ __metadata__: { epoch: 3 } }, 0), /metadata 'epoch' must be text, not 3/],
  ['an entry that is not an object', file({ x: 3 }, 0), /the header's entry 'x' is not an object/],
  ['an entry that is null', file({ x: null }, 0), /the header's entry 'x' is not an object/],
  ['metadata that is a list', file({ __metadata__: [] }, 0), /the header's entry '__metadata__' is not an object/],
  ['metadata that stands twice', file('{"__metadata__":{},"__metadata__":null}', 0), /names '__metadata__' twice/],
  ['a text of 10 MB', file(`{"x":"${'a'.repeat(1e7)}"}`, 0), /the header's entry 'x' is not an object/],
  ['a name of 10 MB', file(`{"${'a'.repeat(1e7)}":3}`, 0), /the header's entry 'a{100}…' is not an object/],
  ['a type of 10 MB', file({ x: { ...f32(0, 4), dtype: 'F'.repeat(1e7) } }, 4), /tensor 'x' has dtype "F{99}…; known/],
  ['an open text of 10 MB', file(`{"x":"${'\\"'.repeat(5e6)}`, 0), /w\.st: the header is not JSON/],
  [
    'a shape nested 100,000-fold',
    file(`{"x":{"shape":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`, 0),
    /nests more than 64/,
  ],
  ['objects nested 100,000-fold', file(`${'{"x":'.repeat(1e5)}1${'}'.repeat(1e5)}`, 0), /nests more than 64 levels/],
  ['nesting without an end', file('['.repeat(1e6), 0), /nests more than 64 levels/],
  ['a mark of byte order', file('\ufeff{}', 0), /the header is not JSON/],
  ['a field that stands twice', file('{"x":{"dtype":"F32","dtype":"I32"}}', 0), /names 'dtype' twice/],
  [
    'a shape of a million dimensions',
    file({ x: f32(0, 4, new Array(1e6).fill(2)) }, 4),
    /bad shape \[2,2.*…: no file is/,
  ],
  [
    'more elements than can be counted',
    file({ x: f32(0, 4, [2 ** 52, 2 ** 52]) }, 4),
    /bad shape.*no file is that large/,
  ],
  ['an uncountable shape without elements', file({ x: f32(0, 0, [2 ** 40, 2 ** 40, 0]) }, 0), /no file is that large/],
  [
    'offsets beyond whole numbers',
    file({ x: { ...f32(0, 4), data_offsets: [0, 1e300] } }, 4),
    /bad data offsets \[0,1e/,
  ],
  ['a fractional offset', file({ x: { ...f32(0, 4), data_offsets: [0, 4.5] } }, 4), /bad data offsets \[0,4\.5\]/],
];
for (const [kind, bytes, message] of malformed) {
  test(`refused: ${kind}`, () => assert.throws(() => parseSafetensors(bytes, 'w.st'), message));
}

test('no metadata, as null, and a text that looks like the end of a name', () => {
  assert.equal(parseSafetensors(file({ __metadata__: null, x: f32(0, 4) }, 4)).metadata, {});
  const odd = { __metadata__: { 'a"{': '\\"}]: {"x":' }, x: f32(0, 4) };
  assert.equal(parseSafetensors(file(odd, 4)).metadata, odd.__metadata__);
});

test('__proto__ is a name like others, of a tensor and of a text', () => {
  const text = '{"__metadata__":{"__proto__":"a"},"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
  const { tensors, metadata } = parseSafetensors(file(text, 4));
  assert.equal([...tensors.keys()], ['__proto__']);
  assert.equal(Object.entries(metadata), [['__proto__', 'a']]);
  const again = parseSafetensors(serializeSafetensors(Object.fromEntries(tensors), metadata));
  assert.equal([...again.tensors.keys()], ['__proto__']);
  assert.equal(Object.entries(again.metadata), [['__proto__', 'a']]);
});

test('a nested key may repeat a tensor name', () => {
  const { metadata, tensors } = parseSafetensors(file({ __metadata__: { x: 'text' }, x: f32(0, 4) }, 4));
  assert.is(metadata.x, 'text');
  assert.ok(tensors.has('x'));
});

test('refused on writing: data that does not fit dtype, shape or name', () => {
  const data = new Float32Array(4);
  assert.throws(
    () => serializeSafetensors({ x: { dtype: 'F32', shape: [5], data } }),
    /'x' of F32 \[5\] needs 20 bytes, got 16/,
  );
  assert.throws(
    () => serializeSafetensors({ x: { dtype: 'I32', shape: [4], data } }),
    /'x' of dtype I32 holds a Float32Array/,
  );
  assert.throws(
    () => serializeSafetensors({ __metadata__: { dtype: 'F32', shape: [4], data } }),
    /cannot be a tensor's name/,
  );
});

const pretrained = sharedPath('checkpoints', 'resnet20.safetensors');
(pretrained ? test : test.skip)('PyTorch weights of a ResNet-20 are read and written back', () => {
  const { tensors, metadata } = parseSafetensors(readFileSync(pretrained!), pretrained!);
  assert.is(metadata.format, 'pt');
  const parameters = [...tensors].filter(([name]) => !/running_|num_batches/.test(name));
  const count = parameters.reduce((sum, [, { data }]) => sum + data.length, 0);
  assert.is(count, 269_722);
  assert.equal(tensors.get('layer2.0.conv1.weight')!.shape, [32, 16, 3, 3]);
  assert.ok(toFloat32(tensors.get('bn1.running_var')!).every((variance) => variance > 0));
  assert.equal(parseSafetensors(serializeSafetensors(Object.fromEntries(tensors), metadata)).tensors, tensors);
});

test.run();
