// NumPy's files. Those in tests/fixtures/formats were written by NumPy 2.4.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseNpy, parseNpz, serializeNpy, serializeNpz } from '../../src/formats';
import type { StoredTensor } from '../../src/formats/safetensors';

const bytesOf = (name: string) => readFileSync(fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url)));
const plain = ({ dtype, shape, data }: StoredTensor) => [dtype, shape, Array.from(data as ArrayLike<number>, Number)];

test('column-major, big-endian and scalar arrays', () => {
  assert.equal(plain(parseNpy(bytesOf('fortran.npy'))), ['F32', [2, 3], [0, 1, 2, 3, 4, 5]]);
  assert.equal(plain(parseNpy(bytesOf('big-endian.npy'))), ['I32', [3], [1, -2, 3]]);
  assert.equal(plain(parseNpy(bytesOf('scalar.npy'))), ['F64', [], [2.5]]);
});

test('a compressed archive', () => {
  const arrays = parseNpz(bytesOf('compressed.npz'));
  assert.equal([...arrays.keys()], ['a', 'b', 'half']);
  assert.equal(plain(arrays.get('a')!), ['I64', [4], [0, 1, 2, 3]]);
  assert.equal(plain(arrays.get('b')!), ['BOOL', [2, 1], [1, 0]]);
  assert.equal(plain(arrays.get('half')!), ['F16', [2], [0x3c00, 0x3800]]);
});

test('what is written is read again, and begins as NumPy writes it', () => {
  const arrays: Record<string, StoredTensor> = {
    matrix: { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, Number.NEGATIVE_INFINITY, -0, 1e38) },
    line: { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
    scalar: { dtype: 'I64', shape: [], data: BigInt64Array.of(-5n) },
    nothing: { dtype: 'BOOL', shape: [0, 2], data: new Uint8Array() },
  };
  for (const [name, array] of Object.entries(arrays)) assert.equal(parseNpy(serializeNpy(array)), array, name);
  assert.equal(Object.fromEntries(parseNpz(serializeNpz(arrays))), arrays);
  const same = serializeNpy({ dtype: 'F64', shape: [], data: Float64Array.of(2.5) });
  assert.equal(Buffer.from(same), bytesOf('scalar.npy'));
});

test('damage, and what is no array of numbers, is refused', () => {
  assert.throws(() => parseNpy(bytesOf('objects.npy'), 'o.npy'), /^o\.npy: its elements are '\|O'/);
  const good = bytesOf('fortran.npy');
  for (let length = 0; length < good.length; length += 7)
    assert.throws(() => parseNpy(good.subarray(0, length), 'x'), /^x: /);
  assert.throws(() => parseNpz(good, 'x'), /^x: the archive cannot be read/);
  assert.throws(() => serializeNpy({ dtype: 'BF16', shape: [1], data: new Uint16Array(1) }), 'NumPy has no BF16');
});

test.run();
