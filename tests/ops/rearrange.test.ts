// Rolls, turns, stacks, grids, differences, triangles, diagonals, windows and what is written into parts, against positions on the host.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import * as r from '../../src/ops/rearrange';
import { tril, trilIndices, triu, triuIndices } from '../../src/ops/triangle';
import * as part from '../../src/ops/view-scatter';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';
import { count, ints, type Move, moves } from './moves';

useGpu();

const two = [2, 3];
const cases: Move[] = [
  ['roll', two, (x) => r.roll(x, [1, -1], { dims: [0, 1] }), two, [4, 5, 3, 1, 2, 0]],
  ['roll, flattened', two, (x) => r.roll(x, -8), two, [2, 3, 4, 5, 0, 1]],
  ['roll of nothing', [0, 3], (x) => r.roll(x, 1, { dims: 0 }), [0, 3], []],
  ['rot90', two, (x) => r.rot90(x), [3, 2], [2, 5, 1, 4, 0, 3]],
  ['rot90 back', two, (x) => r.rot90(x, { k: -1 }), [3, 2], [3, 0, 4, 1, 5, 2]],
  ['rot90 twice', two, (x) => r.rot90(x, { k: 2, dims: [1, 0] }), two, [5, 4, 3, 2, 1, 0]],
  ['fliplr', two, r.fliplr, two, [2, 1, 0, 5, 4, 3]],
  ['flipud', two, r.flipud, two, [3, 4, 5, 0, 1, 2]],
  ['movedim', [2, 1, 3], (x) => r.movedim(x, [0, -1], [-1, 0]), [3, 1, 2], [0, 3, 1, 4, 2, 5]],
  ['unflatten', [6], (x) => r.unflatten(x, 0, [-1, 3]), two, count(6)],
  ['tensorSplit', [5], (x) => r.tensorSplit(x, 2)[1], [2], [3, 4]],
  ['tensorSplit at', [5], (x) => r.tensorSplit(x, [1, -1, 9])[1], [3], [1, 2, 3]],
  ['unbind', two, (x) => r.unbind(x, 1)[2], [2], [2, 5]],
  ['hstack', two, (x) => r.hstack([x, x]), [2, 6], [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]],
  ['vstack of vectors', [2], (x) => r.vstack([x, x]), [2, 2], [0, 1, 0, 1]],
  ['dstack', [2], (x) => r.dstack([x, x]), [1, 2, 2], [0, 0, 1, 1]],
  ['blockDiag', [2], (x) => r.blockDiag(x, zeros([1, 1])), [2, 3], [0, 1, -1, -1, -1, -1]],
  ['meshgrid', [2], (x) => r.meshgrid([x, zeros([3])])[0], two, [0, 0, 0, 1, 1, 1]],
  ['meshgrid xy', [2], (x) => r.meshgrid([x, zeros([3])], { indexing: 'xy' })[0], [3, 2], [0, 1, 0, 1, 0, 1]],
  ['cartesianProd', [2], (x) => r.cartesianProd(x, x), [4, 2], [0, 0, 0, 1, 1, 0, 1, 1]],
  ['combinations', [3], (x) => r.combinations(x), [3, 2], [0, 1, 0, 2, 1, 2]],
  ['with replacement', [2], (x) => r.combinations(x, { r: 2, withReplacement: true }), [3, 2], [0, 0, 0, 1, 1, 1]],
  ['padSequence', [2], (x) => r.padSequence([x, zeros([3])], { batchFirst: true }).select(0, 0), [3], [0, 1, -1]],
  ['padded left', [2], (x) => r.padSequence([x, zeros([3])], { paddingSide: 'left' }).select(1, 0), [3], [-1, 0, 1]],
  ['tril', [2, 3], (x) => tril(x), two, [0, -1, -1, 3, 4, -1]],
  ['triu of matrices', [2, 2, 2], (x) => triu(x, { diagonal: 1 }), [2, 2, 2], [-1, 1, -1, -1, -1, 5, -1, -1]],
  ['diagonal', two, (x) => part.diagonal(x, { offset: 1 }), [2], [1, 5]],
  ['diagonal of the last two', [2, 2, 2], (x) => part.diagonal(x, { dim1: -1, dim2: 1 }), [2, 2], [0, 3, 4, 7]],
  ['diagonal of a view', two, (x) => part.diagonal(transpose(x), { offset: -1 }), [2], [1, 5]],
  ['no diagonal', two, (x) => part.diagonal(x, { offset: 5 }), [0], []],
  ['diag', [2], (x) => part.diag(x, { diagonal: -1 }), [3, 3], [-1, -1, -1, 0, -1, -1, -1, 1, -1]],
  ['diagEmbed', [2, 1], (x) => part.diagEmbed(x, { offset: 1, dim1: 0 }), [2, 2, 2], [-1, 0, -1, 1, -1, -1, -1, -1]],
  ['diagflat', [2, 1], (x) => part.diagflat(x), [2, 2], [0, -1, -1, 1]],
  ['unfold', [5], (x) => part.unfold(x, 0, 3, 1), [3, 3], [0, 1, 2, 1, 2, 3, 2, 3, 4]],
  ['unfold a middle dimension', [2, 4, 1], (x) => part.unfold(x, -2, 2, 2), [2, 2, 1, 2], count(8)],
]; // biome-ignore format: a case a line

test('where elements go, and their gradients', async () => {
  for (const move of cases) await moves(move);
});

test('windows and diagonals are views; overlapping ones are not written into', async () => {
  const x = zeros([2, 3]);
  for (const view of [part.unfold(x, 1, 2, 1), part.diagonal(x), r.fliplr(x)]) assert.is(view.memory, x.memory);
  part.diagonal(x).assign_(1);
  assert.equal([...(await x.data())], [1, 0, 0, 0, 1, 0]);
  part.unfold(x, 1, 1, 2).assign_(2);
  assert.equal([...(await x.data())], [2, 0, 2, 2, 1, 2]);
  assert.throws(() => part.unfold(x, 1, 2, 1).assign_(1), /elements of the target share memory/);
});

test('parts replaced', async () => {
  const replaced: [string, (x: Tensor, s: Tensor) => Tensor, number[], number[]][] = [
    ['selectScatter', (x, s) => part.selectScatter(x, s, 1, -1), [2], [2, 5]],
    ['sliceScatter', (x, s) => part.sliceScatter(x, s, { dim: 1, start: 0, end: 3, step: 2 }), [2, 2], [0, 2, 3, 5]],
    ['diagonalScatter', (x, s) => part.diagonalScatter(x, s, { offset: -1 }), [1], [3]],
  ];
  for (const [name, run, shape, at] of replaced)
    await checkOperation(name, {
      shapes: [two, shape],
      values: [numbers(6, 1), numbers(at.length, 2)],
      run,
      reference: (x, s) => x.map((v, i) => (at.includes(i) ? s[at.indexOf(i)] : v)),
    });
  assert.throws(
    () => part.selectScatter(zeros(two), zeros([3]), 1, 0),
    /selectScatter: the source must be \[2\].*\[3\]/,
  );
});

test('differences', async () => {
  await checkOperation('diff', {
    shapes: [[4], [1]],
    values: [numbers(4, 1), numbers(1, 2)],
    run: (x, append) => r.diff(x, { n: 2, append }),
    reference: (x, a) => [0, 1, 2].map((i) => [...x, a[0]][i + 2] - 2 * [...x, a[0]][i + 1] + [...x, a[0]][i]),
  });
  assert.equal([...(await r.diff(tensor([true, true, false])).data())], [0, 1]);
  assert.equal([...(await r.diff(ints([1, 4, 2]), { prepend: ints([0]) }).data())], [1, 3, -2]);
  assert.equal(r.diff(zeros([2, 3]), { n: 5 }).shape, [2, 0]);
});

test('types, and where triangles stand', async () => {
  assert.equal(
    [
      ...(await tril(
        tensor([
          [true, true],
          [true, true],
        ]),
      ).data()),
    ],
    [1, 0, 1, 1],
  );
  assert.equal([...(await triu(ints([1, 2, 3, 4], [2, 2])).data())], [1, 2, 0, 4]);
  assert.equal(
    [
      ...(await tril(
        tensor([
          [1, Number.NaN],
          [Number.NaN, 1],
        ]),
      ).data()),
    ],
    [1, 0, Number.NaN, 1],
  );
  assert.equal(await trilIndices(2, 3, { offset: 1 }).toArray(), [
    [0, 0, 1, 1, 1],
    [0, 1, 0, 1, 2],
  ]);
  assert.equal(await triuIndices(3, 2).toArray(), [
    [0, 0, 1],
    [0, 1, 1],
  ]);
  assert.equal(trilIndices(0, 2).shape, [2, 0]);
  assert.equal(r.blockDiag().shape, [1, 0]);
});

test('wrong calls', () => {
  const x = zeros([2, 3]);
  assert.throws(() => r.roll(x, [1, 2], { dims: [0] }), /2 shifts for 1 dimensions/);
  assert.throws(() => r.rot90(x, { dims: [0, 0] }), /the plane is \[0, 0\]/);
  assert.throws(() => r.movedim(x, [0, 0], [0, 1]), /movedim/);
  assert.throws(() => r.unflatten(x, 1, [2, 2]), /of 3 elements is not \[2, 2\]/);
  assert.throws(() => r.hstack([]), /hstack: no list of tensors/);
  assert.throws(() => r.meshgrid([x]), /more than one dimension/);
  assert.throws(() => r.meshgrid([x], { indexing: 'yx' as 'xy' }), /indexing 'yx' must be 'ij' or 'xy'/);
  assert.throws(() => part.unfold(x, 1, 4, 1), /windows of 4 elements.*which has 3/);
  assert.throws(() => part.diagonal(x, { dim1: 1 }), /both dimensions are 1/);
  assert.throws(() => tril(zeros([3])), /tril: the input is no matrix/);
  assert.throws(() => part.diag(zeros([1, 1, 1])), /diagonal and diagEmbed/);
});

test.run();
