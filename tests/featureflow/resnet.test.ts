// FeatureFlowResNet: a scaled step against finite differences in float64, Algorithm 2 on convolutions, its standard parametrisation, refusals.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { ScaledGradientDescent } from '../../src/featureflow';
import { createModel } from '../../src/models/catalog';
import { FeatureFlowResNet } from '../../src/models/feature-flow';
import { crossEntropy } from '../../src/ops/loss';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import { close, numbers, numericGradient, useGpu } from '../util';

useGpu();

/** Maps [channels][pixels] of one image; its side is √pixels. */
type Maps = Float64Array[];

/** 3×3 convolution with padding 1, divided by its 9·C sources. */
function convolve(x: Maps, weight: ArrayLike<number>, stride: number): Maps {
  const side = Math.sqrt(x[0].length);
  const out = side / stride;
  const sources = 9 * x.length;
  return Array.from({ length: weight.length / sources }, (_, o) =>
    Float64Array.from({ length: out * out }, (_, p) => {
      let sum = 0;
      for (let k = 0; k < sources; k++) {
        const row = Math.floor(p / out) * stride + (Math.floor(k / 3) % 3) - 1;
        const column = (p % out) * stride + (k % 3) - 1;
        if (row >= 0 && row < side && column >= 0 && column < side)
          sum += weight[o * sources + k] * x[Math.floor(k / 9)][row * side + column];
      }
      return sum / sources;
    }),
  );
}

/** Mean cross-entropy in float64 of images [N, 3, 8, 8]. */
function reference(
  images: ArrayLike<number>,
  labels: readonly number[],
  weights: readonly ArrayLike<number>[],
  strides: number[],
) {
  const tanh = (maps: Maps) => maps.map((map) => map.map(Math.tanh));
  let loss = 0;
  labels.forEach((label, n) => {
    const x = [0, 1, 2].map((c) => Float64Array.from({ length: 64 }, (_, p) => images[(3 * n + c) * 64 + p]));
    let beta = convolve(x, weights[0], 1);
    for (let l = 1; l < weights.length - 1; l++) {
      const alpha = convolve(tanh(beta), weights[l], strides[l]);
      beta = strides[l] === 1 ? tanh(alpha).map((map, c) => map.map((a, p) => a + beta[c][p])) : alpha;
    }
    const pooled = tanh(beta).map((map) => map.reduce((s, h) => s + h, 0) / map.length);
    const readout = weights[weights.length - 1];
    const classes = readout.length / pooled.length;
    const logits = Array.from(
      { length: classes },
      (_, k) => pooled.reduce((s, h, c) => s + h * readout[c * classes + k], 0) / pooled.length,
    );
    loss += Math.log(logits.reduce((s, z) => s + Math.exp(z), 0)) - logits[label];
  });
  return loss / labels.length;
}

test('a step on convolutions is −lr·C_in·9·C_out·(finite difference)', async () => {
  manualSeed(5);
  const net = new FeatureFlowResNet({ blocks: 1, width: 1 / 8, classes: 3 });
  const weights = [...net.convs.map(({ weight }) => weight), net.readout];
  assert.equal(
    net.convs.map(({ weight, sources, outChannels }) => weight.scale / sources / outChannels),
    net.convs.map(() => 1),
  );
  assert.is(net.readout.scale, 8);
  const images = numbers(2 * 3 * 64, 1, -2, 2);
  const labels = [2, 0];
  const strides = net.convs.map(({ stride }) => stride);
  assert.equal(strides, [1, 1, 1, 2, 1, 2, 1]);
  const before = await Promise.all(weights.map((w) => w.data()));
  const x = tensor(Float32Array.from(images), { shape: [2, 3, 8, 8] });
  const loss = crossEntropy(net.forward(x), tensor(Int32Array.from(labels)));
  assert.ok(Math.abs((await loss.item()) - reference(images, labels, before, strides)) < 1e-5);
  loss.backward();
  new ScaledGradientDescent(net.parameters(), { lr: 0.5 }).step();
  for (const i of [0, 2, 3, weights.length - 1]) {
    const objective = (v: Float64Array) =>
      reference(
        images,
        labels,
        before.map((w, k) => (k === i ? v : w)),
        strides,
      );
    const gradient = numericGradient(objective, before[i], 1e-4);
    const { scale } = weights[i];
    const moved = (await weights[i].data()).map((w, k) => w - before[i][k]);
    close(
      moved,
      gradient.map((g) => -0.5 * scale * g),
      1e-4,
      `weights ${i}`,
    );
  }
});

test('Algorithm 2 on convolutions: smaller weights, nearly the same residuals; dual and primal system agree', async () => {
  const images = tensor(Float32Array.from(numbers(4 * 3 * 64, 3, -2, 2)), { shape: [4, 3, 8, 8] });
  const regressed = async (system: 'dual' | 'primal', lambda: number) => {
    manualSeed(6);
    const net = new FeatureFlowResNet({ blocks: 1, width: 1 / 8 });
    const reports = await net.initialise(images, { rows: 50, lambda, system });
    for (const r of reports) assert.is(r.system, system);
    return { reports, weights: await Promise.all(net.convs.map(({ weight }) => weight.data())) };
  };
  const [dual, primal] = [await regressed('dual', 1e-4), await regressed('primal', 1e-4)];
  for (const [i, w] of dual.weights.entries()) close(w, primal.weights[i], 1e-4, `weights of layer ${i + 1}`);
  for (const r of dual.reports)
    assert.ok(r.meanSquareAfter < r.meanSquareBefore && r.residualChange < 0.3, JSON.stringify(r));
  const [gentle] = (await regressed('primal', 1e-9)).reports;
  assert.ok(gentle.residualChange < 1e-4, `${gentle.residualChange}`);
});

test('the hard form keeps all residuals on pixels of which none is drawn twice', async () => {
  manualSeed(6);
  const net = new FeatureFlowResNet({ blocks: 1, width: 1 / 2 });
  // So few pixels that all are among the rows; drawn with replacement some would come twice, which makes the system singular.
  const images = tensor(Float32Array.from(numbers(2 * 3 * 16, 3, -2, 2)), { shape: [2, 3, 4, 4] });
  const before = (await net.layers(images).residuals[7].data()).slice();
  const reports = await net.initialise(images, { form: 'hard' });
  assert.equal(
    reports.map(({ layer, system }) => [layer, system]),
    [2, 3, 4, 5, 6, 7].map((layer) => [layer, 'dual']),
  );
  for (const r of reports) assert.ok(r.residualChange < 1e-3, JSON.stringify(r));
  close(await net.layers(images).residuals[7].data(), before, 1e-3, 'α_7');
  const failure = async (o: Parameters<FeatureFlowResNet['initialise']>[1]) =>
    net.initialise(images, o).then(
      () => '',
      (error: Error) => error.message,
    );
  assert.match(await failure({ form: 'hard', system: 'primal' }), /hard form solves the dual system/);
  assert.match(await failure({ rows: 0 }), /rows is 0/);
});

test('the standard parametrisation is the same function with plain steps', async () => {
  const make = (parametrisation: 'mean-field' | 'standard') => {
    manualSeed(7);
    return new FeatureFlowResNet({ blocks: 1, width: 1 / 8, parametrisation });
  };
  const [ours, standard] = [make('mean-field'), make('standard')];
  const x = tensor(Float32Array.from(numbers(3 * 64, 2)), { shape: [1, 3, 8, 8] });
  close(await ours.layers(x).features[7].data(), await standard.layers(x).features[7].data(), 1e-5);
  assert.equal(
    [...standard.convs.map(({ weight }) => weight), standard.readout].map(({ scale }) => scale),
    Array(8).fill(1),
  );
  const refused = await standard.initialise(x).then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(refused, /Algorithm 2 belongs to the 'mean-field' parametrisation/);
  assert.throws(() => new FeatureFlowResNet({ blocks: 1, width: 0.3 }), /width 0.3 gives 4.8, .* multiples of 1\/16/);
  assert.throws(() => createModel('feature-flow-resnet21'), /depth 21 is not 6n \+ 2/);
  assert.is(
    (createModel('feature-flow-resnet20', { featureFlow: { width: 0.5 } }) as FeatureFlowResNet).convs.length,
    19,
  );
});

test.run();
