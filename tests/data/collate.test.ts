// How samples become a batch: one test for every rule, and the errors.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { collate, type Tensor, tensor } from '../../src/index.node.js';
import { useGpu } from '../util';

useGpu();

async function is(batch: unknown, dtype: string, shape: number[], values: number[]): Promise<void> {
  const t = batch as Tensor;
  assert.equal([t.dtype, [...t.shape], [...(await t.data())]], [dtype, shape, values]);
}

test('numbers: labels when all are whole, else reals', async () => {
  await is(collate([3, 0, 7]), 'int32', [3], [3, 0, 7]);
  await is(collate([1, 0.5]), 'float32', [2], [1, 0.5]);
  await is(collate([1, 3e9]), 'float32', [2], [1, 3e9]);
  await is(collate([1, 3e9], 'uint32'), 'uint32', [2], [1, 3e9]);
  await is(collate([true, false]), 'bool', [2], [1, 0]);
});

test('typed arrays keep integers of 32 bits, all else is float32', async () => {
  await is(collate([Float64Array.of(1.5, 2), Float64Array.of(3, 4)]), 'float32', [2, 2], [1.5, 2, 3, 4]);
  await is(collate([Int32Array.of(-1, 2)]), 'int32', [1, 2], [-1, 2]);
  await is(collate([Uint32Array.of(4e9)]), 'uint32', [1, 1], [4e9]);
  await is(collate([Uint8Array.of(255), Uint8Array.of(1)]), 'float32', [2, 1], [255, 1]);
});

test('data with a shape', async () => {
  const sample = (x: number) => ({ data: Float32Array.of(x, x + 1), shape: [1, 2, 1] });
  await is(collate([sample(0), sample(5)]), 'float32', [2, 1, 2, 1], [0, 1, 5, 6]);
});

test('regular nests of numbers are data', async () => {
  await is(
    collate([
      [1, 2],
      [3, 4],
    ]),
    'float32',
    [2, 2],
    [1, 2, 3, 4],
  );
  await is(collate([[[1], [2]]]), 'float32', [1, 2, 1], [1, 2]);
});

test('other arrays are tuples, objects are records, to any depth', async () => {
  const [x, y] = collate([
    [[1, 2], 0],
    [[3, 4], 1],
  ]);
  await is(x, 'float32', [2, 2], [1, 2, 3, 4]);
  await is(y, 'int32', [2], [0, 1]);
  const record = collate([{ image: Float32Array.of(1), meta: { id: 7, flags: [true, 0.5] } }]);
  await is(record.image, 'float32', [1, 1], [1]);
  await is(record.meta.id, 'int32', [1], [7]);
  await is(record.meta.flags[0], 'bool', [1], [1]);
  await is(record.meta.flags[1], 'float32', [1], [0.5]);
});

test('tensors are stacked', async () => {
  await is(collate([tensor([1, 2]), tensor([3, 4])]), 'float32', [2, 2], [1, 2, 3, 4]);
});

test('samples that are not alike, or that no rule covers, are refused', () => {
  assert.throws(() => collate([[1, 2], [3]]), /sample 1.*shape \[1\], sample 0.*\[2\]/s);
  assert.throws(() => collate([Float32Array.of(1), 2]), /sample 1.*a number/s);
  assert.throws(() => collate([{ a: 1 }, { b: 1 }] as object[]), /sample 1.*object with b.*object with a/s);
  assert.throws(
    () =>
      collate([
        [1, [2]],
        [1, [2], 3],
      ]),
    /sample 1.*a tuple of 3.*a tuple of 2/s,
  );
  assert.throws(() => collate([{ data: Float32Array.of(1), shape: [2] }]), /1 values and the shape \[2\]/);
  assert.throws(() => collate(['cat']), /like cat.*\{ collate \}/s);
  assert.throws(() => collate([null]), /like null/);
});

test.run();
