// Choices between elements: broadcasting, types, numbers, NaN, gradients.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { transpose } from '../../src/ops/views';
import { clamp, where } from '../../src/ops/where';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';
import { ints } from './moves';

useGpu();

const list = async (x: Tensor) => [...(await x.data())];
const { NaN: none } = Number;

test('where broadcasts all three, and sends gradients to what was taken', async () => {
  const condition = () => tensor([[true], [false]]);
  await checkOperation('where', {
    shapes: [[3], [2, 1]],
    values: [numbers(3, 1), numbers(2, 2)],
    run: (a, b) => where(condition(), a, b),
    reference: (a, b) => [...a, b[1], b[1], b[1]],
  });
  await checkOperation('a number', {
    shapes: [[2, 2]],
    values: [numbers(4, 1)],
    run: (a) =>
      where(
        transpose(
          tensor([
            [true, false],
            [true, true],
          ]),
        ),
        a,
        0.5,
      ),
    reference: (a) => [a[0], a[1], 0.5, a[3]],
  });
  const hidden = tensor([none, 1], { requiresGrad: true });
  where(tensor([false, true]), hidden, 0)
    .sum()
    .backward();
  assert.equal(await list(hidden.grad!), [0, 1], 'NaN that is not taken does not matter');
});

test('types', async () => {
  const c = tensor([true, false]);
  assert.is(where(c, ints([1, 2]), 3).dtype, 'int32');
  assert.is(where(c, ints([1, 2]), 0.5).dtype, 'float32');
  assert.is(where(c, tensor([true, true]), tensor([false, false])).dtype, 'bool');
  assert.equal(await list(where(ints([0, -2]), 1, 2)), [2, 1], 'what is not zero is true');
  assert.equal(await list(where(tensor([none]), 1, 2)), [1]);
  assert.equal(where(zeros([0]), 1, 2).shape, [0]);
});

test('clamp', async () => {
  assert.equal(await list(clamp(tensor([-2, 0.5, 2, none]), -1, 1)), [-1, 0.5, 1, none]);
  assert.equal(await list(clamp(tensor([1, 2]), tensor([3, 0]), 2)), [2, 2], 'the upper bound wins');
  assert.equal(await list(clamp(ints([-5, 5]), null, 3)), [-5, 3]);
  await checkOperation('clamp by tensors', {
    shapes: [[2, 2], [2], [2, 1]],
    values: [
      [-0.9, 0.1, 0.7, 0.3],
      [-0.5, 0.2],
      [0.6, 0.4],
    ],
    run: (x, low, high) => clamp(x, low, high),
    reference: (x, low, high) => x.map((v, i) => Math.min(Math.max(v, low[i % 2]), high[i >> 1])),
  });
});

test('wrong calls', () => {
  assert.throws(() => where(tensor([true]), 'a' as unknown as number, 1), /where: the other operand is 'a'/);
  assert.throws(() => where(tensor([true, false]), zeros([3]), 1), /cannot be broadcast/);
  assert.throws(() => where(true as unknown as Tensor, 1, 2), /where: expected a tensor, got boolean/);
  assert.throws(() => clamp(zeros([1]), 'a' as unknown as number), /clamp/);
});

test.run();
