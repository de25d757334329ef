// Random graphs of up to 40 operations with reuse, views and broadcasting: values and gradients against the same graph in float64.
import fc from 'fast-check';
import { test } from 'uvu';
import * as F from '../../src/nn/functional';
import * as unaryFunctions from '../../src/ops/unary';
import { type Shape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';
import { code, property, within } from './cases';
import { folds, functions, sum } from './functions';
import { type Nd, Tape } from './tape';

useGpu();

/** An operation on earlier results, for both sides. */
interface Step {
  inputs: number[];
  run: (...x: Tensor[]) => Tensor;
  reference: (tape: Tape, ...x: Nd[]) => Nd;
}

/** Functions that keep numbers of moderate size moderate, so that float32 stays close to float64. */
const bounded = ['tanh', 'sigmoid', 'sin', 'cos', 'silu', 'softplus', 'geluErf', 'atan', 'erf'] as const;

const pairs: Record<string, [run: (a: Tensor, b: Tensor) => Tensor, f: (a: number, b: number) => number]> = {
  add: [F.add, (a, b) => a + b],
  sub: [F.sub, (a, b) => a - b],
  mul: [F.mul, (a, b) => a * b],
  // By 2 + tanh b, which stays away from zero.
  div: [(a, b) => F.div(a, F.add(F.tanh(b), 2)), (a, b) => a / (2 + Math.tanh(b))],
};

type One = Omit<Step, 'inputs'>;
const exps = (v: readonly number[]) => v.map((x) => Math.exp(x));

/** What is done to one tensor, by the kind of step; null where the shape does not suit. */
const ones: Record<string, (shape: Shape, axis: number, a: number, b: number) => One | null> = {
  mean: (shape, axis, a) =>
    shape.length
      ? {
          run: (x) => F.mean(x, axis, a % 2 > 0),
          reference: (tape, x) => tape.fold(x, [axis], a % 2 > 0, folds.mean),
        }
      : null,
  logsumexp: (shape, axis, a) =>
    shape.length
      ? {
          run: (x) => F.logsumexp(x, axis, a % 2 > 0),
          reference: (tape, x) => tape.fold(x, [axis], a % 2 > 0, folds.logsumexp),
        }
      : null,
  permute: (shape, axis, a) => {
    // A rotation of the dimensions, or of their mirror: up to three of them, every order.
    const order = shape.map((_, d) => (d * (a % 2 ? 1 : shape.length - 1) + axis) % shape.length);
    return {
      run: (x) => F.permute(x, order),
      reference: (tape, x) => {
        const to = order.map((d) => shape[d]);
        return tape.pick(x, to, (index) => shape.map((_, d) => index[order.indexOf(d)]));
      },
    };
  },
  narrow: (shape, axis, a, b) => {
    if (!(shape[axis] > 1)) return null;
    const start = within(a, 0, shape[axis] - 2);
    const length = within(b, 1, shape[axis] - start);
    return {
      run: (x) => F.narrow(x, axis, start, length),
      reference: (tape, x) => tape.pick(x, shape.with(axis, length), (index) => index.with(axis, start + index[axis])),
    };
  },
  softmax: (shape, axis) =>
    shape.length
      ? {
          run: (x) => F.softmax(x, axis),
          reference: (tape, x) => tape.lines(x, axis, (v) => exps(v).map((e) => e / sum(exps(v)))),
        }
      : null,
  // x · xᵀ / k
  gram: (shape) => {
    const [n, k] = shape;
    if (shape.length !== 2 || n > 9 || k > 9) return null;
    return {
      run: (x) => F.div(F.matmul(x, F.transpose(x)), k),
      reference: (tape, x) => {
        const turned = tape.pick(x, [k, n], ([i, j]) => [j, i]);
        return tape.zip([tape.product(x, turned)], (v) => v / k);
      },
    };
  },
};

const fits = (a: Shape, b: Shape): boolean =>
  size(a) * size(b) <= 40_000 && b.every((n, d) => [undefined, 1, n].includes(a[d + a.length - b.length]) || n === 1);

const kinds = fc.constantFrom('function', 'pair', 'pair', 'pair', 'pair', ...Object.keys(ones), 'permute', 'narrow');
const step = fc.record({ kind: kinds, late: fc.boolean(), x: code, y: code, axis: code, a: code, b: code });
type Drawn = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One more operation on a graph whose results have the given shapes. */
function grow({ kind, late, x, y, axis, a, b }: Drawn, shapes: readonly Shape[]): Step {
  // Late results more often than early ones, so that the graph becomes deep as well as wide.
  const i = late ? shapes.length - 1 : x % shapes.length;
  const shape = shapes[i];
  if (kind === 'pair') {
    const partners = [...shapes.keys()].filter((k) => k === i || (size(shape) <= 300 && fits(shape, shapes[k])));
    const [run, f] = Object.values(pairs)[a % 4];
    return { inputs: [i, partners[y % partners.length]], run, reference: (tape, p, q) => tape.zip([p, q], f) };
  }
  const one = kind === 'function' ? null : ones[kind](shape, axis % Math.max(1, shape.length), a, b);
  if (one) return { inputs: [i], ...one };
  const name = bounded[a % bounded.length];
  const [f] = functions[name];
  return { inputs: [i], run: unaryFunctions[name] as One['run'], reference: (tape, p) => tape.zip([p], f) };
}

const graphDraws = {
  dims: fc.array(fc.constantFrom(1, 2, 3, 5, 7), { minLength: 3, maxLength: 3 }),
  inputs: fc.array(fc.tuple(fc.nat(2), fc.nat(7)), { minLength: 2, maxLength: 4 }),
  steps: fc.array(step, { minLength: 1, maxLength: 40 }),
};
property('graphs', 150, graphDraws, async ({ dims, inputs: drawn, steps: drawnSteps }, c) => {
  const inputs = drawn.map(([from, ones]) => dims.slice(from).map((n, d) => ((ones >> d) & 1 && n < 5 ? 1 : n)));
  const given = inputs.map((shape) => c.input(shape, -1, 1));
  const tape = new Tape();
  const arrays = given.map(({ shape, values }) => tape.leaf(values, shape));
  const steps: Step[] = [];
  for (const one of drawnSteps) {
    const next = grow(
      one,
      arrays.map((x) => x.shape),
    );
    steps.push(next);
    arrays.push(next.reference(tape, ...next.inputs.map((k) => arrays[k])));
  }
  const evaluate = <X>(start: readonly X[], apply: (step: Step, given: X[]) => X): X[] => {
    const all = [...start];
    for (const one of steps)
      all.push(
        apply(
          one,
          one.inputs.map((k) => all[k]),
        ),
      );
    return all.slice(start.length);
  };
  // The objective adds up the means of all results, so that every operation counts.
  await c.agree(
    given,
    (...x) =>
      evaluate(x, (one, of) => one.run(...of))
        .map((y) => F.mean(y))
        .reduce((p, q) => F.add(p, q)),
    (t, ...x) => {
      const means = evaluate(x, (one, of) => one.reference(t, ...of)).map((y) => t.mean(y.nodes));
      return { shape: [], nodes: [t.dot(means)] };
    },
    1e-4,
  );
});

test.run();
