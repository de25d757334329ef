// BatchNorm's count of batches, and running statistics that are means over all of them (momentum null): float64 loops, compiled steps, state dicts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { checkpoint } from '../../src/autograd/checkpoint';
import { compile } from '../../src/autograd/compile';
import '../../src/ops/methods';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { BatchNorm1d, BatchNorm2d, InstanceNorm2d } from '../../src/nn/norm';
import { batchNorm } from '../../src/ops/norm';
import { sum } from '../../src/ops/reduce';
import { ones, tensor, zeros } from '../../src/tensor/create';
import { close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

const SHAPES = [
  [8, 3],
  [4, 9, 6, 6],
  [3, 16, 8, 8],
  [2, 5, 7, 3],
] as const;

for (const momentum of [0.1, null])
  test(`running statistics with momentum ${momentum} and the count, as a float64 loop`, () =>
    onBothTargets(async () => {
      for (const shape of SHAPES)
        for (const affine of [true, false]) {
          const [samples, channels, ...rest] = shape;
          const layer = new BatchNorm2d(channels, { momentum, affine });
          const means = new Array<number>(channels).fill(0);
          const variances = new Array<number>(channels).fill(1);
          const plane = rest.reduce<number>((a, b) => a * b, 1);
          for (let n = 1; n <= 4; n++) {
            const x = numbers(samples * channels * plane, n);
            layer.forward(tensor(Float32Array.from(x), { shape: [...shape] }));
            const weight = momentum ?? 1 / n;
            for (let c = 0; c < channels; c++) {
              const own = Array.from(x).filter((_, i) => Math.floor(i / plane) % channels === c);
              const mean = own.reduce((a, b) => a + b) / own.length;
              const variance = own.reduce((a, b) => a + (b - mean) ** 2, 0) / (own.length - 1);
              means[c] = (1 - weight) * means[c]! + weight * mean;
              variances[c] = (1 - weight) * variances[c]! + weight * variance;
            }
          }
          close(await layer.runningMean.data(), means, 1e-5, `${shape}`);
          close(await layer.runningVar.data(), variances, 1e-5, `${shape}`);
          assert.is(await layer.numBatchesTracked.item(), 4);
          layer.eval().forward(zeros(shape));
          assert.is(await layer.numBatchesTracked.item(), 4, 'evaluation does not count');
        }
    }));

test('the count costs no launch; a mean over all batches one', async () => {
  const dispatches = async (options: object, more: object) => {
    const x = ones([4, 8, 4, 4]);
    const running = { runningMean: zeros([8]), runningVar: ones([8]), weight: ones([8]), bias: zeros([8]) };
    const step = () => batchNorm(x, { ...running, training: true, ...more, ...options });
    step();
    const before = device().stats().dispatches;
    step();
    return device().stats().dispatches - before;
  };
  const count = { numBatchesTracked: tensor(0, { dtype: 'int32' }).keep() };
  await onBothTargets(async () => {
    const plain = await dispatches({}, {});
    assert.is(await dispatches({}, count), plain);
    assert.is(await dispatches({ momentum: null }, count), plain + 1);
  });
});

test('compiled and recomputed steps count each batch once', async () => {
  const layer = new BatchNorm1d(4, { momentum: null });
  const step = compile((x: ReturnType<typeof ones>) => backward(sum(layer.forward(x).square())));
  const eager = new BatchNorm1d(4, { momentum: null });
  for (let n = 0; n < 5; n++) {
    const x = tensor(Float32Array.from(numbers(24, n)), { shape: [6, 4] });
    step(x);
    noGrad(() => eager.forward(x));
  }
  assert.is(await layer.numBatchesTracked.item(), 5);
  assert.equal(await layer.runningMean.data(), await eager.runningMean.data());
  assert.equal(await layer.runningVar.data(), await eager.runningVar.data());
  const x = tensor(Float32Array.from(numbers(24, 9)), { shape: [6, 4] }).requiresGrad_();
  backward(sum(checkpoint((a: typeof x) => eager.forward(a), x)));
  assert.is(await eager.numBatchesTracked.item(), 6);
});

test('the count goes through state dicts and files, an instance norm has one that stays 0', async () => {
  const layer = new BatchNorm2d(3, { momentum: null });
  for (let n = 0; n < 3; n++) layer.forward(tensor(Float32Array.from(numbers(48, n)), { shape: [4, 3, 2, 2] }));
  assert.equal(Object.keys(layer.stateDict()), [
    'weight',
    'bias',
    'running_mean',
    'running_var',
    'num_batches_tracked',
  ]);
  const [other, file] = [new BatchNorm2d(3, { momentum: null }), new BatchNorm2d(3)];
  other.loadStateDict(layer.stateDict());
  file.load(await layer.save());
  assert.equal([await other.numBatchesTracked.item(), await file.numBatchesTracked.item()], [3, 3]);
  const x = tensor(Float32Array.from(numbers(48, 7)), { shape: [4, 3, 2, 2] });
  layer.forward(x);
  other.forward(x);
  assert.equal(await other.runningMean.data(), await layer.runningMean.data());
  const norm = new InstanceNorm2d(3, { trackRunningStats: true, momentum: null });
  norm.forward(x);
  assert.equal(Object.keys(norm.stateDict()), ['running_mean', 'running_var', 'num_batches_tracked']);
  assert.is(await norm.numBatchesTracked!.item(), 0);
  assert.equal([...(await norm.runningMean!.data())], [0, 0, 0], 'momentum null is 0 here, as in PyTorch');
});

test('NaN in the input stays out of the gradient for it in evaluation, as in PyTorch', async () => {
  await onBothTargets(async () => {
    for (const shape of [
      [2, 3],
      [2, 3, 2, 2],
      [2, 3, 3, 3],
    ]) {
      const x = ones(shape);
      x.narrow(0, 0, 1).assign_(Number.NaN);
      x.requiresGrad_();
      const running = { runningMean: zeros([3]), runningVar: tensor([3, 0.25, 1]), weight: tensor([2, 3, 4]) };
      const y = batchNorm(x, { ...running, bias: zeros([3]), eps: 1 });
      backward(sum(y));
      const each = shape.slice(2).reduce((a, b) => a * b, 1);
      const want = [1, 3 / Math.sqrt(1.25), 4 / Math.sqrt(2)].flatMap((v) => new Array<number>(each).fill(v));
      close(await x.grad!.data(), [...want, ...want], 1e-6);
    }
  });
});

test('wrong calls are refused', () => {
  const x = ones([4, 2]);
  const running = { runningMean: zeros([2]), runningVar: ones([2]), training: true };
  assert.throws(() => batchNorm(x, { ...running, momentum: null }), /momentum: null needs numBatchesTracked/);
  assert.throws(() => batchNorm(x, { ...running, numBatchesTracked: zeros([]) }), /must be one int32 number/);
  assert.throws(() => new BatchNorm1d(2, { momentum: 'none' as never }), /momentum 'none' must be a number or null/);
});

test.run();
