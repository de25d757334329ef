// Joins, splits and their types and refusals; values of padding are in views.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { grad } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import { device } from '../../src/gpu';
import { add, mul } from '../../src/ops/elementwise';
import { chunk, concat, split, stack } from '../../src/ops/join';
import { sum } from '../../src/ops/reduce';
import { select, transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';
import { count, ints, type Move, moves } from './moves';

useGpu();

const list = async (x: Tensor) => [...(await x.data())];

const cases: Move[] = [
  ['concat', [2, 2], (x) => concat([x, transpose(x)], 1), [2, 4], [0, 1, 0, 2, 2, 3, 1, 3]],
  ['concat of one', [2, 2], (x) => concat([x], -1), [2, 2], count(4)],
  ['concat with nothing', [2, 1], (x) => concat([zeros([0, 1]), x]), [2, 1], count(2)],
  ['stack', [2], (x) => stack([x, x], -1), [2, 2], [0, 0, 1, 1]],
  ['split', [5, 1], (x) => split(x, 2)[2], [1, 1], [4]],
  ['split into listed parts', [1, 5], (x) => split(x, [1, 0, 4], 1)[2], [1, 4], [1, 2, 3, 4]],
  ['chunk', [5], (x) => chunk(x, 3)[1], [2], [2, 3]],
];

test('where elements go, and their gradients', async () => {
  for (const move of cases) await moves(move);
  await checkOperation('concat of two', {
    shapes: [
      [2, 1],
      [2, 2],
    ],
    values: [numbers(2, 1), numbers(4, 2)],
    run: (a, b) => concat([a, b], 1),
    reference: (a, b) => [a[0], b[0], b[1], a[1], b[2], b[3]],
  });
});

test('types are promoted; parts are views', async () => {
  const mixed = concat([ints([1]), tensor([0.5])]);
  assert.equal([mixed.dtype, ...(await list(mixed))], ['float32', 1, 0.5]);
  assert.is(concat([tensor([true]), tensor([false])]).dtype, 'bool');
  const x = zeros([4, 2]);
  for (const part of [...split(x, 3), ...chunk(x, 2), select(x, 0, 1)]) assert.is(part.memory, x.memory);
  assert.equal(
    chunk(zeros([5]), 4).map((t) => t.size),
    [2, 2, 1],
  );
  assert.equal(
    chunk(zeros([2, 0]), 3, 1).map((t) => t.shape),
    [
      [2, 0],
      [2, 0],
      [2, 0],
    ],
  );
});

test('wrong calls', () => {
  assert.throws(() => concat([]), /concat: no list of tensors/);
  assert.throws(
    () => concat([zeros([2, 1]), zeros([3, 2])], 1),
    /cannot be joined along dimension 1.*\[2, 1\].*\[3, 2\]/,
  );
  assert.throws(() => stack([zeros([2]), zeros([3])]), /stack: tensors of different shapes/);
  assert.throws(() => split(zeros([4]), [1, 2]), /parts of \[1, 2\] are 3 elements, dimension 0 has 4/);
  assert.throws(() => split(zeros([4]), 0), /parts of 0 elements/);
  assert.throws(() => chunk(zeros([4]), 0), /chunk: 0 parts/);
});

test('parts share one gradient, in a launch a part', async () => {
  const x = tensor(count(12), { shape: [2, 6], requiresGrad: true });
  const [a, b, c] = split(x, 2, 1) as [Tensor, Tensor, Tensor];
  const y = add(add(sum(mul(a, 2)), sum(mul(b, b))), sum(mul(c, a)));
  const { dispatches } = device().stats();
  const [gradient] = grad(y, [x], { retainGraph: true });
  // Σ 2a + b² + c·a
  const want = (x: number[]) => [2 + x[4]!, 2 + x[5]!, 2 * x[2]!, 2 * x[3]!, x[0]!, x[1]!];
  const all = [...want(count(6)), ...want(count(12).slice(6))];
  assert.equal(await list(gradient!), all);
  const before = device().stats().dispatches;
  grad(y, [x], { retainGraph: true });
  assert.is(device().stats().dispatches - before, before - dispatches, 'the same again');
  const parts = split(x, 2, 1).map((part) => sum(part));
  const joinsAlone = (outputs: readonly Tensor[]) => {
    const total = outputs.reduce((p, q) => add(p, q));
    const from = device().stats().dispatches;
    grad(total, [x], { retainGraph: true });
    return device().stats().dispatches - from;
  };
  assert.is(joinsAlone(parts), 5, 'ones, a launch a part, and the copy that grad hands out');
  const [one] = grad(sum(split(x, [1, 5], 1)[1]!), [x]);
  assert.equal(await list(one!), [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1]);
  const [two] = grad(add(sum(a), sum(c)), [x]);
  assert.equal(await list(two!), [1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]);
});

test('each part may have a backward pass of its own, as in PyTorch', async () => {
  const x = tensor([1, 2, 3], { requiresGrad: true });
  const [a, b] = split(x, [1, 2]) as [Tensor, Tensor];
  sum(mul(a, a)).backward();
  sum(mul(b, b)).backward();
  assert.equal(await list(x.grad!), [2, 4, 6]);
  const [c, d] = chunk(mul(x, x), 2) as [Tensor, Tensor];
  sum(c).backward();
  assert.throws(() => sum(d).backward(), /graph of 'mul' was used before/);
});

test('second derivatives and jvp go through parts', async () => {
  const f = (x: Tensor) => {
    const [a, b] = chunk(x, 2) as [Tensor, Tensor];
    return mul(mul(a, a), b);
  };
  const x = tensor([1, 2, 3, 4], { requiresGrad: true });
  const [first] = grad(sum(f(x)), [x], { createGraph: true });
  assert.equal(await list(first!), [6, 16, 1, 4]);
  const [second] = grad(sum(first!), [x]);
  assert.equal(await list(second!), [2 * 3 + 2, 2 * 4 + 4, 2, 4]);
  const { tangent } = jvp(f, [x], [tensor([1, 0, 0, 1])]);
  assert.equal(await list(tangent), [6, 4]);
});

test.run();
