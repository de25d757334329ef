// Scattering with every reduction against loops; gradients with and without ties and zeros; the same bits each time.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { grad } from '../../src/autograd/backward';
import { indexAdd, indexCopy, indexReduce, type ScatterReduce, scatter, scatterReduce } from '../../src/ops/scatter';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { contiguousStrides, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';
import { ints } from './moves';

useGpu();

type Fold = (values: number[]) => number;
const folds: Record<ScatterReduce | 'last', Fold> = {
  sum: (v) => v.reduce((a, b) => a + b, 0),
  prod: (v) => v.reduce((a, b) => a * b, 1),
  mean: (v) => v.reduce((a, b) => a + b, 0) / v.length,
  amax: (v) => Math.max(...v),
  amin: (v) => Math.min(...v),
  last: (v) => v[v.length - 1],
};

/** What comes to each place of x, folded. */
function scattered(shape: Shape, axis: number, indexShape: Shape, index: readonly number[], fold: Fold, self: boolean) {
  const [strides, own] = [contiguousStrides(indexShape), contiguousStrides(shape)];
  return (x: ArrayLike<number>, source: ArrayLike<number>): number[] => {
    const come: number[][] = Array.from({ length: size(shape) }, () => []);
    for (let i = 0; i < size(indexShape); i++) {
      const at = indexShape.map((n, d) => (d === axis ? index[i] : Math.floor(i / strides[d]) % n));
      come[at.reduce((sum, c, d) => sum + c * own[d], 0)].push(source[i]);
    }
    return come.map((list, k) => (list.length ? fold(self ? [x[k], ...list] : list) : x[k]));
  };
}

const shapes: [Shape, number, Shape][] = [
  [[3, 4], 0, [6, 3]],
  [[2, 3, 2], 1, [2, 5, 2]],
  [[80], 0, [100]], // sorted first
  [[2, 70], -1, [2, 90]],
];

const indexFor = (shape: Shape, axis: number, indexShape: Shape) =>
  [...numbers(size(indexShape), 9, 0, shape.at(axis))].map(Math.floor);

test('every reduction, with and without x, and its gradients', async () => {
  await onBothTargets(async () => {
    for (const [shape, dim, indexShape] of shapes.slice(0, 3)) {
      const at = indexFor(shape, dim, indexShape);
      const inputs = { shapes: [shape, indexShape], values: [numbers(size(shape), 1), numbers(size(indexShape), 2)] };
      const index = () => ints(at, indexShape);
      const reference = (fold: Fold, self: boolean) => scattered(shape, dim, indexShape, at, fold, self);
      for (const reduce of ['sum', 'prod', 'mean', 'amax', 'amin'] as const)
        for (const includeSelf of [true, false])
          await checkOperation(`${reduce} [${shape}] self ${includeSelf}`, {
            ...inputs,
            run: (x, source) => scatterReduce(x, dim, index(), source, reduce, { includeSelf }),
            reference: reference(folds[reduce], includeSelf),
          });
      const last = reference(folds.last, false);
      const y = scatter(zeros(shape), dim, index(), tensor(Float32Array.from(inputs.values[1]), { shape: indexShape }));
      close(await y.data(), last(new Float64Array(size(shape)), inputs.values[1]), 0, 'the last one stays');
      const times = scatter(zeros(shape).add(2), dim, index(), 3, { reduce: 'multiply' });
      const want = reference(folds.prod, true)(
        new Float64Array(size(shape)).fill(2),
        at.map(() => 3),
      );
      close(await times.data(), want, 1e-5, 'multiplied');
    }
  });
});

test('distinct places: replaced, and the gradients of both', async () => {
  const at = [2, 0, 1, 2];
  await checkOperation('scatter', {
    shapes: [
      [2, 3],
      [2, 2],
    ],
    values: [numbers(6, 1), numbers(4, 2)],
    run: (x, source) => scatter(x, 1, ints(at, [2, 2]), source),
    reference: scattered([2, 3], 1, [2, 2], at, folds.last, false),
  });
  const larger = tensor(Float32Array.from(numbers(9, 3)), { shape: [3, 3], requiresGrad: true });
  scatter(zeros([2, 3]), 1, ints(at, [2, 2]), larger)
    .sum()
    .backward();
  assert.equal(
    [...(await larger.grad!.data())],
    [1, 1, 0, 1, 1, 0, 0, 0, 0],
    'what the index does not take of a source',
  );
});

test('slices: added, replaced, combined', async () => {
  const x = {
    shapes: [
      [3, 2],
      [4, 2],
    ] as Shape[],
    values: [numbers(6, 1), numbers(8, 2)],
  };
  const at = [2, 0, 2, 2];
  const full = at.flatMap((k) => [k, k]);
  const like = (fold: Fold, self: boolean) => scattered([3, 2], 0, [4, 2], full, fold, self);
  await checkOperation('indexAdd', {
    ...x,
    run: (a, b) => indexAdd(a, 0, ints(at), b, { alpha: -2 }),
    reference: (a, b) =>
      like(folds.sum, true)(
        a,
        b.map((v) => -2 * v),
      ),
  });
  for (const reduce of ['prod', 'mean', 'amax', 'amin'] as const)
    await checkOperation(`indexReduce ${reduce}`, {
      ...x,
      run: (a, b) => indexReduce(a, 0, ints(at), b, reduce),
      reference: like(folds[reduce], true),
    });
  const copied = indexCopy(zeros([3]), 0, ints([1, 1]), tensor([4, 5]));
  assert.equal([...(await copied.data())], [0, 5, 0]);
});

test('ties share a gradient, zeros get theirs, NaN passes', async () => {
  const run = async (reduce: ScatterReduce, a: number[], b: number[]) => {
    const [x, source] = [a, b].map((v) => tensor(v, { requiresGrad: true }));
    const y = scatterReduce(x, 0, ints(b.map(() => 0)), source, reduce);
    y.sum().backward();
    return [y, x.grad!, source.grad!].map((t) => t.data());
  };
  const all = async (parts: Promise<Promise<ArrayLike<number>>[]>) =>
    (await Promise.all(await parts)).map((list) => Array.from(list));
  assert.equal(await all(run('amax', [2, 7], [2, 1, 2])), [
    [2, 7],
    [1 / 3, 1].map(Math.fround),
    [1 / 3, 0, 1 / 3].map(Math.fround),
  ]);
  assert.equal(await all(run('prod', [2], [0, 3])), [[0], [0], [6, 0]]);
  assert.equal(await all(run('prod', [0], [0, 3])), [[0], [0], [0, 0]]);
  assert.equal((await all(run('amin', [1], [Number.NaN, 3])))[0], [Number.NaN]);
  assert.equal([...(await scatterReduce(ints([-3]), 0, ints([0]), ints([-4]), 'mean').data())], [-4], 'rounded down');
  assert.equal([...(await scatter(tensor([true, true]), 0, ints([1]), tensor([false])).data())], [1, 0]);
});

test('second derivatives', async () => {
  const [x, source] = [tensor([2, 3], { requiresGrad: true }), tensor([4, 5], { requiresGrad: true })];
  const second = async (reduce: ScatterReduce) => {
    const [g] = grad(
      scatterReduce(x, 0, ints([0, 0]), source, reduce)
        .square()
        .sum(),
      [source],
      { createGraph: true },
    );
    return [...(await grad(g!.sum(), [source])[0]!.data())];
  };
  // d/ds of 2·y·dy/ds: of (x·s·t)² 2x²t² and 4x²st.
  close(await second('prod'), [2 * 4 * 25 + 4 * 4 * 20, 2 * 4 * 16 + 4 * 4 * 20], 1e-5);
  close(await second('mean'), [4 / 9, 4 / 9], 1e-5);
  close(await second('amax'), [0, 2], 1e-5);
});

test('equal bits each time, whatever meets', async () => {
  const [x, source] = [zeros([5]), tensor(Float32Array.from(numbers(4000, 1)))];
  const index = ints(indexFor([5], 0, [4000]));
  const once = async () => [...new Uint32Array((await scatterReduce(x, 0, index, source, 'sum').data()).buffer)];
  assert.equal(await once(), await once());
});

test('an index out of range is told, and spoils its line alone', async () => {
  const told = async (y: Tensor, message: RegExp) => {
    assert.match(String(await y.data().catch((e: Error) => e)), message);
    return [...(await y.data())];
  };
  const y = scatter(zeros([2, 2]), 1, ints([0, 2], [2, 1]), 5);
  assert.equal(await told(y, /scatter: 2 is out of range, .*0 … 1/), [5, 0, Number.NaN, Number.NaN]);
  await told(
    scatterReduce(zeros([100]), 0, ints([...numbers(99, 1, 0, 9)].map(Math.floor).concat(-7)), zeros([100]), 'amax'),
    /scatterReduce: -7/,
  );
  await told(indexCopy(zeros([2]), 0, ints([2]), zeros([1])), /indexCopy: 2/);
});

test('wrong calls', () => {
  const x = zeros([2, 3]);
  const at = ints([0], [1, 1]);
  assert.throws(() => scatter(x, 1, at, ints([1], [1, 1])), /scatter: the input is float32, the source int32/);
  assert.throws(() => scatter(x, 1, at, 'a' as unknown as number), /the source is a/);
  assert.throws(() => scatter(x, 1, at, 1, { reduce: 'sum' as 'add' }), /reduce 'sum' must be 'add' or 'multiply'/);
  assert.throws(() => scatterReduce(x, 1, at, zeros([1, 1]), 'max' as 'amax'), /reduce is 'max'.*'amax'/);
  assert.throws(() => indexAdd(x, 0, ints([0]), zeros([1, 2])), /indexAdd: the source must be \[1, 3\].*\[1, 2\]/);
  assert.throws(() => indexReduce(x, 0, ints([0]), zeros([1, 3]), 'sum' as 'mean'), /indexAdd adds/);
});

test.run();
