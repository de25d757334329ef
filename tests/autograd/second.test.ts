// Second derivatives: every operation against finite differences of its first gradient (`gradgradcheck`), those made of the rows of the table one
// by one; nested forward mode; what cannot be differentiated twice is refused by name.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { derivative } from '../../shaders/derivative';
import { backward, grad } from '../../src/autograd/backward';
import { checkpoint } from '../../src/autograd/checkpoint';
import { customFunction } from '../../src/autograd/custom-function';
import { jvp } from '../../src/autograd/forward-mode';
import { gradgradcheck } from '../../src/autograd/gradcheck';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { solve } from '../../src/meanfield/ode';
import { Linear, Sequential, Tanh } from '../../src/nn';
import * as binaryFunctions from '../../src/ops/binary';
import { conv2d, convTranspose2d } from '../../src/ops/conv';
import { conv1d } from '../../src/ops/conv-nd';
import { dropout } from '../../src/ops/dropout';
import { einsum } from '../../src/ops/einsum';
import { embedding } from '../../src/ops/embedding';
import { concat, stack } from '../../src/ops/join';
import * as loss from '../../src/ops/loss';
import { linear } from '../../src/ops/matmul';
import { batchNorm, groupNorm, layerNorm } from '../../src/ops/norm';
import { pad } from '../../src/ops/pad';
import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from '../../src/ops/pool';
import { residualSteps } from '../../src/ops/residual-step';
import { rowOf } from '../../src/ops/row';
import * as unaryFunctions from '../../src/ops/unary';
import { where } from '../../src/ops/where';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { settled, useGpu } from '../util';
import { agrees, apart, draw } from './second-order';

useGpu();

/** Where a function is smooth, when that is not −1 … 1. */
const domains: Partial<Record<string, [number, number]>> = {
  acosh: [1.5, 3],
  logit: [0.2, 0.8],
  ndtri: [0.2, 0.8],
  entr: [0.2, 0.8],
  floatPower: [0.6, 1.7],
  atanh: [-0.6, 0.6],
  asin: [-0.6, 0.6],
  acos: [-0.6, 0.6],
  abs: [0.3, 1],
  threshold: [0.3, 1],
  hardSigmoid: [-0.8, 0.8],
  hardTanh: [-0.7, 0.7],
  hardSwish: [-0.8, 0.8],
  leakyRelu: [0.3, 1],
  prelu: [0.3, 1],
};
for (const name of [
  'log',
  'log2',
  'log10',
  'log1p',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'relu',
  'relu6',
  'div',
  'pow',
  'fmod',
  'remainder',
  'hypot',
  'atan2',
])
  domains[name] = [0.6, 1.7];

/** Whether the first derivative of an elementwise function is not zero everywhere. */
const slopes = (run: object): boolean => (rowOf(run)?.da ?? '0.0') !== '0.0';

for (const [name, run] of Object.entries(unaryFunctions))
  if (slopes(run))
    test(`second derivative of ${name}`, async () => {
      const domain = domains[name];
      await agrees((x) => run(x), [domain ? draw([5], 1, ...domain) : apart([5], 1)]);
    });

for (const [name, run] of Object.entries(binaryFunctions))
  if (slopes(run))
    test(`second derivative of ${name}, broadcast`, async () => {
      const [low, high] = domains[name] ?? [-1, 1];
      // Apart, so that no step reaches a corner of maximum or remainder.
      const inputs = [draw([2, 3], 2, low, high), draw([3], 3, low + 2.2, high + 2.2)];
      await agrees((a, b) => run(a, b), inputs);
    });

const labels = () => tensor([1, 0, -100, 2], { dtype: 'int32' });
const rows = () => tensor([2, 0, 2], { dtype: 'int32' });
const image = [2, 2, 4, 3];
type Case = readonly [string, (...x: Tensor[]) => Tensor, readonly Shape[]];
const cases: readonly Case[] = [
  [
    'matmul of batches',
    (a, b) => a.matmul(b),
    [
      [2, 2, 3],
      [3, 2],
    ],
  ],
  ['linear', linear, [[3, 2], [2, 2], [2]]],
  [
    'einsum',
    (a, b) => einsum('ij,kj->ik', a, b),
    [
      [2, 3],
      [2, 3],
    ],
  ],
  ['conv2d', (x, w, b) => conv2d(x, w, b, { stride: 2, padding: 1, groups: 2 }), [image, [2, 1, 2, 2], [2]]],
  [
    'conv1d',
    (x, w) => conv1d(x, w, null, { padding: 'same' }),
    [
      [1, 2, 4],
      [2, 2, 3],
    ],
  ],
  ['convTranspose2d', (x, w, b) => convTranspose2d(x, w, b, { stride: 2 }), [[1, 2, 2, 2], [2, 1, 2, 2], [1]]],
  ['sum and mean', (x) => x.sum(0).mul(x.mean(1, true)).square(), [[2, 2]]],
  ['var', (x) => x.var(1), [[2, 4]]],
  ['std', (x) => x.std(0, false, 0), [[4, 2]]],
  ['prod', (x) => x.prod(1), [[2, 3]]],
  ['prod of two dimensions', (x) => x.prod([0, 2], true), [[2, 2, 2]]],
  ['max and min', (x) => x.max(1).square().sub(x.min(0).square()), [[2, 2]]],
  ['logsumexp', (x) => x.logsumexp(1), [[2, 3]]],
  ...[1, 2, 3, Infinity].map((p): Case => [`norm ${p}`, (x) => x.norm(p, 1).square(), [[2, 3]]]),
  ['softmax', (x) => x.softmax(0), [[3, 2]]],
  ['logSoftmax', (x) => x.logSoftmax(1), [[2, 3]]],
  ['cumsum', (x) => x.cumsum(1, { exclusive: true }).square(), [[2, 3]]],
  ['cumprod', (x) => x.cumprod(0), [[4]]],
  ['cumprod backwards', (x) => x.cumprod(1, { exclusive: true, reverse: true }), [[2, 3]]],
  ['sort', (x) => x.sort({ dim: 1 }).values.square(), [[2, 3]]],
  ['gather', (x) => x.square().gather(0, tensor([[1, 0]], { dtype: 'int32' })), [[2, 2]]],
  [
    'scatterAdd',
    (x, s) => x.scatterAdd(0, tensor([[1, 1]], { dtype: 'int32' }), s).square(),
    [
      [2, 2],
      [1, 2],
    ],
  ],
  ['indexSelect', (x) => x.indexSelect(0, rows()).square(), [[3, 2]]],
  ['embedding', (w) => embedding(w, rows()).tanh(), [[3, 2]]],
  [
    'concat, stack, pad, slice',
    (a, b) =>
      pad(concat([a, stack([b, b])]), [
        [1, 0],
        [0, 1],
      ])
        .slice([{ step: 2 }])
        .square(),
    [[1, 2], [2]],
  ],
  ['views', (x) => x.transpose().reshape([4]).flip().expand([2, 4]).square(), [[2, 2]]],
  ['where', (a, b) => where(a.gt(0), a.square(), b.mul(a)), [[3], [3]]],
  ['pools', (x) => adaptiveAvgPool2d(avgPool2d(x.square(), { kernel: 2, stride: 1 }), [2, 1]), [[1, 1, 3, 3]]],
  ['maxPool2d', (x) => maxPool2d(x, { kernel: 2, stride: 1 }).square(), [[1, 1, 3, 3]]],
  ['batchNorm', (x, w, b) => batchNorm(x, { weight: w, bias: b, training: true }), [[3, 2, 2], [2], [2]]],
  ['layerNorm', (x, w, b) => layerNorm(x, [3], { weight: w, bias: b }), [[2, 3], [3], [3]]],
  ['groupNorm', (x, w, b) => groupNorm(x, 2, { weight: w, bias: b }), [[1, 4, 2], [4], [4]]],
  ['dropout that keeps all', (x) => dropout(x.square(), { p: 0 }), [[3]]],
  ['crossEntropy', (x) => loss.crossEntropy(x, labels()), [[4, 3]]],
  [
    'crossEntropy, smoothed',
    (x) => loss.crossEntropy(x, labels(), { labelSmoothing: 0.2, reduction: 'none' }),
    [[4, 3]],
  ],
  ['nllLoss', (x) => loss.nllLoss(x.logSoftmax(1), labels(), { reduction: 'sum' }), [[4, 3]]],
  [
    'mseLoss',
    (a, b) => loss.mseLoss(a, b),
    [
      [2, 2],
      [2, 2],
    ],
  ],
  ['pseudoHuberLoss', (a, b) => loss.pseudoHuberLoss(a, b, { reduction: 'none' }), [[3], [3]]],
  [
    'bceWithLogits',
    (a, b) => loss.bceWithLogits(a, b.sigmoid(), { posWeight: tensor([2, 3]) }),
    [
      [2, 2],
      [2, 2],
    ],
  ],
  ['residual steps', (x, w, tau) => residualSteps(x, [(y) => y.mul(w).tanh(), (y) => y.sin()], tau), [[2], [2], [2]]],
  [
    'checkpoint',
    (x, w) => checkpoint((a) => a.matmul(w).tanh(), x),
    [
      [1, 2],
      [2, 2],
    ],
  ],
];
for (const [what, f, shapes] of cases)
  test(`second derivative of ${what}`, async () => {
    await agrees(
      f,
      shapes.map((shape, i) => apart(shape, 10 + i)),
    );
  });

test('batchNorm with running statistics and ReLU, weights and ignored labels', async () => {
  const [mean, variance] = [tensor([0.1, -0.2]), tensor([0.5, 2])];
  const options = { runningMean: mean, runningVar: variance, activation: 'relu' as const };
  const f = (x: Tensor, w: Tensor, b: Tensor) => batchNorm(x.square(), { ...options, weight: w, bias: b });
  await agrees(f, [draw([2, 2, 2], 1, 1, 2), draw([2], 2, 1, 2), draw([2], 3, 0.5, 1)]);
  const weight = tensor([0.5, 2, 1]);
  await agrees((x) => loss.crossEntropy(x, labels(), { weight, labelSmoothing: 0.1 }), [draw([4, 3], 4)]);
});

test('a third derivative; backward with createGraph fills grad with a history', async () => {
  const x = tensor([0.5], { requiresGrad: true });
  const [first] = grad(x.sin(), [x], { createGraph: true });
  const [second] = grad(first!, [x], { createGraph: true });
  const [third] = grad(second!, [x], { createGraph: true });
  assert.ok(Math.abs((await third!.item()) + Math.cos(0.5)) < 1e-6);
  backward(x.pow(3).sum(), { createGraph: true });
  const slope = x.grad!;
  x.grad = null;
  backward(slope.sum());
  assert.is(await x.grad!.item(), 3);
});

test('a gradient penalty: of a critic, and that of two losses', async () => {
  const critic = new Sequential(new Linear(2, 3), new Tanh(), new Linear(3, 1));
  const value = async () => {
    const x = tensor([[0.2, -0.4]], { requiresGrad: true });
    const [g] = grad(critic.forward(x).sum(), [x], { createGraph: true });
    return g!.square().sum(1).sqrt().sub(1).square().mean();
  };
  backward(await value());
  const { weight } = critic.at(0) as Linear;
  const [analytic] = await weight.grad!.data();
  const moved = async (by: number) => {
    const keep = weight.detach().clone();
    weight.detach().assign_(
      keep.add(
        tensor([
          [by, 0],
          [0, 0],
          [0, 0],
        ]),
      ),
    );
    const result = await (await value()).item();
    weight.detach().assign_(keep);
    return result;
  };
  const numeric = ((await moved(1e-2)) - (await moved(-1e-2))) / 2e-2;
  assert.ok(Math.abs(analytic - numeric) < 1e-3 * Math.max(1, Math.abs(numeric)), `${analytic} and ${numeric}`);
});

test('a custom function: saved inputs and outputs, several outputs; saved intermediates are refused', async () => {
  const cube = customFunction({
    name: 'cube',
    forward(ctx, x: Tensor) {
      ctx.save(x);
      return x.mul(x).mul(x);
    },
    backward: (ctx, g) => g.mul(ctx.saved[0].square().mul(3)),
  });
  await gradgradcheck(cube, [draw([3], 1)], { atol: 0.02 });
  const e = customFunction({
    name: 'e',
    forward(ctx, x: Tensor) {
      const y = x.exp();
      ctx.save(y);
      return y;
    },
    backward: (ctx, g) => g.mul(ctx.saved[0]),
  });
  await gradgradcheck(e, [draw([3], 2)], { atol: 0.02 });
  const both = customFunction({
    name: 'both',
    forward(ctx, x: Tensor, y: Tensor): [Tensor, Tensor] {
      ctx.save(x, y);
      return [x.mul(y), x.add(y)];
    },
    backward: (ctx, g, h) => [g.mul(ctx.saved[1]).add(h), g.mul(ctx.saved[0]).add(h)],
  });
  await gradgradcheck((x, y) => both(x, y)[0].mul(both(x, y)[1]), [draw([2], 3), draw([2], 4)], { atol: 0.02 });
  const inner = customFunction({
    name: 'inner',
    forward(ctx, x: Tensor) {
      const y = x.square();
      ctx.save(y);
      return y.mul(x);
    },
    backward: (ctx, g) => g.mul(ctx.saved[0].mul(3)),
  });
  const x = draw([2], 5);
  assert.throws(() => grad(inner(x).sum(), [x], { createGraph: true }), /createGraph: 'inner' saved what forward had/);
});

test('what has no second derivative is refused by name; an unknown function too', () => {
  const x = draw([2], 1);
  const tau = tensor([0.5], { requiresGrad: true });
  const y = solve(x, [(z: Tensor) => z.tanh()], tau, { gradient: 'adjoint' });
  assert.throws(() => grad(y.sum(), [x], { createGraph: true }), /createGraph: 'adjoint' has no second derivative/);
  assert.throws(() => derivative('g * bessel(a)', 'a'), /no derivative of bessel\(\) is known/);
  assert.throws(() => derivative('a ? 1.0', 'a'), /no expression that can be differentiated, from '\?' on/);
});

test('derivatives as text: precedence, comparisons, select, what does not depend on the name', () => {
  assert.is(derivative('a * b + 2.0', 'a'), 'b');
  assert.is(derivative('a - b * a', 'b'), '(-a)');
  assert.is(derivative('-(a + b) * 1e-3', 'a'), '((-1.0) * 1e-3)');
  assert.is(derivative('select(a, 0.0, a <= 0.0)', 'a'), 'select(1.0, 0.0, (a <= 0.0))');
  assert.is(derivative('floor(a) + signOf(a) * f32(a < b || !(a == b))', 'a'), null);
});

test('gradients of every elementwise function depend on NaN and infinity as without createGraph', async () => {
  for (const f of [
    (x: Tensor) => x.exp(),
    (x: Tensor) => x.tanh(),
    (x: Tensor) => x.square(),
    (x: Tensor) => x.relu(),
  ]) {
    const values = [NaN, Infinity, -Infinity, 0];
    const x = tensor(values, { requiresGrad: true });
    const plain = await grad(f(x), [x], { gradient: tensor([1, 1, 1, 1]) })[0]!.data();
    const recorded = await grad(f(x), [x], { gradient: tensor([1, 1, 1, 1]), createGraph: true })[0]!.data();
    assert.equal([...recorded], [...plain]);
  }
});

test('a hundred gradient penalties leave no memory behind', async () => {
  const layer = new Linear(8, 8);
  const step = async () => {
    const x = zeros([4, 8]).requiresGrad_();
    const [g] = grad(layer.forward(x).tanh().sum(), [x], { createGraph: true });
    backward(g!.square().sum());
    for (const p of layer.parameters()) p.grad = null;
  };
  for (let i = 0; i < 5; i++) await step();
  const before = await settled();
  for (let i = 0; i < 100; i++) await step();
  assert.ok((await settled()) <= before, `${before} bytes before, ${device().stats().liveBytes} after`);
  noGrad(() =>
    assert.throws(() => backward(layer.forward(zeros([1, 8])).sum(), { createGraph: true }), /requires a gradient/),
  );
});

test('a product of no factors depends on them, as PyTorch has it', async () => {
  const x = zeros([3, 0]).requiresGrad_();
  const [g] = grad(x.prod(1).square().sum(), [x], { createGraph: true });
  assert.equal([g!.shape, grad(g!.sum(), [x])[0]!.shape], [[3, 0], [3, 0]]); // biome-ignore format: shapes
});

test('Hessian–vector products by both modes agree', async () => {
  const f = (x: Tensor) =>
    x
      .matmul(
        tensor([
          [1, 2],
          [0.5, -1],
        ]),
      )
      .sin()
      .sum();
  const [x, v] = [tensor([[0.3, 0.8]], { requiresGrad: true }), tensor([[1, -2]])];
  const [g] = grad(f(x), [x], { createGraph: true });
  const [reverse] = grad(g!.mul(v).sum(), [x]);
  const forward = jvp((a) => grad(f(a), [a], { createGraph: true })[0]!, [x], [v]).tangent;
  const [a, b] = [await reverse!.data(), await forward.data()];
  assert.ok(
    a.every((value, i) => Math.abs(value - b[i]) < 1e-5),
    `${a} and ${b}`,
  );
});

test.run();
