// Autograd beyond single operations: accumulation, graphs used twice, detach and modes, retained gradients, hooks.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, enableGrad, F, nn, noGrad, optim, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

const leaf = (values: number[]) => tensor(values, { requiresGrad: true });

test('gradients of micro-batches add up to that of the whole batch', async () => {
  const net = new nn.Sequential(new nn.Linear(5, 8), new nn.Tanh(), new nn.Linear(8, 3));
  const x = tensor(Float32Array.from(numbers(60, 1)), { shape: [12, 5] });
  const y = tensor(Int32Array.from({ length: 12 }, (_, i) => i % 3));
  const gradients = () => Promise.all(net.parameters().map((p) => p.grad!.data()));
  F.crossEntropy(net.forward(x), y).backward();
  const whole = await gradients();
  net.zeroGrad();
  for (let i = 0; i < 12; i += 4)
    F.crossEntropy(net.forward(x.narrow(0, i, 4)), y.narrow(0, i, 4))
      .div(3)
      .backward();
  for (const [i, g] of (await gradients()).entries()) close(g, whole[i], 1e-6, `gradient ${i}`);
});

test('a tensor used on two paths gets the sum of both gradients', async () => {
  const x = leaf([1, 2, 3]);
  const y = x.mul(2);
  y.mul(y).add(y).add(x).sum().backward();
  close(await x.grad!.data(), [8 + 2 + 1, 16 + 2 + 1, 24 + 2 + 1]);
});

test('a graph is used once, unless it is retained', async () => {
  const x = leaf([2]);
  const y = x.mul(x);
  y.backward({ retainGraph: true });
  y.backward();
  close(await x.grad!.data(), [8]);
  assert.throws(
    () => y.backward(),
    (error: Error) => /'mul' was used before.*retainGraph: true/s.test(error.message),
  );
});

test('a part of a graph that was used before is refused before any gradient is written', () => {
  const x = leaf([2]);
  const z = leaf([3]);
  const inner = x.exp();
  inner.sum().backward();
  x.grad = null;
  assert.throws(() => inner.mul(z).backward(), /'exp' was used before/);
  assert.is(z.grad, null);
});

test('gradients themselves have no history', () => {
  const x = leaf([2]);
  x.mul(x).backward();
  assert.not(x.grad!.requiresGrad);
  assert.throws(() => x.grad!.backward(), /nothing that requires a gradient/);
});

test('an upstream gradient weighs the elements of a loss that is no number', async () => {
  const x = leaf([1, 2, 3]);
  x.square().backward({ gradient: tensor([1, 0, -1]) });
  close(await x.grad!.data(), [2, 0, -6]);
  assert.throws(() => x.square().backward(), /3 elements/);
});

test('detach stops gradients and shares memory', async () => {
  const x = leaf([1, 2]);
  const y = x.mul(3);
  const d = y.detach();
  assert.not(d.requiresGrad);
  assert.ok(d.isLeaf);
  assert.is(d.memory, y.memory);
  y.mul(d).sum().backward();
  close(await x.grad!.data(), [9, 18]);
});

test('noGrad records nothing, enableGrad inside of it does', async () => {
  const x = leaf([3]);
  noGrad(() => {
    assert.not(x.mul(2).requiresGrad);
    const y = enableGrad(() => x.mul(2));
    assert.ok(y.requiresGrad);
    assert.not(x.mul(2).requiresGrad);
    enableGrad(() => y.mul(y)).backward();
  });
  close(await x.grad!.data(), [24]);
  assert.ok(x.mul(2).requiresGrad);
});

test('integer and boolean results have no gradient', () => {
  const x = leaf([1, 2]);
  for (const y of [x.gt(1), x.argmax(), x.to('int32')]) assert.not(y.requiresGrad);
  assert.throws(() => tensor([1], { dtype: 'int32', requiresGrad: true }), /int32/);
});

test('retainGrad fills grad of a computed tensor; other computed tensors have none', async () => {
  const x = leaf([1, 2]);
  const y = x.mul(2);
  const kept = y.square().retainGrad();
  kept.sum().backward();
  close(await kept.grad!.data(), [1, 1]);
  assert.is(y.grad, null);
  close(await x.grad!.data(), [8, 16]);
});

test('a hook of a leaf sees the whole gradient once, and may replace what is accumulated', async () => {
  const x = leaf([1, 2]);
  const seen: Tensor[] = [];
  const remove = x.registerHook((g) => {
    seen.push(g.keep());
    return g.mul(10);
  });
  x.mul(2).add(x).sum().backward();
  assert.is(seen.length, 1);
  close(await seen[0].data(), [3, 3]);
  close(await x.grad!.data(), [30, 30]);
  x.sum().backward();
  close(await x.grad!.data(), [40, 40], 1e-6, 'hooks see what is new, not what was there');
  remove();
  x.sum().backward();
  close(await x.grad!.data(), [41, 41]);
  assert.is(seen.length, 2);
});

test('a gradient that a hook keeps stays the hook’s own', async () => {
  const x = leaf([1, 2]);
  const kept: Tensor[] = [];
  x.registerHook((g) => void kept.push(g.keep()));
  x.square().sum().backward();
  x.grad!.dispose();
  close(await kept[0].data(), [2, 4]);
});

test('a hook of a computed tensor changes what flows on', async () => {
  const x = leaf([1, 2]);
  const y = x.mul(3);
  y.registerHook((g) => F.clamp(g, -1, 1));
  y.registerHook((g) => g.mul(2)); // in the order of registration
  y.retainGrad();
  y.square().sum().backward();
  close(await y.grad!.data(), [2, 2], 1e-6, 'retained after the hooks');
  close(await x.grad!.data(), [6, 6]);
});

test('hooks work in compiled steps', async () => {
  const weight = new nn.Parameter(tensor([1, 2]));
  weight.registerHook((g) => g.mul(10));
  const optimizer = new optim.SGD([weight], { lr: 0.01 });
  const step = compile((x: Tensor) => {
    const y = weight.mul(x);
    y.registerHook((g) => g.mul(2));
    const loss = y.sum();
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  for (let i = 0; i < 4; i++) step(tensor([1, i]));
  close(await weight.data(), [1 - 4 * 0.2, 2 - 6 * 0.2]);
});

test('hooks where there is no gradient, or with a gradient of another shape, are refused', () => {
  assert.throws(() => zeros([2]).registerHook((g) => g), /registerHook.*no gradient/s);
  const x = leaf([1, 2]);
  x.registerHook((g) => g.sum());
  assert.throws(() => x.square().sum().backward(), /registerHook.*another shape.*\[2\].*\[\]/s);
});

test.run();
