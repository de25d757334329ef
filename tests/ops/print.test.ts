// Tensors as text, factories, and gradcheck.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gradcheck } from '../../src/autograd/gradcheck';
import { record } from '../../src/autograd/tape';
import { mul } from '../../src/ops/elementwise';
import { matmul } from '../../src/ops/matmul';
import { show } from '../../src/ops/print';
import { sum } from '../../src/ops/reduce';
import * as unaryFunctions from '../../src/ops/unary';
import { reshape, slice } from '../../src/ops/views';
import { arange, eye, full, fullLike, linspace, onesLike, tensor, zeros, zerosLike } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { strided } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';

useGpu();

test('show writes what PyTorch writes', async () => {
  const many = mul(reshape(arange(0, 2000), [40, 50]), 0.5);
  const texts: [Tensor, string][] = [
    [tensor(3), 'tensor(3.)'],
    [
      tensor([
        [1, 2],
        [3, 4],
      ]),
      'tensor([[1., 2.],\n        [3., 4.]])',
    ],
    [tensor([1.5, -2, 300]), 'tensor([  1.5000,  -2.0000, 300.0000])'],
    [tensor([1e-6, 1]), 'tensor([1.0000e-06, 1.0000e+00])'],
    [tensor([NaN, 1, -Infinity]), 'tensor([nan, 1., -inf])'],
    [arange(4), 'tensor([0, 1, 2, 3], dtype=int32)'],
    [tensor([true, false]), 'tensor([ true, false])'],
    [zeros([0]), 'tensor([])'],
    [zeros([2, 0]), 'tensor([], shape=[2, 0])'],
    [zeros([1, 2, 1]), 'tensor([[[0.],\n         [0.]]])'],
    [zeros([2, 1, 1]), 'tensor([[[0.]],\n\n        [[0.]]])'],
    [tensor([1], { requiresGrad: true }), 'tensor([1.], requiresGrad=true)'],
    [mul(tensor([1], { requiresGrad: true }), 2), 'tensor([2.], gradNode=<mul>)'],
    [
      slice(
        tensor([
          [1, 2],
          [3, 4],
        ]),
        [{ step: -1 }, 0],
      ),
      'tensor([3., 1.])',
    ],
  ];
  for (const [x, text] of texts) assert.is(await show(x), text);
  assert.is(
    (await show(linspace(0, 1, 11))).split('\n')[0],
    'tensor([0.0000, 0.1000, 0.2000, 0.3000, 0.4000, 0.5000, 0.6000, 0.7000, 0.8000,',
  );
  const lines = (await show(many)).split('\n');
  assert.is(lines[0], 'tensor([[0.0000e+00, 5.0000e-01, 1.0000e+00,  ..., 2.3500e+01, 2.4000e+01,');
  assert.is(lines[6].trim(), '...,');
});

test('factories', async () => {
  const check = async (x: Tensor, dtype: string, shape: number[], want: number[]) => {
    assert.is(x.dtype, dtype);
    assert.equal(x.shape, shape);
    close(await x.data(), want, 1e-7);
  };
  await check(arange(1, 7, 2), 'int32', [3], [1, 3, 5]);
  await check(arange(1, 0, -0.25), 'float32', [4], [1, 0.75, 0.5, 0.25]);
  await check(arange(0, 3, 1, { dtype: 'float32' }), 'float32', [3], [0, 1, 2]);
  await check(linspace(-1, 1, 5), 'float32', [5], [-1, -0.5, 0, 0.5, 1]);
  await check(linspace(2, 3, 1), 'float32', [1], [2]);
  await check(eye(2, 3), 'float32', [2, 3], [1, 0, 0, 0, 1, 0]);
  await check(eye(3, 2), 'float32', [3, 2], [1, 0, 0, 1, 0, 0]);
  await check(full([2], -3, { dtype: 'int32' }), 'int32', [2], [-3, -3]);
  await check(full([2], 1, { dtype: 'bool' }), 'bool', [2], [1, 1]);
  await check(fullLike(arange(2), 4), 'int32', [2], [4, 4]);
  await check(zerosLike(tensor([true])), 'bool', [1], [0]);
  await check(onesLike(zeros([1, 2])), 'float32', [1, 2], [1, 1]);
  assert.throws(() => arange(0, 3, -1), /arange: no downward range/);
  assert.throws(() => full([1], 0.5, { dtype: 'int32' }), /0.5/);
  assert.throws(() => tensor([[1, 2], [3]]), /ragged/);
  assert.throws(() => zeros([-1]), /shape/);
});

test('gradcheck agrees with right rules and names the worst element of wrong ones', async () => {
  const x = tensor(
    [
      [0.3, -0.2],
      [1, 2],
    ],
    { requiresGrad: true },
  );
  const w = tensor(
    [
      [0.5, -0.4],
      [1.5, 0.2],
    ],
    { requiresGrad: true },
  );
  const { tanh, relu } = unaryFunctions;
  assert.ok((await gradcheck((a, b) => tanh(matmul(a, b)), [x, w])).error < 1e-3);
  assert.ok((await gradcheck((a, b) => sum(matmul(a, b), 0), [x, w], { kind: 'linear' })).error < 1e-5);
  assert.ok((await gradcheck((a) => relu(a), [x], { kind: 'kinked' })).error < 1e-2);
  const wrong = (a: Tensor) => record('wrong', [a], strided(mul(a, a), a.shape, a.strides), [a], (g) => [mul(g, a)]);
  try {
    await gradcheck(wrong, [x]);
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /input 0 \[2, 2\], element 3\) is .* by backward\(\) and .* by finite differences/);
  }
});

test.run();
