// Elementwise functions with options, of three operands and of bits; second derivatives of the special ones.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward, grad } from '../../src/autograd/backward';
import { glu, prelu, rrelu, softmin } from '../../src/ops/activations';
import * as binaryFunctions from '../../src/ops/binary';
import {
  add,
  bitwiseAnd,
  bitwiseLeftShift,
  bitwiseOr,
  bitwiseRightShift,
  bitwiseXor,
  copysign,
  div,
  floatPower,
  gcd,
  heaviside,
  lcm,
  ldexp,
  logaddexp,
  logaddexp2,
  signbit,
  sub,
  xlog1py,
  xlogy,
} from '../../src/ops/elementwise';
import {
  addcdiv,
  addcmul,
  allclose,
  bitwiseNot,
  isclose,
  lerp,
  logit,
  nanToNum,
  polygamma,
  positive,
  rsub,
  sgn,
} from '../../src/ops/pointwise';
import { sum } from '../../src/ops/reduce';
import * as unaryFunctions from '../../src/ops/unary';
import { transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { DType } from '../../src/tensor/dtype';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';
import * as special from './special';

useGpu();

const inf = Infinity;
const ints = (values: number[], dtype: DType = 'int32') => tensor(values, { dtype });
const check = async (x: Tensor, dtype: DType, want: number[], tolerance = 0) => {
  assert.is(x.dtype, dtype);
  close(await x.data(), want, tolerance);
};

const pairs: Record<string, [(a: Tensor, b: Tensor) => Tensor, (a: number, b: number) => number]> = {
  xlogy: [xlogy, (a, b) => a * Math.log(b)],
  xlog1py: [xlog1py, (a, b) => a * Math.log1p(b)],
  logaddexp: [logaddexp, (a, b) => Math.log(Math.exp(a) + Math.exp(b))],
  logaddexp2: [logaddexp2, (a, b) => Math.log2(2 ** a + 2 ** b)],
  floatPower: [floatPower, (a, b) => a ** b],
  ldexp: [ldexp, (a, b) => a * 2 ** b],
  copysign: [copysign, (a, b) => Math.abs(a) * Math.sign(b)],
  addAlpha: [(a, b) => add(a, b, { alpha: 0.5 }), (a, b) => a + 0.5 * b],
  subAlpha: [(a, b) => sub(a, b, { alpha: -2 }), (a, b) => a + 2 * b],
  rsub: [(a, b) => rsub(a, b, { alpha: 3 }), (a, b) => b - 3 * a],
  lerp: [(a, b) => lerp(a, b, 0.3), (a, b) => a + 0.3 * (b - a)],
  lerpBeyond: [(a, b) => lerp(a, b, 1.4), (a, b) => a + 1.4 * (b - a)],
  prelu: [prelu, (a, b) => (a > 0 ? a : a * b)],
};
for (const [name, [run, f]] of Object.entries(pairs))
  test(name, () =>
    checkOperation(name, {
      shapes: [[3, 5], [5]],
      values: [numbers(15, 1, 0.2, 2), numbers(5, 2, 0.3, 2)],
      run,
      reference: (a, b) => a.map((x, i) => f(x, b[i % 5])),
    }),
  );

const triples: Record<string, [(a: Tensor, b: Tensor, c: Tensor) => Tensor, (...x: number[]) => number]> = {
  addcmul: [(x, a, b) => addcmul(x, a, b, { value: -0.5 }), (x, a, b) => x - 0.5 * a * b],
  addcdiv: [(x, a, b) => addcdiv(x, a, b, { value: 2 }), (x, a, b) => x + (2 * a) / b],
  lerp: [lerp, (a, b, w) => a + w * (b - a)],
};
for (const [name, [run, f]] of Object.entries(triples))
  test(`${name} of three`, () =>
    checkOperation(name, {
      shapes: [[3, 1], [3, 5], [5]],
      values: [numbers(3, 1), numbers(15, 2), numbers(5, 3, 0.3, 2)],
      run: (x, a, b) => run(x, transpose(transpose(a)), b),
      reference: (x, a, b) => a.map((v, i) => f(x[Math.floor(i / 5)], v, b[i % 5])),
    }));

test('options of logit, nanToNum, polygamma, rrelu', async () => {
  const x = tensor([0, 0.3, 1, 2], { requiresGrad: true });
  await check(logit(x), 'float32', [-inf, Math.log(3 / 7), inf, NaN], 1e-6);
  const bounded = logit(x, { eps: 0.1 });
  await check(bounded, 'float32', [Math.log(1 / 9), Math.log(3 / 7), Math.log(9), Math.log(9)], 1e-6);
  backward(sum(bounded));
  close(await x.grad!.data(), [0, 1 / 0.21, 0, 0], 1e-5);
  const odd = tensor([NaN, inf, -inf, 1]);
  const most = Math.fround(3.4028234663852886e38);
  await check(nanToNum(odd), 'float32', [0, most, -most, 1]);
  await check(nanToNum(odd, { nan: 2, posinf: 3, neginf: -4 }), 'float32', [2, 3, -4, 1]);
  await check(nanToNum(ints([3])), 'int32', [3]);
  const y = tensor([0.5, 2, -1.5]);
  await check(polygamma(y, 2), 'float32', [-16.828796644234, -0.4041138063, -0.2362040516], 2e-5);
  await check(polygamma(y, 0), 'float32', [0.5, 2, -1.5].map(special.digamma), 2e-6);
  await check(rrelu(tensor([-24, 2])), 'float32', [-5.5, 2], 1e-6);
  const [r] = await rrelu(tensor([-1]), { training: true, lower: 0.2, upper: 0.4 }).data();
  assert.ok(r <= -0.2 && r >= -0.4);
  assert.throws(() => polygamma(y, -1), /polygamma: n is -1/);
  assert.throws(() => logit(y, { epsilon: 1 } as never), /no option 'epsilon'/);
});

test('corners', async () => {
  await check(xlogy(tensor([0, 0, 0, 1]), tensor([0, -1, NaN, 0])), 'float32', [0, 0, NaN, -inf]);
  await check(xlog1py(tensor([0, 2]), tensor([-1, -1])), 'float32', [0, -inf]);
  await check(logaddexp(tensor([inf, -inf, inf, 0]), tensor([inf, -inf, -inf, NaN])), 'float32', [inf, -inf, inf, NaN]);
  await check(logaddexp(tensor([1000]), 1000), 'float32', [1000 + Math.LN2], 1e-6);
  await check(signbit(tensor([-0, 0, -3])), 'bool', [1, 0, 1]);
  await check(signbit(ints([-2, 0])), 'bool', [1, 0]);
  assert.ok(Object.is((await copysign(tensor([0]), tensor([-0])).data())[0], -0));
  await check(heaviside(tensor([-1, 0, 2, NaN]), 0.5), 'float32', [0, 0.5, 1, 0]);
  await check(heaviside(ints([-1, 0, 2]), ints([7])), 'int32', [0, 7, 1]);
  await check(unaryFunctions.entr(tensor([0, -1, NaN, inf])), 'float32', [0, -inf, NaN, -inf]);
  await check(unaryFunctions.digamma(tensor([0, -0, -2, -inf, inf])), 'float32', [-inf, inf, NaN, NaN, inf]);
  await check(unaryFunctions.lgamma(tensor([0, -3, inf, -inf])), 'float32', [inf, inf, inf, inf]);
  await check(floatPower(ints([-2, 3]), 2), 'float32', [4, 9]);
  await check(sgn(tensor([-2, 0, NaN])), 'float32', [-1, 0, 0]);
  await check(sgn(tensor([true, false])), 'bool', [1, 0]);
  await check(positive(ints([-3])), 'int32', [-3]);
  assert.throws(() => positive(tensor([true])), /positive: not defined for bool/);
});

test('bits', async () => {
  const [a, b] = [ints([12, -7, 5]), ints([10, 3, -1])];
  await check(bitwiseAnd(a, b), 'int32', [12 & 10, -7 & 3, 5]);
  await check(bitwiseOr(a, 3), 'int32', [15, -7 | 3, 7]);
  await check(bitwiseXor(a, b), 'int32', [6, -7 ^ 3, ~5]);
  await check(bitwiseNot(a), 'int32', [-13, 6, -6]);
  await check(bitwiseNot(ints([0], 'uint32')), 'uint32', [0xffffffff]);
  const t = tensor([true, true, false]);
  await check(bitwiseNot(t), 'bool', [0, 0, 1]);
  await check(bitwiseXor(t, tensor([true, false, false])), 'bool', [0, 1, 0]);
  await check(bitwiseLeftShift(a, ints([2, 31, 32])), 'int32', [48, -7 << 31, 0]);
  await check(bitwiseRightShift(a, ints([2, 40, -1])), 'int32', [3, -1, 0]);
  await check(bitwiseRightShift(ints([0xf0000000], 'uint32'), 28), 'uint32', [15]);
  await check(gcd(ints([12, -18, 0]), ints([18, 12, 5])), 'int32', [6, 6, 5]);
  await check(lcm(ints([4, -6, 0]), ints([6, 4, 5])), 'int32', [12, 12, 0]);
  assert.throws(() => bitwiseAnd(tensor([1]), a), /bitwiseAnd: not defined for float32/);
  assert.throws(() => bitwiseLeftShift(t, t), /bitwiseLeftShift: not defined for bool/);
});

test('sums and quotients of a list by reduce; a bare number is no option', async () => {
  const terms = [8, 2, 4].map((x) => tensor([x]));
  const results = [terms.reduce(add), terms.reduce(sub), terms.reduce(div)];
  assert.equal(await Promise.all(results.map((x) => x.item())), [14, 2, 1]);
  assert.throws(() => add(terms[0], terms[1], 2), /add: .*options/);
  // Of plain JavaScript: what is left out would be NaN.
  const plain = lerp as (...given: unknown[]) => unknown;
  assert.throws(() => plain(terms[0], terms[1]), /lerp: a number is needed, not undefined/);
});

test('division with rounding', async () => {
  const [a, b] = [tensor([-7, 7, 5]), tensor([2, -2, 2])];
  await check(div(a, b, { roundingMode: 'trunc' }), 'float32', [-3, -3, 2]);
  await check(div(a, b, { roundingMode: 'floor' }), 'float32', [-4, -4, 2]);
  await check(div(ints([-7, 7]), 2, { roundingMode: 'trunc' }), 'int32', [-3, 3]);
  await check(div(ints([-7, 7]), 2, { roundingMode: 'floor' }), 'int32', [-4, 3]);
  await check(div(ints([-7, 7]), 2), 'float32', [-3.5, 3.5]);
  assert.throws(() => div(a, b, { roundingMode: 'up' as never }), /roundingMode 'up' must be/);
});

test('isclose and allclose', async () => {
  const x = tensor([1, 1, inf, inf, NaN, -0]);
  const y = tensor([1.000009, 1.1, inf, -inf, NaN, 0]);
  await check(isclose(x, y), 'bool', [1, 0, 1, 0, 0, 1]);
  await check(isclose(x, y, { rtol: 0.2, equalNan: true }), 'bool', [1, 1, 1, 0, 1, 1]);
  await check(isclose(ints([2 ** 30, 5]), ints([2 ** 30, 6]), { rtol: 0 }), 'bool', [1, 0]);
  assert.is(await allclose(x, y), false);
  assert.is(await allclose(tensor([1, 2]), tensor([1, 2])), true);
});

test('gated and per-channel activations', async () => {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  await checkOperation('glu', {
    shapes: [[2, 6]],
    values: [numbers(12, 3)],
    run: (x) => glu(x),
    reference: (x) => [0, 1, 2, 6, 7, 8].map((i) => x[i] * sigmoid(x[i + 3])),
  });
  await checkOperation('prelu', {
    shapes: [[2, 3, 4], [3]],
    values: [numbers(24, 3), numbers(3, 4)],
    run: prelu,
    reference: (x, w) => x.map((v, i) => (v > 0 ? v : v * w[Math.floor(i / 4) % 3])),
  });
  close(await prelu(-2, tensor([0.5, 3])).data(), [-1, -6]);
  close(await softmin(tensor([0, Math.log(3)]), 0).data(), [0.75, 0.25]);
  assert.throws(() => glu(zeros([3])), /glu: dimension 0 has the odd size 3/);
  assert.throws(() => prelu(zeros([2, 3, 4]), zeros([2])), /prelu: 2 slopes for 3 channels/);
});

const second: Record<string, [(x: number) => number, number, number]> = {
  erfinv: [special.erfinv, -0.9, 0.9],
  ndtr: [(x) => 0.5 * special.erfc(-x / Math.SQRT2), -2, 2],
  ndtri: [special.ndtri, 0.1, 0.9],
  logNdtr: [special.logNdtr, -3, 2],
  logit: [(x) => Math.log(x / (1 - x)), 0.1, 0.9],
  sinc: [(x) => special.sinPi(x) / (Math.PI * x), -2, 2],
  entr: [(x) => -x * Math.log(x), 0.2, 3],
  lgamma: [special.lgamma, 0.5, 5],
  digamma: [special.digamma, 0.7, 5],
  polygamma: [special.trigamma, 0.7, 5],
  i0: [(x) => special.bessel(0, x), -3, 3],
  i0e: [(x) => special.besselScaled(0, x), 0.1, 9],
  i1: [(x) => special.bessel(1, x), -3, 3],
  i1e: [(x) => special.besselScaled(1, x), 0.1, 9],
  tanhshrink: [(x) => x - Math.tanh(x), -3, 3],
};
for (const [name, [f, low, high]] of Object.entries(second))
  test(`second derivative of ${name}`, async () => {
    const values = numbers(15, 5, low, high);
    const x = tensor(Float32Array.from(values), { requiresGrad: true });
    const run = unaryFunctions[name as 'lgamma'];
    const [slope] = grad(sum(run(x)), [x], { createGraph: true }) as Tensor[];
    backward(sum(slope));
    const h = 1e-3;
    close(
      await x.grad!.data(),
      values.map((v) => (f(v + h) - 2 * f(v) + f(v - h)) / (h * h)),
      1e-4,
    );
  });

test('second derivatives of two operands', async () => {
  for (const name of ['xlogy', 'logaddexp', 'floatPower'] as const) {
    const [a, b] = [tensor([0.7, 1.3], { requiresGrad: true }), tensor([0.4, 2], { requiresGrad: true })];
    const slopes = grad(sum(binaryFunctions[name](a, b)), [a, b], { createGraph: true }) as Tensor[];
    const f = pairs[name][1];
    backward(sum(slopes[0]));
    const h = 1e-4;
    const mixed = [0.7, 1.3].map((u, i) => {
      const v = [0.4, 2][i];
      return (f(u + h, v + h) - f(u + h, v - h) - f(u - h, v + h) + f(u - h, v - h)) / (4 * h * h);
    });
    close(await b.grad!.data(), mixed, 1e-4, name);
  }
});

test.run();
