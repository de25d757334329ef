// Batch, layer and group norm against float64 loops: values, gradients, running statistics, both kernel formulations.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward, grad } from '../../src/autograd/backward';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { batchNorm, groupNorm, layerNorm } from '../../src/ops/norm';
import { slice } from '../../src/ops/views';
import { ones, tensor, zeros } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import { strided, type Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

const data = async (x: Tensor | null) => [...((await x?.data()) ?? [])];

const EPS = 1e-5;

/** Mean and sum of squared deviations of each channel of x [N, C, plane]. */
function moments(x: ArrayLike<number>, [N, C, ...rest]: readonly number[]) {
  const plane = size(rest);
  const mean = new Float64Array(C);
  const m2 = new Float64Array(C);
  const each = (f: (value: number, c: number) => void) => {
    for (let i = 0; i < N * C * plane; i++) f(x[i], Math.floor(i / plane) % C);
  };
  each((v, c) => (mean[c] += v / (N * plane)));
  each((v, c) => (m2[c] += (v - mean[c]) ** 2));
  return { mean, m2, count: N * plane };
}

function reference(shape: readonly number[], relu = false) {
  const plane = size(shape.slice(2));
  return (x: Float64Array, weight?: Float64Array, bias?: Float64Array) => {
    const { mean, m2, count } = moments(x, shape);
    return x.map((v, i) => {
      const c = Math.floor(i / plane) % shape[1];
      const y = ((v - mean[c]) / Math.sqrt(m2[c] / count + EPS)) * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
      return relu ? Math.max(0, y) : y;
    });
  };
}

const shapes = [
  [4, 3, 8, 8],
  [3, 5, 7, 5],
  [2, 1, 1, 6],
  [9, 4],
  [2, 3, 10],
  [1, 2, 4, 4, 4],
];

test('batch norm in training: values and gradients', () =>
  onBothTargets(async () => {
    for (const shape of shapes) {
      const C = shape[1];
      const values = [numbers(size(shape), 1, -1, 3), numbers(C, 2, 0.5, 1.5), numbers(C, 3)];
      const run = { shapes: [shape, [C], [C]], values, reference: reference(shape) };
      await checkOperation(`[${shape}]`, {
        ...run,
        run: (x, weight, bias) => batchNorm(x, { weight, bias, training: true }),
      });
      const plain = { shapes: [shape], values: values.slice(0, 1), reference: reference(shape) };
      await checkOperation(`[${shape}] plain`, { ...plain, run: (x) => batchNorm(x, { training: true }) });
      await checkOperation(`[${shape}] relu`, {
        ...run,
        reference: reference(shape, true),
        run: (x, weight, bias) => batchNorm(x, { weight, bias, training: true, activation: 'relu' }),
      });
    }
  }));

test('batch norm with running statistics treats them as constants', async () => {
  const shape = [3, 4, 2, 6];
  const mean = numbers(4, 5);
  const variance = numbers(4, 6, 0.5, 2);
  const runningMean = tensor(Float32Array.from(mean));
  const runningVar = tensor(Float32Array.from(variance));
  await checkOperation('eval', {
    shapes: [shape, [4], [4]],
    values: [numbers(size(shape), 1), numbers(4, 2), numbers(4, 3)],
    run: (x, weight, bias) => batchNorm(x, { weight, bias, runningMean, runningVar }),
    reference: (x, w, b) =>
      x.map((v, i) => {
        const c = Math.floor(i / 12) % 4;
        return ((v - mean[c]) / Math.sqrt(variance[c] + EPS)) * w[c] + b[c];
      }),
  });
  close(await runningMean.data(), mean, 0);
});

test('running statistics move to the mean and the unbiased variance', async () => {
  const shape = [4, 3, 6, 6];
  const x = numbers(size(shape), 8, 1, 2);
  const runningMean = tensor([1, -1, 0]);
  const runningVar = tensor([1, 2, 0.5]);
  noGrad(() =>
    batchNorm(tensor(Float32Array.from(x), { shape }), { runningMean, runningVar, training: true, momentum: 0.2 }),
  );
  const { mean, m2, count } = moments(x, shape);
  const expected = [0, 1, 2].map((c) => 0.8 * [1, -1, 0][c] + 0.2 * mean[c]);
  close(await runningMean.data(), expected, 1e-6);
  close(
    await runningVar.data(),
    [0, 1, 2].map((c) => 0.8 * [1, 2, 0.5][c] + (0.2 * m2[c]) / (count - 1)),
    1e-6,
  );
});

test('a training step of one launch: many channels, whole turns of a subgroup per plane', () =>
  onBothTargets(async () => {
    const shape = [3, 9, 4, 8];
    const C = shape[1];
    const [before, x] = [numbers(C, 4, 0.5, 2), numbers(size(shape), 1, -1, 3)];
    const { mean, m2, count } = moments(x, shape);
    for (const activation of [undefined, 'relu'] as const) {
      const runningMean = tensor(Float32Array.from(before));
      const runningVar = tensor(Float32Array.from(before));
      // momentum 1: the running statistics are the batch's, however often the checks run the step
      const options = { runningMean, runningVar, training: true, momentum: 1, activation };
      await checkOperation(`[${shape}] ${activation}`, {
        shapes: [shape, [C], [C]],
        values: [x, numbers(C, 2, 0.5, 1.5), numbers(C, 3)],
        reference: reference(shape, activation === 'relu'),
        run: (input, weight, bias) => batchNorm(input, { ...options, weight, bias }),
      });
      close(await runningMean.data(), mean, 1e-6);
      close(
        await runningVar.data(),
        m2.map((v) => v / (count - 1)),
        1e-6,
      );
    }
  }));

/** Gradients of x and launches of Σ w·(route(h) + batchNorm(h)), h = 2x: h is used by both. */
async function gradientOfBoth(shape: readonly number[], training: boolean, route: (h: Tensor) => Tensor, norm = true) {
  const [, channels] = shape;
  const x = tensor(numbers(size(shape), 1))
    .reshape(shape)
    .detach()
    .requiresGrad_();
  const leaves = [x, ...[2, 3].map((seed) => tensor(numbers(channels, seed)).requiresGrad_())];
  const [weight, bias] = leaves.slice(1);
  const [runningMean, runningVar] = [zeros([channels]), ones([channels])];
  const options = { weight, bias, runningMean, runningVar, training, activation: 'relu' } as const;
  const w = tensor(numbers(size(shape), 4)).reshape(shape);
  const h = x.mul(2);
  const y = route(h);
  const loss = (norm ? y.add(batchNorm(h, options)) : y).mul(w).sum();
  const before = device().stats().dispatches;
  backward(loss);
  const launches = device().stats().dispatches - before;
  return { gradients: await Promise.all(leaves.map(async ({ grad }) => [...((await grad?.data()) ?? [])])), launches };
}

test('a residual connection around a batch norm: its gradient is added in the launch of the norm, with the same bits', () =>
  onBothTargets(async () => {
    for (const training of [true, false])
      for (const shape of [...shapes, [2, 16, 8, 8]]) {
        const what = `[${shape}], ${training ? 'training' : 'evaluation'}`;
        const pass = (h: Tensor) => h;
        const both = await gradientOfBoth(shape, training, pass);
        const alone = await gradientOfBoth(shape, training, (h) => h.detach());
        const around = await gradientOfBoth(shape, training, pass, false);
        assert.is(both.launches, alone.launches, `${what}: no launch to add`);
        const sum = alone.gradients[0].map((g, i) => Math.fround(g + around.gradients[0][i]));
        assert.equal(both.gradients, [sum, ...alone.gradients.slice(1)], what);
        // A gradient that is strided is added too.
        const turned = await gradientOfBoth(shape, training, (h) => h.transpose(0, 1).contiguous().transpose(0, 1));
        assert.equal(turned.gradients, both.gradients, `${what}, strided`);
      }
  }));

test('the gradient around a batch norm is whole for hooks, for leaves, and for grad()', async () => {
  const shape = [2, 3, 4, 4];
  const weight = ones([3]);
  const bias = zeros([3]);
  const x = tensor(numbers(96, 1)).reshape(shape).detach().requiresGrad_();
  const w = tensor(numbers(96, 2)).reshape(shape);
  const loss = (h: Tensor) =>
    h
      .add(batchNorm(h, { weight, bias, training: true }))
      .mul(w)
      .sum();
  backward(loss(x));
  const want = await data(x.grad);
  const h = x.mul(1);
  const seen: Promise<number[]>[] = [];
  h.registerHook((g) => {
    seen.push(data(g));
  });
  h.retainGrad();
  const [asked] = grad(loss(h), [h], { retainGraph: true });
  assert.equal(await data(asked), want);
  for (const t of [x, h]) t.grad = null;
  backward(loss(h));
  assert.equal(await data(x.grad), want);
  assert.equal(await data(h.grad), want);
  for (const g of await Promise.all(seen)) assert.equal(g, want);
  // Recorded gradients add up as before.
  const [recorded] = grad(loss(x), [x], { createGraph: true });
  close(await data(recorded), want, 1e-5);
});

test('statistics of values far from zero keep their digits', async () => {
  const shape = [8, 2, 16, 16];
  const x = numbers(size(shape), 9, 999, 1001);
  const y = batchNorm(tensor(Float32Array.from(x), { shape }), { training: true });
  close(await y.data(), reference(shape)(x), 1e-3);
});

test('gradients of large values keep the part that goes through the variance', () =>
  onBothTargets(async () => {
    const shape = [2, 3, 16, 16];
    const values = numbers(size(shape), 11);
    const upstream = tensor(Float32Array.from(numbers(size(shape), 12)), { shape });
    const gradient = async (scale: number) => {
      const x = tensor(
        Float32Array.from(values, (v) => v * scale),
        { shape, requiresGrad: true },
      );
      backward(batchNorm(x, { training: true, eps: 0 }), { gradient: upstream });
      return (await x.grad!.data()).map((v) => v * scale);
    };
    const want = await gradient(1);
    for (const scale of [2 ** 50, 2 ** -50]) close(await gradient(scale), want, 1e-6, `× ${scale}`);
  }));

test('batch norm is bitwise reproducible and takes strided input', async () => {
  const x = tensor(Float32Array.from(numbers(6 * 5 * 4 * 4, 4)), { shape: [5, 6, 4, 4] });
  const swapped = strided(x, [6, 5, 4, 4], [16, 96, 4, 1]);
  const [a, b] = [batchNorm(swapped, { training: true }), batchNorm(swapped, { training: true })];
  assert.equal(await a.data(), await b.data());
  close(await a.data(), reference([6, 5, 4, 4])(Float64Array.from(await swapped.data())));
});

test('empty batches in evaluation, and refused input', async () => {
  const state = { runningMean: zeros([3]), runningVar: zeros([3]) };
  for (const shape of [
    [0, 3, 4, 4],
    [2, 3, 0],
  ]) {
    const x = zeros(shape, { requiresGrad: true });
    backward(batchNorm(x, state), { gradient: zeros(shape) });
    assert.equal(x.grad!.shape, shape);
  }
  assert.throws(() => batchNorm(zeros([3]), state), /too few dimensions.*\[3\]/);
  assert.throws(
    () => batchNorm(zeros([2, 4]), state),
    /runningMean must have one value for each of the 4 channels.*\[2, 4\].*\[3\]/,
  );
  assert.throws(() => batchNorm(zeros([1, 3]), { ...state, training: true }), /more than one value per channel/);
  assert.throws(() => batchNorm(zeros([0, 3]), { ...state, training: true }), /more than one value per channel/);
  assert.throws(() => batchNorm(zeros([2, 3]), {}), /evaluation needs runningMean/);
});

/** Normalises pieces of `n` values. */
function rows(x: Float64Array, n: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += n) {
    const row = x.subarray(at, at + n);
    const mean = row.reduce((sum, v) => sum + v / n, 0);
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2 / n, 0);
    row.forEach((v, i) => {
      y[at + i] = (v - mean) / Math.sqrt(variance + EPS);
    });
  }
  return y;
}

test('layer norm', async () => {
  for (const [shape, last] of [
    [[6, 10], [10]],
    [
      [2, 3, 4, 5],
      [4, 5],
    ],
    [
      [3, 7],
      [3, 7],
    ],
    [[2, 1, 3], [3]],
  ]) {
    const values = [numbers(size(shape), 1, -1, 3), numbers(size(last), 2, 0.5, 1.5), numbers(size(last), 3)];
    await checkOperation(`layer [${shape}]`, {
      shapes: [shape, last, last],
      values,
      run: (x, weight, bias) => layerNorm(x, last, { weight, bias }),
      reference: (x, w, b) => rows(x, size(last)).map((v, i) => v * w[i % w.length] + b[i % w.length]),
    });
    await checkOperation(`layer [${shape}] plain`, {
      shapes: [shape],
      values: values.slice(0, 1),
      run: (x) => layerNorm(x, last),
      reference: (x) => rows(x, size(last)),
    });
  }
  assert.equal(layerNorm(zeros([0, 5]), [5]).shape, [0, 5]);
  assert.throws(() => layerNorm(zeros([2, 5]), [4]), /\[2, 5\].*\[4\].*ends with it/);
});

test('group norm', async () => {
  for (const [shape, groups] of [
    [[2, 6, 3, 4], 3],
    [[3, 4, 5], 1],
    [[2, 4], 2],
    [[2, 3, 2, 2], 3],
  ] as [number[], number][]) {
    const [C, plane] = [shape[1], size(shape.slice(2))];
    await checkOperation(`group [${shape}]`, {
      shapes: [shape, [C], [C]],
      values: [numbers(size(shape), 1, -1, 3), numbers(C, 2, 0.5, 1.5), numbers(C, 3)],
      run: (x, weight, bias) => groupNorm(x, groups, { weight, bias }),
      reference: (x, w, b) =>
        rows(x, (C / groups) * plane).map((v, i) => v * w[Math.floor(i / plane) % C] + b[Math.floor(i / plane) % C]),
    });
  }
  assert.throws(() => groupNorm(zeros([2, 6, 3]), 4), /6 channels cannot be divided into 4 groups/);
});

test('running statistics that are views, in evaluation', async () => {
  const statistics = tensor([9, 1, 2, 3]);
  const of = (runningMean: ReturnType<typeof tensor>) =>
    batchNorm(tensor([1, 2, 3], { shape: [1, 3] }), { runningMean, runningVar: tensor([1, 1, 1]), eps: 0 });
  assert.equal([...(await of(slice(statistics, [{ start: 1 }])).data())], [0, 0, 0]);
});

test.run();
