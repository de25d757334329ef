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

test('a result lives as long as the program holds it, however many steps end', async () => {
  const step = trainer();
  const { loss, logits } = step(0);
  const value = [await loss.item(), ...(await logits.data())];
  for (let i = 1; i < 8; i++) step(i);
  assert.equal([await loss.item(), ...(await logits.data())], value);
  close(await loss.mul(2).data(), [2 * value[0]]);
});

test('what was disposed of throws, and says which tensor it was and what to do', async () => {
  const { loss } = trainer()(0);
  loss.dispose();
  for (const error of [await asyncFailure(() => loss.item()), failure(() => loss.add(1))]) {
    assert.instance(error, ReleasedError);
    assert.match(error.message, /\[\], made by 'crossEntropy', was already released.*keep\(/s);
  }
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

test('keep() after the memory was released throws instead of keeping nothing', () => {
  const { loss } = trainer()(0);
  loss.dispose();
  assert.instance(
    failure(() => loss.keep()),
    ReleasedError,
  );
});

class Inside extends SmallNet {
  seen: Tensor | null = null;
  cache: { mask?: Tensor; list: Tensor[] } = { list: [] };

  /** Shows its inside where a module must not count on it, and where it may. */
  constructor(readonly outside: Tensor[]) {
    super();
    Object.defineProperty(this, 'outside', { enumerable: false });
  }

  override forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    this.outside.push(y, y.mul(2));
    this.seen = y.sum();
    this.cache.mask ??= y.gt(0);
    this.cache.list.push(y.mean());
    return this.linear.forward(F.relu(this.bn.forward(y)).mean([2, 3]));
  }
}

test('the inside of a module goes when the call ends or the tape has used it; results, fields and lists in them stay', async () => {
  const outside: Tensor[] = [];
  const net = new Inside(outside);
  const { x, y } = batch(3);
  const logits = net.forward(x);
  const error = failure(() => outside[1].add(1));
  assert.instance(error, ReleasedError);
  assert.match(error.message, /\[4, 4, 6, 6\], made by 'mul'.*inside a module.*keep\(/s);
  assert.ok(outside[0].memory.live, 'saved by the tape');
  F.crossEntropy(logits, y).backward();
  assert.instance(
    failure(() => outside[0].add(1)),
    ReleasedError,
  );
  for (let i = 0; i < 4; i++) net.forward(batch(i).x);
  assert.ok(Number.isFinite(await net.seen!.item()));
  assert.is((await net.cache.mask!.data()).length, 4 * 4 * 36);
  assert.is((await net.cache.list[0].data()).length, 1);
  assert.is((await logits.data()).length, 12);
});

test('what a hook sees and computes belongs to the program: of modules, and of gradients', async () => {
  const net = new SmallNet();
  const seen: Tensor[] = [];
  net.conv.onForward((_, inputs, y) => void seen.push(inputs[0] as Tensor, y as Tensor, (y as Tensor).abs().mean()));
  net.linear.weight.registerHook((g) => void seen.push(g, g.mul(g).sum().sqrt()));
  const { x, y } = batch(3);
  F.crossEntropy(net.forward(x), y).backward();
  const gradient = await net.linear.weight.grad!.data();
  net.zeroGrad();
  const [input, output, mean, g, norm] = await Promise.all(seen.map((t) => t.data()));
  assert.equal(input, await x.data());
  close([Array.from(output).reduce((sum, v) => sum + Math.abs(v), 0) / output.length], mean, 1e-5);
  assert.equal(g, gradient);
  close(norm, [Math.hypot(...gradient)], 1e-5);
});

test("a factory's tensor that was not used for many steps comes back with the same values", async () => {
  const step = trainer();
  const numbers = tensor([1.5, -2, 3], { dtype: 'float32' });
  const grid = zeros([2, 2]).add(1).keep();
  for (let i = 0; i < 8; i++) step(i);
  assert.not(numbers.memory.live, 'its GPU copy was released');
  close(await numbers.data(), [1.5, -2, 3]);
  close(await numbers.mul(2).data(), [3, -4, 6]);
  close(await grid.data(), [1, 1, 1, 1]);
});

test("a factory's tensor that was written in place is not made again", async () => {
  const net = new SmallNet();
  const values = Float32Array.from({ length: 9 }, (_, i) => i);
  const replacement = tensor(values, { shape: [3, 3] });
  net.loadStateDict({ ...net.stateDict(), 'linear.bias': tensor([7, 8, 9]) });
  const step = trainer();
  for (let i = 0; i < 8; i++) step(i);
  close(await net.linear.bias!.data(), [7, 8, 9]);
  close(await replacement.data(), values);
});

test('results of noGrad live on, returned or not', async () => {
  const net = new SmallNet().eval();
  const inner: Tensor[] = [];
  const logits = noGrad(() => {
    const y = net.forward(batch(0).x);
    inner.push(y.mul(2));
    return y;
  });
  assert.not(logits.requiresGrad);
  const value = await logits.data();
  for (let i = 0; i < 20; i++) noGrad(() => net.forward(batch(i).x));
  assert.equal(await logits.data(), value);
  close(
    await inner[0].data(),
    Float32Array.from(value, (v) => 2 * v),
  );
});

test('results of noGrad can be used in a step', async () => {
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
