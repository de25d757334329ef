// Random normalisations, softmax and losses.
import { test } from 'uvu';
import '../../src/ops/methods';
import * as losses from '../../src/ops/loss';
import { batchNorm, groupNorm, layerNorm } from '../../src/ops/norm';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { clone } from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import type { Random } from './cases';
import { agree, property } from './cases';
import type { Nd, Node, Tape } from './tape';
import { flat, positions } from './tape';

useGpu();

const EPS = 1e-5;
const input = (random: Random, shape: readonly number[], low = -2, high = 2) => ({
  shape,
  values: random.values(size(shape), low, high),
});

/** (x − mean) / √(variance + eps) of some nodes. */
function normalized(tape: Tape, nodes: Node[]): Node[] {
  const deviation = tape.sqrt(tape.scale(tape.variance(nodes, 0), 1, EPS));
  const center = tape.mean(nodes);
  return nodes.map((n) => tape.div(tape.sub(n, center), deviation));
}

/** Normalises the nodes of x that share a key, then applies weight and bias at `position` of each element. */
function normalize(
  tape: Tape,
  x: Nd,
  key: (i: number[]) => number,
  position: (i: number[]) => number,
  w?: Nd,
  b?: Nd,
): Nd {
  const index = positions(x.shape);
  const sets = new Map<number, number[]>();
  index.forEach((at, k) => sets.set(key(at), [...(sets.get(key(at)) ?? []), k]));
  const nodes = new Array<Node>(x.nodes.length);
  for (const set of sets.values()) {
    const y = normalized(
      tape,
      set.map((k) => x.nodes[k]),
    );
    set.forEach((k, i) => {
      const scaled = w ? tape.mul(y[i], w.nodes[position(index[k])]) : y[i];
      nodes[k] = b ? tape.add(scaled, b.nodes[position(index[k])]) : scaled;
    });
  }
  return { shape: x.shape, nodes };
}

property('batch norm', 80, async (random) => {
  const C = random.int(1, 5);
  const shape = random.pick([
    [random.int(2, 9), C],
    [random.int(1, 4), C, random.int(2, 9), random.pick([1, 4, 7, 8, 16])],
  ]);
  const affine = random.chance(0.7) ? [input(random, [C], 0.5, 1.5), input(random, [C])] : [];
  const [mean, variance] = [random.values(C), random.values(C, 0.5, 2)];
  const [runningMean, runningVar] = [mean, variance].map((v) => tensor(Float32Array.from(v)));
  const training = random.chance(0.6);
  const activation = random.chance(0.3) ? 'relu' : undefined;
  const moved = training ? [clone(runningMean), clone(runningVar)] : [runningMean, runningVar];
  const x = input(random, shape);
  await agree(random, {
    what: `batchNorm ${training ? 'training' : 'evaluating'} ${activation ?? ''}`,
    inputs: [x, ...affine],
    run: (a, weight, bias) =>
      batchNorm(a, {
        weight,
        bias,
        runningMean: moved[0],
        runningVar: moved[1],
        training,
        eps: EPS,
        momentum: 0.2,
        activation,
      }),
    reference: (tape, a, w, b) => {
      const fixed = (c: number, n: Node) =>
        tape.scale(n, 1 / Math.sqrt(variance[c] + EPS), -mean[c] / Math.sqrt(variance[c] + EPS));
      const channel = (i: number[]) => i[1];
      const evaluated = (): Nd => {
        const nodes = positions(shape).map((i, k) => {
          const y = fixed(i[1], a.nodes[k]);
          return w ? tape.add(tape.mul(y, w.nodes[i[1]]), b.nodes[i[1]]) : y;
        });
        return { shape, nodes };
      };
      const y = training ? normalize(tape, a, channel, channel, w, b) : evaluated();
      return activation
        ? tape.map(
            y,
            (v) => Math.max(0, v),
            (v) => Number(v > 0),
          )
        : y;
    },
    tolerance: 5e-5,
  });
  if (!training) return;
  const count = size(shape) / C;
  const batch = Array.from({ length: C }, (_, c) => {
    const own = positions(shape).flatMap((i) => (i[1] === c ? [x.values[flat(shape, i)]] : []));
    const center = own.reduce((s, v) => s + v, 0) / count;
    return [center, own.reduce((s, v) => s + (v - center) ** 2, 0) / (count - 1)];
  });
  close(
    await moved[0].data(),
    mean.map((m, c) => 0.8 * m + 0.2 * batch[c][0]),
    2e-5,
    'running mean',
  );
  close(
    await moved[1].data(),
    variance.map((v, c) => 0.8 * v + 0.2 * batch[c][1]),
    2e-5,
    'running variance',
  );
});

property('layer and group norm', 80, async (random) => {
  if (random.chance(0.5)) {
    const shape = random.fullShape(4, 1500, 1);
    const from = random.int(0, shape.length - 1);
    const rest = shape.slice(from);
    const affine = random.chance(0.7) ? [input(random, rest, 0.5, 1.5), input(random, rest)] : [];
    if (size(rest) < 2) return;
    return agree(random, {
      what: `layerNorm over [${rest}]`,
      inputs: [input(random, shape), ...affine],
      run: (x, weight, bias) => layerNorm(x, rest, { weight, bias, eps: EPS }),
      reference: (tape, x, w, b) =>
        normalize(
          tape,
          x,
          (i) => flat(shape.slice(0, from), i.slice(0, from)),
          (i) => flat(rest, i.slice(from)),
          w,
          b,
        ),
      tolerance: 1e-4,
    });
  }
  const groups = random.int(1, 4);
  const C = groups * random.int(1, 3);
  const shape = [random.int(1, 3), C, ...random.fullShape(2, 60, 1)];
  const affine = random.chance(0.7) ? [input(random, [C], 0.5, 1.5), input(random, [C])] : [];
  if ((C / groups) * size(shape.slice(2)) < 2) return;
  await agree(random, {
    what: `groupNorm of ${groups} groups`,
    inputs: [input(random, shape), ...affine],
    run: (x, weight, bias) => groupNorm(x, groups, { weight, bias, eps: EPS }),
    reference: (tape, x, w, b) =>
      normalize(
        tape,
        x,
        ([n, c]) => n * groups + Math.floor((c * groups) / C),
        (i) => i[1],
        w,
        b,
      ),
    tolerance: 1e-4,
  });
});

const logSoftmaxOf = (tape: Tape, line: Node[]): Node[] => {
  if (!line.length) return [];
  const total = tape.logsumexp(line);
  return line.map((n) => tape.sub(n, total));
};

property('softmax', 100, async (random) => {
  const shape = random.shape(3, 2000, 1);
  const [axis] = random.axes(shape.length);
  const log = random.chance(0.5);
  await agree(random, {
    what: `${log ? 'log-softmax' : 'softmax'} along ${axis}`,
    inputs: [input(random, shape, -20, 20)],
    run: (x) => (log ? logSoftmax : softmax)(x, axis),
    reference: (tape, x) =>
      tape.lines(x, axis, (line) => (log ? logSoftmaxOf(tape, line) : logSoftmaxOf(tape, line).map(tape.exp))),
  });
});

type LossReduction = 'none' | 'mean' | 'sum';
const reduced = (tape: Tape, all: Nd, reduction: LossReduction, count = all.nodes.length): Nd => {
  if (reduction === 'none') return all;
  return { shape: [], nodes: [tape.scale(tape.sum(all.nodes), reduction === 'mean' ? 1 / count : 1)] };
};

property('cross-entropy of labels', 120, async (random) => {
  const classes = random.pick([1, 2, 5, 10, 33, 100]);
  const [batch, ...rest] = random.chance(0.7) ? [random.int(1, 17)] : [random.int(1, 3), random.int(1, 5)];
  const shape = [batch, classes, ...rest];
  const count = size([batch, ...rest]);
  const nll = random.chance(0.3);
  const ignoreIndex = random.pick([-100, 0]);
  const labelSmoothing = !nll && random.chance(0.4) ? 0.1 : 0;
  const weights = random.chance(0.5) ? random.values(classes, 0.5, 2) : null;
  const labels = Array.from({ length: count }, () =>
    ignoreIndex < 0 && random.chance(0.1) ? ignoreIndex : random.int(0, classes - 1),
  );
  if (labels.every((label) => label === ignoreIndex)) return; // the mean of nothing is NaN, as in PyTorch
  const reduction = random.pick(['none', 'mean', 'sum'] as const);
  const target = tensor(Int32Array.from(labels), { shape: [batch, ...rest] });
  const smoothing = nll ? undefined : labelSmoothing;
  const weight_ = weights && tensor(Float32Array.from(weights));
  const options = { reduction, ignoreIndex, labelSmoothing: smoothing, weight: weight_ };
  await agree(random, {
    what: `${nll ? 'nllLoss' : 'crossEntropy'} ${JSON.stringify({ reduction, ignoreIndex, labelSmoothing, weighted: !!weights })}`,
    inputs: [input(random, shape, -5, 5)],
    run: (x) => (nll ? losses.nllLoss(x, target, options) : losses.crossEntropy(x, target, options)),
    reference: (tape, x) => {
      const scores = nll ? x : tape.lines(x, 1, (line) => logSoftmaxOf(tape, line));
      const weight = (c: number) => weights?.[c] ?? 1;
      let total = 0;
      const nodes = positions([batch, ...rest]).map((i, k) => {
        const label = labels[k];
        if (label === ignoreIndex) return tape.constant(0);
        total += weight(label);
        const of = (c: number) => scores.nodes[flat(shape, [i[0], c, ...i.slice(1)])];
        const smooth = Array.from({ length: classes }, (_, c) =>
          tape.scale(of(c), (-weight(c) * labelSmoothing) / classes),
        );
        return tape.add(tape.scale(of(label), -weight(label) * (1 - labelSmoothing)), tape.sum(smooth));
      });
      return reduced(tape, { shape: [batch, ...rest], nodes }, reduction, total);
    },
  });
});

interface Pointwise {
  run: (x: Tensor, target: Tensor, options: { reduction: LossReduction; delta?: number }) => Tensor;
  f: (a: number, b: number) => number;
  da: (a: number, b: number) => number;
  db: (a: number, b: number) => number;
}
const DELTA = 0.7;
const clipped = (d: number) => Math.max(-DELTA, Math.min(DELTA, d));
const pseudo = (d: number) => d / Math.sqrt(1 + (d / DELTA) ** 2);
const pointwise: Record<string, Pointwise> = {
  mse: { run: losses.mseLoss, f: (a, b) => (a - b) ** 2, da: (a, b) => 2 * (a - b), db: (a, b) => 2 * (b - a) },
  l1: {
    run: losses.l1Loss,
    f: (a, b) => Math.abs(a - b),
    da: (a, b) => Math.sign(a - b),
    db: (a, b) => Math.sign(b - a),
  },
  huber: {
    run: losses.huberLoss,
    f: (a, b) => (Math.abs(a - b) <= DELTA ? (a - b) ** 2 / 2 : DELTA * (Math.abs(a - b) - DELTA / 2)),
    da: (a, b) => clipped(a - b),
    db: (a, b) => clipped(b - a),
  },
  'pseudo-huber': {
    run: losses.pseudoHuberLoss,
    f: (a, b) => DELTA ** 2 * (Math.sqrt(1 + ((a - b) / DELTA) ** 2) - 1),
    da: (a, b) => pseudo(a - b),
    db: (a, b) => pseudo(b - a),
  },
  'bce with logits': {
    run: losses.bceWithLogits,
    f: (a, b) => Math.max(a, 0) - a * b + Math.log1p(Math.exp(-Math.abs(a))),
    da: (a, b) => 1 / (1 + Math.exp(-a)) - b,
    db: (a) => -a,
  },
};

property('losses of pairs', 100, async (random) => {
  const [name, { run, f, da, db }] = random.pick(Object.entries(pointwise));
  const shape = random.fullShape(3, 1500);
  const reduction = random.pick(['none', 'mean', 'sum'] as const);
  await agree(random, {
    what: `${name}, ${reduction}`,
    inputs: [input(random, shape), input(random, shape, 0, 1)],
    run: (x, target) => run(x, target, { reduction, ...(name.includes('huber') && { delta: DELTA }) }),
    reference: (tape, x, target) => {
      const all = tape.zip([x, target], (a, b) => {
        const [u, v] = [tape.value(a), tape.value(b)];
        return tape.binary(a, b, f(u, v), da(u, v), db(u, v));
      });
      return reduced(tape, all, reduction);
    },
  });
});

test.run();
