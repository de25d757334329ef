// Random graphs of 10–30 operations with reuse, views and broadcasting: values and gradients against the same graph in float64.
import { test } from 'uvu';
import '../../src/ops/methods';
import { binaryFunctions, gelu, unaryFunctions } from '../../src/ops/elementwise';
import { matmul } from '../../src/ops/matmul';
import * as reduce from '../../src/ops/reduce';
import { softmax } from '../../src/ops/softmax';
import * as views from '../../src/ops/views';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';
import type { Random } from './cases';
import { agree, property } from './cases';
import { smooth } from './functions';
import type { Nd } from './tape';
import { Tape } from './tape';

useGpu();

/** An operation on earlier results, for both sides. */
interface Step {
  inputs: number[];
  run: (...x: Tensor[]) => Tensor;
  reference: (tape: Tape, ...x: Nd[]) => Nd;
}

/** Functions that keep numbers of moderate size moderate, so that float32 stays close to float64. */
const bounded = ['tanh', 'sigmoid', 'sin', 'cos', 'silu', 'softplus', 'geluErf', 'atan', 'erf'] as const;

function combine(random: Random, inputs: number[]): Step {
  const kind = random.pick(['add', 'sub', 'mul', 'div'] as const);
  if (kind === 'div') {
    // By 2 + tanh b, which stays away from zero.
    const run = (a: Tensor, b: Tensor) => binaryFunctions.div(a, binaryFunctions.add(unaryFunctions.tanh(b), 2));
    const reference = (tape: Tape, a: Nd, b: Nd) =>
      tape.zip([a, b], (x, y) => {
        const t = Math.tanh(tape.value(y));
        return tape.div(x, tape.unary(y, t + 2, 1 - t * t));
      });
    return { inputs, run, reference };
  }
  return {
    inputs,
    run: (a, b) => binaryFunctions[kind](a, b),
    reference: (tape, a, b) => tape.zip([a, b], tape[kind]),
  };
}

/** One more operation on a graph whose results have the given shapes. */
function grow(random: Random, shapes: readonly (readonly number[])[]): Step {
  // Late results more often than early ones, so that the graph becomes deep as well as wide.
  const i = random.chance(0.5) ? shapes.length - 1 : random.int(0, shapes.length - 1);
  const shape = shapes[i];
  const rank = shape.length;
  const axis = rank ? random.int(0, rank - 1) : 0;
  const one = (run: Step['run'], reference: Step['reference']): Step => ({ inputs: [i], run, reference });
  const fits = (other: readonly number[]) =>
    other.every((n, d) => {
      const own = shape[d + rank - other.length];
      return own === undefined || n === own || n === 1 || own === 1;
    }) && size(other) * size(shape) <= 40_000;
  const partners = shapes.map((_, k) => k).filter((k) => k === i || fits(shapes[k]));
  switch (random.int(0, 8)) {
    case 0:
    case 1:
    case 2: {
      const step = combine(random, [i, random.pick(partners)]);
      return size(shape) > 300 ? { ...step, inputs: [i, i] } : step;
    }
    case 3: {
      if (!rank) break;
      const keepDims = random.chance(0.5);
      return random.chance(0.5)
        ? one(
            (x) => reduce.mean(x, axis, keepDims),
            (tape, x) => tape.fold(x, [axis], keepDims, tape.mean),
          )
        : one(
            (x) => reduce.logsumexp(x, axis, keepDims),
            (tape, x) => tape.fold(x, [axis], keepDims, tape.logsumexp),
          );
    }
    case 4: {
      if (!rank) break;
      const order = random.permutation(rank);
      return one(
        (x) => views.permute(x, order),
        (tape, x) =>
          tape.pick(
            x,
            order.map((d) => shape[d]),
            (index) => shape.map((_, d) => index[order.indexOf(d)]),
          ),
      );
    }
    case 5: {
      if (!rank || shape[axis] < 2) break;
      const start = random.int(0, shape[axis] - 2);
      const length = random.int(1, shape[axis] - start);
      const to = shape.map((n, d) => (d === axis ? length : n));
      return one(
        (x) => views.narrow(x, axis, start, length),
        (tape, x) => tape.pick(x, to, (index) => index.map((c, d) => (d === axis ? start + c : c))),
      );
    }
    case 6: {
      if (!rank) break;
      const reference = (tape: Tape, x: Nd) =>
        tape.lines(x, axis, (line) => {
          const total = tape.logsumexp(line);
          return line.map((n) => tape.exp(tape.sub(n, total)));
        });
      return one((x) => softmax(x, axis), reference);
    }
    case 7: {
      if (rank !== 2 || shape[0] > 9 || shape[1] > 9) break;
      const [n, k] = shape; // x · xᵀ / k
      return one(
        (x) => binaryFunctions.div(matmul(x, views.transpose(x)), k),
        (tape, x) => {
          const row = (r: number) => x.nodes.slice(r * k, (r + 1) * k);
          const nodes = Array.from({ length: n * n }, (_, at) =>
            tape.scale(tape.dot(row(Math.floor(at / n)), row(at % n)), 1 / k),
          );
          return { shape: [n, n], nodes };
        },
      );
    }
  }
  const name = random.pick(bounded);
  const { f, slope } = smooth[name];
  const run = name === 'geluErf' ? (x: Tensor) => gelu(x) : unaryFunctions[name];
  return one(
    (x) => run(x),
    (tape, x) => tape.map(x, f, slope),
  );
}

property('graphs', 150, async (random) => {
  const count = random.int(2, 4);
  const dims = Array.from({ length: 3 }, () => random.pick([1, 2, 3, 5, 7]));
  const inputs = Array.from({ length: count }, () => {
    const shape = dims.slice(random.int(0, 2)).map((n) => (random.chance(0.2) ? 1 : n));
    return { shape, values: random.values(size(shape), -1, 1) };
  });
  const shapes: (readonly number[])[] = inputs.map(({ shape }) => shape);
  const steps: Step[] = [];
  const tape = new Tape();
  const arrays = inputs.map(({ shape, values }) => tape.leaf(values, shape));
  for (let i = random.int(10, 30); i > 0; i--) {
    const step = grow(random, shapes);
    steps.push(step);
    const result = step.reference(tape, ...step.inputs.map((k) => arrays[k]));
    arrays.push(result);
    shapes.push(result.shape);
  }
  const evaluate = <X>(start: readonly X[], apply: (step: Step, given: X[]) => X): X[] => {
    const all = [...start];
    for (const step of steps)
      all.push(
        apply(
          step,
          step.inputs.map((k) => all[k]),
        ),
      );
    return all;
  };
  // The objective adds up the means of all results, so that every operation counts.
  await agree(random, {
    what: `graph of ${steps.length} operations`,
    inputs,
    run: (...x) =>
      evaluate(x, (step, given) => step.run(...given))
        .slice(count)
        .map((y) => reduce.mean(y))
        .reduce((a, b) => binaryFunctions.add(a, b)),
    reference: (t, ...x) => {
      const all = evaluate(x, (step, given) => step.reference(t, ...given)).slice(count);
      return { shape: [], nodes: [t.sum(all.map((y) => t.mean(y.nodes)))] };
    },
    tolerance: 1e-4,
  });
});

test.run();
