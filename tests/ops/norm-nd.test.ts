// Instance norm, root mean square and local response against float64 loops; batch norm with one of weight and bias.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { grad } from '../../src/autograd/backward';
import { gradcheck } from '../../src/autograd/gradcheck';
import { batchNorm } from '../../src/ops/norm';
import { instanceNorm, localResponseNorm, rmsNorm } from '../../src/ops/norm-nd';
import { sum } from '../../src/ops/reduce';
import { ones, tensor, zeros } from '../../src/tensor/create';
import { checkOperation, close, numbers, useGpu } from '../util';
import { random } from './linear-maps';

useGpu();

const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;

/** Rows of n elements normalised by mean and variance. */
const rowsNormed = (x: Float64Array, n: number, eps: number) =>
  x.map((v, i) => {
    const row = [...x.subarray(i - (i % n), i - (i % n) + n)];
    const m = mean(row);
    return (v - m) / Math.sqrt(mean(row.map((r) => (r - m) ** 2)) + eps);
  });

test('instance norm', async () => {
  await checkOperation('values', {
    shapes: [[2, 3, 2, 3], [3], [3]],
    values: [numbers(36, 1), numbers(3, 2, 0.5, 1.5), numbers(3, 3)],
    run: (x, weight, bias) => instanceNorm(x, { weight, bias, eps: 0.01 }),
    reference: (x, w, b) =>
      rowsNormed(x, 6, 0.01).map((v, i) => v * w[Math.floor(i / 6) % 3] + b[Math.floor(i / 6) % 3]),
  });
  // Running statistics move by the mean over the batch of what each sample has; evaluation uses them.
  const x = tensor([0, 2, 4, 6], { shape: [2, 1, 2] });
  const [runningMean, runningVar] = [zeros([1]), ones([1])];
  instanceNorm(x, { runningMean, runningVar, momentum: 0.5 });
  assert.equal([...(await runningMean.data()), ...(await runningVar.data())], [1.5, 1.5]);
  const y = instanceNorm(x, { runningMean, runningVar, useInputStats: false, eps: 0.75 });
  close(await y.data(), [-1, 1 / 3, 5 / 3, 3], 1e-6);
});

test('root mean square', async () => {
  const rms = (x: Float64Array, n: number, eps: number) =>
    x.map((v, i) => v / Math.sqrt(mean([...x.subarray(i - (i % n), i - (i % n) + n)].map((r) => r * r)) + eps));
  await checkOperation('with weight', {
    shapes: [
      [2, 3, 5],
      [3, 5],
    ],
    values: [numbers(30, 4), numbers(15, 5)],
    run: (x, weight) => rmsNorm(x, [3, 5], { weight, eps: 0.1 }),
    reference: (x, w) => rms(x, 15, 0.1).map((v, i) => v * w[i % 15]),
  });
  await checkOperation('without', {
    shapes: [[7, 3]],
    values: [numbers(21, 6)],
    run: (x) => rmsNorm(x, 3),
    reference: (x) => rms(x, 3, 2 ** -23),
  });
  await gradcheck((x, w) => rmsNorm(x, 4, { weight: w }), [random([2, 4], 7, true), random([4], 8, true)]);
  // The gradient of its sum, and that gradient's own.
  await checkOperation('gradient', {
    shapes: [[2, 4]],
    values: [numbers(8, 7)],
    run: (x) => grad(sum(rmsNorm(x, 4, { eps: 0.5 })), [x], { createGraph: true })[0]!,
    reference: (x) => {
      const y = rms(x, 4, 0.5);
      return x.map((v, i) => {
        const from = i - (i % 4);
        const r = y[i] / v;
        return r * (1 - v * r * r * mean([...x.subarray(from, from + 4)]));
      });
    },
  });
});

test('local response', async () => {
  const [C, pixels, n] = [5, 4, 3];
  await checkOperation('values', {
    shapes: [[2, C, pixels]],
    values: [numbers(40, 9, 0.5, 2)],
    run: (x) => localResponseNorm(x, n, { alpha: 0.5, beta: 0.6, k: 2 }),
    reference: (x) =>
      x.map((v, i) => {
        const c = Math.floor(i / pixels) % C;
        const near = [c - 1, c, c + 1].filter((k) => k >= 0 && k < C).map((k) => x[i + (k - c) * pixels] ** 2);
        return v / (2 + (0.5 * near.reduce((a, b) => a + b, 0)) / n) ** 0.6;
      }),
  });
});

test('batch norm with weight or bias alone', async () => {
  const x = random([4, 3], 10);
  const [w, b, plain] = [tensor([1, 2, 3]), tensor([5, 6, 7]), batchNorm(x, { training: true })];
  const normed = [...(await plain.data())];
  const scaled = await batchNorm(x, { weight: w, training: true }).data();
  close(scaled, normed.map((v, i) => v * ((i % 3) + 1)), 1e-6); // biome-ignore format: one line
  const shifted = await batchNorm(x, { bias: b, training: true }).data();
  close(shifted, normed.map((v, i) => v + 5 + (i % 3)), 1e-6); // biome-ignore format: one line
});

test('refused', () => {
  assert.throws(() => instanceNorm(zeros([2, 3])), /instanceNorm: too few dimensions.*\[2, 3\]/);
  assert.throws(() => instanceNorm(zeros([2, 3, 1])), /a channel has one element/);
  assert.throws(() => instanceNorm(zeros([2, 3, 4]), { weight: zeros([2]) }), /one value for each of the 3 channels/);
  assert.throws(() => rmsNorm(zeros([2, 3]), 4), /rmsNorm: the shapes do not fit/);
  assert.throws(() => localResponseNorm(zeros([2, 3, 4]), 0), /size is 0/);
});

test.run();
