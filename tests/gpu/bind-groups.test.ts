// Bind groups: a program that repeats itself needs the same ones again, what is alive is bounded, and no loop runs out of memory maps.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import type { Kernel } from '../../shaders/kernel';
import { backward } from '../../src/autograd/backward';
import { device, f32, type Storage } from '../../src/gpu';
import { MeanField } from '../../src/meanfield/mean-field';
import { PreActResNet } from '../../src/models/resnet';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { crossEntropy } from '../../src/ops/loss';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import { randn } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, useGpu } from '../util';

useGpu();

/** b += factor · a */
const accumulate: Kernel = {
  name: 'accumulate',
  access: 'rx',
  uniforms: 16,
  code: `
  @group(0) @binding(0) var<storage, read> a: array<f32>;
  @group(0) @binding(1) var<storage, read_write> b: array<f32>;
  @group(1) @binding(0) var<uniform> factor: f32;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < 64) { b[id.x] += factor * a[id.x]; }
  }`,
};
const add = (a: Storage, b: Storage, factor: number) => device().launch(accumulate, [a, b], [f32(factor)], [1, 1, 1]);
const filled = (value: number) => {
  const storage = device().allocate(256, 'filled');
  device().write(storage, new Float32Array(64).fill(value));
  return storage;
};

test('rounds alike take the same blocks, whatever order they were released in and though each round keeps one more', () => {
  const source = filled(1);
  const kept: Storage[] = [];
  const round = (n: number) => {
    const before = device().stats().bindGroupsCreated;
    const all = Array.from({ length: 40 }, (_, i) => device().allocate(256, `op ${i % 7}`));
    all.forEach((storage, i) => add(i % 3 ? all[i - 1] : source, storage, 1));
    kept.push(...all.splice(20, 1));
    while (all.length) all.splice((n * 17 + 5) % all.length, 1)[0].release();
    return device().stats().bindGroupsCreated - before;
  };
  const created = Array.from({ length: 12 }, (_, n) => round(n));
  assert.is(created[0], 40);
  assert.ok(
    created.slice(4).every((n) => n <= 10),
    `bind groups created by round: ${created}`,
  );
  for (const storage of [source, ...kept]) storage.release();
});

test('a launch that needs the pipeline and the bind group of the one before sets neither again', async () => {
  const [a, b, c] = [filled(1), filled(0), filled(0)];
  const calls = { setPipeline: 0, setBindGroup: 0 };
  const prototype = GPUComputePassEncoder.prototype;
  const { setPipeline, setBindGroup } = prototype;
  prototype.setPipeline = function (pipeline) {
    calls.setPipeline++;
    return setPipeline.call(this, pipeline);
  };
  prototype.setBindGroup = function (...args: unknown[]) {
    if (args[0] === 0) calls.setBindGroup++;
    return (setBindGroup as (...args: unknown[]) => undefined).apply(this, args);
  };
  try {
    for (let i = 0; i < 10; i++) add(a, b, 1);
    for (let i = 0; i < 10; i++) add(a, i % 2 ? b : c, 1);
    const copy = device().allocate(256, 'copy');
    device().copy(b, copy); // ends the pass: the next one begins with nothing set
    add(a, b, 1);
    assert.equal([...new Float32Array(await device().read(copy))], new Array(64).fill(15));
    copy.release();
  } finally {
    Object.assign(prototype, { setPipeline, setBindGroup });
  }
  assert.equal(calls, { setPipeline: 2, setBindGroup: 1 + 10 + 1 });
  assert.equal([...new Float32Array(await device().read(b))], new Array(64).fill(16));
  for (const storage of [a, b, c]) storage.release();
});

test('an eager training step of a ResNet that repeats makes no buffer and hardly a bind group', async () => {
  const model = new PreActResNet({ blocks: 1 });
  const optimizer = new SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const images = randn([2, 3, 16, 16]);
  const labels = tensor(new Int32Array([1, 2]));
  const made: number[][] = [];
  for (let i = 0; i < 16; i++) {
    const before = device().stats();
    optimizer.zeroGrad();
    backward(crossEntropy(model.forward(images), labels));
    optimizer.step();
    const after = device().stats();
    made.push([after.buffersCreated - before.buffersCreated, after.bindGroupsCreated - before.bindGroupsCreated]);
    await device().sync();
  }
  // What the collector takes back in between may come to lie elsewhere.
  for (const [buffers, groups] of made.slice(-3)) {
    assert.is(buffers, 0);
    assert.ok(groups <= 5, `${groups} bind groups`);
  }
});

test('a loop that needs other bind groups for ever: few are made, results stay right', async () => {
  const { commands } = device();
  const { mostWasted, mostKept } = commands;
  const all = Array.from({ length: 30 }, (_, i) => filled(i === 0 ? 1 : 0));
  Object.assign(commands, { mostKept: 200, mostWasted: commands.wasted + 250 });
  const before = device().stats().bindGroupsCreated;
  // 870 pairs, each but once: none is in the cache.
  for (let shift = 1; shift < 30; shift++) for (let i = 0; i < 30; i++) add(all[i], all[(i + shift) % 30], 0);
  add(all[0], all[7], 3);
  const created = device().stats().bindGroupsCreated - before;
  Object.assign(commands, { mostWasted, mostKept });
  assert.is(new Float32Array(await device().read(all[7]))[63], 3);
  assert.is(new Float32Array(await device().read(all[0]))[63], 1);
  assert.ok(created > 200 && created <= 451, `${created} bind groups were made`);
  for (const storage of all) storage.release();
});

class Branch extends Module {
  readonly linear = new Linear(4, 4);

  override forward(x: Tensor): Tensor {
    return this.linear.forward(x).tanh();
  }
}

// On lavapipe each bind group is a map, and a process has 65,530 of them: 24 of these steps used to need 20,000.
(process.platform === 'linux' ? test : test.skip)(
  'eager steps of a solver: the number of memory maps is flat',
  async () => {
    const solver = { method: 'rk4', substeps: 2, gradient: 'adjoint' } as const;
    const stack = new MeanField(3, () => new Branch(), { times: 'fraction', solver });
    const sgd = new SGD(stack.parameters(), { lr: 0.01 });
    const x = tensor(Float32Array.from(numbers(8, 1)), { shape: [2, 4] });
    const step = async (read: boolean) => {
      const loss = stack.forward(x).square().mean();
      loss.backward();
      sgd.step();
      sgd.zeroGrad();
      if (read) await loss.item();
    };
    const maps = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
    // Small tensors that wait for the collector are parked: it takes some steps until the same ones are.
    for (let i = 0; i < 20; i++) await step(true);
    const [before, { bindGroupsCreated }] = [maps(), device().stats()];
    for (let i = 0; i < 24; i++) await step(i < 12 || i === 23); // with and without turns of the event loop; in the end all has run
    const grown = maps() - before;
    assert.ok(grown < 400, `${grown} more memory maps after 24 steps`);
    const created = device().stats().bindGroupsCreated - bindGroupsCreated;
    assert.ok(created < 400, `${created} more bind groups after 24 steps`);
  },
);

test.run();
