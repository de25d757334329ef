// Sums of 2²² terms. The terms are alike, so that rounding errors of a serial sum do not cancel: it would lose 10⁻³ and more.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { Parameter } from '../../src/nn/parameter';
import { conv2d } from '../../src/ops/conv';
import { mul } from '../../src/ops/elementwise';
import { crossEntropy, l1Loss, mseLoss } from '../../src/ops/loss';
import { linear, matmul } from '../../src/ops/matmul';
import { batchNorm, layerNorm } from '../../src/ops/norm';
import { avgPool2d, globalAvgPool2d } from '../../src/ops/pool';
import * as reduce from '../../src/ops/reduce';
import { cumsum } from '../../src/ops/scan';
import { scatterAdd } from '../../src/ops/scatter';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { reshape, transpose } from '../../src/ops/views';
import { clipGradNorm } from '../../src/optim/clip';
import { full, tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { onBothTargets, useGpu } from '../util';

useGpu();

const N = 2 ** 22;
const TENTH = Math.fround(0.1);

/** All of `y` near `want`, relative to it. */
async function near(what: string, y: Tensor, want: number, tolerance = 2e-6): Promise<void> {
  const data = await y.data();
  let worst = want;
  for (const v of data) if (!(Math.abs(v - want) <= Math.abs(worst - want))) worst = v;
  const error = Math.abs(worst - want) / Math.abs(want);
  assert.ok(error <= tolerance, `${what}: ${worst}, right is ${want}: off by ${error.toExponential(1)}`);
}

const tenths = (...shape: number[]) => full(shape, 0.1);

test('reductions', async () => {
  const x = tenths(N);
  await near('sum', reduce.sum(x), N * TENTH);
  await near('mean', reduce.mean(x), TENTH);
  await near('norm', reduce.norm(x), Math.sqrt(N) * TENTH);
  await near('norm 1', reduce.norm(x, 1), N * TENTH);
  await near('norm 3', reduce.norm(x, 3), Math.cbrt(N) * TENTH);
  await near('logsumexp', reduce.logsumexp(x), TENTH + Math.log(N));
  const signs = tensor(Float32Array.from({ length: N }, (_, i) => (i % 2 ? 0.1 : -0.1)));
  await near('variance', reduce.variance(signs), (TENTH ** 2 * N) / (N - 1));
  await near('std', reduce.std(signs), TENTH);
  for (const columns of [1, 3, 300]) {
    const wide = tenths(Math.ceil(N / columns), columns);
    await near(`sum of ${columns} columns`, reduce.sum(wide, 0), wide.shape[0] * TENTH);
  }
  await near('sum over two dimensions', reduce.sum(tenths(2048, 2, 2048), [0, 2]), N * TENTH);
});

test('running sums', async () => {
  for (const shape of [[N], [N / 64, 64]]) {
    const axis = 0;
    const x = tenths(...shape);
    const length = shape[axis];
    for (const options of [{}, { reverse: true, exclusive: true }]) {
      const y = await cumsum(x, axis, options).data();
      const inner = x.size / length;
      let worst = 0;
      for (let j = 1; j < length - 1; j += 97) {
        const terms = options.reverse ? length - 1 - j : j + 1;
        worst = Math.max(worst, Math.abs(y[j * inner] / (terms * TENTH) - 1));
      }
      assert.ok(worst < 2e-7, `cumsum ${JSON.stringify(options)} of [${shape}]: off by ${worst}`);
    }
  }
});

test('softmax and cross-entropy', async () => {
  const line = tensor(Float32Array.from({ length: N }, (_, i) => (i === 7 ? 0 : Math.log(0.1))));
  const total = 1 + (N - 1) * Math.exp(Math.fround(Math.log(0.1)));
  for (const x of [line, reshape(line, [N, 1])]) {
    await near('softmax', reduce.max(softmax(x, 0)), 1 / total);
    await near('logSoftmax', reduce.max(logSoftmax(x, 0)), -Math.log(total));
  }
  const label = tensor([7], { dtype: 'int32' });
  await near('many classes', crossEntropy(reshape(line, [1, N]), label), Math.log(total));
  const labels = zeros([N], { dtype: 'int32' });
  const x = new Parameter(zeros([N, 2]));
  const loss = crossEntropy(x, labels);
  await near('many samples', loss, Math.LN2);
  backward(loss);
  await near('its gradient', reduce.norm(x.grad!, 1), 1);
  await near('sum', crossEntropy(x, labels, { reduction: 'sum' }), N * Math.LN2);
  await near(
    'with weights and smoothing',
    crossEntropy(x, labels, { weight: tensor([0.1, 0.1]), labelSmoothing: 0.1 }),
    Math.LN2,
  );
  await near('mseLoss', mseLoss(tenths(N), zeros([N])), TENTH ** 2);
  await near('l1Loss', l1Loss(tenths(N), zeros([N]), { reduction: 'sum' }), N * TENTH);
});

test('normalisation', async () => {
  await onBothTargets(async () => {
    for (const shape of [
      [4, 1, N / 4],
      [1, 8, N / 8],
    ]) {
      const channels = shape[1];
      const count = N / channels;
      const state = () => ({ runningMean: zeros([channels]), runningVar: zeros([channels]) });
      const parameters = () => ({ weight: new Parameter(full([channels], 1)), bias: new Parameter(zeros([channels])) });
      const x = tensor(
        Float32Array.from({ length: N }, (_, i) => 0.1 + (i % 2 ? 0.1 : -0.1)),
        { shape },
      );
      const s = state();
      const p = parameters();
      const y = batchNorm(x, { ...s, ...p, training: true, momentum: 1, eps: 0 });
      await near(`mean of [${shape}]`, s.runningMean, TENTH, 4e-6);
      await near(`variance of [${shape}]`, s.runningVar, (TENTH ** 2 * count) / (count - 1), 4e-6);
      backward(y, { gradient: tenths(...shape) });
      await near('gradient of the bias', p.bias.grad!, count * TENTH);
    }
  });
  const p = new Parameter(tensor([1, 1]));
  const b = new Parameter(tensor([0, 0]));
  const y = layerNorm(
    tensor(
      Float32Array.from({ length: N }, (_, i) => (i % 2 ? 0.1 : 0.2)),
      { shape: [N / 2, 2] },
    ),
    [2],
    { weight: p, bias: b },
  );
  backward(y, { gradient: tenths(N / 2, 2) });
  await near('gradient of layerNorm’s bias', b.grad!, (N / 2) * TENTH);
});

test('pooling', async () => {
  const x = tenths(1, 1, 2048, 2048);
  await near('avgPool2d', avgPool2d(x, { kernel: 2048 }), TENTH);
  await near('globalAvgPool2d', globalAvgPool2d(x), TENTH);
});

test('products', async () => {
  await onBothTargets(async () => {
    for (const [m, n] of [
      [1, 1],
      [3, 3],
    ]) {
      const y = matmul(tenths(m, N), full([N, n], 1));
      await near(`matmul [${m}, ${N}] [${N}, ${n}]`, y, N * TENTH, 4e-6);
    }
    const [k, m] = [N / 32, 32];
    await near('of a transposed matrix', matmul(transpose(tenths(k, m)), full([k, m], 1)), k * TENTH, 4e-6);
  });
});

test('convolutions', async () => {
  await onBothTargets(async () => {
    // Sums over channels, over the taps of a kernel, and over the pixels of a gradient: of one long row, of many rows, of many images.
    for (const [x, w, options] of [
      [[1, N, 1, 1], [1, N, 1, 1], {}],
      [[1, N / 64, 4, 4], [1, N / 64, 3, 3], { padding: 1 }],
      [[1, 1, 1, N], [1, 1, 1, N], {}],
      [[2, 1, 2048, 2048], [1, 1, 2048, 2048], {}],
    ] as const) {
      const y = conv2d(tenths(...x), full(w, 1), null, options);
      await near(`conv2d [${x}] [${w}]`, reduce.max(y), w[1] * w[2] * w[3] * TENTH);
    }
    const input = new Parameter(tenths(1, 1, 1, 1));
    backward(conv2d(input, full([N, 1, 1, 1], 1)), { gradient: tenths(1, N, 1, 1) });
    await near('gradient of the input over channels', input.grad!, N * TENTH);
    for (const x of [
      [1, 1, 1, N],
      [1, 1, 2048, 2048],
      [N / 256, 1, 16, 16],
      [32, 8, 256, 256],
    ]) {
      const [o, k] = [x[1], x[1] === 8 ? 3 : 1];
      const weight = new Parameter(full([o, x[1], k, k], 1));
      const y = conv2d(full(x, 1), weight, null, { padding: (k - 1) / 2 });
      backward(y, { gradient: full(y.shape, 0.1) });
      await near(`gradient of the weight over [${x}]`, reduce.max(weight.grad!), (y.size / o) * TENTH, 2e-5); // parts of 2,048 serial terms
    }
  });
});

test('gradients that are summed up', async () => {
  const [weight, bias] = [new Parameter(full([1, 1], 1)), new Parameter(zeros([1]))];
  backward(linear(tenths(N, 1), weight, bias), { gradient: full([N, 1], 0.1) });
  await near('of a bias', bias.grad!, N * TENTH);
  const scale = new Parameter(full([1], 1));
  backward(mul(tenths(N), scale), { gradient: full([N], 0.1) });
  await near('of a weight', weight.grad!, N * TENTH ** 2);
  await near('of a broadcast operand', scale.grad!, N * TENTH ** 2);
  const index = zeros([N], { dtype: 'int32' });
  await near('scatterAdd', scatterAdd(zeros([1]), 0, index, tenths(N)), N * TENTH);
  const p = new Parameter(zeros([N]));
  p.grad = tenths(N);
  await near('norm of a gradient', clipGradNorm([p], 1)!, Math.sqrt(N) * TENTH);
});

test.run();
