// MeanField beyond the papers' numbers: whole particles move, ties are stable, refusals, resuming.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { noGrad } from '../../src/autograd/tape';
import { MeanField } from '../../src/meanfield/mean-field';
import { MeanFieldResNet, PreActResNet } from '../../src/models/resnet';
import { Sequential } from '../../src/nn/containers';
import { Conv2d } from '../../src/nn/conv';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { BatchNorm2d } from '../../src/nn/norm';
import { Parameter } from '../../src/nn/parameter';
import { narrow } from '../../src/ops/views';
import { Adam } from '../../src/optim/adam';
import { SGD } from '../../src/optim/sgd';
import { full, tensor } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, useGpu } from '../util';

useGpu();

const image = (n: number, c: number, hw: number, seed = 1) =>
  tensor(Float32Array.from(numbers(n * c * hw * hw, seed)), { shape: [n, c, hw, hw] });
const block = () => new Sequential(new BatchNorm2d(4), new Conv2d(4, 4, 3, { padding: 1 }));
const values = async (list: readonly Tensor[]) => {
  const out: number[][] = [];
  for (const t of list) out.push([...(await t.data())]);
  return out;
};

/** Everything of the particle with the given id: weights, states, time, momenta. */
async function particle(net: MeanField, optimizer: SGD, id: number) {
  const { order } = await net.telemetry();
  const at = order.indexOf(id);
  const owned = [...net.particles[at].namedTensors()].map(([, t]) => t);
  const momenta = net.particles[at].parameters().map((p) => optimizer.stateOf(p).get('momentum')!);
  const tau = await values([net.tau, optimizer.stateOf(net.tau).get('momentum')!]);
  return { at, tau: tau[0][at], tauMomentum: tau[1][at], tensors: await values([...owned, ...momenta]) };
}

test('a forced swap moves the whole particle', async () => {
  manualSeed(3);
  const net = new MeanField(5, block);
  const optimizer = new SGD(net.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 });
  for (let step = 0; step < 2; step++) {
    net
      .forward(image(2, 4, 6, step))
      .square()
      .mean()
      .backward();
    optimizer.step();
    net.sortParticles();
  }
  const before = await Promise.all([0, 1, 2, 3, 4].map((id) => particle(net, optimizer, id)));
  assert.equal(new Set(before.map((p) => JSON.stringify(p.tensors))).size, 5, 'particles differ');
  const times = [3, 0.5, 4, -1, 2.5];
  copyInto(net.tau, tensor(times));
  net.sortParticles();
  const { tau, order, swaps } = await net.telemetry();
  assert.equal(tau, [-1, 0.5, 2.5, 3, 4]);
  assert.equal(order, [3, 1, 4, 0, 2]);
  assert.is(swaps, 6, 'inversions of 3 0.5 4 -1 2.5');
  for (let id = 0; id < 5; id++) {
    const after = await particle(net, optimizer, id);
    assert.is(after.tau, times[id]);
    assert.is(after.tauMomentum, before[id].tauMomentum, `momentum of τ of particle ${id}`);
    assert.equal(after.tensors, before[id].tensors, `weights, statistics and momenta of particle ${id}`);
  }
});

test('particles of more than 64 MiB, as those of ResNeXt-29, are moved in parts', async () => {
  class Wide extends Module {
    readonly large: Parameter;
    readonly small: Parameter;
    constructor(id: number) {
      super();
      this.large = new Parameter(full([9_000_000], id + 0.25));
      this.small = new Parameter(full([1_000_000], id + 0.5));
    }
    override forward(x: Tensor): Tensor {
      return x;
    }
  }
  const net = new MeanField(2, (id) => new Wide(id));
  copyInto(net.tau, tensor([2, 1]));
  net.sortParticles();
  assert.equal((await net.telemetry()).order, [1, 0]);
  for (const [at, id] of [1, 0].entries()) {
    const { large, small } = net.particles[at] as Wide;
    for (const i of [0, 8_999_999]) assert.is(await narrow(large, 0, i, 1).item(), id + 0.25);
    for (const i of [0, 999_999]) assert.is(await narrow(small, 0, i, 1).item(), id + 0.5);
  }
});

test('statistics may stay at their position', async () => {
  const net = new MeanField(2, block, { statistics: 'position' });
  net.forward(image(2, 4, 6));
  const statistics = () =>
    values(net.particles.map((p) => (p as Sequential).layers[0] as BatchNorm2d).map((bn) => bn.runningMean));
  const before = await statistics();
  assert.not.equal(before[0], before[1]);
  copyInto(net.tau, tensor([2, 1]));
  net.sortParticles();
  assert.equal((await net.telemetry()).order, [1, 0]);
  assert.equal(await statistics(), before);
});

test('equal times keep their order, −0 equals 0, NaN comes last and loses no particle', async () => {
  const net = new MeanField(6, block);
  copyInto(net.tau, tensor([1, 0, 1, -0, Number.NaN, 0]));
  net.sortParticles();
  assert.equal((await net.telemetry()).order, [1, 3, 5, 0, 2, 4]);
});

test('times 1 … n give the vanilla network, bit for bit', async () => {
  manualSeed(11);
  const vanilla = new PreActResNet({ blocks: 2, classes: 5 });
  manualSeed(11);
  const meanField = new MeanFieldResNet({ blocks: 2, classes: 5 });
  assert.is(meanField.parameterCount, vanilla.parameterCount + 4);
  const x = image(2, 3, 16);
  assert.equal(await meanField.forward(x).data(), await vanilla.forward(x).data());
});

test('clamped times do not go below zero', async () => {
  const net = new MeanField(3, block, { clampTimes: true });
  copyInto(net.tau, tensor([1, -2, 0.5]));
  net.sortParticles();
  assert.equal((await net.telemetry()).tau, [0, 0.5, 1]);
});

test('frozen times get no gradient and stay', async () => {
  const net = new MeanField(2, block, { trainTimes: false });
  net
    .forward(image(1, 4, 6))
    .mean()
    .backward();
  assert.is(net.tau.grad, null);
  assert.ok((net.particles[0].parameters()[0] as Parameter).grad);
});

test('a state dict with unsorted times is sorted when loaded', async () => {
  const net = new MeanField(3, () => new Linear(2, 2));
  const dict = { ...net.stateDict() };
  dict.tau = tensor([3, 1, 2]);
  for (let i = 0; i < 3; i++) dict[`${i}.bias`] = tensor([i, i]);
  net.loadStateDict(dict);
  assert.equal(await values(net.particles.map((p) => (p as Linear).bias!)), [
    [1, 1],
    [2, 2],
    [0, 0],
  ]);
  assert.equal((await net.telemetry()).tau, [1, 2, 3]);
});

test('a Sequential of equal blocks becomes a stack with the same bits; its gradients follow', async () => {
  /** A block that holds its skip connection, as most do. */
  class Block extends Module {
    inner = block();
    override forward(x: Tensor): Tensor {
      return x.add(this.inner.forward(x).tanh());
    }
  }
  manualSeed(8);
  const sequential = new Sequential(new Block(), new Block(), new Block());
  const net = MeanField.from(sequential);
  const x = image(2, 4, 6);
  const gradients = async (model: Module) => {
    model.zeroGrad();
    const y = model.forward(x);
    y.square().mean().backward();
    return { y: [...(await y.data())], grads: await values(sequential.parameters().map((p) => p.grad!)) };
  };
  assert.equal(await gradients(net), await gradients(sequential));
  assert.equal(net.particles, sequential.layers, 'the modules themselves');
  const [before] = await values([net.tau]);
  assert.equal(before, [1, 2, 3]);
  net.eval();
  net.zeroGrad();
  net.forward(x).square().mean().backward();
  const [analytic] = await values([net.tau.grad!]);
  for (let l = 0; l < 3; l++) {
    const at = async (step: number) => {
      copyInto(net.tau, tensor(before.map((t, i) => (i === l ? t + step : t))));
      return noGrad(() => net.forward(x).square().mean()).item();
    };
    const numeric = ((await at(0.02)) - (await at(-0.02))) / 0.04;
    assert.ok(Math.abs(analytic[l] - numeric) < 2e-3 * Math.max(1, Math.abs(numeric)), `${analytic[l]}, ${numeric}`);
  }
  assert.throws(
    () => MeanField.from([new Linear(2, 3)]).forward(tensor([[1, 2]])),
    /keep the shape.*\[1, 2\].*\[1, 3\]/s,
  );
});

test('refusals name the cause', () => {
  assert.throws(() => new MeanField(0, block), /number of particles is 0: it must be a whole number from 1/);
  assert.throws(() => new MeanField([new Linear(2, 2), new Linear(2, 3)]), /alike/);
  const shared = new Linear(2, 2);
  assert.throws(() => new MeanField([shared, shared]), /share/);
  assert.throws(() => new MeanField(2, block, { times: [1] }), /2 finite numbers/);
  const growing = new MeanField(1, () => new Linear(2, 3));
  assert.throws(() => growing.forward(tensor([[1, 2]])), /keep the shape.*\[1, 2\].*\[1, 3\]/s);
});

test('the sort moves the state of every optimizer, and refuses step counts that it cannot follow', async () => {
  manualSeed(3);
  const net = new MeanField(3, () => new Linear(2, 2));
  const [adam, sgd] = [new Adam(net.parameters()), new SGD(net.parameters(), { lr: 0.01, momentum: 0.9 })];
  for (const optimizer of [adam, sgd]) {
    net
      .forward(tensor([[1, -2]]))
      .square()
      .sum()
      .backward();
    optimizer.step();
    optimizer.zeroGrad();
  }
  const weights = net.particles.map((p) => p.parameters()[0]);
  const states = () =>
    values(weights.flatMap((w) => [adam.stateOf(w).get('expAvg')!, sgd.stateOf(w).get('momentum')!]));
  const before = await states();
  copyInto(net.tau, tensor([2, 3, 1]));
  net.sortParticles();
  const [a, b, c] = [0, 2, 4].map((i) => before.slice(i, i + 2));
  assert.equal(await states(), [...c, ...a, ...b]);
  weights[1].grad = tensor([
    [1, 1],
    [1, 1],
  ]);
  adam.step();
  assert.throws(() => net.sortParticles(), /Adam: .*\[2, 2\] .* updated 1 times and another one 2 times/);
  // An order that the host knows takes the counts along.
  const counts = async () => {
    const steps = await adam.stateDict().steps.data();
    return weights.map((w) => steps[[...adam.parameters()].indexOf(w)]);
  };
  assert.equal(await counts(), [1, 2, 1]);
  await net.permute([1, 2, 0]);
  assert.equal(await counts(), [2, 1, 1]);
});

test.run();
