// Dropout: how many elements go, what the others become, the same mask in the gradient, seeds, edges, refusals.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { dropout } from '../../src/ops/dropout';
import { transpose } from '../../src/ops/views';
import { ones, tensor, zeros } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import { useGpu } from '../util';
import { ints } from './moves';

useGpu();

test('a share of the elements goes, the others are divided by the rest', async () => {
  for (const p of [0.1, 0.5, 0.9]) {
    manualSeed(1);
    const n = 20_000;
    const y = [...(await dropout(ones([n]), { p }).data())];
    const kept = y.filter((v) => v !== 0);
    assert.ok(kept.every((v) => Math.abs(v - 1 / (1 - p)) < 1e-6));
    const deviation = Math.sqrt(n * p * (1 - p));
    assert.ok(Math.abs(kept.length - n * (1 - p)) < 5 * deviation, `${kept.length} of ${n} stay, p = ${p}`);
  }
});

test('the gradient has the mask of the value; equal seeds give equal masks', async () => {
  const x = ones([300]).requiresGrad_();
  const y = dropout(x, { p: 0.3 });
  y.sum().backward();
  assert.equal([...(await x.grad!.data())], [...(await y.data())]);
  const drawn = async () => {
    manualSeed(7);
    return [...(await dropout(ones([50])).data())];
  };
  assert.equal(await drawn(), await drawn());
  const [first, second] = [dropout(ones([50])), dropout(ones([50]))];
  assert.not.equal([...(await first.data())], [...(await second.data())], 'each call draws anew');
});

test('edges', async () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  assert.is(dropout(x, { training: false }), x);
  assert.is(dropout(x, { p: 0 }), x);
  assert.equal([...(await dropout(x, { p: 1 }).data())], [0, 0, 0, 0]);
  assert.equal(dropout(zeros([0, 3])).shape, [0, 3]);
  const view = [...(await dropout(transpose(x), { p: 0.5 }).data())];
  assert.ok(
    view.every((v, i) => v === 0 || v === 2 * [1, 3, 2, 4][i]),
    `${view} of a view`,
  );
});

test('wrong calls', () => {
  assert.throws(() => dropout(zeros([1]), { p: 1.5 }), /dropout: p is 1\.5/);
  assert.throws(() => dropout(ints([1])), /dropout: input is int32/);
  assert.throws(() => dropout(zeros([1]), 0.9 as unknown as object), /options are an object.*p: 0\.9/);
});

test.run();
