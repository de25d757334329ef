// The dense feature-flow net: finite differences, replicas, activations, losses, wrong calls.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import type { FeatureFlowNetOptions } from '../../src/featureflow';
import {
  crossEntropy,
  FeatureFlowNet,
  logistic,
  pseudoHuber,
  regress,
  ScaledGradientDescent,
  ScaledParameter,
  squared,
} from '../../src/featureflow';
import { Linear } from '../../src/nn/linear';
import { SGD } from '../../src/optim/sgd';
import { ones, tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import { close, numbers, numericGradient, useGpu } from '../util';

useGpu();

const [N, d, m, L] = [5, 3, 4, 3];
const tensorOf = (shape: Shape, seed: number, spread = 1) =>
  tensor(Float32Array.from(numbers(size(shape), seed, -spread, spread)), { shape });

/** Outputs of a residual net in float64: weights flat, source × target. */
function reference(x: ArrayLike<number>, v: ArrayLike<number>[], h1: (a: number) => number, h2: (a: number) => number) {
  const product = (a: number[][], w: ArrayLike<number>, k: number) =>
    a.map((row) =>
      Array.from({ length: w.length / k }, (_, j) => row.reduce((s, q, i) => s + q * w[(i * w.length) / k + j], 0) / k),
    );
  const rows = Array.from({ length: N }, (_, n) => Array.from({ length: d }, (_, i) => x[n * d + i]));
  const each = (a: number[][], h: (q: number) => number) => a.map((row) => row.map(h));
  let beta = product(rows, v[0], d);
  for (const w of v.slice(1, -1)) {
    const alpha = product(each(beta, h1), w, m);
    beta = beta.map((row, n) => row.map((b, j) => b + h2(alpha[n][j])));
  }
  return product(each(beta, h1), v[v.length - 1], m).map(([y]) => y);
}

const sigmoid = (a: number) => 1 / (1 + Math.exp(-a));

for (const [h1, h2, f1, f2] of [
  ['tanh', 'tanh', Math.tanh, Math.tanh],
  ['sigmoid', 'tanh', sigmoid, Math.tanh],
] as const)
  test(`a step of scaled gradient descent is −lr·scale·(finite difference), h1 = ${h1}, h2 = ${h2}`, async () => {
    const initial = (l: number, shape: Shape) => tensorOf(shape, l, 2);
    const net = new FeatureFlowNet({ inputs: d, width: m, layers: L, h1, h2, initial });
    assert.equal(
      net.weights.map((w) => w.scale),
      [d * m, m * m, m * m, m],
    );
    const [x, y] = [tensorOf([N, d], 8), tensorOf([N], 9)];
    const before = await Promise.all(net.weights.map((w) => w.data()));
    const [xs, ys] = [await x.data(), await y.data()];
    const loss = pseudoHuber(net.forward(x), y, { delta: 0.5 });
    loss.backward();
    new ScaledGradientDescent(net.parameters(), { lr: 0.25 }).step();
    for (const [i, w] of net.weights.entries()) {
      const objective = (v: Float64Array) => {
        const outputs = reference(
          xs,
          before.map((b, k) => (k === i ? v : b)),
          f1,
          f2,
        );
        return outputs.reduce((s, o, n) => s + 0.25 * (Math.sqrt(1 + (2 * (o - ys[n])) ** 2) - 1), 0) / N;
      };
      const gradient = numericGradient(objective, before[i]);
      close(
        await w.data(),
        before[i].map((b, k) => b - 0.25 * w.scale * gradient[k]),
        1e-5,
        `v_${i + 1}`,
      );
    }
  });

test('replicas are the nets that each would be alone, with shared samples or their own', async () => {
  const options: FeatureFlowNetOptions = { inputs: d, width: m, layers: L };
  const weights = (l: number, shape: Shape, seed: number) => tensorOf(shape, 10 * seed + l, 2);
  const alone = [0, 1, 2].map((r) => new FeatureFlowNet({ ...options, initial: (l, shape) => weights(l, shape, r) }));
  for (const shared of [true, false]) {
    const x = shared ? tensorOf([N, d], 50) : tensorOf([3, N, d], 50);
    const y = shared ? tensorOf([N], 51) : tensorOf([3, N], 51);
    const initial = (l: number, [, ...shape]: Shape) => {
      const parts = [0, 1, 2].map((r) => numbers(size(shape), 10 * r + l, -2, 2));
      return tensor(Float32Array.from(parts.flatMap((p) => [...p])), { shape: [3, ...shape] });
    };
    const together = new FeatureFlowNet({ ...options, replicas: 3, initial });
    const losses = pseudoHuber(together.forward(x), y);
    assert.equal(losses.shape, [3]);
    losses.sum().backward();
    for (const [r, net] of alone.entries()) {
      const loss = pseudoHuber(net.forward(shared ? x : x.select(0, r)), shared ? y : y.select(0, r));
      net.zeroGrad();
      loss.backward();
      close([(await losses.data())[r]], [await loss.item()], 1e-6, `loss ${r}`);
      for (const [i, w] of net.weights.entries()) {
        const all = await together.weights[i].grad!.data();
        close(all.subarray(r * w.size, (r + 1) * w.size), await w.grad!.data(), 1e-6, `gradient of v_${i + 1}`);
        assert.is(together.weights[i].scale, w.scale);
      }
    }
    const reports = await regress(together, x, { form: 'soft', lambda: 0.1 });
    assert.equal(
      reports.map(({ layer, replica }) => [layer, replica]),
      [
        [2, 0],
        [2, 1],
        [2, 2],
        [3, 0],
        [3, 1],
        [3, 2],
      ],
    );
  }
});

test('footnote 2: a readout drawn at random is regressed as the other layers, and keeps the outputs', async () => {
  for (const outputs of [1, 3]) {
    manualSeed(4);
    const net = new FeatureFlowNet({ inputs: d, width: 512, layers: 2, outputs, readout: 'random', replicas: 2 });
    const drawn = [...(await net.weights[2].data())];
    const variance = drawn.reduce((sum, v) => sum + v * v, 0) / drawn.length;
    assert.ok(Math.abs(variance / 512 - 1) < 0.2, `variance ${variance}, expected m = 512`);
    const samples = tensorOf([N, d], 50);
    const before = await net.forward(samples).data();
    const reports = await regress(net, samples, { form: 'hard' });
    assert.equal(
      reports.map(({ layer }) => layer),
      [2, 2, 3, 3],
    );
    close(await net.forward(samples).data(), before, 1e-4, 'outputs');
    for (const r of reports.slice(2)) assert.ok(r.meanSquareAfter < 3 * N, `${r.meanSquareAfter}: Nσ² at most, about`);
  }
});

test('standard initialisation: variances dσ² and mσ², a constant readout, or ±C for classes; the fully connected variant', async () => {
  manualSeed(3);
  const net = new FeatureFlowNet({
    inputs: 16,
    width: 64,
    layers: 2,
    sigma: 2,
    readout: 3,
    outputs: 4,
    residual: false,
  });
  const variance = async (i: number) => await net.weights[i].square().mean().item();
  assert.ok(Math.abs((await variance(0)) / (16 * 4) - 1) < 0.2);
  assert.ok(Math.abs((await variance(1)) / (64 * 4) - 1) < 0.1);
  assert.equal(new Set(await net.weights[2].data()), new Set([3, -3]));
  assert.is(net.weights[2].scale, 64);
  const x = tensorOf([N, 16], 1);
  const { features, residuals, output } = net.layers(x);
  assert.is(features[2], residuals[2]);
  assert.equal(output.shape, [N, 4]);
  assert.equal(
    await new FeatureFlowNet({ inputs: 2, width: 3, layers: 1 }).weights[1].data(),
    Float32Array.of(1, 1, 1),
  );
  const labels = tensor(Int32Array.of(0, 1, 2, 3, 0));
  const loss = crossEntropy(output, labels);
  const logits = await output.data();
  const want = [0, 1, 2, 3, 0].map((c, n) => {
    const row = [...logits.subarray(4 * n, 4 * n + 4)];
    return Math.log(row.reduce((s, z) => s + Math.exp(z), 0)) - row[c];
  });
  close([await loss.item()], [want.reduce((s, w) => s + w, 0) / N], 1e-5);
});

test('losses keep their digits far out and near zero; the squared one warns once', async () => {
  const tiny = pseudoHuber(tensor([1e-4, -1e-4]), tensor([0, 0]), { delta: 2 });
  assert.ok(Math.abs((await tiny.item()) / 5e-9 - 1) < 1e-5);
  close(await logistic(tensor([[40], [-40]]), tensor([1])).data(), [Math.exp(-40), 40], 1e-6);
  const said: string[] = [];
  const { warn } = console;
  console.warn = (text: string) => void said.push(text);
  const values = [squared(tensor([1, 3]), tensor([0, 1])), squared(tensor([1, 3]), tensor([0, 1]))];
  console.warn = warn;
  assert.is(await values[1].item(), 2.5);
  assert.is(said.length, 1);
  assert.match(said[0], 'Assumption 1');
});

test('momentum accumulates as in SGD, with the scale on the step', async () => {
  const start = () => tensor([1, 2]);
  const scaled = new ScaledParameter(start(), 8);
  const plain = new Linear(2, 1, { bias: false }).weight;
  const ours = new ScaledGradientDescent([scaled], { lr: 0.01, momentum: 0.5 });
  const sgd = new SGD([plain], { lr: 0.08, momentum: 0.5 });
  plain.detach().assign_(start().reshape([1, 2]));
  for (let k = 0; k < 3; k++) {
    for (const p of [scaled, plain]) p.square().sum().backward();
    for (const o of [ours, sgd]) {
      o.step();
      o.zeroGrad();
    }
  }
  close(await scaled.data(), await plain.data(), 1e-6);
});

test('mistakes are named', async () => {
  assert.throws(
    () => new ScaledGradientDescent(new Linear(2, 3).parameters(), { lr: 1 }),
    /parameter of shape \[3, 2\] has no scale.*FeatureFlowNet/,
  );
  assert.throws(() => new ScaledGradientDescent([new ScaledParameter(ones([2]), 2)], { lr: -1 }), /lr -1 must be/);
  assert.throws(() => new ScaledParameter(ones([2]), 0), /scale 0 must be a number > 0/);
  const options = { inputs: 3, width: 8, layers: 3 };
  assert.throws(() => new FeatureFlowNet({ ...options, width: 0 }), /width is 0/);
  assert.throws(() => new FeatureFlowNet({ ...options, h1: 'relu' as 'tanh' }), /'relu' is unknown: use tanh/);
  assert.throws(() => new FeatureFlowNet({ ...options, initial: () => ones([2, 2]) }), /v_1 has another shape/);
  const net = new FeatureFlowNet(options);
  assert.throws(() => net.forward(ones([4, 2])), /samples have 3 coordinates \(x \[4, 2\]\)/);

  const failure = async (x: number[][], o: Parameters<typeof regress>[2]) =>
    regress(new FeatureFlowNet(options), tensor(x), o).then(
      () => '',
      (error: Error) => error.message,
    );
  const x = [...numbers(24, 5)];
  const rows = (n: number) => Array.from({ length: n }, (_, i) => [x[i], x[i + 8], x[i + 16]]);
  assert.match(await failure([...rows(3), rows(3)[1]], { form: 'hard' }), /samples 1 and 3 are parallel.*'soft'/);
  assert.match(await failure([...rows(3), [0, 0, 0]], { form: 'hard' }), /features of sample 3 are all zero/);
  const many = Array.from({ length: 9 }, (_, i) => [...numbers(3, 60 + i, -3, 3)]);
  assert.match(await failure(many, { form: 'hard' }), /9 samples are more than the 8 units/);
  assert.match(await failure(rows(3), { form: 'soft' }), /soft form needs lambda > 0, got 0/);
  assert.match(await failure(rows(3), { form: 'hard', lambda: 1 }), /hard form .* without lambda/);
  assert.is(await failure(many, { form: 'soft', lambda: 0.01 }), '');
});

test.run();
