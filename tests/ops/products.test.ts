// Products of vectors, matrices and batches against loops in float64.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import * as products from '../../src/ops/products';
import { permute, transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import { type Shape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';

useGpu();

type Flat = Float64Array | number[];
/** a [m, k] · b [k, n]. */
const times = (a: Flat, b: Flat, m: number, k: number, n: number): number[] =>
  Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let l = 0; l < k; l++) sum += a[i * k + l] * b[l * n + j];
    return sum;
  });
const batch = (a: Float64Array, b: Float64Array, count: number, m: number, k: number, n: number): number[] =>
  Array.from({ length: count }, (_, c) =>
    times(a.subarray(c * m * k, (c + 1) * m * k), b.subarray(c * k * n, (c + 1) * k * n), m, k, n),
  ).flat();
const scaled = (x: Flat, s: number, y: Flat, t: number) =>
  Array.from(y, (v, i) => t * v + (s ? s * x[i % x.length] : 0));

const cases: Record<string, [Shape[], (...x: Tensor[]) => Tensor, (...x: Float64Array[]) => Flat]> = {
  bmm: [[[3, 2, 4], [3, 4, 5]], products.bmm, (a, b) => batch(a, b, 3, 2, 4, 5)],
  mv: [[[3, 4], [4]], products.mv, (a, b) => times(a, b, 3, 4, 1)],
  dot: [[[5], [5]], products.dot, (a, b) => times(a, b, 1, 5, 1)],
  outer: [[[3], [4]], products.outer, (a, b) => times(a, b, 3, 1, 4)],
  inner: [
    [[2, 3, 4], [5, 4]],
    products.inner,
    (a, b) => times(a, Float64Array.from({ length: 20 }, (_, i) => b[(i % 5) * 4 + Math.floor(i / 5)]), 6, 4, 5),
  ],
  'tensordot, a number': [[[2, 3, 4], [3, 4, 2]], (a, b) => products.tensordot(a, b), (a, b) => times(a, b, 2, 12, 2)],
  'tensordot, lists': [
    [[2, 3, 4], [4, 5, 3]],
    (a, b) => products.tensordot(a, b, [[1, -1], [2, 0]]),
    (a, b) =>
      times(a, Float64Array.from({ length: 60 }, (_, i) => b[(Math.floor(i / 5) % 4) * 15 + (i % 5) * 3 + Math.floor(i / 20)]), 2, 12, 5),
  ],
  'tensordot, one against many': [
    [[1, 1, 4], [4, 1]],
    (a, b) => products.tensordot(a, b),
    (a, b) => [[...a].reduce((s, x) => s + x, 0) * [...b].reduce((s, x) => s + x, 0)].flat(),
  ],
  'tensordot of none': [[[2, 2], [3]], (a, b) => products.tensordot(a, b, 0), (a, b) => times(a, b, 4, 1, 3)],
  kron: [
    [[2, 3], [2]],
    products.kron,
    (a, b) => Array.from({ length: 12 }, (_, at) => a[Math.floor(at / 6) * 3 + Math.floor((at % 6) / 2)] * b[at % 2]),
  ],
  addmm: [
    [[5], [3, 4], [4, 5]],
    (x, a, b) => products.addmm(x, a, b, { beta: 0.5, alpha: 2 }),
    (x, a, b) => scaled(x, 0.5, times(a, b, 3, 4, 5), 2),
  ],
  addmv: [
    [[], [3, 4], [4]],
    (x, a, b) => products.addmv(x, a, b, { alpha: 0.5 }),
    (x, a, b) => scaled(x, 1, times(a, b, 3, 4, 1), 0.5),
  ],
  addr: [[[3, 4], [3], [4]], (x, a, b) => products.addr(x, a, b, { beta: 2 }), (x, a, b) => scaled(x, 2, times(a, b, 3, 1, 4), 1)],
  baddbmm: [
    [[2, 1, 5], [2, 3, 4], [2, 4, 5]],
    (x, a, b) => products.baddbmm(x, a, b, { beta: 3 }),
    (x, a, b) => batch(a, b, 2, 3, 4, 5).map((v, i) => v + 3 * x[Math.floor(i / 15) * 5 + (i % 5)]),
  ],
  addbmm: [
    [[3, 5], [2, 3, 4], [2, 4, 5]],
    (x, a, b) => products.addbmm(x, a, b, { alpha: 2 }),
    (x, a, b) => {
      const y = batch(a, b, 2, 3, 4, 5);
      return Array.from(x, (v, i) => v + 2 * (y[i] + y[i + 15]));
    },
  ],
  multiDot: [
    [[3], [3, 5], [5, 2], [2, 4]],
    (...x) => products.multiDot(x),
    (a, b, c, d) => times(times(times(a, b, 1, 3, 5), c, 1, 5, 2), d, 1, 2, 4),
  ],
  chainMatmul: [
    [[2, 9], [9, 2], [2, 7]],
    products.chainMatmul,
    (a, b, c) => times(times(a, b, 2, 9, 2), c, 2, 2, 7),
  ],
  'cross of columns': [
    [[3, 2], [3, 1]],
    (a, b) => products.cross(a, b),
    (a, b) => [0, 1, 2].flatMap((i) => [0, 1].map((j) => a[((i + 1) % 3) * 2 + j] * b[(i + 2) % 3] - a[((i + 2) % 3) * 2 + j] * b[(i + 1) % 3])),
  ],
  bilinear: [
    [[2, 3], [2, 4], [5, 3, 4], [5]],
    products.bilinear,
    (a, b, w, bias) =>
      Array.from({ length: 10 }, (_, at) => {
        const [r, o] = [Math.floor(at / 5), at % 5];
        let sum = bias[o];
        for (let i = 0; i < 3; i++) for (let j = 0; j < 4; j++) sum += a[3 * r + i] * w[12 * o + 4 * i + j] * b[4 * r + j];
        return sum;
      }),
  ],
}; // biome-ignore format: a table

for (const [name, [shapes, run, reference]] of Object.entries(cases))
  test(name, () =>
    checkOperation(name, { shapes, values: shapes.map((shape, k) => numbers(size(shape), k + 1)), run, reference }),
  );

test('with beta 0 the input is not read', async () => {
  const x = tensor([[NaN]], { requiresGrad: true });
  const y = products.addmm(x, tensor([[2]]), tensor([[3]]), { beta: 0 });
  assert.equal(await y.toArray(), [[6]]);
  backward(y, { gradient: tensor([[5]]) });
  assert.equal(await x.grad?.toArray(), [[0]]); // as PyTorch's: zeros, not none
});

test('integers, views, empty operands', async () => {
  const whole = (values: number[]) => tensor(values, { dtype: 'int32' });
  const y = products.dot(whole([1, 2, 3]), whole([4, 5, 6]));
  assert.is(y.dtype, 'int32');
  assert.is(await y.item(), 32);
  assert.equal(await products.cross(whole([1, 0, 0]), whole([0, 1, 0])).toArray(), [0, 0, 1]);
  const a = tensor([[1, 2], [3, 4]]); // biome-ignore format: a matrix
  assert.equal(await products.mv(transpose(a), tensor([1, 1])).toArray(), [4, 6]);
  assert.equal(await products.tensordot(permute(a, [1, 0]), a, 1).toArray(), [[10, 14], [14, 20]]); // biome-ignore format: a matrix
  assert.equal(await products.bmm(zeros([1, 1, 0]), zeros([1, 0, 1])).toArray(), [[[0]]]);
  assert.equal(await products.dot(zeros([0]), zeros([0])).item(), 0);
});

test('refuses what does not fit', () => {
  assert.throws(() => products.bmm(zeros([2, 3]), zeros([3, 2])), /bmm: a has to be a batch of matrices.*\[2, 3\]/s);
  assert.throws(() => products.bmm(zeros([2, 3, 1]), zeros([1, 1, 3])), /bmm: the batches differ/);
  assert.throws(() => products.dot(zeros([2]), zeros([3])), /dot: the vectors differ in length/);
  assert.throws(
    () => products.tensordot(zeros([2]), zeros([3]), 1),
    /tensordot: dimensions \[0\] of a and \[0\] of b do not agree/,
  );
  assert.throws(() => products.tensordot(zeros([2]), zeros([2]), 2), /dims is 2/);
  assert.throws(() => products.cross(zeros([2]), zeros([2])), /there is no dimension of size 3/);
  assert.throws(
    () => products.addmm(zeros([1]), zeros([1, 1]), zeros([1, 1]), { gamma: 2 } as never),
    /no option 'gamma'/,
  );
  assert.throws(() => products.bilinear(zeros([2]), zeros([3]), zeros([1, 2, 2])), /bilinear: the inputs do not fit/);
  assert.throws(() => products.multiDot([zeros([2, 2])]), /at least two/);
});

test.run();
