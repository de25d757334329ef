// How long a tensor can be used: where a PyTorch user reads it, and no silent zeros after that.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device, F, noGrad, optim, ReleasedError, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { close, useGpu } from '../util';
import { batch, SmallNet } from './net';

useGpu();

function trainer() {
  const net = new SmallNet();
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.05 });
  return (seed: number) => {
    const { x, y } = batch(seed);
    const logits = net.forward(x);
    const loss = F.crossEntropy(logits, y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return { logits, loss, x };
  };
}

/** The error of an action that must fail. */
function failure(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable('nothing was thrown') as never;
}

async function asyncFailure(action: () => Promise<unknown>): Promise<Error> {
  try {
    await action();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable('nothing was thrown') as never;
}

test('logits and loss can be read after backward() and after optimizer.step()', async () => {
  const net = new SmallNet();
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.05 });
  const { x, y } = batch(1);
  const logits = net.forward(x);
  const loss = F.crossEntropy(logits, y);
  const before = [await loss.item(), ...(await logits.data())];
  loss.backward();
  assert.equal([await loss.item(), ...(await logits.data())], before);
  optimizer.step();
  assert.equal([await loss.item(), ...(await logits.data())], before);
  assert.equal((await logits.argmax(1).data()).length, 4);
});

test('a result lives until the next step has ended; then its use throws and says how to keep it', async () => {
  const step = trainer();
  const { loss, logits } = step(0);
  const value = await loss.item();
  const { x } = batch(9);
  const half = new SmallNet().forward(x); // the next step is under way
  assert.is(await loss.item(), value);
  assert.ok(half.requiresGrad);
  step(1);
  for (const error of [await asyncFailure(() => loss.item()), failure(() => logits.add(1))]) {
    assert.instance(error, ReleasedError);
    assert.match(error.message, /given back.*keep\(/s);
  }
  assert.match(failure(() => loss.mul(2)).message, /crossEntropy/);
});

test('keep() holds a result; dispose() gives it back', async () => {
  const step = trainer();
  const { loss } = step(0);
  const kept = loss.keep();
  const value = await kept.item();
  for (let i = 1; i < 6; i++) step(i);
  assert.is(await kept.item(), value);
  const { liveBytes } = device().stats();
  kept.dispose();
  assert.ok(device().stats().liveBytes < liveBytes);
  assert.instance(
    failure(() => kept.add(1)),
    ReleasedError,
  );
});

test('keep() after the memory was given back throws instead of keeping nothing', () => {
  const step = trainer();
  const { loss } = step(0);
  step(1);
  step(2);
  assert.instance(
    failure(() => loss.keep()),
    ReleasedError,
  );
});

test('what a module computed inside is given back by backward(), unless it is kept or asked for', async () => {
  const net = new SmallNet();
  const seen: Tensor[] = [];
  net.conv.onForward((_, __, y) => void seen.push(y as Tensor));
  const { x, y } = batch(3);
  F.crossEntropy(net.forward(x), y).backward();
  assert.instance(
    failure(() => seen[0].add(1)),
    ReleasedError,
  );
  const remove = net.conv.onForward((_, __, out) => void (out as Tensor).keep());
  F.crossEntropy(net.forward(x), y).backward();
  assert.is((await seen[1].data()).length, 4 * 4 * 36);
  remove();
});

test("a factory's tensor that was not used for many steps comes back with the same values", async () => {
  const step = trainer();
  const numbers = tensor([1.5, -2, 3], { dtype: 'float32' });
  const grid = zeros([2, 2]).add(1).keep();
  for (let i = 0; i < 8; i++) step(i);
  assert.not(numbers.memory.live, 'its GPU copy was given back');
  close(await numbers.data(), [1.5, -2, 3]);
  close(await numbers.mul(2).data(), [3, -4, 6]);
  close(await grid.data(), [1, 1, 1, 1]);
});

test("a factory's tensor that was written in place is not made anew", async () => {
  const net = new SmallNet();
  const values = Float32Array.from({ length: 9 }, (_, i) => i);
  const replacement = tensor(values, { shape: [3, 3] });
  net.loadStateDict({ ...net.stateDict(), 'linear.bias': tensor([7, 8, 9]) });
  const step = trainer();
  for (let i = 0; i < 8; i++) step(i);
  close(await net.linear.bias!.data(), [7, 8, 9]);
  close(await replacement.data(), values);
});

test('results of noGrad: what it returns lives on, the rest is given back at its end', async () => {
  const net = new SmallNet().eval();
  const inner: Tensor[] = [];
  const logits = noGrad(() => {
    const y = net.forward(batch(0).x);
    inner.push(y.mul(2));
    return y;
  });
  assert.not(logits.requiresGrad);
  assert.instance(
    failure(() => inner[0].add(1)),
    ReleasedError,
  );
  const value = await logits.data();
  for (let i = 0; i < 10; i++) noGrad(() => net.forward(batch(i).x));
  assert.equal(await logits.data(), value);
});

test('results of noGrad inside a step belong to the step', async () => {
  const net = new SmallNet();
  const teacher = new SmallNet().eval();
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.05 });
  const { x } = batch(0);
  const logits = net.forward(x);
  const targets = Array.from({ length: 40 }, () => noGrad(() => teacher.forward(x)));
  const loss = targets.reduce((sum, target) => sum.add(F.mseLoss(logits, target)), zeros([]));
  loss.backward();
  optimizer.step();
  assert.ok(Number.isFinite(await loss.item()));
  assert.ok(Number.isFinite(await targets[0].sum().item()));
});

test('noGrad bodies that overlap in time leave recording on, and each keeps its result', async () => {
  const net = new SmallNet().eval();
  const evaluate = (seed: number, pause: number) =>
    noGrad(async () => {
      const value = await net.forward(batch(seed).x).sum().item();
      await new Promise((resolve) => setTimeout(resolve, pause));
      return value;
    });
  const [a, b] = await Promise.all([evaluate(0, 20), evaluate(1, 1)]);
  assert.is(a, await evaluate(0, 0));
  assert.is(b, await evaluate(1, 0));
  assert.ok(net.forward(batch(0).x).requiresGrad, 'operations are recorded again');
});

test('an error inside noGrad, sync or async, leaves recording on', async () => {
  const boom = () => {
    throw new Error('boom');
  };
  assert.throws(() => noGrad(boom), 'boom');
  assert.is((await asyncFailure(() => noGrad(async () => boom()))).message, 'boom');
  assert.ok(tensor([1], { requiresGrad: true }).mul(2).requiresGrad);
});

test('a gradient can be read until zeroGrad(), and a detached copy after it', async () => {
  const net = new SmallNet();
  const { x, y } = batch(0);
  F.crossEntropy(net.forward(x), y).backward();
  const { grad } = net.linear.weight;
  const copy = grad!.clone().keep();
  const value = await grad!.data();
  net.zeroGrad();
  assert.is(net.linear.weight.grad, null);
  assert.instance(
    failure(() => grad!.add(1)),
    ReleasedError,
  );
  assert.equal(await copy.data(), value);
});

test.run();
