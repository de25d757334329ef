// Every row of unary.ts and binary.ts: values against float64 over its domain, derivatives against finite differences of the float64 function.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { special as specialFunctions } from '../../shaders/special';
import { trigonometric } from '../../shaders/trigonometric';
import { backward, grad } from '../../src/autograd/backward';
import { scalar } from '../../src/gpu';
import * as binaryFunctions from '../../src/ops/binary';
import {
  add,
  atan2,
  div,
  floorDiv,
  gelu,
  hypot,
  maximum,
  minimum,
  mul,
  pow,
  squaredDifference,
  sub,
  threshold,
} from '../../src/ops/elementwise';
import { sum } from '../../src/ops/reduce';
import { rowOf, type UnaryRow } from '../../src/ops/row';
import * as unaryFunctions from '../../src/ops/unary';
import { expand, reshape, slice, transpose } from '../../src/ops/views';
import { clamp, where } from '../../src/ops/where';
import { arange, tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';
import * as special from './special';

useGpu();

const erf = (x: number): number => {
  let sum = 0;
  for (let n = 0, term = x; n < 120; n++) {
    sum += term / (2 * n + 1);
    term *= (-x * x) / (n + 1);
  }
  return Math.abs(x) > 5 ? Math.sign(x) : (2 / Math.sqrt(Math.PI)) * sum;
};
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const roundEven = (x: number) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
const celu = (x: number) => Math.max(0, x) + Math.min(0, Math.expm1(x));

/** Float64 functions, and the range to test where it is not −3 … 3. Logical rows are tested elsewhere. */
const references: Record<
  Exclude<keyof typeof unaryFunctions, 'isnan' | 'isinf' | 'isfinite' | 'logicalNot' | 'signbit' | 'bitwiseNot'>,
  [(x: number) => number, number?, number?]
> = {
  neg: [(x) => -x],
  abs: [Math.abs],
  sign: [Math.sign],
  square: [(x) => x * x],
  exp: [Math.exp],
  exp2: [(x) => 2 ** x],
  expm1: [Math.expm1],
  log: [Math.log, 0.05, 8],
  log2: [Math.log2, 0.05, 8],
  log10: [Math.log10, 0.05, 8],
  log1p: [Math.log1p, -0.9, 8],
  sqrt: [Math.sqrt, 0.05, 8],
  rsqrt: [(x) => 1 / Math.sqrt(x), 0.1, 8],
  reciprocal: [(x) => 1 / x, 0.2, 3],
  sin: [Math.sin, -9, 9],
  cos: [Math.cos, -9, 9],
  tan: [Math.tan, -1.4, 1.4],
  asin: [Math.asin, -0.95, 0.95],
  acos: [Math.acos, -0.95, 0.95],
  atan: [Math.atan, -9, 9],
  sinh: [Math.sinh],
  cosh: [Math.cosh],
  tanh: [Math.tanh],
  asinh: [Math.asinh, -9, 9],
  acosh: [Math.acosh, 1.1, 9],
  atanh: [Math.atanh, -0.95, 0.95],
  erf: [erf],
  erfc: [(x) => 1 - erf(x)],
  floor: [Math.floor],
  ceil: [Math.ceil],
  round: [roundEven],
  trunc: [Math.trunc],
  relu: [(x) => Math.max(0, x)],
  relu6: [(x) => Math.min(6, Math.max(0, x)), -9, 9],
  sigmoid: [sigmoid],
  logSigmoid: [(x) => -Math.log1p(Math.exp(-x))],
  silu: [(x) => x * sigmoid(x)],
  mish: [(x) => x * Math.tanh(Math.log1p(Math.exp(x)))],
  softsign: [(x) => x / (1 + Math.abs(x))],
  selu: [(x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x))],
  hardSwish: [(x) => (x * Math.min(6, Math.max(0, x + 3))) / 6, -4, 4],
  geluErf: [(x) => (x / 2) * (1 + erf(x / Math.SQRT2))],
  geluTanh: [(x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  leakyRelu: [(x) => (x > 0 ? x : 0.01 * x)],
  elu: [(x) => (x > 0 ? x : Math.expm1(x))],
  celu: [celu],
  softplus: [(x) => Math.log1p(Math.exp(x))],
  hardSigmoid: [(x) => Math.min(1, Math.max(0, x / 6 + 0.5)), -4, 4],
  hardTanh: [(x) => Math.min(1, Math.max(-1, x))],
  threshold: [(x) => Math.max(x, 0)],
  clamp: [(x) => x],
  hardshrink: [(x) => (Math.abs(x) > 0.5 ? x : 0)],
  softshrink: [(x) => x - Math.max(-0.5, Math.min(0.5, x))],
  tanhshrink: [(x) => x - Math.tanh(x)],
  frac: [(x) => x - Math.trunc(x)],
  deg2rad: [(x) => (x * Math.PI) / 180, -400, 400],
  rad2deg: [(x) => (x * 180) / Math.PI],
  logit: [(x) => Math.log(x / (1 - x)), 0.05, 0.95],
  sinc: [(x) => Math.sin(Math.PI * x) / (Math.PI * x)],
  erfinv: [special.erfinv, -0.9, 0.9],
  ndtr: [(x) => 0.5 * special.erfc(-x / Math.SQRT2)],
  logNdtr: [special.logNdtr],
  ndtri: [special.ndtri, 0.05, 0.95],
  entr: [(x) => -x * Math.log(x), 0.05, 3],
  lgamma: [special.lgamma, 0.3, 9],
  digamma: [special.digamma, 0.3, 9],
  polygamma: [special.trigamma, 0.5, 9],
  i0: [(x) => special.bessel(0, x)],
  i0e: [(x) => special.besselScaled(0, x), -9, 9],
  i1: [(x) => special.bessel(1, x)],
  i1e: [(x) => special.besselScaled(1, x), -9, 9],
  nanToNum: [(x) => x],
};
const steps = new Set(['sign', 'floor', 'ceil', 'round', 'trunc']);

for (const [name, [f, low = -3, high = 3]] of Object.entries(references))
  test(name, async () => {
    const values = numbers(39, name.length, low, high);
    const run = unaryFunctions[name as keyof typeof unaryFunctions] as (x: Tensor) => Tensor;
    if (!steps.has(name))
      return checkOperation(name, {
        shapes: [[3, 13]],
        values: [values],
        run,
        reference: (x) => x.map(f),
        tolerance: 2e-5,
      });
    const x = tensor(Float32Array.from(values), { requiresGrad: true });
    const y = run(x);
    close(await y.data(), values.map(f), 0);
    backward(sum(y));
    close(await x.grad!.data(), new Float64Array(39), 0, 'gradient');
  });

const pairs: Record<string, [(a: Tensor, b: Tensor) => Tensor, (a: number, b: number) => number, number?]> = {
  add: [add, (a, b) => a + b],
  sub: [sub, (a, b) => a - b],
  mul: [mul, (a, b) => a * b],
  div: [div, (a, b) => a / b, 0.3],
  pow: [pow, (a, b) => a ** b, 0.3],
  maximum: [maximum, Math.max],
  minimum: [minimum, Math.min],
  squaredDifference: [squaredDifference, (a, b) => (a - b) ** 2],
  hypot: [hypot, Math.hypot],
  atan2: [atan2, Math.atan2, 0.3],
  prelu: [binaryFunctions.prelu, (a, b) => (a > 0 ? a : a * b)],
  remainder: [binaryFunctions.remainder, (a, b) => a - b * Math.floor(a / b), 0.3],
};
const layouts: [Shape, Shape][] = [
  [[5], [5]],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [[], [2, 3]],
  [[1, 1], [1]],
  [[0, 3], [1]],
];
for (const [name, [run, f, low = -2]] of Object.entries(pairs))
  test(`${name}, broadcast`, async () => {
    for (const [i, [p, q]] of (name === 'mul' ? layouts : layouts.slice(0, 2)).entries()) {
      const count = (shape: Shape) => shape.reduce((n, m) => n * m, 1);
      const rank = Math.max(p.length, q.length);
      const wide = (shape: Shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape];
      const out = wide(p).map((n, d) => (n === 1 ? wide(q)[d] : n));
      const at = (shape: Shape, index: number) => {
        let position = 0;
        let step = 1;
        for (let d = rank - 1; d >= 0; d--) {
          position += wide(shape)[d] === 1 ? 0 : (index % out[d]) * step;
          step *= wide(shape)[d];
          index = Math.floor(index / out[d]);
        }
        return position;
      };
      await checkOperation(`${name} [${p}] [${q}]`, {
        shapes: [p, q],
        values: [numbers(count(p), 10 + i, low, 2), numbers(count(q), 20 + i, low, 2)],
        run,
        reference: (a, b) => Float64Array.from({ length: count(out) }, (_, k) => f(a[at(p, k)], b[at(q, k)])),
      });
    }
  });

test('derivatives at kinks are PyTorch’s', async () => {
  const slope = async (f: (x: Tensor) => Tensor, at: number) => {
    const x = tensor(at, { requiresGrad: true });
    backward(f(x));
    return x.grad!.item();
  };
  const { abs, relu, relu6, leakyRelu, hardTanh } = unaryFunctions;
  for (const [f, at, want] of [
    [relu, 0, 0],
    [abs, 0, 0],
    [relu6, 6, 0],
    [(x) => leakyRelu(x, 0.2), 0, 0.2],
    [hardTanh, 1, 0],
    [(x) => clamp(x, -1, 1), 1, 1],
    [(x) => clamp(x, null, 1), 2, 0],
    [(x) => maximum(x, 0), 0, 0.5],
    [(x) => threshold(x, 1, 7), 1, 0],
    [(x) => pow(x, 0), 0, 0],
    [(x) => pow(x, 2), 0, 0],
  ] as [(x: Tensor) => Tensor, number, number][])
    close([await slope(f, at)], [want], 1e-6, `${f.name || f} at ${at}`);
  // The second derivatives of ELU and its like are 0 at 0, the first ones those from below.
  const { selu, elu, celu } = unaryFunctions;
  for (const [f, want] of [
    [selu, [1.7580993, 0]],
    [(x) => elu(x, 0.8), [0.8, 0]],
    [(x) => celu(x, 1.3), [1, 0]],
  ] as [(x: Tensor) => Tensor, number[]][]) {
    const x = tensor(0, { requiresGrad: true });
    const first = grad(f(x), [x], { createGraph: true })[0]!;
    close([await first.item(), await grad(first, [x])[0]!.item()], want, 1e-6, `${f.name || f} at 0`);
  }
});

test('scalar arguments and numbers as operands', async () => {
  const x = tensor([-2, 0.5, 3], { requiresGrad: true });
  close(await clamp(x, -1).data(), [-1, 0.5, 3]);
  close(await threshold(x, 1, -7).data(), [-7, -7, 3]);
  close(await gelu(x, { approximate: 'tanh' }).data(), [-0.045402, 0.345714, 2.996363]);
  const y = sub(10, mul(x, scalar(3)));
  close(await y.data(), [16, 8.5, 1]);
  backward(sum(div(1, add(y, 0.5))));
  close(await x.grad!.data(), [3 / 16.5 ** 2, 3 / 9 ** 2, 3 / 1.5 ** 2]);
});

test('types: promotion, division, comparisons, integer and logical operations', async () => {
  const i = tensor([-7, 7, 5], { dtype: 'int32' });
  const b = tensor([true, false, true]);
  const check = async (y: Tensor, dtype: string, want: number[]) => {
    assert.is(y.dtype, dtype);
    close(await y.data(), want, 0);
  };
  const { floorDiv, remainder, eq, lt, ne, logicalAnd, logicalXor } = binaryFunctions;
  await check(add(i, 2), 'int32', [-5, 9, 7]);
  await check(add(i, 0.5), 'float32', [-6.5, 7.5, 5.5]);
  await check(div(i, i), 'float32', [1, 1, 1]);
  await check(floorDiv(i, 3), 'int32', [-3, 2, 1]);
  await check(remainder(i, 3), 'int32', [2, 1, 2]);
  await check(floorDiv(tensor([-7, 7]), 3), 'float32', [-3, 2]);
  await check(pow(i, 3), 'int32', [-343, 343, 125]);
  await check(add(i, 2 ** 30 + 1), 'int32', [2 ** 30 - 6, 2 ** 30 + 8, 2 ** 30 + 6]);
  await check(add(tensor([1, 2], { dtype: 'uint32' }), -3), 'int32', [-2, -1]);
  await check(add(b, b), 'bool', [1, 0, 1]);
  await check(add(b, 1), 'int32', [2, 1, 2]);
  await check(mul(b, tensor([2, 3, 4])), 'float32', [2, 0, 4]);
  await check(lt(i, 5.5), 'bool', [1, 0, 1]);
  await check(eq(b, 1), 'bool', [1, 0, 1]);
  await check(logicalAnd(i, b), 'bool', [1, 0, 1]);
  await check(logicalXor(b, tensor([1, 0, 0])), 'bool', [0, 0, 1]);
  await check(unaryFunctions.logicalNot(tensor([0, 2, NaN])), 'bool', [1, 0, 0]);
  await check(unaryFunctions.floor(i), 'int32', [-7, 7, 5]);
  await check(unaryFunctions.relu(i), 'int32', [0, 7, 5]);
  const odd = tensor([NaN, Infinity, 1]);
  await check(unaryFunctions.isnan(odd), 'bool', [1, 0, 0]);
  await check(unaryFunctions.isinf(odd), 'bool', [0, 1, 0]);
  await check(unaryFunctions.isfinite(odd), 'bool', [0, 0, 1]);
  await check(ne(odd, odd), 'bool', [1, 0, 0]);
  await check(maximum(odd, 0), 'float32', [NaN, Infinity, 1]);
});

test('where chooses values and gradients', async () => {
  const [a, b] = [tensor([1, 2, 3], { requiresGrad: true }), tensor([[10], [20]], { requiresGrad: true })];
  const y = where(tensor([true, false, true]), a, b);
  close(await y.data(), [1, 10, 3, 1, 20, 3], 0);
  backward(
    sum(
      mul(
        y,
        tensor([
          [1, 2, 3],
          [4, 5, 6],
        ]),
      ),
    ),
  );
  close(await a.grad!.data(), [5, 0, 9], 0);
  close(await b.grad!.data(), [2, 5], 0);
  close(await where(tensor([0, 1]), 5, tensor([1, 2], { dtype: 'int32' })).data(), [1, 5], 0);
});

test('where: a tensor that is condition and value keeps its type', async () => {
  const x = tensor([1, 0, 3], { dtype: 'int32' });
  const y = where(x, x, 16777217);
  assert.is(y.dtype, 'int32');
  assert.equal([...(await y.data())], [1, 16777217, 3]);
});

test('floorDiv has zero gradients, whatever is broadcast', async () => {
  const a = tensor([1.7], { requiresGrad: true });
  const b = tensor([2, 3], { requiresGrad: true });
  const gradients = grad(sum(floorDiv(a, b)), [a, b]) as Tensor[];
  assert.equal(await Promise.all(gradients.map((g) => g.toArray())), [[0], [0, 0]]);
});

test('views, and more than 65,535 workgroups', async () => {
  const x = tensor(Float32Array.from(numbers(24, 5)), { shape: [4, 6] });
  const host = await transpose(slice(x, [{ step: -2 }, { start: 1, stop: 4 }])).data();
  close(await add(transpose(slice(x, [{ step: -2 }, { start: 1, stop: 4 }])), zeros([3, 2])).data(), host, 0);
  const rows = 70_001;
  const column = reshape(arange(rows), [rows, 1]);
  close((await mul(expand(column, [rows, 61]), 1).data()).slice(-62), [rows - 2, ...new Array(61).fill(rows - 1)], 0);
  const flat = zeros([65_536 * 256]);
  close((await add(flat, 3).data()).slice(-2), [3, 3], 0);
});

test('large and tiny arguments keep their accuracy', async () => {
  const relative = async (f: (x: Tensor) => Tensor, reference: (x: number) => number, values: number[]) => {
    const got = await f(tensor(values)).data();
    for (const [i, value] of values.entries()) {
      const want = reference(Math.fround(value));
      assert.ok(
        Math.abs(got[i] - want) <= 2e-6 * Math.abs(want),
        `${reference.name}(${value}) is ${got[i]}, expected ${want}`,
      );
    }
  };
  const u = unaryFunctions;
  await relative(u.sin, Math.sin, [1e-6, 3.1, 1000.5, 54321, 1e6, 6.5e8, 1e30]);
  await relative(u.tan, Math.tan, [1e-6, 1.57, -608065408, 1e15]);
  await relative(u.expm1, Math.expm1, [1e-6, -1e-4, 0.49, 0.51, 8]);
  await relative(u.log1p, Math.log1p, [1e-6, -1e-4, 0.29, 0.31, 1e20]);
  await relative(u.tanh, Math.tanh, [1e-6, 0.2, 5, 300]);
  await relative(u.asinh, Math.asinh, [-1e-4, 0.3, 1e15]);
  await relative(u.atanh, Math.atanh, [1e-5, 0.4, -0.999]);
  await relative(
    (x) => pow(x, 7),
    (x) => x ** 7,
    [-3, 2, 1.5],
  );
});

test('refuses what does not fit', () => {
  assert.throws(() => add(zeros([2, 3]), zeros([4])), /add: shapes \[2, 3\] and \[4\] cannot be broadcast/);
  assert.throws(() => sub(tensor([true]), tensor([true])), /sub: not defined for bool/);
  assert.throws(() => unaryFunctions.neg(zeros([1], { dtype: 'uint32' })), /neg: not defined for uint32/);
  assert.throws(() => unaryFunctions.exp([1] as unknown as Tensor), /exp: expected a tensor, got Array/);
  assert.throws(() => add(1, 2), /add: expected a tensor, got number/);
});

test('a row names the library of the functions that it calls', () => {
  for (const [name, run] of Object.entries({ ...unaryFunctions, ...binaryFunctions })) {
    const { value, int = '', da = '', library } = rowOf(run) as UnaryRow;
    const calls = [...`${value} ${int} ${da}`.matchAll(/\b(\w+)\(/g)].map(([, called = '']) => called);
    const beyond = calls.filter((called) => called in specialFunctions.functions);
    const special = beyond.some((called) => !(called in trigonometric.functions));
    const needed = special ? specialFunctions : beyond.length ? trigonometric : undefined;
    assert.is(library, needed, name);
  }
});

test('every row is tested', () => {
  const others = ['isnan', 'isinf', 'isfinite', 'logicalNot', 'signbit', 'bitwiseNot'];
  const tested = new Set([...Object.keys(references), ...others]);
  assert.equal(
    Object.keys(unaryFunctions).filter((name) => !tested.has(name)),
    [],
  );
});

test.run();
