// Random normalisations, softmax and F.
import fc from 'fast-check';
import { test } from 'uvu';
import * as F from '../../src/nn/functional';
import { tensor } from '../../src/tensor/create';
import { type Shape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { type Case, type Input, property, shapes } from './cases';
import { folds, mean, sum, variance } from './functions';
import { flat, type Nd, positions, type Tape } from './tape';

useGpu();

const EPS = 1e-5;
/** x · w + b, where these are given: they broadcast. */
const scaled = (tape: Tape, x: Nd, w?: Nd, b?: Nd): Nd => (w && b ? tape.zip([x, w, b], (v, s, t) => v * s + t) : x);
/** One number a channel, to broadcast over an array of `rank` dimensions. */
const channels = (rank: number) => (x?: Nd) =>
  x && { ...x, shape: [...x.shape, ...new Array<number>(rank - 2).fill(1)] };

/** Neighbours lie apart, or rows, so that no variance is tiny against the numbers: rounding would then tell more than the operation. */
function uneven(c: Case, shape: Shape, every = 1): Input {
  const { values } = c.input(shape, -0.5, 0.5);
  return { shape, values: values.map((v, i) => Math.fround(v + 1.5 * (Math.floor(i / every) % 2))) };
}

const batchDraws = {
  shape: fc.oneof(
    fc.tuple(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 5 })),
    fc.tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 2, max: 9 }),
      fc.constantFrom(1, 4, 7, 8, 16),
    ),
  ),
  affine: fc.boolean(),
  training: fc.boolean(),
  activation: fc.constantFrom(undefined, undefined, 'relu' as const),
};
property('batch norm', 80, batchDraws, async ({ shape, affine, training, activation }, c) => {
  const C = shape[1];
  const x = uneven(c, shape, C);
  const [m, v] = [c.values(C), c.values(C, 0.5, 2)];
  const [runningMean, runningVar] = [m, v].map((of) => F.clone(tensor(Float32Array.from(of))));
  await c.agree(
    affine ? [x, c.input([C], 0.5, 1.5), c.input([C])] : [x],
    (a, weight, bias) =>
      F.batchNorm(a, { weight, bias, runningMean, runningVar, training, eps: EPS, momentum: 0.2, activation }),
    (tape, a, w, b) => {
      const channel = channels(shape.length);
      const [center, spread] = [m, v].map((of) => channel(tape.leaf(of, [C])) as Nd);
      const y = training
        ? tape.normalize(a, (at) => at[1], C, EPS)
        : tape.zip([a, center, spread], (x, mu, s) => (x - mu) / Math.sqrt(s + EPS));
      const z = scaled(tape, y, channel(w), channel(b));
      return activation ? tape.relu(z) : z;
    },
    5e-5,
  );
  if (!training) return;
  const inner = size(shape.slice(2));
  const own = Array.from({ length: C }, (_, k) => [...x.values.filter((_v, i) => Math.floor(i / inner) % C === k)]);
  close(
    await runningMean.data(),
    m.map((old, i) => 0.8 * old + 0.2 * mean(own[i])),
    2e-5,
    'running mean',
  );
  close(
    await runningVar.data(),
    v.map((old, i) => 0.8 * old + 0.2 * variance(own[i])),
    2e-5,
    'running variance',
  );
});

const layerDraws = { shape: shapes(1500, { least: 1, empty: false }), from: fc.nat(3), affine: fc.boolean() };
property('layer norm', 40, layerDraws, async ({ shape, from: drawn, affine }, c) => {
  const from = drawn % shape.length;
  const rest = shape.slice(from);
  if (size(rest) < 2) return;
  await c.agree(
    affine ? [uneven(c, shape), c.input(rest, 0.5, 1.5), c.input(rest)] : [uneven(c, shape)],
    (x, weight, bias) => F.layerNorm(x, rest, { weight, bias, eps: EPS }),
    (tape, x, w, b) => {
      const outer = shape.slice(0, from);
      return scaled(
        tape,
        tape.normalize(x, (at) => flat(outer, at), size(outer), EPS),
        w,
        b,
      );
    },
    1e-4,
  );
});

const groupDraws = {
  groups: fc.integer({ min: 1, max: 4 }),
  each: fc.integer({ min: 1, max: 3 }),
  batch: fc.integer({ min: 1, max: 3 }),
  image: shapes(60, { least: 1, rank: 2, empty: false }),
  affine: fc.boolean(),
};
property('group norm', 40, groupDraws, async ({ groups, each, batch, image, affine }, c) => {
  const C = groups * each;
  const shape = [batch, C, ...image];
  if (each * size(image) < 2) return;
  await c.agree(
    affine ? [uneven(c, shape), c.input([C], 0.5, 1.5), c.input([C])] : [uneven(c, shape)],
    (x, weight, bias) => F.groupNorm(x, groups, { weight, bias, eps: EPS }),
    (tape, x, w, b) => {
      const channel = channels(shape.length);
      const group = ([n, k]: readonly number[]) => n * groups + Math.floor(k / each);
      return scaled(tape, tape.normalize(x, group, batch * groups, EPS), channel(w), channel(b));
    },
    1e-4,
  );
});

const logSoftmaxOf = (line: readonly number[]): number[] => {
  const most = Math.max(...line);
  const total = most + Math.log(sum(line.map((v) => Math.exp(v - most))));
  return line.map((v) => v - total);
};

const softmaxDraws = { shape: shapes(2000, { least: 1, rank: 3 }), axis: fc.nat(2), log: fc.boolean() };
property('softmax', 100, softmaxDraws, async ({ shape, axis: drawn, log }, c) => {
  const axis = drawn % shape.length;
  await c.agree(
    [c.input(shape, -20, 20)],
    (x) => (log ? F.logSoftmax : F.softmax)(x, axis),
    (tape, x) => tape.lines(x, axis, (line) => (log ? logSoftmaxOf(line) : logSoftmaxOf(line).map(Math.exp))),
  );
});

const reduction = fc.constantFrom('none' as const, 'mean' as const, 'sum' as const);
/** The mean divides by `count`. */
function reduced(tape: Tape, all: Nd, how: 'none' | 'mean' | 'sum', count = all.nodes.length): Nd {
  if (how === 'none') return all;
  return tape.zip([{ shape: [], nodes: [tape.dot(all.nodes)] }], (v) => v / (how === 'mean' ? count : 1));
}

const labelDraws = {
  classes: fc.constantFrom(1, 2, 5, 10, 33, 100),
  of: fc.oneof(
    { weight: 7, arbitrary: fc.tuple(fc.integer({ min: 1, max: 17 })) },
    { weight: 3, arbitrary: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 })) },
  ),
  nll: fc.constantFrom(false, false, true),
  ignoreIndex: fc.constantFrom(-100, 0),
  smooth: fc.boolean(),
  weighted: fc.boolean(),
  reduction,
};
property('cross-entropy of labels', 120, labelDraws, async (drawn, c) => {
  const { classes, nll, ignoreIndex, reduction } = drawn;
  const of: Shape = drawn.of;
  const shape = [of[0], classes, ...of.slice(1)];
  const labelSmoothing = !nll && drawn.smooth ? 0.1 : 0;
  const weights = drawn.weighted ? c.values(classes, 0.5, 2) : new Float64Array(classes).fill(1);
  const labels = Array.from({ length: size(of) }, () =>
    ignoreIndex < 0 && c.int(0, 9) === 0 ? ignoreIndex : c.int(0, classes - 1),
  );
  if (labels.every((label) => label === ignoreIndex)) return; // the mean of nothing is NaN, as in PyTorch
  const target = tensor(Int32Array.from(labels), { shape: of });
  const weight = drawn.weighted ? tensor(Float32Array.from(weights)) : null;
  const options = { reduction, ignoreIndex, weight };
  await c.agree(
    [c.input(shape, -5, 5)],
    (x) => (nll ? F.nllLoss(x, target, options) : F.crossEntropy(x, target, { ...options, labelSmoothing })),
    (tape, x) => {
      const scores = nll ? x : tape.lines(x, 1, logSoftmaxOf);
      // Each class counts by its weight and its part of the target.
      const part = (label: number, k: number) =>
        label === ignoreIndex ? 0 : (label === k ? 1 - labelSmoothing : 0) + labelSmoothing / classes;
      const targets = positions(shape).map((at) => {
        const label = labels[flat(of, at.toSpliced(1, 1))];
        return -weights[at[1]] * part(label, at[1]);
      });
      const terms = tape.zip([scores, tape.leaf(targets, shape)], (s, t) => s * t);
      const all = tape.fold(terms, [1], false, folds.sum);
      return reduced(tape, all, reduction, sum(labels.map((label) => (label === ignoreIndex ? 0 : weights[label]))));
    },
  );
});

type PairLoss = (x: Tensor, target: Tensor, options: { reduction?: 'none' | 'mean' | 'sum'; delta?: number }) => Tensor;
const DELTA = 0.7;
const pairLosses: Record<string, [run: PairLoss, f: (a: number, b: number) => number]> = {
  mse: [F.mseLoss, (a, b) => (a - b) ** 2],
  l1: [F.l1Loss, (a, b) => Math.abs(a - b)],
  huber: [F.huberLoss, (a, b) => (Math.abs(a - b) <= DELTA ? (a - b) ** 2 / 2 : DELTA * (Math.abs(a - b) - DELTA / 2))],
  'pseudo-huber': [F.pseudoHuberLoss, (a, b) => DELTA ** 2 * (Math.sqrt(1 + ((a - b) / DELTA) ** 2) - 1)],
  'bce with logits': [F.bceWithLogits, (a, b) => Math.max(a, 0) - a * b + Math.log1p(Math.exp(-Math.abs(a)))],
};

const pairDraws = {
  name: fc.constantFrom(...Object.keys(pairLosses)),
  shape: shapes(1500, { rank: 3, empty: false }),
  reduction,
};
property('losses of pairs', 100, pairDraws, async ({ name, shape, reduction }, c) => {
  const [run, f] = pairLosses[name];
  await c.agree(
    [c.input(shape), c.input(shape, 0, 1, 0)],
    (x, target) => run(x, target, { reduction, ...(name.includes('huber') && { delta: DELTA }) }),
    (tape, x, target) => reduced(tape, tape.zip([x, target], f), reduction),
  );
});

test.run();
