// Random reductions and scans over any axes.
import fc from 'fast-check';
import { test } from 'uvu';
import * as F from '../../src/nn/functional';
import type { Axes } from '../../src/ops/reduce';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { axesOf, property, shapes, someAxes } from './cases';
import { folds } from './functions';
import { linesOf } from './tape';

useGpu();

type Reduce = (x: Tensor, axes: Axes | undefined, keepDims: boolean) => Tensor;
/** Each with the least number of elements that it has a value and a gradient for. */
const reductions: Record<keyof typeof folds, [run: Reduce, least: number]> = {
  sum: [F.sum, 0],
  mean: [F.mean, 1],
  prod: [F.prod, 0],
  max: [F.max, 1],
  min: [F.min, 1],
  logsumexp: [F.logsumexp, 1],
  variance: [F.variance, 2],
  'biased variance': [(x, axes, keep) => F.variance(x, axes, keep, 0), 1],
  std: [F.std, 2],
  norm: [(x, axes, keep) => F.norm(x, 2, axes, keep), 1],
  'norm 1': [(x, axes, keep) => F.norm(x, 1, axes, keep), 0],
  'norm 3': [(x, axes, keep) => F.norm(x, 3, axes, keep), 1],
};

const reductionDraws = {
  name: fc.constantFrom(...(Object.keys(folds) as (keyof typeof folds)[])),
  shape: shapes(3000, { least: 1 }),
  axes: fc.option(someAxes, { freq: 4 }), // null: all
  signs: fc.nat(15),
  keepDims: fc.boolean(),
};
property('reductions', 330, reductionDraws, async ({ name, shape: drawn, axes: some, signs, keepDims }, c) => {
  const [run, least] = reductions[name];
  // Products of few factors near 1 neither vanish nor overflow.
  let shape = least ? drawn.map((n) => n || 1) : drawn;
  if (name === 'prod' && size(shape) > 300) shape = shape.map((n) => Math.min(n, 3));
  const axes = some ? axesOf(some, shape.length) : shape.map((_, d) => d);
  if (size(axes.map((d) => shape[d])) < least) shape = shape.with(axes[0], 5);
  const signed = axes.map((d) => ((signs >> d) & 1 ? d - shape.length : d));
  const over = some ? (signed.length === 1 ? signed[0] : signed) : undefined;
  const x = name === 'prod' ? c.input(shape, 0.8, 1.25) : c.apart(shape);
  await c.agree(
    [x],
    (a) => run(a, over, keepDims),
    (tape, a) => tape.fold(a, axes, keepDims, folds[name]),
    4e-5,
  );
});

const first = (better: (a: number, b: number) => boolean) => (line: number[]) =>
  line.reduce((best, v, i) => (better(v, line[best]) ? i : best), 0);
const positionsOf: Record<string, [run: (x: Tensor, axis: number) => Tensor, f: (line: number[]) => number]> = {
  argmax: [F.argmax, first((a, b) => a > b)],
  argmin: [F.argmin, first((a, b) => a < b)],
  any: [F.any, (line) => Number(line.some((v) => v !== 0))],
  all: [F.all, (line) => Number(line.every((v) => v !== 0))],
};
const positionDraws = {
  name: fc.constantFrom(...Object.keys(positionsOf)),
  shape: shapes(2000, { least: 1, rank: 3, empty: false }),
  axis: fc.nat(2),
  dtype: fc.constantFrom('float32' as const, 'int32' as const),
};
property('positions and truth', 80, positionDraws, async ({ name, shape, axis: drawn, dtype }, c) => {
  const axis = drawn % shape.length;
  const [run, f] = positionsOf[name];
  const few = Array.from({ length: size(shape) }, () => c.int(-2, 2)); // with many ties: the first counts
  const want = linesOf(shape, axis).map((line) => f(line.map((k) => few[k])));
  close(await run(c.disguise(tensor(few, { shape, dtype })), axis).data(), want, 0);
});

const scanDraws = {
  // Some with a team of threads for a line.
  shape: fc.oneof(
    { weight: 9, arbitrary: shapes(1500, { least: 1, rank: 3 }) },
    { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 129, max: 400 }), fc.integer({ min: 1, max: 3 })) },
  ),
  axis: fc.nat(2),
  exclusive: fc.boolean(),
  reverse: fc.boolean(),
  product: fc.boolean(),
  zero: fc.boolean(),
};
property('running sums and products', 120, scanDraws, async ({ shape, axis: drawn, product, zero, ...options }, c) => {
  const axis = drawn % shape.length;
  const x = product ? c.input(shape, 0.8, 1.2) : c.input(shape);
  if (product && zero && size(shape)) x.values = x.values.with(c.int(0, size(shape) - 1), 0);
  const scan = (line: number[]) => {
    let total = product ? 1 : 0;
    return line.map((v) => {
      const before = total;
      total = product ? total * v : total + v;
      return options.exclusive ? before : total;
    });
  };
  await c.agree(
    [x],
    (a) => (product ? F.cumprod : F.cumsum)(a, axis, options),
    (tape, a) => tape.lines(a, axis, (line) => (options.reverse ? scan(line.toReversed()).toReversed() : scan(line))),
    5e-5,
  );
});

test.run();
