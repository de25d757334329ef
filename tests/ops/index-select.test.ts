// Slices by a list of positions: every dimension, types, repeated and many positions, refusals; out of range is in gather.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { indexSelect } from '../../src/ops/index-select';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import { useGpu } from '../util';
import { count, ints, type Move, moves } from './moves';

useGpu();

const cases: Move[] = [
  ['rows', [3, 2], (x) => indexSelect(x, 0, ints([2, 0, 2])), [3, 2], [4, 5, 0, 1, 4, 5]],
  ['a middle dimension', [2, 3, 1], (x) => indexSelect(x, -2, ints([1])), [2, 1, 1], [1, 4]],
  ['no position', [2, 3], (x) => indexSelect(x, 1, ints([])), [2, 0], []],
  ['one without dimensions', [2, 3], (x) => indexSelect(x, 0, ints([1], [])), [1, 3], [3, 4, 5]],
  ['a view', [2, 3], (x) => indexSelect(transpose(x), 0, ints([1, 1])), [2, 2], [1, 4, 1, 4]],
  ['more than are sorted', [3], (x) => indexSelect(x, 0, ints(count(100).map((i) => i % 3))), [100], count(100).map((i) => i % 3)],
]; // biome-ignore format: a case a line

test('what is taken, and where its gradients go', async () => {
  for (const move of cases) await moves(move);
});

test('types', async () => {
  assert.equal([...(await indexSelect(ints([7, 8]), 0, tensor(Uint32Array.of(1))).data())], [8]);
  assert.is(indexSelect(tensor([true]), 0, ints([0])).dtype, 'bool');
  assert.equal([...(await indexSelect(tensor([Number.NaN, 1]), 0, ints([0, 1])).data())], [Number.NaN, 1]);
});

test('wrong calls', () => {
  assert.throws(() => indexSelect(zeros([2]), 0, zeros([1])), /index must be int32, it is float32.*cast/);
  assert.throws(() => indexSelect(zeros([2]), 0, ints([0], [1, 1])), /too many dimensions.*\[N\]/);
  assert.throws(() => indexSelect(zeros([2]), 1, ints([0])), /dimension 1/);
  assert.throws(() => indexSelect(tensor(1), 0, ints([0, 0])), /one position.*unsqueeze/);
});

test.run();
