// nn.utils: parameters as a vector, weight and spectral normalisation; metrics; what console.log shows.
import { inspect } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device, F, nn, optim, type Tensor, tensor, zeros } from '../../src';
import { close, useGpu } from '../util';

useGpu();

const values = async (x: Tensor) => [...(await x.data())];

test('parameters as one vector and back', async () => {
  const [a, b] = [new nn.Linear(2, 3), new nn.Linear(2, 3)];
  const vector = nn.utils.parametersToVector(a.parameters());
  assert.equal(vector.shape, [9]);
  nn.utils.vectorToParameters(vector.mul(2), b.parameters());
  close(
    await values(b.weight),
    (await values(a.weight)).map((v) => 2 * v),
    1e-6,
  );
  vector.sum().backward();
  assert.equal(await values(a.bias!.grad!), [1, 1, 1]);
  assert.throws(() => nn.utils.vectorToParameters(zeros([8]), b.parameters()), /\[8\], the parameters have 9/);
});

test('weight norm: keys, the same weight at first, lengths and directions are trained', async () => {
  const linear = new nn.Linear(3, 2);
  const before = await values(linear.weight);
  nn.utils.weightNorm(linear);
  const names = ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1'];
  assert.equal(Object.keys(linear.stateDict()).sort(), names);
  assert.equal(linear.stateDict()[names[1]].shape, [2, 1]);
  close(await values(linear.weight), before, 1e-6);
  const optimizer = new optim.SGD(linear.parameters(), { lr: 0.1 });
  linear
    .forward(tensor([[1, 2, 3]]))
    .square()
    .sum()
    .backward();
  assert.ok(linear.stateDict()[names[1]].grad);
  optimizer.step();
  const after = await values(linear.weight);
  assert.not.equal(after, before);
  nn.utils.removeParametrizations(linear);
  assert.equal(Object.keys(linear.stateDict()), ['weight', 'bias']);
  close(await values(linear.weight), after, 1e-6);
  assert.throws(() => nn.utils.weightNorm(linear, 'wait'), /Linear has no parameter 'wait'/);
});

test('spectral norm: the largest singular value is 1, and estimates go on in training alone', async () => {
  const linear = new nn.Linear(3, 2, { bias: false });
  linear.loadStateDict({
    weight: tensor([
      [3, 0, 0],
      [0, 0.5, 0],
    ]),
  });
  nn.utils.spectralNorm(linear, 'weight', { nPowerIterations: 3 });
  const keys = ['original', '0._u', '0._v'].map((key) => `parametrizations.weight.${key}`);
  assert.equal(Object.keys(linear.stateDict()), keys);
  close(await values(linear.weight), [1, 0, 0, 0, 1 / 6, 0], 1e-5);
  linear
    .forward(tensor([[1, 1, 1]]))
    .sum()
    .backward();
  assert.ok((await values(linear.parameters()[0].grad!)).every(Number.isFinite));
  linear.eval();
  const u = await values(linear.stateDict()[keys[1]]);
  linear.forward(tensor([[1, 1, 1]]));
  assert.equal(await values(linear.stateDict()[keys[1]]), u);
});

test('metrics of classifiers', async () => {
  const scores = tensor([
    [0.1, 0.7, 0.2],
    [0.5, 0.3, 0.2],
    [0.2, 0.3, 0.5],
    [0.4, 0.35, 0.25],
  ]);
  const labels = tensor(Int32Array.from([1, 1, 2, 2]));
  assert.is(await nn.metrics.accuracy(scores, labels).item(), 0.5);
  assert.is(await nn.metrics.topKAccuracy(scores, labels, 2).item(), 0.75);
  const matrix = nn.metrics.confusionMatrix(scores.argmax(1), labels, 3);
  assert.equal(await matrix.toArray(), [
    [0, 0, 0],
    [1, 1, 0],
    [1, 0, 1],
  ]);
  assert.throws(() => nn.metrics.accuracy(labels, labels), /Scores are \[N, C\], labels \[N\]/);
});

test('console.log shows values that the host knows, else shape and type', async () => {
  assert.is(
    inspect(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    ),
    'tensor([[1., 2.],\n        [3., 4.]])',
  );
  const x = tensor([1, 2], { requiresGrad: true });
  assert.is(inspect(x), 'Tensor([2], float32, requiresGrad=true; values: await x.print())');
  assert.is(inspect(x.mul(2)), 'Tensor([2], float32, gradNode=<mul>; values: await x.print())');
  const written = tensor([1, 2]);
  written.assign_(5);
  assert.match(inspect(written), /^Tensor\(\[2\], float32; values/);
  assert.match(inspect({ loss: F.mseLoss(x, zeros([2])) }), /loss: Tensor\(\[\]/);
  assert.match(inspect(device()), /^Device\(.+, (safe|fast), [\d.]+ MiB of tensors\)$/);
});

test.run();
