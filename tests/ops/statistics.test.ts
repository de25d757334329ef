// Quantiles, covariances, norms, integrals and sums without NaN against float64.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { norm } from '../../src/ops/linalg';
import { matrixNorm } from '../../src/ops/matrix-norm';
import { type Interpolation, nanquantile, quantile } from '../../src/ops/quantile';
import * as statistics from '../../src/ops/statistics';
import { dist, renorm, vectorNorm } from '../../src/ops/vector-norm';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';

useGpu();

type Flat = Float64Array | number[];
/** The two singular values of a matrix of two rows, by those of its square. */
function singular(x: ArrayLike<number>): number[] {
  const n = x.length / 2;
  const dot = (i: number, j: number) =>
    Array.from({ length: n }, (_, c) => x[i * n + c] * x[j * n + c]).reduce((a, b) => a + b);
  const [mean, det] = [(dot(0, 0) + dot(1, 1)) / 2, dot(0, 0) * dot(1, 1) - dot(0, 1) ** 2];
  return [1, -1].map((sign) => Math.sqrt(mean + sign * Math.sqrt(mean ** 2 - det)));
}

const total = (x: Flat): number => Array.from(x).reduce((a, b) => a + b, 0);
const rows = (x: Float64Array, n: number): Float64Array[] =>
  Array.from({ length: x.length / n }, (_, i) => x.subarray(i * n, (i + 1) * n));
const columns = (x: Float64Array, n: number): number[][] =>
  Array.from({ length: n }, (_, j) => rows(x, n).map((row) => row[j]));

function quantileOf(x: Flat, q: number, interpolation: Interpolation = 'linear'): number {
  const sorted = Array.from(x).sort((a, b) => a - b);
  const r = q * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(r)], sorted[Math.ceil(r)]];
  if (interpolation === 'linear') return low + (r - Math.floor(r)) * (high - low);
  if (interpolation === 'midpoint') return (low + high) / 2;
  return interpolation === 'lower' ? low : interpolation === 'higher' ? high : sorted[Math.round(r)];
}

/** Covariances of three variables in five observations. */
function covariance(x: Float64Array, w: Flat, left: number): number[] {
  const centered = rows(x, 5).map((row) => {
    const mean = total(row.map((v, i) => v * w[i])) / total(w);
    return row.map((v) => v - mean);
  });
  return centered.flatMap((a) => centered.map((b) => total(a.map((v, i) => v * w[i] * b[i])) / left));
}
const [f, a] = [[1, 3, 2, 1, 2], [0.5, 0.25, 1, 0.75, 0.5]]; // biome-ignore format: two lists
/** As tensors; made when the device is there. */
const whole = () => tensor(f, { dtype: 'int32' });
const both = f.map((v, i) => v * a[i]);
const even = [1, 1, 1, 1, 1];
const power = (x: Flat, p: number) => total(Array.from(x, (v) => Math.abs(v) ** p)) ** (1 / p);
const absolute = (x: Flat) => Array.from(x, Math.abs);

type Case = [Shape, (x: Tensor) => Tensor, (x: Float64Array) => Flat];
const cases: Record<string, Case> = {
  ...Object.fromEntries(
    (['linear', 'lower', 'higher', 'nearest', 'midpoint'] as const).map((interpolation): [string, Case] => [
      `quantile, ${interpolation}`,
      [
        [3, 7],
        (x) => quantile(x, [0.1, 0.62], 1, false, { interpolation }),
        (x) => [0.1, 0.62].flatMap((q) => rows(x, 7).map((row) => quantileOf(row, q, interpolation))),
      ],
    ]),
  ),
  'quantile of all': [[3, 7], (x) => quantile(x, 0.3), (x) => [quantileOf(x, 0.3)]],
  'quantile by a tensor': [
    [3, 7],
    (x) => quantile(x, tensor([0.25, 1]), 0, true),
    (x) => [0.25, 1].flatMap((q) => columns(x, 7).map((column) => quantileOf(column, q))),
  ],
  nanquantile: [[3, 7], (x) => nanquantile(x, 0.4, -1), (x) => rows(x, 7).map((row) => quantileOf(row, 0.4))],
  cov: [[3, 5], (x) => statistics.cov(x), (x) => covariance(x, even, 4)],
  'cov, counted': [[3, 5], (x) => statistics.cov(x, { fweights: whole(), correction: 2 }), (x) => covariance(x, f, 7)],
  'cov, weighted': [
    [3, 5],
    (x) => statistics.cov(x, { aweights: tensor(a), correction: 0 }),
    (x) => covariance(x, a, total(a)),
  ],
  'cov, both': [
    [3, 5],
    (x) => statistics.cov(x, { fweights: whole(), aweights: tensor(a) }),
    (x) => covariance(x, both, total(both) - total(both.map((v, i) => v * a[i])) / total(both)),
  ],
  'cov of one': [[5], (x) => statistics.cov(x), (x) => [covariance(x, even, 4)[0]]],
  corrcoef: [
    [3, 5],
    (x) => statistics.corrcoef(x),
    (x) => covariance(x, even, 4).map((v, i, c) => v / Math.sqrt(c[4 * Math.floor(i / 3)] * c[4 * (i % 3)])),
  ],
  'varMean, the mean': [[3, 4], (x) => statistics.varMean(x, 1).mean, (x) => rows(x, 4).map((row) => total(row) / 4)],
  'stdMean, the deviation': [
    [3, 4],
    (x) => statistics.stdMean(x, 1, true, 0).std,
    (x) => rows(x, 4).map((row) => Math.sqrt(covariance(Float64Array.from([...row, total(row) / 4]), even, 4)[0])),
  ],
  'trace, wide': [[3, 5], statistics.trace, (x) => [x[0] + x[6] + x[12]]],
  'trace, a tall view': [[3, 5], (x) => statistics.trace(transpose(x)), (x) => [x[0] + x[6] + x[12]]],
  nansum: [[3, 4], (x) => statistics.nansum(x, 0), (x) => columns(x, 4).map(total)],
  nanmean: [[3, 4], (x) => statistics.nanmean(x, 1), (x) => rows(x, 4).map((row) => total(row) / 4)],
  trapezoid: [
    [2, 4],
    (x) => statistics.trapezoid(x, { dx: 0.5 }),
    (x) => rows(x, 4).map((y) => 0.5 * (y[0] / 2 + y[1] + y[2] + y[3] / 2)),
  ],
  'trapezoid at places': [
    [4, 2],
    (x) => statistics.trapezoid(x, { x: tensor([0, 1, 4, 5]), dim: 0 }),
    (x) => columns(x, 2).map((y) => (y[0] + y[1]) / 2 + (3 * (y[1] + y[2])) / 2 + (y[2] + y[3]) / 2),
  ],
  cumulativeTrapezoid: [
    [2, 3],
    (x) => statistics.cumulativeTrapezoid(x),
    (x) => rows(x, 3).flatMap((y) => [(y[0] + y[1]) / 2, (y[0] + 2 * y[1] + y[2]) / 2]),
  ],
  'vectorNorm of order 3': [[3, 4], (x) => vectorNorm(x, 3, 1), (x) => rows(x, 4).map((row) => power(row, 3))],
  'vectorNorm of order −1': [[3, 4], (x) => vectorNorm(x, -1), (x) => [power(x, -1)]],
  'matrixNorm, fro': [[3, 4], (x) => matrixNorm(x), (x) => [power(x, 2)]],
  'matrixNorm, columns': [[3, 4], (x) => matrixNorm(x, 1), (x) => [Math.max(...columns(x, 4).map((c) => power(c, 1)))]],
  'matrixNorm, nuc': [[2, 4], (x) => matrixNorm(x, 'nuc'), (x) => [singular(x).reduce((a, b) => a + b)]],
  'matrixNorm, largest singular value': [[2, 4], (x) => matrixNorm(x, 2), (x) => [singular(x)[0]]],
  'matrixNorm, smallest singular value': [
    [4, 2],
    (x) => matrixNorm(x, -2),
    (x) => [singular(columns(x, 2).flatMap((c) => [...c]))[1]],
  ],
  'matrixNorm, rows': [
    [3, 4],
    (x) => matrixNorm(x, -Infinity),
    (x) => [Math.min(...rows(x, 4).map((r) => power(r, 1)))],
  ],
  'norm of linalg': [[3, 4], (x) => norm(x, Infinity, 1), (x) => rows(x, 4).map((row) => Math.max(...absolute(row)))],
  dist: [
    [3, 4],
    (x) => dist(x, tensor([1, 0, 0, -1]), 3),
    (x) => [
      power(
        x.map((v, i) => v - [1, 0, 0, -1][i % 4]),
        3,
      ),
    ],
  ],
  renorm: [
    [3, 4],
    (x) => renorm(x, 2, 0, 1),
    (x) => rows(x, 4).flatMap((r) => Array.from(r, (v) => (power(r, 2) > 1 ? v / (power(r, 2) + 1e-7) : v))),
  ],
};

for (const [name, [shape, run, reference]] of Object.entries(cases))
  test(name, () => checkOperation(name, { shapes: [shape], values: [numbers(size(shape), 9)], run, reference }));

test('NaN: taken or left out', async () => {
  const x = tensor([[1, NaN, 3], [NaN, NaN, NaN], [4, 2, 9]]); // biome-ignore format: a matrix
  close(await quantile(x, 0.5, 1).data(), [NaN, NaN, 4]);
  close(await nanquantile(x, 0.5, 1).data(), [2, NaN, 4]);
  close(await nanquantile(x, [0, 1], 1, true, { interpolation: 'nearest' }).data(), [1, NaN, 2, 3, NaN, 9]);
  close(await statistics.nansum(x, 1).data(), [4, 0, 15]);
  close(await statistics.nanmean(x, 1).data(), [2, NaN, 5]);
  close(await vectorNorm(tensor([[1, NaN, 0], [NaN, Infinity, NaN]]), 0, 1).data(), [2, 3]); // biome-ignore format: a matrix
  const y = statistics.nansum(tensor([1, 2], { dtype: 'int32' }));
  assert.is(y.dtype, 'int32');
  assert.is(await y.item(), 3);
});

test('shapes of quantiles, and sizes of 0 and 1', async () => {
  const x = zeros([2, 3, 4]);
  assert.equal(quantile(x, 0.5, 1).shape, [2, 4]);
  assert.equal(quantile(x, 0.5, 1, true).shape, [2, 1, 4]);
  assert.equal(quantile(x, [0.5], 1).shape, [1, 2, 4]);
  assert.equal(quantile(x, tensor([0.5, 1]), null, true).shape, [2, 1, 1, 1]);
  assert.equal(quantile(x, tensor(0.5)).shape, []);
  assert.is(await quantile(tensor(3), 0.2).item(), 3);
  assert.equal(statistics.trapezoid(zeros([2, 0])).shape, [2]);
  assert.equal(await statistics.trapezoid(zeros([2, 1])).toArray(), [0, 0]);
  assert.is(await statistics.trace(zeros([0, 3])).item(), 0);
  assert.equal(statistics.cov(zeros([1, 4])).shape, []);
});

test('refuses what does not fit', () => {
  assert.throws(() => quantile(zeros([2]), 1.5), /quantile: q is 1\.5/);
  assert.throws(
    () => quantile(zeros([2]), 0.5, 0, false, { interpolation: 'cubic' as never }),
    /interpolation 'cubic' must be/,
  );
  assert.throws(() => quantile(zeros([0]), 0.5), /there are no elements/);
  assert.throws(() => quantile(zeros([2], { dtype: 'int32' }), 0.5), /quantile.*float32/s);
  assert.throws(() => statistics.cov(zeros([2, 2, 2])), /cov: the input has more than two dimensions/);
  assert.throws(() => statistics.cov(zeros([2, 3]), { fweights: tensor([1, 2, 3]) }), /fweights are no whole numbers/);
  assert.throws(() => statistics.trapezoid(zeros([3]), { x: zeros([2]) }), /there are 2 places for 3 values/);
  assert.throws(() => statistics.trapezoid(zeros([3]), { x: zeros([3]), dx: 1 }), /both x and dx/);
  assert.throws(() => statistics.trace(zeros([3])), /trace: the input is no matrix/);
  assert.throws(() => matrixNorm(zeros([2, 2]), 'max' as never), /the norm 'max' is not there/);
  assert.throws(() => renorm(zeros([2]), 2, 0, 1), /renorm: fewer than two dimensions/);
});

test.run();
