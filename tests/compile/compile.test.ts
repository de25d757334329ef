// Compiled steps: the bits of eager ones, one submit a call and nothing created, new plans where shapes or modes change, and clear
// errors for what a step cannot do.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  compile,
  device,
  F,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  type Scalar,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

class Net extends nn.Module {
  readonly conv = new nn.Conv2d(2, 4, 3, { padding: 1, bias: false });
  readonly bn = new nn.BatchNorm2d(4, { activation: 'relu' });
  readonly linear = new nn.Linear(4, 3);
  override forward(x: Tensor): Tensor {
    return this.linear.forward(F.globalAvgPool2d(this.bn.forward(this.conv.forward(x))));
  }
}

function batch(seed: number, n = 4) {
  const x = tensor(Float32Array.from(numbers(n * 50, seed)), { shape: [n, 2, 5, 5] });
  return { x, y: tensor(Int32Array.from({ length: n }, (_, i) => (i + seed) % 3)) };
}

function training(compiled: boolean, seed = 3) {
  manualSeed(seed);
  const net = new Net();
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 1e-3 });
  const body = (x: Tensor, y: Tensor) => {
    const loss = F.crossEntropy(net.forward(x), y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  return { net, optimizer, step: compiled ? compile(body) : body };
}

async function message(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'nothing was thrown';
}

test('a compiled training step gives the bits of the eager one, also after the rate has changed', async () => {
  const eager = training(false);
  const fast = training(true);
  const losses: number[][] = [];
  for (let i = 0; i < 12; i++) {
    if (i === 7) for (const { optimizer } of [eager, fast]) optimizer.groups[0].lr = 0.01;
    const { x, y } = batch(i);
    losses.push([await eager.step(x, y).item(), await fast.step(x, y).item()]);
  }
  for (const [i, [a, b]] of losses.entries()) assert.is(a, b, `loss of step ${i}`);
  const [a, b] = [eager.net.stateDict(), fast.net.stateDict()];
  for (const key of Object.keys(a)) assert.equal(await a[key].data(), await b[key].data(), key);
  assert.is(fast.optimizer.steps, 12);
  assert.ok(losses[11][0] < losses[0][0]);
});

test('a call submits once and creates nothing', () => {
  const { step } = training(true);
  const { x, y } = batch(0);
  for (let i = 0; i < 3; i++) step(x, y);
  const before = device().stats();
  for (let i = 0; i < 10; i++) step(x, y);
  const after = device().stats();
  assert.is(after.submits - before.submits, 10);
  for (const key of ['buffersCreated', 'bindGroupsCreated', 'pipelinesCreated', 'liveBytes', 'reservedBytes'] as const)
    assert.is(after[key], before[key], key);
  assert.ok(after.dispatches > before.dispatches);
});

test('a mean-field network with its sort inside the step equals the eager one', async () => {
  const make = () => {
    manualSeed(5);
    const net = new models.MeanFieldResNet({ blocks: 3, classes: 3, inChannels: 2, stem: 4, inner: [4, 4, 4] });
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.2, momentum: 0.9 });
    return (x: Tensor, y: Tensor) => {
      const loss = F.crossEntropy(net.forward(x), y);
      loss.backward();
      optimizer.step();
      net.sortParticles();
      optimizer.zeroGrad();
      return loss;
    };
  };
  const eager = make();
  const fast = compile(make());
  for (let i = 0; i < 5; i++) {
    const { x, y } = batch(i);
    assert.is(await fast(x, y).item(), await eager(x, y).item(), `step ${i}`);
  }
});

test('another shape and another mode make another plan; going back uses the old one', async () => {
  const net = new Net();
  const step = compile((x: Tensor) => noGrad(() => net.forward(x)));
  const direct = async (x: Tensor) => (await noGrad(() => net.forward(x)).data()).slice();
  const { x } = batch(0);
  const { x: wide } = batch(1, 6);
  net.eval();
  step(x);
  close(await step(x).data(), await direct(x));
  assert.is(step.plans.length, 1);
  close(await step(wide).data(), await direct(wide));
  assert.is(step.plans.length, 2);
  net.train();
  assert.equal((await step(x).data()).length, 12);
  assert.is(step.plans.length, 3);
  net.eval();
  close(await step(x).data(), await direct(x));
  assert.is(step.plans.length, 3);
});

test('numbers among the arguments may change without a new plan, other values make one', async () => {
  const step = compile((x: Tensor, factor: Scalar, name: string) => (name === 'double' ? x.mul(2) : x.mul(factor)));
  const x = tensor([1, 2, 3]);
  for (const factor of [2, 3, 0.5, -1]) close(await step(x, factor, 'scale').data(), [factor, 2 * factor, 3 * factor]);
  assert.is(step.plans.length, 1);
  close(await step(x, 7, 'double').data(), [2, 4, 6]);
  close(await step(x, 7, 'scale').data(), [7, 14, 21]);
  assert.is(step.plans.length, 2);
});

test('constants made inside and tensors from outside keep their values', async () => {
  const outside = tensor([10, 20, 30]);
  const step = compile((x: Tensor) =>
    x
      .mul(tensor([1, 0, -1]))
      .add(outside)
      .add(1.5),
  );
  for (let i = 0; i < 4; i++)
    close(await step(tensor([i, i, i])).data(), [11.5 + i, 21.5, 31.5 - i], 1e-6, `call ${i}`);
  for (let i = 0; i < 5; i++) noGrad(() => zeros([3]).add(1)); // steps in which `outside` is not used
  close(await step(tensor([1, 1, 1])).data(), [12.5, 21.5, 30.5]);
});

test('arguments may share memory, be views, or be the results of the call before', async () => {
  const step = compile((a: Tensor, b: Tensor) => a.sub(b.mul(2)));
  const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
  for (let i = 0; i < 3; i++) close(await step(x, x).data(), [-1, -2, -3, -4], 1e-6, `call ${i}`);
  close(await step(x.transpose(), x).data(), [-1, -1, -4, -4]);
  close(await step(x.slice([{ step: -1 }]), x).data(), [1, 0, -5, -6]);
  close(await step(step(x, x), x).data(), [-3, -6, -9, -12]);
  assert.is(step.plans.length, 1);
});

test('a compiled step inside of another becomes part of it', async () => {
  const inner = compile((t: Tensor, factor: Scalar) => t.mul(factor).add(1));
  const outer = compile((t: Tensor, factor: Scalar) => inner(inner(t, factor), 10));
  const x = tensor([1, 2]);
  for (let i = 0; i < 4; i++) {
    close(await inner(x, 3).data(), [4, 7]);
    close(await outer(x, i).data(), [10 * (i + 1) + 1, 10 * (2 * i + 1) + 1], 1e-6, `call ${i}`);
  }
  assert.is(outer.plans.length, 1);
});

test('a structure of results comes back as it was; an argument may be returned', async () => {
  const step = compile((x: Tensor) => ({ sums: [x.sum(), x.sum(0)], x, name: 'result' }));
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  for (let i = 0; i < 3; i++) {
    const { sums, name } = step(x);
    assert.is(await sums[0].item(), 10);
    close(await sums[1].data(), [4, 6]);
    assert.is(name, 'result');
  }
});

test('results that are held keep their values when the step is called again', async () => {
  const step = compile((x: Tensor) => ({ loss: x.sum(), large: x.mul(2), argument: x }));
  const input = (i: number) => tensor(new Float32Array(1000).fill(i));
  const held: ReturnType<typeof step>[] = [];
  for (let i = 0; i < 60; i++) held.push(step(input(i)));
  for (const [i, { loss, large, argument }] of held.entries()) {
    assert.is(await loss.item(), 1000 * i);
    assert.is((await large.data())[999], 2 * i);
    assert.is((await argument.data())[0], i);
  }
  // They may be written to, meet each other, and become parameters.
  const [a, b] = [held[3].loss, held[4].loss];
  a.assign_(b);
  assert.is(await a.add(b).item(), 8000);
  const kept = step(input(7)).large.keep();
  const parameter = new nn.Parameter(step(input(8)).large);
  step(input(9));
  assert.is((await kept.data())[0], 14);
  assert.is((await parameter.data())[0], 16);
});

test('release() gives the memory of the plans back, keeps results, and a further call goes on with the same bits', async () => {
  const [{ x, y }, { net, step }, other] = [batch(1), training(true), training(true)];
  const compiled = step as ReturnType<typeof compile<[Tensor, Tensor], Tensor>>;
  const weights = async ({ net }: { net: Net }) => [...(await net.conv.weight.data())];
  for (let i = 0; i < 2; i++) for (const one of [step, other.step]) one(x, y);
  const held = () => device().stats().liveBytes;
  const before = held();
  const loss = compiled(x, y);
  const third = await other.step(x, y).item();
  const { bytes } = compiled.plans[0];
  compiled.release();
  assert.is(compiled.plans.length, 0);
  assert.ok(before - held() >= bytes / 2, `${bytes} bytes of the plan, ${before - held()} came back`);
  for (const lost of [step, other.step]) lost(x, y);
  assert.is(await loss.item(), third, 'a result keeps its value');
  assert.equal(await weights({ net }), await weights(other));
  assert.is(compiled.plans.length, 1);
  const again = held();
  for (let i = 0; i < 3; i++) {
    compiled.release();
    compiled(x, y);
  }
  assert.ok(held() <= again, 'nothing is left behind');
});

test('what a step cannot do is said at once, and the device goes on', async () => {
  const x = tensor([1, 2, 3]);
  const twice = (step: (x: Tensor) => unknown) => async () => {
    const compiled = compile(step as (x: Tensor) => Tensor);
    await compiled(x);
    await compiled(x);
  };
  assert.match(await message(twice((t) => t.sum().item())), /compile: the step is async/);
  assert.match(await message(twice(async (t) => t.add(1))), /compile: the step is async/);
  assert.match(await message(twice((t) => t.reshape([4]))), /InputError: reshape/);
  close(await x.add(1).data(), [2, 3, 4]);
  const { step } = training(true);
  const { x: images, y } = batch(0);
  for (let i = 0; i < 3; i++) assert.ok(Number.isFinite(await step(images, y).item()));
});

test('what is joined piece by piece takes the place of what is not needed any more', async () => {
  const [a, b] = [numbers(64, 1), numbers(64, 2)].map((v) => tensor(Float32Array.from(v), { shape: [2, 4, 8] }));
  const joined = () => F.stack([a.mean(-1).mean(-1), b.mean(-1).mean(-1)]);
  const step = compile(joined);
  for (let i = 0; i < 3; i++) close(await step().data(), await joined().data(), 1e-7);
});

test('a tensor computed inside cannot be used outside unless it is returned', async () => {
  let leaked: Tensor | null = null;
  const step = compile((x: Tensor) => {
    leaked = x.mul(2);
    return leaked.add(1);
  });
  const x = tensor([1]);
  step(x);
  step(x);
  const text = await message(() => leaked!.add(1).data());
  assert.match(text, /released|return it from the step/);
});

test('a label out of range in a compiled step is told at the next read; the step stays as it is', async () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  const step = compile((labels: Tensor) => F.crossEntropy(x, labels));
  const labels = (values: number[]) => tensor(Int32Array.from(values));
  for (let i = 0; i < 3; i++) await step(labels([0, 1])).item();
  const [{ dispatches }] = step.plans;
  const want = await step(labels([1, 1])).item();
  const message = String(
    await step(labels([1, 2]))
      .item()
      .catch((e: Error) => e),
  );
  assert.match(message, /crossEntropy: 2 is out of range, it must be in 0 … 1/);
  assert.is(await step(labels([1, 1])).item(), want);
  assert.is(dispatches, 2, 'the losses and their mean: nothing besides');
});

test.run();
