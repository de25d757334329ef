// Random elementwise functions: shapes, strides, broadcasting, numbers as operands; derivatives away from kinks.
import '../../src/ops/methods';
import { test } from 'uvu';
import type { Operand } from '../../src/ops/elementwise';
import { binaryFunctions, gelu, unaryFunctions } from '../../src/ops/elementwise';
import type { BinaryName, UnaryName } from '../../src/ops/table';
import { where } from '../../src/ops/where';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import type { Random } from './cases';
import { agree, property } from './cases';
import { piecewise, smooth } from './functions';

useGpu();

const functions = Object.entries({ ...smooth, ...piecewise });
const gelus = { geluErf: (x: Tensor) => gelu(x), geluTanh: (x: Tensor) => gelu(x, { approximate: 'tanh' }) };

property('unary functions', 260, async (random) => {
  const [name, { f, slope, low = -3, high = 3 }] = random.pick(functions);
  const shape = random.shape(4, 2000);
  const run = (gelus as Record<string, (x: Tensor) => Tensor>)[name] ?? unaryFunctions[name as UnaryName];
  // Odd multiples of 1/16 are no kink of any of the piecewise functions.
  const offKinks = () => low + (2 * random.int(0, 8 * (high - low) - 1) + 1) / 16;
  const n = size(shape);
  const values = name in piecewise ? Float64Array.from({ length: n }, offKinks) : random.values(n, low, high);
  await agree(random, {
    what: name,
    inputs: [{ shape, values }],
    run: (x) => (run as (x: Tensor) => Tensor)(x),
    reference: (tape, x) => tape.map(x, f, slope),
  });
});

interface Pair {
  f: (a: number, b: number) => number;
  da: (a: number, b: number) => number;
  db: (a: number, b: number) => number;
  low?: number;
}

const pairs: Partial<Record<BinaryName, Pair>> = {
  add: { f: (a, b) => a + b, da: () => 1, db: () => 1 },
  sub: { f: (a, b) => a - b, da: () => 1, db: () => -1 },
  mul: { f: (a, b) => a * b, da: (_, b) => b, db: (a) => a },
  div: { f: (a, b) => a / b, da: (_, b) => 1 / b, db: (a, b) => -a / b / b, low: 0.5 },
  pow: { f: (a, b) => a ** b, da: (a, b) => b * a ** (b - 1), db: (a, b) => a ** b * Math.log(a), low: 0.5 },
  squaredDifference: { f: (a, b) => (a - b) ** 2, da: (a, b) => 2 * (a - b), db: (a, b) => 2 * (b - a) },
  hypot: { f: Math.hypot, da: (a, b) => a / Math.hypot(a, b), db: (a, b) => b / Math.hypot(a, b), low: 0.5 },
  atan2: { f: Math.atan2, da: (a, b) => b / (a * a + b * b), db: (a, b) => -a / (a * a + b * b), low: 0.5 },
  maximum: { f: Math.max, da: (a, b) => Number(a > b), db: (a, b) => Number(b > a) },
  minimum: { f: Math.min, da: (a, b) => Number(a < b), db: (a, b) => Number(b < a) },
  prelu: { f: (a, b) => (a > 0 ? a : a * b), da: (a, b) => (a > 0 ? 1 : b), db: (a) => Math.min(0, a) },
};

/** Two shapes that broadcast. */
function broadcastable(random: Random): [number[], number[]] {
  const whole = random.shape(4, 1500);
  const part = () => whole.slice(random.int(0, whole.length)).map((n) => (random.chance(0.3) ? 1 : n));
  return random.chance(0.5) ? [whole, part()] : [part(), whole];
}

property('binary functions', 260, async (random) => {
  const [name, { f, da, db, low = -2 }] = random.pick(Object.entries(pairs)) as [BinaryName, Pair];
  const run = binaryFunctions[name];
  const [p, q] = broadcastable(random);
  // Odd and even multiples of the same step never tie.
  const numbers = (shape: number[], odd: number) =>
    Float64Array.from({ length: size(shape) }, () =>
      Math.fround(low + ((2 - low) * (2 * random.int(0, 499) + odd)) / 1000),
    );
  const first = { shape: p, values: numbers(p, 0.3) };
  if (random.chance(0.25)) {
    const number = Math.fround(low + (2 - low) * (0.2501 + random.int(0, 1)));
    const left = random.chance(0.5);
    await agree(random, {
      what: `${name} with ${left ? 'first' : 'second'} operand ${number}`,
      inputs: [first],
      run: (x) => (left ? run(number, x) : run(x as Operand, number)),
      reference: (tape, x) =>
        left
          ? tape.map(
              x,
              (v) => f(number, v),
              (v) => db(number, v),
            )
          : tape.map(
              x,
              (v) => f(v, number),
              (v) => da(v, number),
            ),
    });
    return;
  }
  await agree(random, {
    what: name,
    inputs: [first, { shape: q, values: numbers(q, 1.3) }],
    run,
    reference: (tape, x, y) =>
      tape.zip([x, y], (a, b) => {
        const [u, v] = [tape.value(a), tape.value(b)];
        return tape.binary(a, b, f(u, v), da(u, v), db(u, v));
      }),
  });
});

property('where', 60, async (random) => {
  const [p, q] = broadcastable(random);
  const mask = random.values(size(q)).map((v) => Number(v > 0));
  const condition = tensor([...mask], { shape: q, dtype: 'bool' });
  await agree(random, {
    what: `where of a condition [${q}]`,
    inputs: [
      { shape: p, values: random.values(size(p)) },
      { shape: q, values: random.values(size(q)) },
    ],
    run: (a, b) => where(condition, a, b),
    reference: (tape, a, b) => tape.zip([tape.leaf(mask, q), a, b], (c, x, y) => (tape.value(c) ? x : y)),
  });
});

const whole: Partial<Record<BinaryName, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  floorDiv: (a, b) => Math.floor(a / b),
  remainder: (a, b) => a - b * Math.floor(a / b),
  maximum: Math.max,
  minimum: Math.min,
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  logicalAnd: (a, b) => Number(a !== 0 && b !== 0),
  logicalXor: (a, b) => Number((a !== 0) !== (b !== 0)),
};

property('integers', 140, async (random) => {
  const [name, f] = random.pick(Object.entries(whole)) as [BinaryName, (a: number, b: number) => number];
  const shape = random.shape(3, 500);
  const dtype = random.pick(['int32', 'float32'] as const);
  const draw = () => Array.from({ length: size(shape) }, () => random.int(-6, 6));
  const [a, b] = [draw(), draw()].map((list) =>
    list.map((v) => (name === 'floorDiv' || name === 'remainder' ? v || 4 : v)),
  );
  const y = binaryFunctions[name](tensor(a, { shape, dtype }), random.disguise(tensor(b, { shape, dtype })));
  close(
    await y.data(),
    a.map((v, i) => f(v, b[i])),
    0,
    `${name} of ${dtype} [${shape}]`,
  );
});

test.run();
