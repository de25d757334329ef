// Compiled steps with several parameter groups: the bits of the eager run, whatever the widths, the number of groups, the optimizer, and
// whether gradients are shared or missing.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { compile, F, manualSeed, nn, optim, type Tensor, tensor } from '../../src/index.node.js';
import { numbers, useGpu } from '../util';

useGpu();

/** Convolutions in a row, a linear layer, a parameter that is used twice, two that get one gradient, and one that is not used. */
class Net extends nn.Module {
  readonly convs: nn.Conv2d[];
  readonly linear: nn.Linear;
  readonly twice: nn.Parameter;
  readonly pair: nn.Parameter[];
  readonly unused: nn.Parameter;
  constructor(widths: readonly number[]) {
    super();
    this.convs = widths.map((n, i) => new nn.Conv2d(i ? widths[i - 1] : 2, n, 3, { padding: 1, bias: i % 2 === 0 }));
    const last = widths[widths.length - 1];
    this.linear = new nn.Linear(last, 3);
    const leaf = (seed: number) => new nn.Parameter(tensor(Float32Array.from(numbers(last, seed))));
    this.twice = leaf(1);
    this.pair = [leaf(2), leaf(3)];
    this.unused = leaf(4);
  }
  override forward(x: Tensor): Tensor {
    for (const conv of this.convs) x = conv.forward(x).relu();
    const y = F.globalAvgPool2d(x).mul(this.twice).add(this.twice);
    return this.linear.forward(y.add(this.pair[0].add(this.pair[1])));
  }
}

type Make = (groups: optim.ParamGroup<{ lr: number }>[]) => optim.Optimizer<{ lr: number }>;
const optimizers: Record<string, Make> = {
  SGD: (groups) => new optim.SGD(groups, { lr: 0.1 }),
  momentum: (groups) => new optim.SGD(groups, { lr: 0.1, momentum: 0.9, weightDecay: 1e-3 }),
  Adam: (groups) => new optim.Adam(groups, { lr: 0.01, amsgrad: true }),
  RMSprop: (groups) => new optim.RMSprop(groups, { lr: 0.01, momentum: 0.5 }),
};

async function train(seed: number, compiled: boolean) {
  const rng = new Rng(seed, 0);
  const below = (n: number) => Math.floor(rng.uniform() * n);
  manualSeed(seed);
  const widths = Array.from({ length: 2 + below(2) }, () => [3, 5, 7, 9, 10, 16][below(6)]);
  const net = new Net(widths);
  const count = 1 + (seed % 4);
  const parts: nn.Parameter[][] = Array.from({ length: count }, () => []);
  // Either neighbours in one group, or every other parameter.
  const all = net.parameters();
  all.forEach((p, i) => parts[seed % 3 ? Math.floor((i * count) / all.length) : i % count].push(p));
  const [name, make] = Object.entries(optimizers)[below(4)];
  const optimizer = make(parts.map((params, i) => (i ? { params, lr: 0.1 / (1 + i) } : { params })));
  const body = (x: Tensor, y: Tensor) => {
    const loss = F.crossEntropy(net.forward(x), y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const fast = compile(body);
  const step = compiled ? fast : body;
  const losses: number[] = [];
  for (let i = 0; i < 5; i++) {
    if (i === 3) optimizer.groups[count - 1].lr *= 0.5;
    const x = tensor(Float32Array.from(numbers(2 * 2 * 36, 10 * seed + i)), { shape: [2, 2, 6, 6] });
    losses.push(await step(x, tensor(Int32Array.from([i % 3, 1]))).item());
  }
  const weights: Record<string, Float32Array> = {};
  for (const [key, t] of Object.entries(net.stateDict())) weights[key] = (await t.data()) as Float32Array;
  const what = `seed ${seed}: ${name}, ${count} groups, widths ${widths}`;
  return { losses, weights, what, plans: fast.plans };
}

test('one to four groups: the bits of the eager run', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const eager = await train(seed, false);
    const fast = await train(seed, true);
    assert.equal(fast.losses, eager.losses, eager.what);
    assert.equal(fast.weights, eager.weights, eager.what);
    assert.equal(
      fast.plans.map(({ skipped }) => skipped),
      [[]],
      'no rewrite is left out',
    );
    assert.ok(fast.plans[0].kernels.length < 80, `${fast.plans[0].kernels.length} launches`);
  }
});

test.run();
