// float16 in safetensors files, and float32 stored as halves. Skipped where the adapter has no shader-f16.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromHalf, halfBits } from '../../shaders/half';
import { device, init } from '../../src/gpu';
import { load, save } from '../../src/nn/stored';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { useGpu } from '../util';

await init(); // what is skipped depends on the adapter
const has = device().features.has('shader-f16');
useGpu();

(has ? test : test.skip)('safetensors: F16, and float32 stored as F16 or BF16', async () => {
  const x = tensor([1.5, -2, 65504, 2 ** -24], { shape: [2, 2], dtype: 'float16' });
  const w = tensor([1 / 3, 1e20, NaN]);
  const kept = load(await save({ x, w }), { keepHalf: true });
  assert.is(kept.x.dtype, 'float16');
  assert.equal([...(await kept.x.data())], [1.5, -2, 65504, 2 ** -24]);
  assert.is(load(await save({ x })).x.dtype, 'float32');
  const brain = load(await save({ w }, undefined, { floats: 'BF16' }));
  assert.equal([...(await brain.w.data())], [0.333984375, 1.3515625 * 2 ** 66, NaN]);
  const small = load(await save({ w }, undefined, { floats: 'F16' }), { keepHalf: true });
  assert.equal([...(await small.w.data())], [fromHalf(halfBits(1 / 3)), Infinity, NaN]);
});

test.run();
