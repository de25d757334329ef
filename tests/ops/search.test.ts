// Searching, counting, different elements and repeated ones, against loops.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { bincount, bucketize, histc, isin, searchsorted } from '../../src/ops/search';
import { argsort } from '../../src/ops/sort';
import { repeatInterleave, type Unique, unique, uniqueConsecutive } from '../../src/ops/unique';
import { flip } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';
import { count, ints, moves } from './moves';

useGpu();

const list = async (x: Tensor | Promise<Tensor>) => [...(await (await x).data())];
const { NaN: none, POSITIVE_INFINITY: high, NEGATIVE_INFINITY: low } = Number;

test('searchsorted: one line, lines of their own, before and behind equals', async () => {
  for (const [n, m] of [
    [1, 3],
    [5, 4],
    [300, 70],
  ]) {
    const sorted = [0, 1].flatMap((k) => [...numbers(n, n + k, 0, 9)].map(Math.floor).sort((a, b) => a - b));
    const values = [...numbers(2 * m, 5, -1, 10)].map(Math.floor);
    for (const right of [false, true]) {
      const before = (line: number[], v: number) => line.filter((a) => (right ? a <= v : a < v)).length;
      const want = values.map((v, i) => before(sorted.slice(i < m ? 0 : n, i < m ? n : 2 * n), v));
      for (const make of [ints, (v: number[], shape: number[]) => tensor(Float32Array.from(v), { shape })]) {
        assert.equal(await list(searchsorted(make(sorted, [2, n]), make(values, [2, m]), { right })), want);
        const alone = searchsorted(make(sorted.slice(0, n), [n]), make(values, [m, 2]), {
          side: right ? 'right' : 'left',
        });
        assert.equal(
          await list(alone),
          values.map((v) => before(sorted.slice(0, n), v)),
        );
        assert.equal(alone.shape, [m, 2]);
      }
    }
  }
  const x = tensor([3, 1, 2]);
  assert.equal(await list(searchsorted(x, tensor([1.5, 9]), { sorter: argsort(x) })), [1, 3]);
  assert.equal(await list(searchsorted(flip(tensor([3, 2, 1])), 2)), [1], 'a view, and a number');
  assert.equal(await list(searchsorted(tensor([1, 2, none]), tensor([none, high, low, 1.5]))), [3, 3, 0, 1]);
  assert.equal(await list(bucketize(tensor([0, 1, 5]), tensor([1, 3]), { right: true, outInt32: true })), [0, 1, 2]);
  assert.equal(searchsorted(zeros([0]), zeros([2])).shape, [2]);
});

test('isin', async () => {
  assert.equal(await list(isin(ints([1, 2, 3, 4]), ints([4, 2, 9]))), [0, 1, 0, 1]);
  assert.equal(await list(isin(tensor([1, none, -0]), tensor([none, 0]), { invert: true })), [1, 1, 0]);
  assert.equal(await list(isin(ints([1, 2]), 2)), [0, 1]);
  assert.equal(await list(isin(ints([1, 2]), 1.5)), [0, 0]);
  assert.equal(await list(isin(2, ints([1, 2]))), [1]);
  assert.equal(await list(isin(ints([1]), zeros([0]))), [0]);
});

test('bincount and histc', async () => {
  assert.equal(await list(bincount(ints([1, 3, 1]))), [0, 2, 0, 1]);
  assert.equal(await list(bincount(ints([1, 0]), { weights: tensor([0.5, 2]), minlength: 3 })), [2, 0.5, 0]);
  assert.equal(await list(bincount(ints([]), { minlength: 2 })), [0, 0]);
  const x = numbers(5000, 3, -2, 2);
  const bins = (from: number, to: number, n: number) => {
    const counts = new Array<number>(n).fill(0);
    for (const v of x) if (v >= from && v <= to) counts[Math.min(n - 1, Math.floor(((v - from) * n) / (to - from)))]++;
    return counts;
  };
  close(await histc(tensor(Float32Array.from(x)), { bins: 8, min: -1, max: 1 }).data(), bins(-1, 1, 8), 0);
  assert.equal(await list(histc(tensor([0, none, 1, 2, high]), { bins: 2, min: 0, max: 2 })), [1, 2]);
  assert.equal(await list(histc(tensor([2, 2]), { bins: 2 })), [0, 2]);
  assert.equal(await list(histc(tensor([2, none]), { bins: 2 })), [none, none]);
  assert.equal(await list(histc(tensor([1, 2, 3]), { bins: 2 })), [1, 2], 'its own range');
});

test('different elements, in order, with where they stood and how often', async () => {
  const all = async ({ values, inverse, counts }: Unique) =>
    Promise.all([values, inverse, counts].map(async (t) => t && [...(await t.data())]));
  const options = { returnInverse: true, returnCounts: true };
  assert.equal(await all(await unique(ints([3, 1, 3, 2]), options)), [
    [1, 2, 3],
    [2, 0, 2, 1],
    [1, 1, 2],
  ]);
  assert.equal(await all(await unique(tensor([none, 0, none, -0]), options)), [
    [0, none, none],
    [1, 0, 2, 0],
    [2, 1, 1],
  ]);
  assert.equal(await all(await unique(tensor([true, false, true]))), [[0, 1], null, null]);
  const rows = await unique(ints([1, 0, 0, 9, 1, 0], [3, 2]), { dim: 0, ...options });
  assert.equal(
    [rows.values.shape, ...(await all(rows))],
    [
      [2, 2],
      [0, 9, 1, 0],
      [1, 0, 1],
      [1, 2],
    ],
  );
  const columns = await unique(ints([1, 0, 1, 2, 0, 2], [2, 3]), { dim: -1, ...options });
  assert.equal(
    [columns.values.shape, ...(await all(columns))],
    [
      [2, 2],
      [0, 1, 0, 2],
      [1, 0, 1],
      [1, 2],
    ],
  );
  assert.equal(await all(await uniqueConsecutive(ints([1, 1, 2, 1, 1, 1]), options)), [
    [1, 2, 1],
    [0, 0, 1, 2, 2, 2],
    [2, 1, 3],
  ]);
  assert.equal(await all(await unique(zeros([0]), options)), [[], [], []]);
  const many = [...numbers(3000, 1, 0, 100)].map(Math.floor);
  const { values, inverse } = await unique(ints(many, [3, 1000]), { returnInverse: true });
  assert.equal(inverse!.shape, [3, 1000]);
  const [v, i] = await Promise.all([list(values), list(inverse!)]);
  assert.equal(
    v,
    [...new Set(many)].sort((a, b) => a - b),
  );
  assert.equal(
    i.map((k) => v[k]),
    many,
  );
});

test('repeatInterleave', async () => {
  await moves(['by a number', [2, 2], (x) => repeatInterleave(x, 2, { dim: 1 }), [2, 4], [0, 0, 1, 1, 2, 2, 3, 3]]);
  await moves(['flattened', [2, 2], (x) => repeatInterleave(x, 1), [4], count(4)]);
  const each = (x: Tensor) => repeatInterleave(x, ints([2, 0, 1]), { dim: 0, outputSize: 3 });
  await moves(['each its own', [3, 2], each, [3, 2], [0, 1, 0, 1, 4, 5]]);
  assert.equal(await list(repeatInterleave(tensor([7, 8]), ints([0, 3]))), [8, 8, 8]);
  assert.equal(await list(repeatInterleave(tensor([7, 8]), ints([2]))), [7, 7, 8, 8]);
  assert.equal(await list(repeatInterleave(ints([1, 0, 2]))), [0, 2, 2]);
  assert.match(
    String(await Promise.resolve(repeatInterleave(tensor([7]), ints([-1]))).catch((e: Error) => e)),
    /repeats of -1/,
  );
});

test('wrong calls', async () => {
  const refused = async (call: Promise<unknown>, message: RegExp) =>
    assert.match(String(await call.catch((e: Error) => e)), message);
  assert.throws(() => searchsorted(zeros([2]), ints([1])), /line is float32, the values int32/);
  assert.throws(() => searchsorted(zeros([2, 3]), zeros([3, 1])), /leading dimensions.*\[2, 3\].*\[3, 1\]/);
  assert.throws(() => searchsorted(zeros([2]), 1, { right: true, side: 'left' }), /side is 'left'/);
  assert.throws(() => bucketize(1, zeros([2, 2])), /boundaries are no vector/);
  assert.throws(() => histc(ints([1])), /histc: not defined for int32/);
  assert.throws(() => histc(zeros([1]), { min: 2, max: 1 }), /min 2 is above max 1/);
  assert.throws(() => repeatInterleave(zeros([2]), -1), /repeats is -1/);
  assert.throws(() => repeatInterleave(zeros([2]), ints([1, 2, 3])), /as many repeats as the 2 positions/);
  await refused(bincount(ints([0, -1])), /negative number, -1/);
  await refused(bincount(zeros([2])), /index must be int32/);
});

test.run();
