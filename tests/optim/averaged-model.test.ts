// AveragedModel: exponential and plain means in float64, the model inside and out, compiled steps, and its state dict.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { device } from '../../src/gpu';
import { Sequential } from '../../src/nn/containers';
import { Linear } from '../../src/nn/linear';
import type { Module } from '../../src/nn/module';
import { BatchNorm1d } from '../../src/nn/norm';
import { sum } from '../../src/ops/reduce';
import { AveragedModel, SGD } from '../../src/optim';
import { tensor } from '../../src/tensor/create';
import { randn } from '../../src/tensor/random';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';

useGpu();

function network(): Module {
  manualSeed(3);
  return new Sequential(new Linear(4, 6), new BatchNorm1d(6), new Linear(6, 2));
}

const read = async (model: Module) => {
  const all = new Map<string, Float64Array>();
  for (const [name, x] of model.namedTensors()) all.set(name, Float64Array.from(await x.data()));
  return all;
};

for (const [title, options] of [
  ['an exponential mean of weights', { decay: 0.9 }],
  ['with a small decay', { decay: 0.3 }],
  ['a plain mean', {}],
  ['running statistics too', { decay: 0.9, useBuffers: true }],
] as const)
  test(`${title}: as a float64 loop, eager and compiled with the same bits`, async () => {
    const results = [];
    for (const compiled of [false, true]) {
      const model = network();
      const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
      const averaged = new AveragedModel(model, options);
      const step = () => {
        backward(sum(model.forward(randn([8, 4])).square()));
        optimizer.step();
        averaged.updateParameters();
        optimizer.zeroGrad();
      };
      const run = compiled ? compile(step) : step;
      let want = new Map<string, Float64Array>();
      for (let n = 1; n <= 6; n++) {
        run();
        const now = await read(model);
        const weight = n === 1 ? 1 : 'decay' in options ? 1 - options.decay : 1 / n;
        want = new Map(
          [...now].map(([name, x]) => [name, x.map((v, i) => v * weight + (want.get(name)?.[i] ?? 0) * (1 - weight))]),
        );
      }
      assert.is(averaged.nAveraged, 6);
      const before = await read(model);
      const inside = averaged.within(() => [...model.namedTensors()].map(([name, x]) => [name, x.clone()] as const));
      const got = new Map<string, ArrayLike<number>>();
      for (const [name, x] of inside) got.set(name, await x.data());
      for (const [name, x] of got) {
        // The count of batches is the model's: it is no statistic.
        const own = name.endsWith('num_batches_tracked') || (name.includes('running') && !('useBuffers' in options));
        close(x, own ? before.get(name)! : want.get(name)!, 1e-6, name);
      }
      assert.equal(await read(model), before, 'the model is as it was');
      results.push(JSON.stringify([...got].map(([name, x]) => [name, ...Array.from(x)])));
    }
    assert.is(results[0], results[1]);
  });

test('a compiled step averages all that lies side by side in one launch', async () => {
  const launches = [];
  for (const useBuffers of [null, false, true]) {
    const model = network();
    const optimizer = new SGD(model.parameters(), { lr: 0.05 });
    const averaged = new AveragedModel(model, { decay: 0.9, useBuffers: useBuffers ?? false });
    const step = compile(() => {
      backward(sum(model.forward(randn([8, 4])).square()));
      optimizer.step();
      if (useBuffers !== null) averaged.updateParameters();
      optimizer.zeroGrad();
    });
    step();
    step();
    await device().sync();
    const before = device().stats();
    step();
    await device().sync();
    const after = device().stats();
    launches.push(after.dispatches - before.dispatches);
  }
  const [plain, weights, all] = launches as [number, number, number];
  assert.equal([weights - plain, all - plain], [1, 2]);
});

test('forward is the model with the averages, which are loaded again with PyTorch’s keys', async () => {
  const model = network().eval();
  const averaged = new AveragedModel(model, { decay: 0.5 });
  averaged.updateParameters();
  const x = randn([3, 4]);
  const first = await model.forward(x).data();
  for (const p of model.parameters()) p.detach().mul_(3);
  assert.equal(await averaged.forward(x).data(), first);
  assert.not.equal(await model.forward(x).data(), first);
  averaged.updateParameters();
  const dict = averaged.stateDict();
  assert.is(await dict.n_averaged!.item(), 2);
  assert.equal(Object.keys(dict), ['n_averaged', ...[...model.namedTensors()].map(([name]) => `module.${name}`)]);
  const other = network().eval();
  const again = new AveragedModel(other, { decay: 0.5 });
  again.loadStateDict(dict);
  assert.is(again.nAveraged, 2);
  assert.equal(await again.forward(x).data(), await averaged.forward(x).data());
  again.copyToModel();
  assert.equal(await other.forward(x).data(), await averaged.forward(x).data());
});

test('wrong calls are refused, and change nothing', async () => {
  const model = network();
  for (const decay of [-0.1, 1.1]) assert.throws(() => new AveragedModel(model, { decay }), /decay .* in 0 … 1/);
  assert.throws(() => new AveragedModel(model, { beta: 1 } as object), /no option 'beta'/);
  const averaged = new AveragedModel(model, { decay: 0.9 });
  assert.throws(() => averaged.forward(randn([2, 4])), /no averages before the first updateParameters/);
  assert.throws(() => averaged.copyToModel(), /no averages/);
  averaged.updateParameters();
  assert.throws(() => averaged.within(async () => 1), /cannot be async/);
  assert.throws(() => averaged.loadStateDict({}), /'n_averaged' is missing/);
  const dict = { ...averaged.stateDict(), n_averaged: tensor(5) };
  const { 'module.0.weight': _, ...lacking }: Record<string, Tensor> = dict;
  assert.throws(() => averaged.loadStateDict(lacking), /'module.0.weight' is missing.*nothing was loaded/);
  assert.throws(() => averaged.loadStateDict({ ...dict, 'module.2.bias': tensor([1]) }), /'module.2.bias' is \[1\]/);
  assert.is(averaged.nAveraged, 1);
});

test.run();
