// Values by rank, running extremes and logarithms of sums, with their positions, against loops.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { grad } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import '../../src/ops/methods';
import { logcumsumexp } from '../../src/ops/log-scan';
import * as rank from '../../src/ops/rank';
import type { Sorted } from '../../src/ops/sort';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';
import { ints } from './moves';

useGpu();

type Line = readonly number[];
/** The position of what a line is asked for. */
type Pick = (line: Line) => number;

const ascending = (line: Line) => line.map((_, i) => i).sort((a, b) => line[a] - line[b] || a - b);
const first = (better: (a: number, b: number) => boolean) => (line: Line) =>
  line.reduce((best, v, i) => (better(v, line[best]) ? i : best), 0);
const often: Pick = (line) => {
  const times = (v: number) => line.filter((u) => u === v).length;
  const best = [...line].sort((a, b) => times(b) - times(a) || a - b)[0];
  return line.lastIndexOf(best);
};

const cases: [string, (x: Tensor, dim: number, keepDim?: boolean) => Sorted, Pick][] = [
  ['maxWithIndices', rank.maxWithIndices, first((a, b) => a > b)],
  ['minWithIndices', rank.minWithIndices, first((a, b) => a < b)],
  ['median', rank.median, (line) => ascending(line)[(line.length - 1) >> 1]],
  ['nanmedian', rank.nanmedian, (line) => ascending(line)[(line.length - 1) >> 1]],
  ['kthvalue', (x, dim, keepDim) => rank.kthvalue(x, 2, dim, keepDim), (line) => ascending(line)[1]],
  ['mode', rank.mode, often],
];

test('values and positions along any dimension, with gradients', async () => {
  const shape = [2, 6, 2];
  const line = (x: ArrayLike<number>, o: number, i: number) =>
    Array.from({ length: 6 }, (_, j) => x[(o * 6 + j) * 2 + i]);
  const each = <T>(f: (o: number, i: number) => T) => [0, 1].flatMap((o) => [0, 1].map((i) => f(o, i)));
  for (const [name, run, pick] of cases) {
    const tied = name === 'mode' ? numbers(24, 4, 0, 3).map(Math.floor) : numbers(24, 4);
    if (name !== 'mode')
      await checkOperation(name, {
        shapes: [shape],
        values: [tied],
        run: (x) => run(x, 1).values,
        reference: (x) => each((o, i) => line(x, o, i)[pick(line(x, o, i))]),
      });
    const { values, indices } = run(tensor(Float32Array.from(tied), { shape }), -2, true);
    assert.equal(values.shape, [2, 1, 2], name);
    assert.equal(
      [...(await indices.data())],
      each((o, i) => pick(line(tied, o, i))),
      name,
    );
    const whole = run(ints([...numbers(24, 5, 0, 4)].map(Math.floor), shape), 1);
    assert.equal([whole.values.dtype, whole.indices.dtype, whole.values.shape], ['int32', 'int32', [2, 2]]);
    if (name !== 'kthvalue') assert.equal(run(tensor(3), 0).values.shape, [], `${name} without dimensions`);
    const view = run(
      transpose(
        tensor([
          [1, 5, 3],
          [2, 2, 9],
        ]),
      ),
      0,
    );
    assert.equal([...(await view.values.data())].length, 2, `${name} of a view`);
  }
});

test('of all elements; ties share the gradient', async () => {
  const x = tensor([3, 1, 2, 2, 2, 9], { requiresGrad: true });
  const y = rank.median(x);
  assert.equal([y.shape, await y.item()], [[], 2]);
  y.backward();
  close(await x.grad!.data(), [0, 0, 1 / 3, 1 / 3, 1 / 3, 0], 1e-6);
  assert.is(await rank.median(ints([4, 1, 3, 2], [2, 2])).item(), 2);
  assert.ok(Number.isNaN(await rank.median(zeros([0])).item()));
  const both = rank.aminmax(
    tensor([
      [1, 4],
      [1, 0],
    ]),
    1,
  );
  assert.equal(
    [[...(await both.min.data())], [...(await both.max.data())]],
    [
      [1, 0],
      [4, 1],
    ],
  );
});

test('NaN', async () => {
  const x = tensor([
    [1, Number.NaN, 0, 5],
    [4, 3, 2, 1],
  ]);
  const both = async ({ values, indices }: Sorted) => [[...(await values.data())], [...(await indices.data())]];
  assert.equal(await both(rank.median(x, 1)), [
    [Number.NaN, 2],
    [1, 2],
  ]);
  assert.equal(await both(rank.nanmedian(x, 1)), [
    [1, 2],
    [0, 2],
  ]);
  assert.equal(await both(rank.maxWithIndices(x, 1)), [
    [Number.NaN, 4],
    [1, 0],
  ]);
  assert.equal(await both(rank.kthvalue(x, 4, 1)), [
    [Number.NaN, 4],
    [1, 0],
  ]);
  assert.equal((await both(rank.cummax(x, 1)))[1], [0, 1, 1, 1, 0, 0, 0, 0]);
  assert.ok(Number.isNaN(await rank.median(x).item()));
  assert.is(await rank.nanmedian(x).item(), 2);
  assert.ok(Number.isNaN(await rank.nanmedian(tensor([Number.NaN])).item()));
  const infinite = tensor([Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY, 2, Number.NaN, 1]);
  const [low, e, high] = [Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY];
  assert.equal([...(await logcumsumexp(infinite, 0).data())], [low, e, high, high, Number.NaN, Number.NaN]);
});

test('running extremes and logarithms of sums, in short and in long lines', async () => {
  await onBothTargets(async () => {
    for (const n of [1, 7, 300]) {
      const values = numbers(2 * n, n, -50, 50); // no two as near as the steps of numeric gradients
      const run = (line: Line, better: (a: number, b: number) => boolean) => {
        let best = 0;
        return line.map((v, i) => line[(best = better(v, line[best]) ? i : best)]);
      };
      const lines = (f: (line: Line) => Line) => (x: Float64Array) =>
        [f([...x.subarray(0, n)]), f([...x.subarray(n)])].flat();
      const shapes = [[2, n]];
      const common = { shapes, values: [values] };
      await checkOperation(`cummax ${n}`, {
        ...common,
        run: (x) => rank.cummax(x, 1).values,
        reference: lines((l) => run(l, (a, b) => a >= b)),
      });
      await checkOperation(`cummin ${n}`, {
        ...common,
        run: (x) => rank.cummin(x, -1).values,
        reference: lines((l) => run(l, (a, b) => a <= b)),
      });
      const logs = (line: Line) => {
        let sum = 0;
        return line.map((v) => Math.log((sum += Math.exp(0.4 * v))));
      };
      await checkOperation(`logcumsumexp ${n}`, {
        ...common,
        run: (x) => logcumsumexp(x.mul(0.4), 1),
        reference: lines(logs),
      });
    }
  });
  assert.equal([...(await rank.cummax(ints([2, 2, 1, 3, 3]), 0).indices.data())], [0, 1, 1, 3, 4], 'of ties the last');
  // Tangents, and second derivatives where the gradient that comes in is 0: by hand, p of [a, b] is [1, σ(b − a)].
  const x = tensor([0.5, -1, Number.NEGATIVE_INFINITY]).requiresGrad_();
  const share = 1 / (1 + Math.exp(1.5));
  const { tangent } = jvp((t) => logcumsumexp(t, 0), [x], [tensor([1, 2, 5])]);
  close(await tangent.data(), [1, 1 + share, 1 + share]);
  const upstream = zeros([3]).requiresGrad_();
  const [dx] = grad(logcumsumexp(x, 0), [x], { gradient: upstream, createGraph: true });
  const [du] = grad(dx!.mul(tensor([1, 2, 5])).sum(), [upstream]);
  close(await du!.data(), [1, 1 + share, 1 + share]);
  // A far larger element comes late; e^1000 would overflow.
  close(await logcumsumexp(tensor([0, 1000, 999, 1000]), 0).data(), [0, 1000, 1000.31326, 1000.86199], 1e-6);
  // Sums of a million equal terms keep their last digits.
  const many = logcumsumexp(zeros([1 << 17]), 0).narrow(0, (1 << 17) - 1, 1);
  close(await many.data(), [17 * Math.LN2], 1e-6);
});

test('wrong calls', () => {
  assert.throws(() => rank.kthvalue(zeros([2, 3]), 4), /kthvalue: k = 4 of 3.*1 … 3/);
  assert.throws(() => rank.maxWithIndices(zeros([2, 0]), 1), /no maxWithIndices of nothing/);
  assert.throws(() => rank.cummax(zeros([2]), 1), /dimension 1/);
  assert.throws(() => logcumsumexp(ints([1]), 0), /logcumsumexp: input is int32/);
});

test.run();
