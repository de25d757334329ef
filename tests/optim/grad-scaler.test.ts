// GradScaler: the path of the scale, steps that are left out, two optimizers, compiled steps, a Trainer with amp.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { autocast } from '../../src/autograd/autocast';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { device, init } from '../../src/gpu';
import * as F from '../../src/nn/functional';
import { Parameter } from '../../src/nn/parameter';
import { Adam, clipGradNorm, GradScaler, Muon, SGD } from '../../src/optim';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, useGpu } from '../util';

await init();
const withHalf = device().features.has('shader-f16') ? test : test.skip;
useGpu();

const parameter = (...values: number[]) => new Parameter(tensor(values));

test('the scale grows, shrinks and skips as in PyTorch', async () => {
  const w = parameter(1, 2);
  const optimizer = new SGD([w], { lr: 0.5, momentum: 0.9 });
  const scaler = new GradScaler({ initScale: 8, growthInterval: 2, growthFactor: 4, backoffFactor: 0.5 });
  // The factor of each step's loss, and PyTorch's scale after it.
  const path: [number, number][] = [[1, 8], [1, 32], [Infinity, 16], [2, 16], [NaN, 8], [1, 8], [1, 32]]; // biome-ignore format: pairs
  let [at, momentum] = [
    [1, 2],
    [0, 0],
  ];
  for (const [factor, scale] of path) {
    backward(scaler.scale(w.mul(tensor([factor, 1])).sum()));
    scaler.step(optimizer);
    scaler.update();
    optimizer.zeroGrad();
    if (Number.isFinite(factor)) {
      momentum = momentum.map((m, i) => 0.9 * m + [factor, 1][i]);
      at = at.map((x, i) => x - 0.5 * momentum[i]);
    }
    assert.is(await scaler.getScale(), scale);
    assert.equal(
      [...(await w.data())].map((x) => x.toFixed(5)),
      at.map((x) => x.toFixed(5)),
    );
  }
});

test('unscale_ gives the true gradients, to be clipped; a power of two divides exactly', async () => {
  const w = parameter(...numbers(5, 1));
  const plain = parameter(...(await w.data()));
  const optimizer = new Adam([w]);
  const scaler = new GradScaler();
  backward(scaler.scale(w.exp().sum()));
  backward(plain.exp().sum());
  scaler.unscale_(optimizer);
  assert.equal([...(await w.grad!.data())], [...(await plain.grad!.data())]);
  assert.throws(() => scaler.unscale_(optimizer), /were unscaled before/);
  clipGradNorm([w], 0.1);
  scaler.step(optimizer);
  assert.throws(() => scaler.step(optimizer), /since the last update/);
  scaler.update();
});

test('two optimizers: each skips by its own gradients, the scale by all', async () => {
  const [a, b] = [parameter(1), parameter(1)];
  const optimizers = [new SGD([a], { lr: 1 }), new SGD([b], { lr: 1 })];
  const scaler = new GradScaler({ initScale: 4 });
  const losses = scaler.scale([a.sum(), b.mul(tensor([Infinity])).sum()]);
  for (const loss of losses) backward(loss);
  for (const optimizer of optimizers) scaler.step(optimizer);
  scaler.update();
  assert.equal([await a.item(), await b.item(), await scaler.getScale()], [0, 1, 2]);
});

test('a state dict restores scale and count; wrong calls are refused', async () => {
  const w = parameter(1);
  const optimizer = new SGD([w], { lr: 0 });
  const step = (scaler: GradScaler) => {
    backward(scaler.scale(w.sum()));
    scaler.step(optimizer);
    scaler.update();
    optimizer.zeroGrad();
  };
  const first = new GradScaler({ initScale: 2, growthInterval: 3 });
  step(first);
  step(first);
  const saved = first.stateDict();
  assert.equal(Object.keys(saved), ['scale', 'growth_factor', 'backoff_factor', 'growth_interval', '_growth_tracker']);
  const second = new GradScaler();
  second.loadStateDict(saved);
  step(second);
  assert.is(await second.getScale(), 4);
  second.update(64);
  assert.is(await second.getScale(), 64);
  assert.throws(() => second.loadStateDict({}), /'scale' is missing/);
  assert.throws(() => second.update(), /after no step/);
  assert.throws(() => second.step(optimizer), /no gradients/);
  assert.throws(() => new GradScaler({ growthFactor: 1 }), /growthFactor 1 above 1/);
  assert.throws(() => new GradScaler({ scale: 1 } as never), /GradScaler: there is no option/);
  const off = new GradScaler({ enabled: false });
  assert.is(off.scale(w), w as Tensor);
  assert.is(await off.getScale(), 1);
  const matrix = new Parameter(tensor([[1, 2]]));
  const muon = new Muon([matrix], { lr: 0.1 });
  backward(second.scale(matrix.sum()));
  assert.throws(() => second.step(muon), /Muon: its steps cannot be left out/);
});

test('compiled, with no read-back: the numbers of eager', async () => {
  const run = async (compiled: boolean) => {
    const w = parameter(...numbers(6, 3));
    const optimizer = new Adam([w], { lr: 0.1 });
    const scaler = new GradScaler({ initScale: 2 ** 20, growthInterval: 2 });
    const update = (x: Tensor) => {
      backward(scaler.scale(w.mul(x).square().sum()));
      scaler.step(optimizer);
      scaler.update();
      optimizer.zeroGrad();
    };
    const step = compiled ? compile(update) : update;
    const { reads } = device().stats();
    for (let i = 0; i < 6; i++) step(tensor(numbers(6, i).map((v) => (i === 3 ? v * 1e18 : v))));
    assert.is(device().stats().reads, reads);
    return [...(await w.data()), await scaler.getScale()];
  };
  const eager = await run(false);
  assert.equal(await run(true), eager);
});

withHalf('small gradients survive in float16 through the scale alone', async () => {
  const w = new Parameter(tensor([[1, 1]]));
  const gradient = async (scale: number) => {
    const scaler = new GradScaler({ initScale: scale });
    w.grad = null;
    const y = autocast(() => F.matmul(tensor([[1e-3]]), w));
    backward(scaler.scale(y.to('float32').mul(1e-6).sum()));
    scaler.unscale_(new SGD([w], { lr: 1 }));
    return (await w.grad!.data())[0];
  };
  assert.is(await gradient(1), 0);
  assert.ok(Math.abs((await gradient(65536)) / 1e-9 - 1) < 2e-3);
});

test.run();
