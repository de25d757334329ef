// Running sums and products in short and long lines, from either end, with and without the element itself.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { cumprod, cumsum, type ScanOptions } from '../../src/ops/scan';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import { checkOperation, numbers, onBothTargets, useGpu } from '../util';
import { ints } from './moves';

useGpu();

const list = async (x: ReturnType<typeof zeros>) => [...(await x.data())];

/** The running ⊕ of a line. */
function running(line: readonly number[], plus: (a: number, b: number) => number, first: number, o: ScanOptions) {
  const y = new Array<number>(line.length);
  let so = first;
  for (let i = 0; i < line.length; i++) {
    const at = o.reverse ? line.length - 1 - i : i;
    const next = plus(so, line[at]);
    y[at] = o.exclusive ? so : next;
    so = next;
  }
  return y;
}

test('sums and products along a middle dimension, with gradients', async () => {
  await onBothTargets(async () => {
    for (const n of [1, 5, 150]) {
      const values = numbers(2 * n * 2, n).map((v) => (n === 5 && Math.abs(v) < 0.2 ? 0 : n > 100 ? 1 + v / 50 : v));
      for (const o of [{}, { exclusive: true }, { reverse: true }, { exclusive: true, reverse: true }]) {
        const lines = (plus: (a: number, b: number) => number, first: number) => (x: Float64Array) => {
          const y = new Float64Array(x.length);
          for (let outer = 0; outer < 2; outer++)
            for (let inner = 0; inner < 2; inner++) {
              const at = (j: number) => (outer * n + j) * 2 + inner;
              const line = Array.from({ length: n }, (_, j) => x[at(j)]);
              running(line, plus, first, o).forEach((v, j) => (y[at(j)] = v));
            }
          return y;
        };
        const common = { shapes: [[2, n, 2]], values: [values] };
        const what = `${n} ${JSON.stringify(o)}`;
        const [add, mul] = [(a: number, b: number) => a + b, (a: number, b: number) => a * b];
        await checkOperation(`cumsum ${what}`, { ...common, run: (x) => cumsum(x, 1, o), reference: lines(add, 0) });
        await checkOperation(`cumprod ${what}`, { ...common, run: (x) => cumprod(x, -2, o), reference: lines(mul, 1) });
      }
    }
  });
});

test('types, views, edges, NaN', async () => {
  assert.equal(await list(cumsum(ints([1, 2, 3]), 0)), [1, 3, 6]);
  assert.equal(await list(cumprod(ints([2, 3, 4]), 0)), [2, 6, 24]);
  const counted = cumsum(tensor([true, false, true]), 0);
  assert.equal([counted.dtype, ...(await list(counted))], ['int32', 1, 1, 2]);
  assert.equal(
    await list(
      cumsum(
        transpose(
          tensor([
            [1, 2],
            [3, 4],
          ]),
        ),
        1,
      ),
    ),
    [1, 4, 2, 6],
  );
  assert.equal(await list(cumsum(tensor(3), 0)), [3]);
  assert.equal(cumsum(zeros([2, 0]), 1).shape, [2, 0]);
  assert.equal(await list(cumsum(tensor([1, Number.NaN, 2]), 0)), [1, Number.NaN, Number.NaN]);
  const [high, low] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  assert.equal(await list(cumsum(tensor([1, high, 2, low]), 0)), [1, high, high, Number.NaN]);
  assert.equal(await list(cumprod(tensor([high, 2, 0]), 0)), [high, high, Number.NaN]);
});

test('wrong calls', () => {
  assert.throws(() => cumsum(zeros([2]), 1), /cumsum: dimension 1/);
  assert.throws(
    () => cumprod(zeros([2]), 0, { reversed: true } as object),
    /no option 'reversed': did you mean reverse/,
  );
});

test.run();
