// Random reductions and scans over any axes.
import { test } from 'uvu';
import '../../src/ops/methods';
import type { Axes } from '../../src/ops/reduce';
import * as reduce from '../../src/ops/reduce';
import { cumprod, cumsum } from '../../src/ops/scan';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { agree, property } from './cases';
import type { Node, Tape } from './tape';

useGpu();

interface Reduction {
  run: (x: Tensor, axes: Axes | undefined, keepDims: boolean) => Tensor;
  fold: (tape: Tape, nodes: Node[]) => Node;
  /** Refuses an empty range, or gives NaN for one or for a single element. */
  least?: number;
}

const power = (tape: Tape, n: Node, p: number): Node => {
  const v = Math.abs(tape.value(n));
  return tape.unary(n, v ** p, p * v ** (p - 1) * Math.sign(tape.value(n)));
};
const root = (tape: Tape, n: Node, p: number): Node =>
  tape.unary(n, tape.value(n) ** (1 / p), tape.value(n) ** (1 / p - 1) / p);

const reductions: Record<string, Reduction> = {
  sum: { run: reduce.sum, fold: (t, nodes) => t.sum(nodes) },
  mean: { run: reduce.mean, fold: (t, nodes) => t.mean(nodes), least: 1 },
  prod: { run: reduce.prod, fold: (t, nodes) => t.product(nodes) },
  max: { run: reduce.max, fold: (t, nodes) => t.most(nodes), least: 1 },
  min: { run: reduce.min, fold: (t, nodes) => t.least(nodes), least: 1 },
  logsumexp: { run: reduce.logsumexp, fold: (t, nodes) => t.logsumexp(nodes), least: 1 },
  variance: { run: reduce.variance, fold: (t, nodes) => t.variance(nodes, 1), least: 2 },
  'biased variance': {
    run: (x, axes, keep) => reduce.variance(x, axes, keep, 0),
    fold: (t, nodes) => t.variance(nodes, 0),
    least: 1,
  },
  std: { run: reduce.std, fold: (t, nodes) => t.sqrt(t.variance(nodes, 1)), least: 2 },
  norm: {
    run: (x, axes, keep) => reduce.norm(x, 2, axes, keep),
    fold: (t, nodes) => t.sqrt(t.dot(nodes, nodes)),
    least: 1,
  },
  'norm 1': {
    run: (x, axes, keep) => reduce.norm(x, 1, axes, keep),
    fold: (t, nodes) => t.sum(nodes.map((n) => power(t, n, 1))),
  },
  'norm 3': {
    run: (x, axes, keep) => reduce.norm(x, 3, axes, keep),
    fold: (t, nodes) => root(t, t.sum(nodes.map((n) => power(t, n, 3))), 3),
    least: 1,
  },
};

property('reductions', 330, async (random) => {
  const [name, { run, fold, least = 0 }] = random.pick(Object.entries(reductions));
  const shape = random[least ? 'fullShape' : 'shape'](4, name === 'prod' ? 300 : 3000, 1);
  const all = random.chance(0.2);
  const axes = all ? shape.map((_, d) => d) : random.axes(shape.length);
  if (size(axes.map((d) => shape[d])) < least) shape[axes[0]] = 5;
  const keepDims = random.chance(0.5);
  const signed = axes.map((d) => (random.chance(0.3) ? d - shape.length : d));
  const over = all ? undefined : signed.length === 1 ? signed[0] : signed;
  const n = size(shape);
  // Products of factors near 1 neither vanish nor overflow.
  const values = name === 'prod' ? random.values(n, 0.8, 1.25) : random.apart(n);
  await agree(random, {
    what: `${name} over ${JSON.stringify(over)}`,
    inputs: [{ shape, values }],
    run: (x) => run(x, over, keepDims),
    reference: (tape, x) => tape.fold(x, axes, keepDims, (nodes) => fold(tape, nodes)),
    tolerance: 4e-5,
  });
});

property('positions and truth', 80, async (random) => {
  const shape = random.fullShape(3, 2000, 1);
  const [axis] = random.axes(shape.length);
  const few = Float64Array.from({ length: size(shape) }, () => random.int(-2, 2)); // with many ties: the first counts
  const x = tensor([...few], { shape, dtype: random.pick(['float32', 'int32'] as const) });
  const first = (better: (a: number, b: number) => boolean) => (line: number[]) =>
    line.reduce((best, v, i) => (better(v, line[best]) ? i : best), 0);
  const [name, run, find] = random.pick([
    ['argmax', reduce.argmax, first((a, b) => a > b)],
    ['argmin', reduce.argmin, first((a, b) => a < b)],
    ['any', reduce.any, (line: number[]) => Number(line.some((v) => v !== 0))],
    ['all', reduce.all, (line: number[]) => Number(line.every((v) => v !== 0))],
  ] as [string, (x: Tensor, axis: number) => Tensor, (line: number[]) => number][]);
  const inner = size(shape.slice(axis + 1));
  const want: number[] = [];
  for (let outer = 0; outer < size(shape.slice(0, axis)); outer++)
    for (let i = 0; i < inner; i++)
      want.push(find(Array.from({ length: shape[axis] }, (_, c) => few[(outer * shape[axis] + c) * inner + i])));
  close(await run(random.disguise(x), axis).data(), want, 0, `${name} of [${shape}] along ${axis}`);
});

property('running sums and products', 120, async (random) => {
  const shape = random.shape(3, 1500, 1);
  if (random.chance(0.1)) shape[0] = random.int(129, 400); // a team of threads for a line
  const [axis] = random.axes(shape.length);
  const [exclusive, reverse, product] = [random.chance(0.4), random.chance(0.4), random.chance(0.5)];
  const n = size(shape);
  const values = product ? random.values(n, 0.8, 1.2) : random.values(n);
  if (product && n && random.chance(0.3)) values[random.int(0, n - 1)] = 0;
  await agree(random, {
    what: `${product ? 'cumprod' : 'cumsum'} along ${axis}, exclusive ${exclusive}, reverse ${reverse}`,
    inputs: [{ shape, values }],
    run: (x) => (product ? cumprod : cumsum)(x, axis, { exclusive, reverse }),
    reference: (tape, x) =>
      tape.lines(x, axis, (line) => {
        const ordered = reverse ? line.toReversed() : line;
        let total = tape.constant(product ? 1 : 0);
        const out = ordered.map((node) => {
          const before = total;
          total = product ? tape.mul(total, node) : tape.add(total, node);
          return exclusive ? before : total;
        });
        return reverse ? out.toReversed() : out;
      }),
    tolerance: 5e-5,
  });
});

test.run();
