// What operations make of NaN and infinities: PyTorch 2.13's values and gradients. A driver may assume that there is no NaN, so a plausible
// number comes out wherever WGSL's own min, max and clamp are used.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { Parameter } from '../../src/nn/parameter';
import * as binaryFunctions from '../../src/ops/binary';
import * as losses from '../../src/ops/loss';
import { batchNorm } from '../../src/ops/norm';
import { avgPool2d, maxPool2d } from '../../src/ops/pool';
import * as reduce from '../../src/ops/reduce';
import { cumprod, cumsum } from '../../src/ops/scan';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { sort, topk } from '../../src/ops/sort';
import * as unaryFunctions from '../../src/ops/unary';
import { where } from '../../src/ops/where';
import { Adam } from '../../src/optim/adam';
import { Adamax } from '../../src/optim/adamax';
import { clipGradNorm, clipGradValue } from '../../src/optim/clip';
import { RMSprop } from '../../src/optim/rmsprop';
import { full, ones, tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { onBothTargets, useGpu } from '../util';

useGpu();

const nan = Number.NaN;
const inf = Infinity;

/** Equal, with NaN equal to NaN and −0 to 0. */
async function same(y: Tensor, want: number[], what: string): Promise<void> {
  const got = [...(await y.data())].map((v) => Math.fround(v) + 0);
  assert.equal(
    got,
    want.map((v) => Math.fround(v) + 0),
    what,
  );
}

const slope = (f: (x: Tensor) => Tensor, values: number[]): Tensor => {
  const x = tensor(values, { requiresGrad: true });
  const y = f(x);
  backward(y, { gradient: ones(y.shape) });
  return x.grad!;
};

/** The slope at NaN of those that are not NaN there; the value is NaN but for `sign`. */
const slopesAtNaN: Record<string, number> = {
  neg: -1,
  abs: 0,
  sign: 0,
  floor: 0,
  ceil: 0,
  round: 0,
  trunc: 0,
  relu: 1,
  relu6: 1,
  hardTanh: 1,
  hardSigmoid: 0,
  clamp: 0,
  hardSwish: 1,
  threshold: 1,
  leakyRelu: 0.01,
  elu: 1,
  celu: 1,
  selu: 1.0507009873554805,
  hardshrink: 1,
  softshrink: 1,
  frac: 1,
  deg2rad: Math.fround(Math.PI / 180),
  rad2deg: Math.fround(180 / Math.PI),
  nanToNum: 0,
};

for (const [name, run] of Object.entries(unaryFunctions)) {
  if (['isnan', 'isinf', 'isfinite', 'logicalNot', 'signbit', 'bitwiseNot'].includes(name)) continue;
  test(`${name} of NaN`, async () => {
    const f = (x: Tensor) => (name === 'clamp' ? unaryFunctions.clamp(x, -1, 1) : (run as (x: Tensor) => Tensor)(x));
    // The negative NaN too: it is what x86 makes of 0/0.
    const odd = tensor(new Float32Array(new Uint32Array([0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff]).buffer));
    await same(f(odd), new Array(4).fill(name === 'sign' || name === 'nanToNum' ? 0 : nan), 'value');
    await same(slope(f, [nan]), [slopesAtNaN[name] ?? nan], 'slope');
  });
}

test('infinities of functions that are bounded or bend', async () => {
  const u = unaryFunctions;
  const at = tensor([inf, -inf]);
  for (const [f, want] of [
    [u.relu, [inf, 0]],
    [u.relu6, [6, 0]],
    [u.hardTanh, [1, -1]],
    [u.hardSigmoid, [1, 0]],
    [u.leakyRelu, [inf, -inf]],
    [u.softplus, [inf, 0]],
    [u.sigmoid, [1, 0]],
    [u.tanh, [1, -1]],
    [u.silu, [inf, nan]],
    [u.elu, [inf, -1]],
    [(x) => u.clamp(x, -2, 3), [3, -2]],
    [(x) => u.clamp(x, nan, 3), [nan, nan]],
  ] as [(x: Tensor) => Tensor, number[]][])
    await same(f(at), want, f.name);
});

const pairs = [
  [nan, 1],
  [1, nan],
  [nan, nan],
  [inf, inf],
  [-inf, 1],
];
/** Values and both gradients at these pairs. */
const binary: Record<string, number[][]> = {
  maximum: [
    [nan, nan, nan, inf, 1],
    [1, 1, 1, 0.5, 0],
    [1, 1, 1, 0.5, 1],
  ],
  minimum: [
    [nan, nan, nan, inf, -inf],
    [1, 1, 1, 0.5, 1],
    [1, 1, 1, 0.5, 0],
  ],
  pow: [
    [nan, 1, nan, inf, -inf],
    [1, nan, nan, inf, 1],
    [nan, 0, nan, inf, nan],
  ],
  remainder: [
    [nan, nan, nan, nan, nan],
    [1, 1, 1, 1, 1],
    [nan, nan, nan, nan, nan],
  ],
  fmod: [
    [nan, nan, nan, nan, nan],
    [1, 1, 1, 1, 1],
    [nan, nan, nan, nan, inf],
  ],
  hypot: [
    [nan, nan, nan, inf, inf],
    [nan, nan, nan, nan, nan],
    [nan, nan, nan, nan, 0],
  ],
  prelu: [
    [nan, 1, nan, inf, -inf],
    [1, 1, nan, 1, 1],
    [nan, 0, nan, 0, -inf],
  ],
};
for (const [name, [value, da, db]] of Object.entries(binary))
  test(`${name} of NaN`, async () => {
    const [a, b] = [0, 1].map((k) =>
      tensor(
        pairs.map((pair) => pair[k]),
        { requiresGrad: true },
      ),
    );
    const y = binaryFunctions[name as 'pow'](a, b);
    await same(y, value, 'value');
    backward(y, { gradient: ones([5]) });
    await same(a.grad!, da, 'gradient of a');
    await same(b.grad!, db, 'gradient of b');
  });

test('comparisons and where', async () => {
  const [a, b] = [tensor([nan, 1, nan, 2]), tensor([1, nan, nan, 2])];
  const { eq, ne, lt, ge } = binaryFunctions;
  await same(eq(a, b), [0, 0, 0, 1], 'eq');
  await same(ne(a, b), [1, 1, 1, 0], 'ne');
  await same(lt(a, b), [0, 0, 0, 0], 'lt');
  await same(ge(a, b), [0, 0, 0, 1], 'ge');
  await same(where(binaryFunctions.gt(a, 0), a, b), [1, 1, nan, 2], 'where');
});

test('reductions', async () => {
  const x = [1, nan, 3];
  for (const [name, f, slopes] of [
    ['max', reduce.max, [nan, nan, nan]],
    ['min', reduce.min, [nan, nan, nan]],
    ['sum', reduce.sum, [1, 1, 1]],
    ['prod', reduce.prod, [nan, 3, nan]],
    ['std', reduce.std, [nan, nan, nan]],
    ['logsumexp', reduce.logsumexp, [nan, nan, nan]],
    ['norm', reduce.norm, [nan, nan, nan]],
    ['norm 1', (t: Tensor) => reduce.norm(t, 1), [1, 0, 1]],
    ['norm 3', (t: Tensor) => reduce.norm(t, 3), [nan, nan, nan]],
    ['norm ∞', (t: Tensor) => reduce.norm(t, inf), [0, 0, 0]],
    ['norm −∞', (t: Tensor) => reduce.norm(t, -inf), [0, 0, 0]],
  ] as [string, (x: Tensor) => Tensor, number[]][]) {
    await same(f(tensor(x)), [nan], name);
    if (name !== 'prod') await same(slope(f, x), slopes, `slope of ${name}`);
  }
  const long = new Float32Array(5000);
  long[4321] = nan;
  for (const f of [reduce.max, reduce.min, reduce.sum, reduce.mean])
    await same(f(tensor(long)), [nan], `${f.name} of many`);
  await same(reduce.argmax(tensor(x)), [1], 'argmax');
  await same(reduce.argmin(tensor([nan, 2, nan])), [0], 'argmin');
  await same(cumsum(tensor(x), 0), [1, nan, nan], 'cumsum');
  await same(cumprod(tensor(x), 0), [1, nan, nan], 'cumprod');
  await same(reduce.logsumexp(tensor([-inf, -inf])), [-inf], 'logsumexp of −∞');
  await same(reduce.any(tensor([0, nan])), [1], 'any');
});

test('sorting: NaN is the largest', async () => {
  const x = tensor([nan, 1, nan, 3]);
  await same(sort(x).values, [1, 3, nan, nan], 'sort');
  await same(sort(x, { descending: true }).indices, [0, 2, 3, 1], 'descending');
  await same(topk(x, 3).values, [nan, nan, 3], 'topk');
  await same(topk(x, 2, { largest: false }).values, [1, 3], 'smallest');
});

test('softmax and losses', async () => {
  for (const n of [3, 70])
    for (const values of [
      [1, nan, 3],
      [1, inf, 2],
      [-inf, -inf, -inf],
    ]) {
      const x = tensor([...new Array(n - 3).fill(values[0] === -inf ? -inf : 0), ...values]);
      await same(softmax(x, 0), new Array(n).fill(nan), `softmax of ${values}`);
      await same(logSoftmax(x, 0), new Array(n).fill(nan), `logSoftmax of ${values}`);
      await same(losses.crossEntropy(x, tensor(1, { dtype: 'int32' })), [nan], `crossEntropy of ${values}`);
    }
  const target = tensor([0]);
  for (const [f, at] of [
    [losses.mseLoss, nan],
    [losses.l1Loss, 0],
    [losses.huberLoss, nan],
    [losses.pseudoHuberLoss, nan],
    [losses.bceWithLogits, nan],
  ] as [typeof losses.mseLoss, number][]) {
    await same(f(tensor([nan]), target), [nan], f.name);
    await same(
      slope((x) => f(x, target), [nan]),
      [at],
      `slope of ${f.name}`,
    );
  }
});

test('pooling, and ReLU in batch norm', async () => {
  const image = (values: number[]) => tensor(values, { shape: [1, 1, 2, 2], requiresGrad: true });
  await same(maxPool2d(image([1, nan, 5, nan]), { kernel: 2 }), [nan], 'maxPool');
  const x = image([1, nan, 5, nan]);
  backward(maxPool2d(x, { kernel: 2 }), { gradient: ones([1, 1, 1, 1]) });
  await same(x.grad!, [0, 0, 0, 1], 'gradient of maxPool: the last NaN, as in PyTorch');
  await same(avgPool2d(image([1, nan, 5, 2]), { kernel: 2 }), [nan], 'avgPool');
  await onBothTargets(async () => {
    const options = { runningMean: tensor([0]), runningVar: tensor([1 - 1e-5]), activation: 'relu' as const };
    const y = image([1, nan, -5, inf]);
    const z = batchNorm(y, options);
    await same(z, [1, nan, 0, inf], 'batchNorm with ReLU');
  });
});

const withGradient = (grad: number[]): Parameter => {
  const p = new Parameter(tensor(grad.map(() => 0)));
  p.grad = tensor(grad);
  return p;
};

test('clipping', async () => {
  const p = withGradient([nan, 1, -3]);
  clipGradValue([p], 0.5);
  await same(p.grad!, [nan, 0.5, -0.5], 'clipGradValue');
  const [a, b] = [withGradient([nan]), withGradient([1, 2])];
  await same(clipGradNorm([a, b], 1)!, [nan], 'norm');
  await same(a.grad!, [nan], 'clipGradNorm');
  await same(b.grad!, [nan, nan], 'clipGradNorm of the others');
  const [c, d] = [withGradient([inf]), withGradient([1, 2])];
  clipGradNorm([c, d], 1);
  await same(c.grad!, [nan], 'of an infinite gradient');
  await same(d.grad!, [0, 0], 'of the others');
});

test('optimizers keep NaN', async () => {
  for (const make of [
    (p: Parameter) => new Adam([p], { lr: 0.1, amsgrad: true }),
    (p: Parameter) => new Adamax([p], { lr: 0.1 }),
    (p: Parameter) => new RMSprop([p], { lr: 0.1, centered: true }),
  ]) {
    const p = withGradient([nan, 1]);
    const optimizer = make(p);
    optimizer.step();
    p.grad = tensor([1, 1]);
    optimizer.step();
    const [first, second] = await p.data();
    assert.ok(Number.isNaN(first) && second < 0, `${optimizer.constructor.name}: ${first}, ${second}`);
  }
  await same(full([1], nan), [nan], 'full');
});

test.run();
