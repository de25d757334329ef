// Checkpointing and gradients as values: the same bits as plain backward, with less memory.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { grad } from '../../src/autograd/backward';
import { checkpoint, checkpointSequential } from '../../src/autograd/checkpoint';
import { compile } from '../../src/autograd/compile';
import { device } from '../../src/gpu';
import { Tanh } from '../../src/nn/activations';
import { Sequential } from '../../src/nn/containers';
import { Conv2d } from '../../src/nn/conv';
import { Dropout } from '../../src/nn/dropout';
import { Module } from '../../src/nn/module';
import { BatchNorm2d } from '../../src/nn/norm';
import { crossEntropy } from '../../src/ops/loss';
import { groupNorm, layerNorm } from '../../src/ops/norm';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, useGpu } from '../util';

useGpu();

const image = (seed = 1, requiresGrad = false) =>
  tensor(Float32Array.from(numbers(2 * 4 * 64, seed)), { shape: [2, 4, 8, 8], requiresGrad });

class Net extends Module {
  readonly parts: Sequential[];
  constructor(
    depth: number,
    readonly how: 'plain' | 'checkpoint' | 'sequential',
  ) {
    super();
    this.parts = Array.from(
      { length: depth },
      () =>
        new Sequential(
          new BatchNorm2d(4),
          new Conv2d(4, 4, 3, { padding: 1, bias: false }),
          new Dropout(0.2),
          new Tanh(),
        ),
    );
  }
  override forward(x: Tensor): Tensor {
    const steps = this.parts.map((part) => (y: Tensor) => y.add(part.forward(y)));
    if (this.how === 'sequential') return checkpointSequential(steps, x);
    return steps.reduce((y, f) => (this.how === 'checkpoint' ? checkpoint(f, y) : f(y)), x);
  }
}

/** Everything that two training steps leave behind. */
async function train(how: Net['how'], compiled = false) {
  manualSeed(5);
  const net = new Net(5, how);
  const optimizer = new SGD(net.parameters(), { lr: 0.1, momentum: 0.9 });
  const body = (x: Tensor) => {
    const loss = net.forward(x).square().mean();
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const step = compiled ? compile(body) : body;
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push(await step(image(i)).item());
  const after: number[][] = [];
  for (const [, t] of net.namedTensors()) after.push([...(await t.data())]);
  return { losses, after };
}

test('steps with checkpoints leave the bits of steps without: weights, running statistics, dropout', async () => {
  const plain = await train('plain');
  assert.equal(await train('checkpoint'), plain);
  assert.equal(await train('sequential'), plain);
});

test('in compiled steps as well', async () => {
  assert.equal(await train('sequential', true), await train('plain', true));
});

test('what lives between forward and backward grows with the root of the depth', async () => {
  const x = image();
  const held = (depth: number, how: Net['how']) => {
    const net = new Net(depth, how);
    const before = device().stats().liveBytes;
    const y = net.forward(x);
    const bytes = device().stats().liveBytes - before;
    y.sum().backward();
    net.zeroGrad();
    return bytes / (4 * x.size);
  };
  const [plain, few, many] = [held(64, 'plain'), held(16, 'sequential'), held(64, 'sequential')];
  assert.ok(plain > 3 * 64, `${plain} activations without checkpoints`);
  assert.ok(many < 12 && many / few < 2.2, `${few} at depth 16, ${many} at depth 64`);
});

test('the gradient of an input, of parameters used in and outside, twice with retainGraph', async () => {
  const conv = new Conv2d(4, 4, 1);
  const run = (wrap: boolean) => {
    const x = image(3, true);
    const f = (y: Tensor) => conv.forward(y).tanh();
    const loss = conv
      .forward(wrap ? checkpoint(f, x) : f(x))
      .square()
      .mean();
    loss.backward({ retainGraph: true });
    loss.backward();
    const grads = [x.grad!, ...conv.parameters().map((p) => p.grad!)];
    return Promise.all(grads.map((g) => g.data())).finally(() => conv.zeroGrad());
  };
  assert.equal(await run(true), await run(false));
});

test('operands made on the way: strided weights of norms, class weights', async () => {
  const pairs = tensor(Float32Array.from(numbers(12, 3, 0.5, 1.5))).keep();
  const every2nd = () => pairs.slice([{ start: 0, stop: 12, step: 2 }]);
  const labels = tensor([1, 0, 5, 2], { dtype: 'int32' });
  const bodies: Record<string, (x: Tensor) => Tensor> = {
    layerNorm: (x) => layerNorm(x, 6, { weight: every2nd(), bias: every2nd() }).square(),
    groupNorm: (x) => groupNorm(x, 2, { weight: every2nd() }).square(),
    crossEntropy: (x) => crossEntropy(x, labels, { weight: every2nd().square(), labelSmoothing: 0.1 }),
  };
  for (const [name, body] of Object.entries(bodies)) {
    const gradient = async (wrap: boolean) => {
      const x = tensor(Float32Array.from(numbers(24, 4)), { shape: [4, 6], requiresGrad: true });
      (wrap ? checkpoint(body, x) : body(x)).sum().backward();
      return [...(await x.grad!.data())];
    };
    assert.equal(await gradient(true), await gradient(false), name);
  }
});

test('what was overwritten is noticed; a function of nothing trained is left alone', () => {
  const conv = new Conv2d(4, 4, 1);
  const y = checkpoint((x) => conv.forward(x), image());
  conv.weight.detach().assign_(conv.weight.detach().mul(2));
  assert.throws(() => y.sum().backward(), /'checkpoint' needs for its gradient was overwritten/);
  assert.is(checkpoint((x) => x.mul(2), image()).requiresGrad, false);
  assert.throws(() => checkpointSequential([], image(), 0), /0 segments/);
});

test('grad gives gradients of leaves and of computed tensors as values', async () => {
  const x = tensor([1, 2, 3], { requiresGrad: true });
  const other = tensor([1], { requiresGrad: true });
  const y = x.square();
  const [dx, dy, none] = grad(y.mul(x).sum(), [x, y, other]);
  assert.equal([...(await dx!.data())], [3, 12, 27]);
  assert.equal([...(await dy!.data())], [1, 2, 3]);
  assert.is(none, null);
  assert.is(x.grad, null);
  assert.throws(() => grad(tensor([1, 2]), [x]), /grad: this tensor was computed from nothing/);
});

test.run();
