// Elementary functions and their derivatives against float64 over the whole range of float32. The bounds are those that docs/accuracy.md
// states: this test reads its table, and a function here without a row there fails, or the reverse.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { backward } from '../../src/autograd/backward';
import * as binaryFunctions from '../../src/ops/binary';
import { sum } from '../../src/ops/reduce';
import * as unaryFunctions from '../../src/ops/unary';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';
import {
  bessel,
  besselScaled,
  cosPi,
  digamma,
  erf,
  erfc,
  erfcx,
  erfinv,
  lgamma,
  lnSigmoid,
  logNdtr,
  ndtri,
  sinPi,
  softplus,
  trigamma,
} from './special';

useGpu();

const { PI, SQRT1_2, LN2 } = Math;
const gaussian = (x: number) => Math.exp(-x * x);
const sigmoid = (x: number) => Math.exp(lnSigmoid(x));
const normal = (x: number) => 0.5 * erfc(-x * SQRT1_2);
const mishGate = (x: number) => Math.tanh(softplus(x));
const geluSlope = 2 * Math.sqrt(2 / PI);
const geluGate = (x: number) => sigmoid(geluSlope * x * (1 + 0.044715 * x * x));

interface Reference {
  f: (x: number) => number;
  /** The derivative. */
  d: (x: number) => number;
}

const references: Record<string, Reference> = {
  exp: { f: Math.exp, d: Math.exp },
  exp2: { f: (x) => 2 ** x, d: (x) => LN2 * 2 ** x },
  expm1: { f: Math.expm1, d: Math.exp },
  log: { f: Math.log, d: (x) => 1 / x },
  log2: { f: Math.log2, d: (x) => 1 / (x * LN2) },
  log10: { f: Math.log10, d: (x) => 1 / (x * Math.LN10) },
  log1p: { f: Math.log1p, d: (x) => 1 / (1 + x) },
  sqrt: { f: Math.sqrt, d: (x) => 0.5 / Math.sqrt(x) },
  rsqrt: { f: (x) => 1 / Math.sqrt(x), d: (x) => -0.5 / (x * Math.sqrt(x)) },
  reciprocal: { f: (x) => 1 / x, d: (x) => -1 / (x * x) },
  sin: { f: Math.sin, d: Math.cos },
  cos: { f: Math.cos, d: (x) => -Math.sin(x) },
  tan: { f: Math.tan, d: (x) => 1 / Math.cos(x) ** 2 },
  asin: { f: Math.asin, d: (x) => 1 / Math.sqrt((1 - x) * (1 + x)) },
  acos: { f: Math.acos, d: (x) => -1 / Math.sqrt((1 - x) * (1 + x)) },
  atan: { f: Math.atan, d: (x) => 1 / (1 + x * x) },
  sinh: { f: Math.sinh, d: Math.cosh },
  cosh: { f: Math.cosh, d: Math.sinh },
  tanh: { f: Math.tanh, d: (x) => 1 / Math.cosh(x) ** 2 },
  asinh: { f: Math.asinh, d: (x) => 1 / Math.hypot(1, x) },
  acosh: { f: Math.acosh, d: (x) => (x < 1 ? NaN : 1 / (Math.sqrt(x - 1) * Math.sqrt(x + 1))) },
  atanh: { f: Math.atanh, d: (x) => 1 / ((1 - x) * (1 + x)) },
  erf: { f: erf, d: (x) => (2 / Math.sqrt(PI)) * gaussian(x) },
  erfc: { f: erfc, d: (x) => (-2 / Math.sqrt(PI)) * gaussian(x) },
  sigmoid: { f: sigmoid, d: (x) => sigmoid(x) * sigmoid(-x) },
  logSigmoid: { f: lnSigmoid, d: (x) => sigmoid(-x) },
  silu: { f: (x) => x * sigmoid(x), d: (x) => sigmoid(x) * (1 + x * sigmoid(-x)) },
  mish: {
    f: (x) => x * mishGate(x),
    d: (x) => mishGate(x) + (x * sigmoid(x)) / Math.cosh(softplus(x)) ** 2,
  },
  softsign: { f: (x) => x / (1 + Math.abs(x)), d: (x) => 1 / (1 + Math.abs(x)) ** 2 },
  selu: {
    f: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    d: (x) => 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * Math.exp(x)),
  },
  elu: { f: (x) => (x > 0 ? x : Math.expm1(x)), d: (x) => (x > 0 ? 1 : Math.exp(x)) },
  celu: { f: (x) => (x > 0 ? x : Math.expm1(x)), d: (x) => (x > 0 ? 1 : Math.exp(x)) },
  softplus: { f: softplus, d: sigmoid },
  geluErf: {
    f: (x) => x * normal(x),
    d: (x) => normal(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * PI),
  },
  geluTanh: {
    f: (x) => x * geluGate(x),
    d: (x) => geluGate(x) * (1 + x * (1 - geluGate(x)) * geluSlope * (1 + 0.134145 * x * x)),
  },
};

const sinc = (x: number) => (Math.abs(x) < 1e-9 ? 1 : sinPi(x) / (PI * x));
/** e^−|x|·I₁(x) / x, and by their series for small x x − tanh x and (sin πx / πx)′. */
const overX = (x: number) => (Math.abs(x) < 1e-9 ? 0.5 : besselScaled(1, x) / x);
const tanhshrink = (x: number) => {
  if (Math.abs(x) > 0.1) return x - Math.tanh(x);
  return x ** 3 * (1 / 3 - x ** 2 * (2 / 15 - x ** 2 * (17 / 315 - x ** 2 * (62 / 2835 - (x ** 2 * 1382) / 155925))));
};
const sincSlope = (x: number) => {
  const z = (PI * x) ** 2;
  if (Math.abs(x) > 0.05) return (cosPi(x) - sinc(x)) / x;
  return -PI * PI * x * (1 / 3 - z * (1 / 30 - z * (1 / 840 - z / 45360)));
};

Object.assign(references, {
  logit: {
    f: (x: number) => Math.log(x) - Math.log1p(-x),
    d: (x: number) => (x < 0 || x > 1 ? NaN : 1 / (x * (1 - x))),
  },
  sinc: { f: sinc, d: sincSlope },
  erfinv: { f: erfinv, d: (x: number) => (Math.sqrt(PI) / 2) * Math.exp(erfinv(x) ** 2) },
  ndtr: { f: normal, d: (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * PI) },
  ndtri: { f: ndtri, d: (x: number) => Math.sqrt(2 * PI) * Math.exp(ndtri(x) ** 2 / 2) },
  logNdtr: {
    f: logNdtr,
    d: (x: number) =>
      x < 0 ? Math.sqrt(2 / PI) / erfcx(-x * SQRT1_2) : Math.exp((-x * x) / 2) / Math.sqrt(2 * PI) / normal(x),
  },
  entr: { f: (x: number) => (x === 0 ? 0 : x < 0 ? -Infinity : -x * Math.log(x)), d: (x: number) => -1 - Math.log(x) },
  lgamma: { f: lgamma, d: digamma },
  digamma: { f: digamma, d: trigamma },
  i0: { f: (x: number) => bessel(0, x), d: (x: number) => bessel(1, x) },
  i0e: {
    f: (x: number) => besselScaled(0, x),
    d: (x: number) => besselScaled(1, x) - Math.sign(x) * besselScaled(0, x),
  },
  i1: {
    f: (x: number) => bessel(1, x),
    d: (x: number) => (Math.abs(x) < 1e-9 ? 0.5 : (besselScaled(0, x) - overX(x)) * Math.exp(Math.abs(x))),
  },
  i1e: {
    f: (x: number) => besselScaled(1, x),
    d: (x: number) => besselScaled(0, x) - Math.sign(x) * besselScaled(1, x) - overX(x),
  },
  tanhshrink: { f: tanhshrink, d: (x: number) => Math.tanh(x) ** 2 },
} satisfies Record<string, Reference>);

interface Bound {
  size: number;
  /** In units in the last place, or of 2⁻²⁴ · max(1, |value|). */
  unit: 'ulp' | 'abs';
}

const parse = (text: string): Bound | null => {
  const [, size, unit] = /^(\d+) (ulp|abs)$/.exec(text) ?? [];
  return size ? { size: Number(size), unit: unit as Bound['unit'] } : null;
};
const table = new Map(
  [...readFileSync('docs/accuracy.md', 'utf8').matchAll(/^\| (\w+) \| (\w+ \w+) \|(?: (\w+ \w+))? \|$/gm)].map(
    ([, name, value, slope]) => [name, { value: parse(value)!, slope: parse(slope ?? '') }],
  ),
);

/** Numbers of every kind: each exponent, ordinary ones, near ±1 and near multiples of π/2, denormals, the ends. */
function points(seed: number): Float32Array {
  const rng = new Rng(seed, 0xacc);
  const some = (count: number, make: (u: number) => number) => Array.from({ length: count }, () => make(rng.uniform()));
  const list = [0, -0, Infinity, -Infinity, NaN, 1, -1, 3.4028234e38, -3.4028234e38, 1e-40, -1e-40, 1e-45];
  for (let e = -149; e < 128; e++) list.push(...some(4, (u) => (u < 0.5 ? -1 : 1) * (1 + u) * 2 ** e));
  list.push(...some(1500, (u) => 20 * u - 10), ...some(800, (u) => 220 * u - 110));
  for (const one of [1, -1]) list.push(...some(300, (u) => one + (u - 0.5) * 2 ** -Math.floor(23 * rng.uniform())));
  list.push(...some(400, (u) => (Math.PI / 2) * Math.round(2 ** (20 * u))));
  return Float32Array.from(list);
}

/** Results below this may be flushed to zero. */
const SMALL = 2 ** -118;

/** The error of `got` in the unit of the bound: infinite where one is NaN or infinite and the other is not. */
function distance(got: number, want: number, { unit, signs }: Bound & { signs: boolean }): number {
  if (Object.is(got, Math.fround(want))) return 0;
  if (Number.isNaN(want) || Number.isNaN(got)) return Infinity;
  // Next to the largest number a unit decides between it and infinity.
  if (!Number.isFinite(got) || !Number.isFinite(Math.fround(want)))
    return Math.sign(got) === Math.sign(want) && Math.min(Math.abs(got), Math.abs(want)) > 3.4028e38 ? 0 : Infinity;
  if (got === 0 && want === 0) return signs ? Infinity : 0;
  if (got === 0 && Math.abs(want) < SMALL) return 0;
  const place = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(want), SMALL))) - 23);
  return Math.abs(got - want) / (unit === 'ulp' ? place : 2 ** -24 * Math.max(1, Math.abs(want)));
}

interface Comparison {
  what: string;
  bound: Bound | null;
  got: ArrayLike<number>;
  /** The right values of result i; one of them will do. */
  want: (i: number) => number[];
  argument: (i: number) => unknown;
  /** Whether the sign of a zero counts. */
  signs?: boolean;
}

/** Fails on the worst error if it is beyond the bound; ACCURACY=1 prints it. */
function within({ what, bound, got, want, argument, signs = true }: Comparison): void {
  if (!bound) throw new Error(`docs/accuracy.md has no bound for the ${what}`);
  let [worst, at] = [0, 0];
  for (let i = 0; i < got.length; i++) {
    const error = Math.min(...want(i).map((w) => distance(got[i], w, { ...bound, signs })));
    if (error > worst) [worst, at] = [error, i];
  }
  if (process.env.ACCURACY) console.log(`${what}: ${worst.toFixed(2)} ${bound.unit} at ${argument(at)}`);
  const result = `${got[at]} at ${argument(at)}, right is ${want(at)[0]}`;
  assert.ok(
    worst <= bound.size,
    `${what}: ${result}: off by ${worst.toFixed(2)} ${bound.unit}, stated are ${bound.size}`,
  );
}

for (const [name, { f, d }] of Object.entries(references))
  test(name, async () => {
    const row = table.get(name);
    const run = (unaryFunctions as unknown as Record<string, (x: Tensor) => Tensor>)[name];
    const compare = async (
      what: string,
      bound: Bound | null | undefined,
      values: Float32Array,
      y: Tensor,
      right: (x: number) => number,
      signs: boolean,
    ) =>
      within({
        what: `${what} of ${name}`,
        bound: bound ?? null,
        got: await y.data(),
        // A denormal argument may count as zero of its sign.
        want: (i) => (Math.abs(values[i]) < 2 ** -126 ? [values[i], 0 * Math.sign(values[i])] : [values[i]]).map(right),
        argument: (i) => values[i],
        signs,
      });
    const values = points(name.length);
    await compare('value', row?.value, values, run(tensor(values)), f, true);
    // Slopes at NaN and infinity are PyTorch's, not mathematics': nan.test.ts.
    const finite = values.filter(Number.isFinite);
    const x = tensor(finite, { requiresGrad: true });
    backward(sum(run(x)));
    await compare('slope', row?.slope, finite, x.grad!, d, false);
  });

const pairs = (seed: number, make: (u: number, v: number) => [number, number], special: number[]) => {
  const rng = new Rng(seed, 0xacc);
  const list = special.flatMap((a) => special.map((b) => [a, b]));
  for (let i = 0; i < 3000; i++) list.push(make(rng.uniform(), rng.uniform()));
  return [0, 1].map((k) => Float32Array.from(list, (pair) => pair[k]));
};
const wide = (u: number) => (u < 0.5 ? -1 : 1) * 2 ** (240 * ((2 * u) % 1) - 120);
const SPECIAL = [0, -0, 1, -1, 0.5, 2, -3, 3.25, Infinity, -Infinity, NaN];

const binary: Record<string, [(a: number, b: number) => number, Float32Array[]]> = {
  pow: [
    // As in C: 1 to whatever power is 1, and so is -1 to an infinite one.
    (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
    pairs(1, (u, v) => (u < 0.5 ? [20 * u, 40 * v - 20] : [wide(2 * u - 1), Math.round(6 * v) - 3]), SPECIAL),
  ],
  hypot: [
    Math.hypot,
    pairs(2, (u, v) => (u < 0.5 ? [wide(2 * u), wide(2 * u) * v] : [wide(2 * u - 1), wide(v)]), SPECIAL),
  ],
  atan2: [Math.atan2, pairs(3, (u, v) => (u < 0.5 ? [4 * u - 1, 2 * v - 1] : [wide(2 * u - 1), wide(v)]), SPECIAL)],
};

for (const [name, [reference, [a, b]]] of Object.entries(binary))
  test(name, async () =>
    within({
      what: `value of ${name}`,
      bound: table.get(name)?.value ?? null,
      got: await binaryFunctions[name as 'pow'](tensor(a), tensor(b)).data(),
      want: (i) => [reference(a[i], b[i])],
      argument: (i) => `(${a[i]}, ${b[i]})`,
      signs: name !== 'pow',
    }),
  );

test('powers that are exact', async () => {
  const list = [2, -2, 3, -3, 5, 7, 10, 1.5, 0.25].flatMap((x) =>
    [-8, -3, -1, 0, 1, 2, 3, 4, 5, 6, 7].map((p) => [x, p]),
  );
  const exact = list.filter(([x, p]) => Math.fround(x ** p) === x ** p);
  assert.ok(exact.length > 60);
  const [x, p] = [0, 1].map((k) => tensor(exact.map((pair) => pair[k])));
  assert.equal(
    [...(await binaryFunctions.pow(x, p).data())],
    exact.map(([x, p]) => x ** p),
  );
});

test('remainders and whole quotients are exact', async () => {
  const numbers = [...SPECIAL, 1e9, Math.PI, 0.1, -0.3, 5, 3e38, 1e-37];
  const [a, b] = pairs(4, (u, v) => (u < 0.5 ? [wide(2 * u), wide(v)] : [4000 * u - 3000, 20 * v - 10]), numbers);
  const [x, y] = [tensor(a), tensor(b)];
  const { fmod, remainder, floorDiv } = binaryFunctions;
  const rests = await fmod(x, y).data();
  const positive = await remainder(x, y).data();
  const quotients = await floorDiv(x, y).data();
  a.forEach((p, i) => {
    const q = b[i];
    const r = p % q; // exact for float32 numbers
    const what = `of ${p} by ${q}`;
    assert.ok(Object.is(rests[i], Math.fround(r)), `fmod ${what} is ${rests[i]}, not ${r}`);
    const below = r !== 0 && r < 0 !== q < 0;
    const want = Math.fround(below ? r + q : r);
    assert.ok(Object.is(positive[i], want), `remainder ${what} is ${positive[i]}, not ${want}`);
    const quotient = q === 0 ? p / q : (p - r) / q - (below ? 1 : 0);
    const near =
      Math.abs(quotients[i] - quotient) <= (Math.abs(quotient) < 2 ** 22 ? 0 : 2 ** -22 * Math.abs(quotient));
    assert.ok(near || Object.is(quotients[i], Math.fround(quotient)), `${quotients[i]} is the quotient ${what}`);
  });
});

test('every row of the table is tested', () => {
  const names = [...Object.keys(references), ...Object.keys(binary)];
  assert.equal(
    [...table.keys()].filter((name) => !names.includes(name)),
    [],
  );
});

test.run();
