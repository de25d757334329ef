// Pooling of lines and volumes, adaptive maxima, power means, unpooling: against loops over windows, and gradients of both orders.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { lpPool1d, lpPool2d } from '../../src/ops/lp-pool';
import * as pool from '../../src/ops/pool';
import * as nd from '../../src/ops/pool-nd';
import { maxUnpool1d, maxUnpool2d, maxUnpool3d } from '../../src/ops/unpool';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';
import { checkLinear, random } from './linear-maps';

useGpu();

interface Windows {
  kernel: number;
  stride: number;
  padding: number;
  dilation?: number;
  ceilMode?: boolean;
}

/** The positions of each window along an axis, and how far it reaches into the padded input. */
function along(n: number, { kernel, stride, padding, dilation = 1, ceilMode }: Windows) {
  const list: { at: number[]; extent: number }[] = [];
  for (let start = -padding; ; start += stride) {
    const end = start + (kernel - 1) * dilation;
    const fits = end < n + padding || (ceilMode && start < n && end - stride < n + padding - 1);
    if (!fits) return list;
    const at = Array.from({ length: kernel }, (_, j) => start + j * dilation).filter((p) => p >= 0 && p < n);
    list.push({ at, extent: Math.min(end + 1, n + padding) - start });
  }
}

/** The windows of a volume of edge lengths `sizes`, with positions in it. */
function volumes(sizes: readonly number[], o: Windows) {
  return sizes
    .map((n) => along(n, o))
    .reduce(
      (all, axis, i) =>
        all.flatMap((a) =>
          axis.map((b) => ({
            at: a.at.flatMap((p) => b.at.map((q) => p * sizes[i] + q)),
            extent: a.extent * b.extent,
          })),
        ),
      [{ at: [0], extent: 1 }],
    );
}

const adaptive = (n: number, outputs: number) =>
  Array.from({ length: outputs }, (_, o) => {
    const [from, to] = [Math.floor((o * n) / outputs), Math.ceil(((o + 1) * n) / outputs)];
    return Array.from({ length: to - from }, (_, i) => from + i);
  });

const channels = (x: ArrayLike<number>, n: number) =>
  Array.from({ length: x.length / n }, (_, i) => Array.from({ length: n }, (_, j) => x[i * n + j]));

const pools: [number[], Windows][] = [
  [[7], { kernel: 3, stride: 2, padding: 1, ceilMode: true }],
  [[4, 5, 3], { kernel: 2, stride: 2, padding: 1 }],
];

test('maxima and means of lines and volumes', async () => {
  for (const [sizes, o] of pools) {
    const n = sizes.reduce((a, b) => a * b);
    const windows = volumes(sizes, o);
    const [max, mean] = sizes.length === 1 ? [nd.maxPool1d, nd.avgPool1d] : [nd.maxPool3d, nd.avgPool3d];
    const common = { shapes: [[1, 2, ...sizes]], values: [numbers(2 * n, 1)] };
    await checkOperation('max', {
      ...common,
      run: (x) => max(x, { ...o, dilation: 1 }),
      reference: (x) => channels(x, n).flatMap((c) => windows.map(({ at }) => Math.max(...at.map((i) => c[i])))),
    });
    for (const countIncludePad of [true, false])
      await checkOperation('mean', {
        ...common,
        run: (x) => mean(x, o.kernel, { stride: o.stride, padding: o.padding, ceilMode: o.ceilMode, countIncludePad }),
        reference: (x) =>
          channels(x, n).flatMap((c) =>
            windows.map(({ at, extent }) => at.reduce((s, i) => s + c[i], 0) / (countIncludePad ? extent : at.length)),
          ),
      });
  }
  const cube = random([1, 1, 2, 2, 2], 3);
  const total = [...(await cube.data())].reduce((a, b) => a + b, 0);
  close(await nd.avgPool3d(cube, 2, { divisorOverride: 5 }).data(), [total / 5], 1e-6);
  close(await pool.avgPool2d(random([1, 1, 2, 4], 3), [2, 4], { divisorOverride: -2 }).data(), [total / -2], 1e-6);
});

test('adaptive maxima, with positions', async () => {
  const x = random([2, 5, 7], 4);
  const planes = channels(await x.data(), 35);
  const { values, indices } = pool.adaptiveMaxPool2dWithIndices(x, [3, null]);
  assert.equal(values.shape, [2, 3, 7]);
  const want = planes.flatMap((p) =>
    adaptive(5, 3).flatMap((rows) =>
      adaptive(7, 7).map(([c]) => rows.map((r) => r * 7 + c).reduce((best, i) => (p[i] > p[best] ? i : best))),
    ),
  );
  assert.equal([...(await indices.data())], want);
  close(await values.data(), want.map((i, k) => planes[Math.floor(k / 21)][i]), 0); // biome-ignore format: one line
  const line = nd.adaptiveMaxPool1dWithIndices(tensor([[3, 1, 2, Number.NaN, 0]]), 2);
  assert.equal([...(await line.values.data()), ...(await line.indices.data())], [3, Number.NaN, 0, 3]);
  assert.equal(nd.adaptiveMaxPool3d(zeros([0, 2, 4, 5, 6]), 2).shape, [0, 2, 2, 2, 2]);
  assert.equal(nd.maxPool3d(zeros([0, 2, 4, 5, 6]), 2).shape, [0, 2, 2, 2, 3]);
  const volume = nd.adaptiveMaxPool3dWithIndices(tensor([0, 5, 1, 2, 9, 3, 4, 8], { shape: [1, 2, 2, 2] }), [2, 1, 1]);
  assert.equal([...(await volume.indices.data())], [1, 4]);
  assert.equal(nd.adaptiveAvgPool3d(zeros([1, 2, 4, 5, 6]), [2, null, 3]).shape, [1, 2, 2, 5, 3]);
  close(await nd.adaptiveAvgPool1d(tensor([[1, 2, 3, 4, 5]]), 2).data(), [2, 4], 1e-6);
});

test('power means', async () => {
  const [a, b] = [numbers(12, 5, 0.5, 2), numbers(10, 6, 0.5, 2)];
  const blocks = [0, 2].flatMap((r) => [r * 3, r * 3 + 1].map((i) => [i, i + 1, i + 3, i + 4]));
  await checkOperation('lpPool2d', {
    shapes: [[1, 1, 4, 3]],
    values: [a],
    run: (x) => lpPool2d(x, 3, 2, { stride: [2, 1] }),
    reference: (x) => blocks.map((at) => Math.cbrt(at.reduce((sum, i) => sum + x[i] ** 3, 0))),
  });
  await checkOperation('lpPool1d', {
    shapes: [[2, 5]],
    values: [b],
    run: (x) => lpPool1d(x, 2, 2),
    reference: (x) => [0, 2, 5, 7].map((i) => Math.hypot(x[i], x[i + 1])),
  });
});

test('unpooling puts the maxima back', async () => {
  const x = random([1, 2, 4, 6], 7);
  const { values, indices } = pool.maxPool2dWithIndices(x, 2);
  const [data, where] = [await x.data(), await indices.data()];
  const want = new Float32Array(48);
  for (const [k, i] of where.entries()) want[24 * Math.floor(k / 6) + i] = data[24 * Math.floor(k / 6) + i];
  close(await maxUnpool2d(values, indices, 2).data(), want, 0);
  assert.equal(maxUnpool2d(values, indices, 2, { outputSize: [5, 7] }).shape, [1, 2, 5, 7]);
  const line = nd.maxPool1dWithIndices(random([3, 6], 8), 3);
  await checkLinear((t) => maxUnpool1d(t, line.indices, 3), [3, 2]);
  const volume = nd.maxPool3dWithIndices(random([1, 2, 4, 2], 9), 2);
  assert.equal(maxUnpool3d(volume.values, volume.indices, 2).shape, [1, 2, 4, 2]);
  // A position outside is reported by the next read.
  await maxUnpool1d(tensor([[1]]), tensor([[7]], { dtype: 'int32' }), 2)
    .data()
    .then(
      () => assert.unreachable('an index out of range was accepted'),
      (error: Error) => assert.match(error.message, /maxUnpool1d.*7/),
    );
});

test('gradients of both orders, of maxima where they are', async () => {
  await checkLinear((t) => nd.adaptiveAvgPool1d(t, 2), [1, 5]);
  await checkLinear((t) => nd.avgPool3d(t, 2, { padding: 1, divisorOverride: 3 }), [1, 2, 3, 2]);
  // Elements far from each other: the maxima stay in place, and pooling is linear there.
  const order = tensor([3, 0, 5, 2, 4, 1, 7, 6], { shape: [1, 1, 2, 4] });
  await checkLinear((t) => pool.maxPool2d(t.add(order.mul(10)), 2).sub(pool.maxPool2d(order.mul(10), 2)), [1, 1, 2, 4]);
});

test('names, and what is refused', () => {
  const x = zeros([1, 1, 4, 4]);
  assert.equal(pool.maxPool2d(x, { kernelSize: 2 }).shape, [1, 1, 2, 2]);
  assert.equal(pool.maxPool2d(x, [2, 1], { stride: 1 }).shape, [1, 1, 3, 4]);
  for (const [call, message] of [
    [() => pool.maxPool2d(x, { kernel: 2, kernelSize: 2 }), /maxPool2d: kernel and kernelSize are the same/],
    [() => pool.avgPool2d(x, 2, { divisorOverride: 0 }), /avgPool2d: divisorOverride is 0/],
    [() => nd.maxPool1d(zeros([4]), 2), /maxPool1d: 1 dimensions.*\[N, C, L\]/],
    [() => nd.maxPool3d(zeros([1, 2, 2, 2]), [2, 2]), /maxPool3d: kernel is \[2,2\]/],
    [() => pool.adaptiveMaxPool2d(x, 0), /adaptiveMaxPool2d: outputSize/],
    [() => maxUnpool2d(x, zeros([1, 1, 4, 3], { dtype: 'int32' }), 2), /maxUnpool2d: input and indices do not fit/],
    [
      () => maxUnpool2d(x, zeros(x.shape, { dtype: 'int32' }), 2, { outputSize: [4, 4] }),
      /less than a stride from \[8,8\]/,
    ],
  ] as [() => Tensor, RegExp][])
    assert.throws(call, message);
});

test.run();
