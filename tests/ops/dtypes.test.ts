// Element types at the operations: converted where PyTorch promotes, refused by name where it refuses, and integers that stay exact.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arange, type DType, device, F, InputError, jvp, nn, type Tensor, tensor } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

const of = (dtype: DType, data: number[], shape = [data.length]) => tensor(data, { dtype, shape });
const list = async (x: Tensor) => [x.dtype, ...(await x.data())];
const OTHERS = ['int32', 'uint32', 'bool'] as const;

test('losses convert integer and boolean operands, forward and backward', async () => {
  const losses: Record<string, (x: Tensor, t: Tensor) => Tensor> = {
    mse: F.mseLoss,
    pseudoHuber: F.pseudoHuberLoss,
    bce: F.bceWithLogits,
    none: (x, t) => F.mseLoss(x, t, { reduction: 'none' }).sum(),
    weighted: (x, t) => F.bceWithLogits(x, t, { weight: t, posWeight: t }),
  };
  for (const [name, loss] of Object.entries(losses)) {
    const value = async (target: Tensor) => {
      const x = tensor([0.5, -1, 2], { requiresGrad: true });
      const y = loss(x, target);
      y.backward();
      return [...(await y.data()), ...(await x.grad!.data())];
    };
    const want = await value(tensor([1, 0, 1]));
    for (const dtype of OTHERS) assert.equal(await value(of(dtype, [1, 0, 1])), want, `${name} with ${dtype}`);
    assert.not.ok(loss(of('int32', [1, 2, 3]), of('int32', [1, 0, 1])).requiresGrad);
  }
  assert.is(await F.mseLoss(of('int32', [1, 2]), of('bool', [1, 0])).item(), 2);
});

test('a float and an integer or boolean operand: broadcast gradients and tangents as with floats', async () => {
  const binary = ['sub', 'mul', 'div', 'maximum'] as const;
  for (const name of binary)
    for (const turned of [false, true]) {
      const f = (x: Tensor, other: Tensor) => (turned ? F[name](other, x) : F[name](x, other));
      const run = async (other: Tensor) => {
        const x = tensor([0.75], { requiresGrad: true });
        const y = f(x, other);
        y.sum().backward();
        const { tangent } = jvp((v) => f(v, other), [x], [tensor([2])]);
        return [y, x.grad!, tangent];
      };
      const want = await run(tensor([1, 2, 1]));
      const got = await run(of('int32', [1, 2, 1]));
      for (const [i, t] of got.entries()) close(await t.data(), await want[i].data(), 1e-6, `${name} ${i}`);
    }
  const x = tensor([2], { requiresGrad: true });
  x.mul(of('bool', [1, 0, 1]))
    .sum()
    .backward();
  assert.equal(await list(x.grad!), ['float32', 2]);
});

test('what PyTorch refuses is refused by name before anything is launched', () => {
  const ints = of('int32', [1, 2, 3, 4], [2, 2]);
  const floats = tensor([
    [1, 2],
    [3, 4],
  ]);
  const image = of('int32', new Array(9).fill(1), [1, 1, 3, 3]);
  const labels = of('int32', [0, 1]);
  const pair = of('int32', [1, 2]);
  const parameter = new nn.Parameter(tensor([1, 2]));
  const calls: Record<string, () => unknown> = {
    layerNorm: () => F.layerNorm(of('int32', [1, 2, 3]), [3]),
    'layerNorm ': () => F.layerNorm(floats, [2], { weight: pair }),
    groupNorm: () => F.groupNorm(ints, 1),
    batchNorm: () => F.batchNorm(floats, { training: true, weight: pair, bias: pair }),
    'batchNorm ': () => F.batchNorm(floats, { runningMean: pair, runningVar: pair }),
    matmul: () => F.matmul(ints, floats),
    linear: () => F.linear(floats, ints),
    einsum: () => F.einsum('ij,jk->ik', ints, floats),
    conv2d: () => F.conv2d(image, image),
    convTranspose2d: () => F.convTranspose2d(image, image),
    conv1d: () => F.conv1d(of('bool', [1, 0, 1], [1, 1, 3]), tensor([[[1]]])),
    avgPool2d: () => F.avgPool2d(image, { kernel: 1 }),
    softmax: () => F.softmax(ints, 0),
    crossEntropy: () => F.crossEntropy(floats, labels, { weight: pair }),
    'crossEntropy ': () => F.crossEntropy(floats, floats, { weight: pair }),
    'crossEntropy  ': () => F.crossEntropy(ints, labels),
    nllLoss: () => F.nllLoss(floats, of('bool', [1, 0])),
    dropout: () => F.dropout(ints),
    jvp: () => jvp((v) => v, [floats], [ints]),
    grad: () => {
      parameter.grad = pair;
    },
    pow: () => pair.pow(-1),
    remainder: () => pair.remainder(0),
    floorDiv: () => pair.floorDiv(0),
    fmod: () => pair.fmod(0),
    neg: () => of('bool', [1]).neg(),
  };
  const before = device().stats().dispatches;
  for (const [name, call] of Object.entries(calls))
    assert.throws(
      call,
      (e: Error) =>
        e instanceof InputError &&
        e.message.startsWith(`${name.trim()}: `) &&
        /int32|float32|bool|integers/.test(e.message),
      name,
    );
  assert.is(device().stats().dispatches, before);
});

test('whole numbers beside integers stay exact', async () => {
  const big = 2 ** 31 - 1;
  const x = of('int32', [big, -big, 16777217]);
  const int = async (y: Tensor) => (await list(y)).slice(1);
  assert.equal(await list(x.clamp(0)), ['int32', big, 0, 16777217]);
  assert.equal(await list(x.clamp(null, big - 1)), ['int32', big - 1, -big, 16777217]);
  assert.equal(await int(x.sub(16777215)), [big - 16777215, 2 ** 31 - 16777214, 2]);
  assert.equal(await int(x.mul(-1)), [-big, big, -16777217]);
  assert.equal(await int(x.maximum(16777219)), [big, 16777219, 16777219]);
  assert.equal(await int(x.remainder(16777217)), [big % 16777217, 16777217 - (big % 16777217), 0]);
  assert.equal(await int(x.floorDiv(big)), [1, -1, 0]);
  assert.equal(await int(x.eq(16777217)), [0, 0, 1]);
  // Divisors of zero that only the GPU sees: PyTorch raises an error, docs/accuracy.md says what comes here.
  const [some, zero] = [of('int32', [7, -7, 0, -(2 ** 31)]), of('int32', [0, 0, 0, -1])];
  assert.equal(await int(some.floorDiv(zero)), [7, -7, 0, -(2 ** 31)]);
  for (const rest of [some.remainder(zero), some.fmod(zero)]) assert.equal(await int(rest), [0, 0, 0, 0]);
  assert.equal(await int(x.gt(big - 1)), [1, 0, 0]);
  assert.equal(await int(x.threshold(16777216, 123456789)), [big, 123456789, 16777217]);
  assert.equal(await int(F.where(x.gt(0), x, -2147483647)), [big, -big, 16777217]);
  assert.equal(await int(F.where(x.gt(0), 16777217, x)), [16777217, -big, 16777217]);
  assert.equal(await int(F.pad(x, [[1, 0]], { value: 16777217 })), [16777217, big, -big, 16777217]);
  assert.equal(await int(of('uint32', [4294967295, 1]).sub(4294967294)), [1, 3]);
  assert.equal(await int(of('uint32', [4294967295, 1]).clamp(4294967294)), [4294967295, 4294967294]);
  assert.equal(await int(F.add(16777217, of('bool', [1, 0]))), [16777218, 16777217]);
  assert.equal(await list(arange(2147483645, 2147483647)), ['int32', 2147483645, 2147483646]);
});

test('fractions and infinities make floats of integers; whole numbers out of range are refused', async () => {
  const x = of('int32', [1, 5]);
  assert.equal(await list(x.add(0.5)), ['float32', 1.5, 5.5]);
  assert.equal(await list(x.clamp(1.5)), ['float32', 1.5, 5]);
  assert.equal(await list(x.clamp(2, 4.5)), ['float32', 2, 4.5]);
  assert.equal(await list(x.clamp(0, Infinity)), ['float32', 1, 5]);
  assert.equal(await list(x.mul(Infinity)), ['float32', Infinity, Infinity]);
  assert.equal(await list(x.lt(1.5)), ['bool', 1, 0]);
  assert.equal(await list(F.where(of('bool', [1, 0]), x, 0.5)), ['float32', 1, 0.5]);
  assert.equal(
    await list(F.pad(x, [[1, 1]], { value: 1.5 })),
    ['int32', 1, 1, 5, 1],
    'what fills is cut off, as in PyTorch',
  );
  assert.equal(await list(x.pow(0.5).mul(0)), ['float32', 0, 0]);
  assert.equal(await list(of('bool', [1, 0]).logicalAnd(0.25)), ['bool', 1, 0]);
  for (const call of [() => x.add(3e9), () => x.eq(-3e9), () => x.clamp(3e9), () => F.pad(x, [[1, 1]], { value: 3e9 })])
    assert.throws(call, (e: Error) => e instanceof InputError && /(add|eq|clamp|pad): .* is no int32/.test(e.message));
});

test('clamp takes tensors as bounds, with their gradients', async () => {
  const x = tensor([-2, 0.5, 3, 1, NaN], { requiresGrad: true });
  const low = tensor(-1, { requiresGrad: true });
  const high = tensor([1], { requiresGrad: true });
  const y = x.clamp(low, high);
  assert.equal(await list(y), ['float32', -1, 0.5, 1, 1, NaN]);
  y.backward({ gradient: tensor([1, 2, 4, 8, 16]) });
  assert.equal([...(await x.grad!.data())], [0, 2, 0, 8, 0]);
  assert.equal([await low.grad!.item(), ...(await high.grad!.data())], [1, 4]);
  assert.equal(await list(tensor([1, 5]).clamp(tensor([2, 2]), 1)), ['float32', 1, 1], 'max wins');
  assert.equal(await list(tensor([1, 5]).clamp(null, tensor(NaN))), ['float32', NaN, NaN]);
  assert.equal(await list(of('int32', [2147483647, 1]).clamp(of('int32', [0]), 2147483646)), ['int32', 2147483646, 1]);
  assert.equal(await list(of('int32', [1, 4]).clamp(tensor([1.5]))), ['float32', 1.5, 4]);
  const { tangent } = jvp((v, h) => F.clamp(v, null, h), [tensor([0, 5]), tensor([2])], [tensor([1, 1]), tensor([3])]);
  assert.equal([...(await tangent.data())], [1, 3]);
});

test.run();
