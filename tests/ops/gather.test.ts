// Gather, scatter, one-hot and sorting against loops.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { embedding } from '../../src/ops/embedding';
import { gather, oneHot } from '../../src/ops/gather';
import { indexSelect } from '../../src/ops/index-select';
import { scatterAdd } from '../../src/ops/scatter';
import { argsort, sort, topk } from '../../src/ops/sort';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { contiguousStrides, size } from '../../src/tensor/shape';
import { strided, type Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';

useGpu();

const ints = (values: number[], shape?: Shape) => tensor(Int32Array.from(values), { shape: shape ?? [values.length] });

/** Calls f with the flat position in `shape` of every index, and the position in `other` with coordinate `axis` replaced by its value. */
function each(
  shape: Shape,
  other: Shape,
  axis: number,
  index: ArrayLike<number>,
  f: (at: number, there: number) => void,
): void {
  const strides = contiguousStrides(shape);
  const others = contiguousStrides(other);
  for (let i = 0; i < size(shape); i++) {
    const coordinates = shape.map((n, d) => Math.floor(i / strides[d]) % n);
    f(
      i,
      coordinates.reduce((sum, c, d) => sum + (d === axis ? index[i] : c) * others[d], 0),
    );
  }
}

const cases: { x: number[]; index: number[]; axis: number }[] = [
  { x: [4, 5], index: [2, 5], axis: 0 },
  { x: [4, 5], index: [3, 7], axis: 1 },
  { x: [2, 3, 4], index: [1, 6, 3], axis: 1 },
  { x: [6], index: [9], axis: 0 },
];
const indexFor = ({ x, index, axis }: (typeof cases)[0]) => [...numbers(size(index), 9, 0, x[axis])].map(Math.floor);

test('gather', async () => {
  for (const c of cases) {
    const at = indexFor(c);
    await checkOperation(`gather [${c.x}] ${c.axis}`, {
      shapes: [c.x],
      values: [numbers(size(c.x), 1)],
      run: (x) => gather(x, c.axis, ints(at, c.index)),
      reference: (x) => {
        const y = new Float64Array(size(c.index));
        each(c.index, c.x, c.axis, at, (i, there) => {
          y[i] = x[there];
        });
        return y;
      },
    });
  }
});

test('scatterAdd with meeting sources', async () => {
  for (const c of cases) {
    const at = indexFor(c);
    await checkOperation(`scatterAdd [${c.x}] ${c.axis}`, {
      shapes: [c.x, c.index],
      values: [numbers(size(c.x), 1), numbers(size(c.index), 2)],
      run: (x, source) => scatterAdd(x, c.axis, ints(at, c.index), source),
      reference: (x, source) => {
        const y = x.slice();
        each(c.index, c.x, c.axis, at, (i, there) => {
          y[there] += source[i];
        });
        return y;
      },
    });
  }
  const counts = scatterAdd(tensor(Int32Array.from([5, 0, 0])), 0, ints([0, 2, 2]), ints([1, 1, 1]));
  assert.equal([...(await counts.data())], [6, 0, 2]);
});

test('indexSelect and embedding, with few and with many positions', async () => {
  for (const count of [5, 300]) {
    const at = [...numbers(count, 3, 0, 7)].map(Math.floor);
    await checkOperation(`embedding ${count}`, {
      shapes: [[7, 3]],
      values: [numbers(21, 1)],
      run: (x) => embedding(x, ints(at, [count / 5, 5])),
      reference: (x) => at.flatMap((k) => [...x.subarray(3 * k, 3 * k + 3)]),
    });
    await checkOperation(`indexSelect ${count}`, {
      shapes: [[2, 7]],
      values: [numbers(14, 1)],
      run: (x) => indexSelect(x, -1, ints(at)),
      reference: (x) => [0, 7].flatMap((row) => at.map((k) => x[row + k])),
    });
  }
});

test('views, types, empty and size-1 axes', async () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const transposed = strided(x, [3, 2], [1, 3]);
  assert.equal(await gather(transposed, 1, ints([1, 0, 1], [3, 1])).toArray(), [[4], [2], [6]]);
  assert.equal(await indexSelect(tensor([true, false]), 0, ints([1, 1, 0])).toArray(), [false, false, true]);
  assert.equal(indexSelect(x, 0, ints([])).shape, [0, 3]);
  assert.equal(
    [...(await scatterAdd(x, 0, zeros([0, 3], { dtype: 'int32' }), zeros([0, 3])).data())],
    [1, 2, 3, 4, 5, 6],
  );
  assert.equal(await oneHot(ints([2, 0]), 3).toArray(), [
    [0, 0, 1],
    [1, 0, 0],
  ]);
});

test('an index out of range is told at the next read, and never gives a number', async () => {
  /** What the first read throws, then the elements. */
  const told = async (y: Tensor, message: RegExp) => {
    assert.match(String(await y.data().catch((e: Error) => e)), message);
    return [...(await y.data())];
  };
  const x = tensor([1, 2, 3], { requiresGrad: true });
  const beyond = gather(x, 0, ints([0, 3, -1]));
  assert.equal(await told(beyond, /gather: (3|-1) is out of range, .*0 … 2/), [1, Number.NaN, Number.NaN]);
  assert.equal(await told(gather(ints([7]), 0, ints([1])), /gather: 1 is .*0 … 0/), [-(2 ** 31)]);
  assert.ok((await told(scatterAdd(zeros([3]), 0, ints([0, 5]), zeros([2])), /scatterAdd: 5/)).every(Number.isNaN));
  await told(indexSelect(zeros([3, 2]), 0, ints([-2])), /indexSelect: -2/);
  await told(embedding(zeros([3, 2]), ints([7])), /embedding: 7 is out of range, it must be in 0 … 2/);
  assert.equal(await told(oneHot(ints([1, 2]), 2), /oneHot: 2/), [0, 1, -(2 ** 31), -(2 ** 31)]);
});

test('refused input', () => {
  const x = zeros([2, 3]);
  assert.throws(() => gather(x, 0, zeros([2, 3])), /gather.*int32.*float32/);
  assert.throws(() => gather(x, 0, ints([0])), /number of dimensions.*\[2, 3\].*\[1\]/);
  assert.throws(() => gather(x, 1, ints([0, 0, 0], [3, 1])), /larger than the input/);
  assert.throws(() => scatterAdd(x, 1, ints([0, 0], [2, 1]), zeros([1, 1])), /cover the index/);
  assert.throws(() => scatterAdd(x, 1, ints([0, 0], [2, 1]), ints([1, 1], [2, 1])), /same numeric type/);
  assert.throws(() => oneHot(ints([0]), 0), /classes is 0/);
  assert.throws(() => topk(x, 4), /k = 4 of 3/);
});

/** Order as PyTorch's: stable, NaN above all. */
function orderOf(x: ArrayLike<number>, descending: boolean): number[] {
  const sign = descending ? -1 : 1;
  const value = (v: number) => (Number.isNaN(v) ? Number.POSITIVE_INFINITY : v);
  return Array.from({ length: x.length }, (_, i) => i).sort((a, b) => {
    const nan = Number(Number.isNaN(x[a])) - Number(Number.isNaN(x[b]));
    return sign * (nan || value(x[a]) - value(x[b]) || 0) || a - b;
  });
}

test('sorting short and long lines, both ways, with ties and special values', async () => {
  for (const n of [1, 2, 63, 1500, 4096]) {
    const x = Float32Array.from(numbers(n, n, -20, 20), Math.floor);
    if (n > 2) x.set([Number.NaN, Number.NEGATIVE_INFINITY, -0, 0, Number.POSITIVE_INFINITY, 1e-40, -1e-40], n >> 1);
    for (const descending of [false, true]) {
      const { values, indices } = sort(tensor(x), { descending });
      const order = orderOf(x, descending);
      assert.equal([...(await indices.data())], order, `order of ${n}, descending ${descending}`);
      assert.equal(
        [...(await values.data())],
        order.map((i) => x[i]),
      );
    }
  }
  assert.equal([...(await argsort(ints([3, -1, 2, -5])).data())], [3, 1, 2, 0]);
  assert.equal([...(await argsort(tensor(Uint32Array.from([3, 4e9, 2]))).data())], [2, 0, 1]);
  assert.equal(sort(zeros([0])).values.shape, [0]);
  assert.equal(sort(zeros([3, 0])).values.shape, [3, 0]);
});

test('sort and topk along any axis, with gradients', async () => {
  const shape = [5, 6, 2];
  const values = [numbers(60, 4)];
  const along = (x: Float64Array, k: number, descending: boolean) => {
    const y = new Float64Array(5 * k * 2);
    for (let o = 0; o < 5; o++)
      for (let i = 0; i < 2; i++) {
        const line = Array.from({ length: 6 }, (_, j) => x[(o * 6 + j) * 2 + i]);
        for (const [j, from] of orderOf(line, descending).slice(0, k).entries()) y[(o * k + j) * 2 + i] = line[from];
      }
    return y;
  };
  await checkOperation('sort', {
    shapes: [shape],
    values,
    run: (x) => sort(x, { dim: 1 }).values,
    reference: (x) => along(x, 6, false),
  });
  await checkOperation('topk', {
    shapes: [shape],
    values,
    run: (x) => topk(x, 2, { dim: 1 }).values,
    reference: (x) => along(x, 2, true),
  });
  await checkOperation('smallest', {
    shapes: [shape],
    values,
    run: (x) => topk(x, 3, { dim: -2, largest: false }).values,
    reference: (x) => along(x, 3, false),
  });
  const long = numbers(2000, 5);
  await checkOperation('long', {
    shapes: [[2000]],
    values: [long],
    run: (x) => sort(strided(x, [2000], [1])).values,
    reference: (x) => x.slice().sort(),
  });
  close(await topk(tensor(Float32Array.from(long)), 1).values.data(), [Math.max(...long)], 0);
});

test.run();
