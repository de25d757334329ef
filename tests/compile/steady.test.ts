// Launches that a compiled step leaves out while nothing has written what they read: packed weights and the rows of a batch norm in evaluation. Whoever
// writes a weight or a statistic, eagerly, from the host or by another compiled step, the next call computes with it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  compile,
  device,
  F,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { targetFor, useGpu } from '../util';

useGpu();
// The kernels for GPUs pack no weights, so that a write to one concerns nothing that is kept.
test.before(() => void Object.assign(device(), { target: targetFor('cpu') }));

const same = (got: unknown, want: unknown) => assert.equal(got, want);

class Net extends nn.Module {
  readonly conv = new nn.Conv2d(2, 4, 3, { padding: 1, bias: false });
  readonly bn = new nn.BatchNorm2d(4);
  readonly head = new nn.Linear(4, 3);
  override forward(x: Tensor): Tensor {
    return this.head.forward(F.globalAvgPool2d(F.relu(this.bn.forward(this.conv.forward(x)))));
  }
}

function setUp() {
  manualSeed(1);
  const net = new Net();
  net.eval();
  const images = [0, 1].map(() => randn([4, 2, 5, 5]).keep());
  const forward = (x: Tensor) => noGrad(() => net.forward(x));
  const step = compile(forward);
  for (let i = 0; i < 3; i++) step(images[0]);
  /** The launches of a call, copies not counted, and whether its bits are those of the eager call. */
  const call = async (x = images[0]) => {
    const before = device().stats().dispatches;
    const y = step(x);
    const launches = device().stats().dispatches - before;
    same(await y.data(), await forward(x).data());
    return launches;
  };
  return { net, images, step, call };
}

test('what evaluation computes of weights and statistics alone runs once, whatever images come', async () => {
  const { images, step, call } = setUp();
  const [{ dispatches, steady }] = step.plans;
  assert.ok(steady > 0, `${steady} of ${dispatches}`);
  assert.is(await call(), dispatches - steady);
  assert.is(await call(images[1]), dispatches - steady);
});

const writes: Record<string, (net: Net, images: readonly Tensor[]) => unknown> = {
  'an operation in place': ({ conv }) => noGrad(() => conv.weight.mul_(1.5)),
  'a write into a part': ({ conv }) => noGrad(() => conv.weight.select(0, 1).assign_(0.25)),
  'a tensor of numbers from the host': ({ conv }) =>
    noGrad(() => conv.weight.assign_(tensor(new Float32Array(72).fill(0.1), { shape: [4, 2, 3, 3] }))),
  'a write from the host into the memory itself': ({ conv }) =>
    device().write(conv.weight.storage, new Float32Array(72).fill(0.2)),
  'a state dict': (net) =>
    net.loadStateDict(
      Object.fromEntries(
        Object.entries(net.stateDict()).map(([name, t]) => [name, t.dtype === 'float32' ? t.mul(2) : t]),
      ),
    ),
  'statistics of a training pass': (net, [x]) => {
    net.train();
    noGrad(() => net.forward(x).dispose());
    net.eval();
  },
  'an optimizer': (net, [x]) => {
    net.forward(x).sum().backward();
    new optim.SGD(net.parameters(), { lr: 0.1 }).step();
  },
  'another compiled step': ({ conv, bn }) => {
    const other = compile(() =>
      noGrad(() => {
        conv.weight.add_(0.125);
        bn.weight!.mul_(3);
      }),
    );
    for (let i = 0; i < 3; i++) other();
  },
};
for (const [what, write] of Object.entries(writes))
  test(`after ${what} the next call computes it again, once`, async () => {
    const { net, images, step, call } = setUp();
    const [{ dispatches, steady }] = step.plans;
    await call();
    write(net, images);
    const first = await call();
    const plan = step.plans.at(-1)!;
    assert.is(first, step.plans.length === 1 ? dispatches : plan.dispatches);
    assert.is(await call(), step.plans.length === 1 ? dispatches - steady : plan.dispatches - plan.steady);
  });

test('a frozen layer is packed once while the others train, with the bits of the eager step', async () => {
  const losses = [];
  for (const compiled of [false, true]) {
    manualSeed(2);
    const net = new Net();
    net.conv.requiresGrad_(false);
    net.bn.eval();
    const optimizer = new optim.SGD(net.head.parameters(), { lr: 0.5 });
    const x = randn([4, 2, 5, 5]).keep();
    const y = tensor([0, 1, 2, 0], { dtype: 'int32' }).keep();
    const body = (x: Tensor, y: Tensor) => {
      const loss = F.crossEntropy(net.forward(x), y);
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return loss;
    };
    const fast = compile(body);
    const step = compiled ? fast : body;
    const told: number[] = [];
    for (let i = 0; i < 6; i++) told.push(await step(x, y).item());
    losses.push(told);
    if (compiled) assert.ok(fast.plans[0].steady > 1, 'the frozen convolution');
  }
  assert.equal(losses[1], losses[0]);
});

test('what reads nothing, such as a tensor of ones, is computed in the first call of a plan', async () => {
  const x = randn([5]).keep();
  const body = (x: Tensor) => ones([5]).mul(3).add(x);
  const step = compile(body);
  step(x);
  for (let i = 0; i < 3; i++) same(await step(x).data(), await body(x).data());
  assert.ok(step.plans[0].steady > 0);
});

test('a result is computed in every call: what the program writes into it is not there in the next', async () => {
  const w = randn([3, 4]).keep();
  const step = compile(() => w.mul(2));
  for (let i = 0; i < 3; i++) step();
  const y = step();
  y.assign_(7);
  same(await step().data(), await w.mul(2).data());
});

test('host data that a step makes and returns are as it makes them, whatever the program did to the last ones', async () => {
  const step = compile((x: Tensor) => {
    const c = tensor([1, 2, 3]);
    return [c, c.mul(2).add(x), c.reshape([3, 1]).select(0, 1)];
  });
  const x = ones([3]).keep();
  for (let i = 0; i < 5; i++) {
    const [c, y, part] = step(x);
    same([...(await c.data())], [1, 2, 3]);
    same([...(await y.data())], [3, 5, 7]);
    same([...(await part.data())], [2]);
    c.assign_(7);
    part.assign_(8);
  }
});

for (const [what, make] of Object.entries({
  'a tensor': () => tensor([1, 2, 3]),
  zeros: () => zeros([3]),
}))
  test(`${what} that a step makes on the host, adds to in place and returns starts from its numbers in each call`, async () => {
    const body = (x: Tensor) => make().add_(x);
    const step = compile(body);
    const x = ones([3]).keep();
    for (let i = 0; i < 5; i++) same(await step(x).data(), await body(x).data());
    assert.is(step.plans.length, 1);
  });

test('a plan keeps what its calls read, and no more than 64 MiB of it', () => {
  const w = randn([256, 256]).keep();
  const step = compile((x: Tensor) => {
    let y = w; // of w alone: eight temporaries, and one that stays
    for (let i = 0; i < 8; i++) y = y.matmul(w).mul(0.01);
    return y.matmul(x);
  });
  const x = randn([256, 256]).keep();
  for (let i = 0; i < 3; i++) step(x);
  const [{ steady, bytes }] = step.plans;
  assert.ok(steady >= 16 && bytes <= 5 * w.size * 4, `${steady} launches, ${bytes} bytes`);
  const large = randn([2048, 2049]).keep();
  const sums = compile((x: Tensor) => [1, 2, 3, 4, 5, 6].map((n) => large.mul(n)).reduce((a, b) => a.add(b), x));
  const zero = randn([2048, 2049]).keep();
  for (let i = 0; i < 3; i++) sums(zero);
  assert.ok(sums.plans[0].steady < 6 && sums.plans[0].steady > 0, `${sums.plans[0].steady} launches`);
});

test('two results of one call chain: the memory of what stays is nobody else’s', async () => {
  const [a, b] = [randn([64, 64]).keep(), randn([64, 64]).keep()];
  const step = compile((x: Tensor) => {
    const kept = a.matmul(b).exp(); // of weights alone
    let y = x;
    for (let i = 0; i < 6; i++) y = y.matmul(x).mul(0.01); // many temporaries of the same size
    return y.add(kept);
  });
  const x = randn([64, 64]).keep();
  for (let i = 0; i < 3; i++) step(x);
  const first = await step(x).data();
  for (let i = 0; i < 3; i++) same(await step(x).data(), first);
});

test.run();
