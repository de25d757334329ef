// Sorting options, types and refusals; values and gradients of long and short lines are in gather.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { argsort, msort, sort, topk } from '../../src/ops/sort';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';
import { ints } from './moves';

useGpu();

const list = async (x: Tensor) => [...(await x.data())];

test('stable in both directions, along any dimension', async () => {
  const tied = ints([2, 1, 2, 1, 1, 2], [3, 2]);
  assert.equal(await list(argsort(tied, { dim: 0 })), [2, 0, 0, 1, 1, 2]);
  assert.equal(await list(argsort(tied, { dim: 0, descending: true, stable: true })), [0, 2, 1, 0, 2, 1]);
  assert.equal(await list(msort(tied)), [1, 1, 2, 1, 2, 2]);
  assert.equal(await list(topk(tied, 1, { dim: 0, largest: false, sorted: true }).indices), [2, 0]);
  assert.equal(await list(sort(transpose(tied), { dim: -1 }).values), [1, 2, 2, 1, 1, 2], 'of a view');
});

test('types, edges', async () => {
  const flags = sort(tensor([true, false, true]));
  assert.equal([flags.values.dtype, ...(await list(flags.values))], ['bool', 0, 1, 1]);
  assert.equal(await list(sort(tensor(Uint32Array.of(4294967295, 1))).values), [1, 4294967295]);
  const one = sort(tensor(5));
  assert.equal([one.values.shape, await one.indices.item()], [[], 0]);
  assert.equal(topk(zeros([2, 3]), 0).values.shape, [2, 0]);
  assert.equal(topk(zeros([0, 3]), 2).indices.shape, [0, 2]);
});

test('msort passes gradients', async () => {
  await checkOperation('msort', {
    shapes: [[4, 1]],
    values: [numbers(4, 1)],
    run: msort,
    reference: (x) => x.slice().sort(),
  });
});

test('wrong calls', () => {
  assert.throws(() => sort(zeros([2]), { dim: 1 }), /sort: dimension 1/);
  assert.throws(() => sort(zeros([2]), { ascending: true } as object), /no option 'ascending'/);
  assert.throws(() => topk(zeros([2]), 3), /topk: k = 3 of 2/);
});

test.run();
