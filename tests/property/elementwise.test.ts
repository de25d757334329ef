// Random elementwise functions: shapes, strides, broadcasting, numbers as operands; derivatives away from kinks.
import '../../src/ops/methods';
import fc from 'fast-check';
import { test } from 'uvu';
import * as binaryFunctions from '../../src/ops/binary';
import type { Operand } from '../../src/ops/elementwise';
import * as unaryFunctions from '../../src/ops/unary';
import { where } from '../../src/ops/where';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { broadcastable, property, shapes } from './cases';
import { functions, type Row } from './functions';

useGpu();

const namesOf = <T extends object>(rows: T) => fc.constantFrom(...(Object.keys(rows) as (keyof T)[]));

property('unary functions', 260, { name: namesOf(functions), shape: shapes(2000) }, async ({ name, shape }, c) => {
  const [f, low = -3, high = 3]: Row = functions[name];
  const run: (x: Tensor) => Tensor = unaryFunctions[name];
  await c.agree([c.input(shape, low, high)], run, (tape, x) => tape.zip([x], f));
});

type Pair = (a: number, b: number) => number;
const pairs = {
  add: [(a, b) => a + b],
  sub: [(a, b) => a - b],
  mul: [(a, b) => a * b],
  div: [(a, b) => a / b, 0.5],
  pow: [(a, b) => a ** b, 0.5],
  squaredDifference: [(a, b) => (a - b) ** 2],
  hypot: [Math.hypot, 0.5],
  atan2: [Math.atan2, 0.5],
  maximum: [Math.max],
  minimum: [Math.min],
  prelu: [(a, b) => (a > 0 ? a : a * b)],
} satisfies Partial<Record<keyof typeof binaryFunctions, [f: Pair, low?: number]>>;

const pairDraws = {
  name: namesOf(pairs),
  both: broadcastable(1500),
  number: fc.constantFrom('none', 'none', 'none', 'first', 'second'),
};
property('binary functions', 260, pairDraws, async ({ name, both: [p, q], number }, c) => {
  const [f, low = -2]: [f: Pair, low?: number] = pairs[name];
  const run = binaryFunctions[name] as (a: Operand, b: Operand) => Tensor;
  const a = c.input(p, low, 2);
  const [n] = c.values(1, low, 2, 0);
  if (number === 'none') return c.agree([a, c.input(q, low, 2, 0)], run, (tape, x, y) => tape.zip([x, y], f));
  if (number === 'first')
    return c.agree(
      [a],
      (x) => run(n, x),
      (tape, x) => tape.zip([x], (v) => f(n, v)),
    );
  await c.agree(
    [a],
    (x) => run(x, n),
    (tape, x) => tape.zip([x], (v) => f(v, n)),
  );
});

property('where', 60, { both: broadcastable(1500) }, async ({ both: [p, q] }, c) => {
  const mask = c.values(size(q)).map((v) => Number(v > 0));
  const condition = tensor([...mask], { shape: q, dtype: 'bool' });
  await c.agree(
    [c.input(p), c.input(q)],
    (a, b) => where(c.disguise(condition, 2), a, b),
    (tape, a, b) => tape.zip([tape.leaf(mask, q), a, b], (m, x, y) => (m > 0.5 ? x : y)),
  );
});

const whole = {
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
} satisfies Partial<Record<keyof typeof binaryFunctions, Pair>>;

const wholeDraws = {
  name: namesOf(whole),
  shape: shapes(500, { rank: 3 }),
  dtype: fc.constantFrom('int32' as const, 'float32' as const),
};
property('integers', 140, wholeDraws, async ({ name, shape, dtype }, c) => {
  const draw = () => Array.from({ length: size(shape) }, () => c.int(-6, 6));
  const a = draw();
  const b = draw().map((v) => (name === 'floorDiv' || name === 'remainder' ? v || 4 : v));
  const y = binaryFunctions[name](tensor(a, { shape, dtype }), c.disguise(tensor(b, { shape, dtype })));
  close(
    await y.data(),
    a.map((v, i) => whole[name](v, b[i])),
    0,
  );
});

test.run();
