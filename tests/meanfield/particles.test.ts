// A particle is the whole block: blocks that differ in anything but weights are refused, and so is what was set for one particle alone.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { MeanField } from '../../src/meanfield/mean-field';
import { ELU, GELU, LeakyReLU, ReLU, Tanh } from '../../src/nn/activations';
import { Sequential } from '../../src/nn/containers';
import { Conv2d } from '../../src/nn/conv';
import { Dropout } from '../../src/nn/dropout';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { BatchNorm2d } from '../../src/nn/norm';
import { Parameter, State } from '../../src/nn/parameter';
import { relu, tanh } from '../../src/ops/elementwise';
import { SGD } from '../../src/optim/sgd';
import { tensor, zeros } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

/** A block of a user's own, with an option, a function and whatever else. */
class Block extends Module {
  readonly weight = new Parameter(zeros([2]));
  constructor(
    readonly option: unknown = null,
    readonly act: (x: Tensor) => Tensor = relu,
  ) {
    super();
  }
  override forward(x: Tensor): Tensor {
    return this.act(x.add(this.weight));
  }
}

class Other extends Block {}

test('blocks that differ in anything but weights are refused, with what differs', () => {
  const conv = (dilation: number) => new Conv2d(2, 2, 3, { padding: dilation, dilation });
  assert.throws(
    () => new MeanField([conv(1), conv(2)], { times: [2, 1] }),
    /of particle 0 options\.(padding|dilation) is 1, not 2 as of particle 1/,
  );
  assert.throws(() => MeanField.from(new Sequential(conv(1), conv(1), conv(2))), /as of particle 2/);
  const pairs: [Module, Module][] = [
    [new ReLU(), new Tanh()],
    [new LeakyReLU(0.1), new LeakyReLU(0.2)],
    [new ELU(1), new ELU(2)],
    [new GELU(), new GELU('tanh')],
    [new Dropout(0.1), new Dropout(0.2)],
    [new BatchNorm2d(2, { eps: 1e-3 }), new BatchNorm2d(2)],
    [new BatchNorm2d(2, { activation: 'relu' }), new BatchNorm2d(2)],
    [new Linear(2, 2), new Linear(2, 2, { bias: false })],
    [new Block(), new Other()],
    [new Block(null, relu), new Block(null, tanh)],
    [new Block(null, (x) => x.mul(2)), new Block(null, (x) => x.mul(2))],
    [new Block(1), new Block(2)],
    [new Block([1, { deep: 1 }]), new Block([1, { deep: 2 }])],
    [new Block(new Map([['k', 1]])), new Block(new Map([['k', 2]]))],
    [new Block(new Set([1])), new Block(new Set([2]))],
    [new Block(Float32Array.of(1)), new Block(Float32Array.of(2))],
    [new Block(tensor([1])), new Block(tensor([2]))],
    [new Block(new State(zeros([1]))), new Block(new Parameter(zeros([1])))],
  ];
  for (const [i, [a, b]] of pairs.entries())
    for (const particles of [
      [a, b],
      [new Sequential(a), new Sequential(b)],
    ])
      assert.throws(() => new MeanField(particles), /particles must be alike in all but their weights/, `pair ${i}`);
});

test('blocks that are alike are taken, whatever they hold', () => {
  const shared = (x: Tensor) => x.mul(2);
  const constant = tensor([1]);
  const whole = () =>
    new Sequential(new Conv2d(2, 2, 1), new BatchNorm2d(2), new LeakyReLU(0.1), new GELU(), new Dropout(0.3));
  const cyclic = () => {
    const options: { self?: object; list: unknown[] } = { list: [1, new Set([2]), new Map([[3, Float32Array.of(4)]])] };
    options.self = options;
    return new Block(options);
  };
  for (const make of [whole, cyclic, () => new Block(constant, shared), () => new Block(new State(zeros([3])))])
    new MeanField([make(), make(), make()]);
  // One factory without arguments makes functions alike.
  new MeanField(2, () => new Block(null, (x) => x.mul(2)));
  assert.throws(() => new MeanField(2, (l) => new Block(null, (x) => x.mul(l))), /act is a function of its own/);
});

test('what was set for one particle is refused before anything moves, and set for all it is fine', async () => {
  const make = () => new Sequential(new Linear(2, 2), new Dropout(0.1));
  const setters: [string, (block: Sequential) => void, RegExp][] = [
    ['frozen', (b) => void ((b.at(0) as Linear).weight.requiresGrad = false), /0\.weight is trained, not frozen/],
    ['mode', (b) => void b.eval(), /training is true, not false/],
    ['option', (b) => void Object.assign(b.at(1), { p: 0.5 }), /1\.p is 0\.1, not 0\.5/],
  ];
  for (const [what, set, message] of setters) {
    const net = new MeanField(3, make);
    const weights = () => Promise.all(net.particles.map(async (p) => [...(await p.parameters()[0].data())]));
    const before = await weights();
    set(net.particles[1] as Sequential);
    copyInto(net.tau, tensor([3, 2, 1]));
    assert.throws(() => net.sortParticles(), message, what);
    assert.equal(await weights(), before, `${what}: nothing has moved`);
    for (const p of net.particles) set(p as Sequential);
    net.sortParticles();
    assert.equal((await net.telemetry()).order, [2, 1, 0], what);
  }
  // A stage that is never sorted may have what it likes.
  const fixed = new MeanField(2, make, { sort: false });
  fixed.particles[0].eval();
  copyInto(fixed.tau, tensor([2, 1]));
  fixed.sortParticles();
  assert.equal(await fixed.telemetry(), { tau: [2, 1], order: [0, 1], swaps: 0 });
});

test('particles of different parameter groups are refused before anything moves; groups by kind of parameter are fine', async () => {
  const x = tensor([[1, 2]]);
  const train = async (groups: (net: MeanField) => ConstructorParameters<typeof SGD>[0]) => {
    const net = new MeanField(2, () => new Linear(2, 2));
    const optimizer = new SGD(groups(net), { lr: 0.1, momentum: 0.9 });
    net.forward(x).sum().backward();
    optimizer.step();
    copyInto(net.tau, tensor([2, 1]));
    const before = [...(await net.particles[0].parameters()[0].data())];
    let message = '';
    try {
      net.sortParticles();
    } catch (error) {
      message = (error as Error).message;
    }
    if (message) assert.equal([...(await net.particles[0].parameters()[0].data())], before, 'nothing has moved');
    return message;
  };
  const of = (net: MeanField, i: number) => net.particles[i].parameters();
  const apart = await train((net) => [{ params: of(net, 0) }, { params: of(net, 1), lr: 0 }]);
  assert.match(apart, /one is of group 0 and another one of group 1: rates and decay would not follow/);
  assert.match(await train((net) => of(net, 0)), /one is of group 0 and another one of none of its groups/);
  const kinds = (net: MeanField) =>
    [0, 1].map((k) => ({ params: [0, 1].map((i) => of(net, i)[k]), lr: k / 10 })).concat({ params: [net.tau], lr: 1 });
  assert.is(await train(kinds), '');
});

test("scaling 'mean-field': gradients n times as large for times i/n, decay as it is; as the group's gradientScale", async () => {
  const x = tensor([[1, -2]]);
  const n = 4;
  const run = async (
    options: ConstructorParameters<typeof MeanField>[2],
    o: { lr: number; weightDecay?: number; gradientScale?: number },
  ) => {
    manualSeed(2);
    const net = new MeanField(n, () => new Sequential(new Linear(2, 2), new Tanh()), { times: 'fraction', ...options });
    const optimizer = new SGD(net.parameters(), { momentum: 0.9, ...o });
    for (let step = 0; step < 3; step++) {
      net.forward(x).square().sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
    }
    const values: number[] = [];
    for (const p of net.parameters()) values.push(...(await p.data()));
    return values;
  };
  const scaled = await run({ scaling: 'mean-field' }, { lr: 0.02, weightDecay: 0.1 });
  close(scaled, await run({}, { lr: 0.02 * n, weightDecay: 0.1 / n }), 1e-6, 'rate n·lr, decay a n-th of it');
  close(scaled, await run({}, { lr: 0.02, weightDecay: 0.1, gradientScale: n }), 1e-6, "the optimizer's option");
  const ordinal = { times: 'ordinal' } as const;
  const plain = await run(ordinal, { lr: 0.02 });
  assert.equal(await run({ ...ordinal, scaling: 'mean-field' }, { lr: 0.02 }), plain, 'times 1 … n have steps of 1');
  const half = await run({ times: [0.5, 1, 1.5, 2], scaling: 'mean-field' }, { lr: 0.02 });
  close(half, await run({ times: [0.5, 1, 1.5, 2] }, { lr: 0.04 }), 1e-6, 'n by the mass of time');
});

test('times of the beginning are sorted without counting as swaps; loaded particles are numbered again', async () => {
  const net = new MeanField([new Linear(2, 2), new Linear(2, 2), new Linear(2, 2)], { times: [3, 1, 2] });
  assert.equal(await net.telemetry(), { tau: [1, 2, 3], order: [1, 2, 0], swaps: 0 });
  const saved = new MeanField(3, () => new Linear(2, 2)).stateDict();
  net.loadStateDict(saved);
  assert.equal(await net.telemetry(), { tau: [1, 2, 3], order: [0, 1, 2], swaps: 0 });
  net.loadStateDict({ ...saved, tau: tensor([2, 3, 1]) });
  assert.equal(await net.telemetry(), { tau: [1, 2, 3], order: [2, 0, 1], swaps: 0 });
  // Loading into other modules does not touch the numbers, and a checkpoint brings its own.
  net.loadStateDict({ '0.bias': tensor([1, 1]) }, { strict: false });
  assert.equal((await net.telemetry()).order, [2, 0, 1]);
  net.loadStateDict({ ...saved, ids: tensor([7, 5, 6], { dtype: 'int32' }) });
  assert.equal((await net.telemetry()).order, [7, 5, 6]);
});

test('intervals that start at the times: the network, its gradients, and the vanilla one bit for bit', async () => {
  const x = tensor(Float32Array.from(numbers(4 * 2, 3)), { shape: [4, 2] });
  const made = (options: ConstructorParameters<typeof MeanField>[2]) => {
    manualSeed(9);
    return new MeanField(3, () => new Sequential(new Linear(2, 2), new Tanh()), options);
  };
  const plain = (net: MeanField, steps: number[]) => net.branches.reduce((y, f, l) => y.add(f(y).mul(steps[l])), x);
  const times = [0.1, 0.4, 0.5];
  const net = made({ interval: 'start', times, end: 0.9 });
  const steps = [0.3, 0.1, 0.4];
  close(await net.forward(x).data(), await plain(net, steps).data(), 1e-6, 'x + Σ (τ_{l+1} − τ_l) f_l');
  const solved = net.solve(x, { method: 'euler' });
  close(await solved.data(), await net.forward(x).data(), 1e-6, 'solve');
  net.forward(x).square().sum().backward();
  const gradient = [...(await net.tau.grad!.data())];
  for (let l = 0; l < 3; l++) {
    const at = async (step: number) => {
      copyInto(net.tau, tensor(times.map((t, i) => (i === l ? t + step : t))));
      return net.forward(x).square().sum().item();
    };
    const numeric = ((await at(0.01)) - (await at(-0.01))) / 0.02;
    assert.ok(Math.abs(gradient[l] - numeric) < 5e-3 * Math.max(1, Math.abs(numeric)), `${gradient[l]}, ${numeric}`);
  }
  const [vanilla, starts] = [made({}), made({ interval: 'start' })];
  assert.equal([...(await starts.tau.data())], [0, 1, 2]);
  assert.equal(await starts.forward(x).data(), await vanilla.forward(x).data());
  close(await made({ interval: 'start', times: 'fraction' }).tau.data(), [0, 1 / 3, 2 / 3], 1e-7);
  assert.throws(() => made({ interval: 'start', times }), /say where time ends/);
  assert.throws(() => made({ end: 2 }), /`end` is for interval: 'start'/);
  assert.throws(() => made({ interval: 'middle' as 'end' }), /interval/);
});

test.run();
