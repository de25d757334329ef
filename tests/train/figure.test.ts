// The figure: every series of the metrics is drawn where it belongs, and no gap in the data becomes NaN.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { drawRun, kendallDistance } from '../../examples/shared/figure';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';

const test = suite('figure');

const step = (n: number, loss = 3 / n): MetricsLine => {
  return { type: 'step', step: n, epoch: Math.ceil(n / 4), loss, lr: 0.1, imagesPerSecond: 60, time: n };
};
const epoch = (n: number, rest: Partial<EpochLine> = {}): EpochLine => {
  const lr = 0.1;
  return {
    type: 'epoch',
    epoch: n,
    step: 4 * n,
    trainLoss: 3 / n,
    trainError: 60 / n,
    lr,
    seconds: 1,
    imagesPerSecond: 60,
    ...rest,
  };
};

/** What is written in the figure, in the order of the document. */
const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1]);
/** The points of each path that is stroked in `color`. */
function paths(svg: string, color: string): [number, number][][] {
  return [...svg.matchAll(/<path [^>]*>/g)]
    .map(([path]) => path)
    .filter((path) => path.includes('fill="none"') && path.includes(`stroke="${color}"`))
    .map((path) =>
      [...path.match(/ d="([^"]*)"/)![1]!.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]),
    );
}

const particles = [
  epoch(1, { testError: 50, testLoss: 2, stages: [{ stage: 'stage1', tau: [1, 2], order: [0, 1], swaps: 0 }] }),
  epoch(2, { testError: 40, testLoss: 1, stages: [{ stage: 'stage1', tau: [1.5, 3], order: [1, 0], swaps: 1 }] }),
];

test('loss, errors and times, with their names', () => {
  const svg = drawRun([step(1), step(2), step(4), ...particles], 'meanfield & more');
  assert.ok(svg.startsWith('<svg') && svg.endsWith('</svg>'));
  const all = texts(svg);
  for (const text of [
    'meanfield &amp; more',
    'Loss',
    'Error (%)',
    'Times τ of stage 1',
    'step',
    'train',
    'test',
    'epoch',
  ]) {
    assert.ok(all.includes(text), `'${text}' in ${all}`);
  }
  assert.match(svg, 'test error 40.00 % after epoch 2');
  assert.match(svg, '1 swaps of particles');
});

test('a line follows its particle through the sort', () => {
  const svg = drawRun(particles, 'swap');
  const [[first, second]] = paths(svg, 'rgb(51,82,160)') as [[number, number][]];
  const [[other, otherSecond]] = paths(svg, 'rgb(190,60,50)') as [[number, number][]];
  assert.ok(first![1] > other![1], 'particle 0 begins below');
  assert.ok(second![1] < otherSecond![1], 'and ends above');
});

test('swaps, the last steps and the distance to the first order are there; times are drawn within epochs as well', () => {
  const within = { ...step(6), stages: [{ stage: 'stage1', tau: [1.2, 2.9], order: [1, 0], swaps: 1 }] };
  const svg = drawRun([particles[0]!, within, particles[1]!], 'orders');
  const all = texts(svg);
  for (const text of ['Steps Δτ after epoch 2', 'Swaps per epoch', 'Kendall distance to first order (%)'])
    assert.ok(all.includes(text), `'${text}' in ${all}`);
  assert.is(paths(svg, 'rgb(190,60,50)')[0]!.length, 3, 'points of a particle');
});

test('telemetry: jumps at crossings, the loss after them beside that after quiet steps, gradients', () => {
  const line = (rest: object): MetricsLine => ({ type: 'probe', step: 5, epoch: 1, ...rest });
  const norms = [{ stage: 'stage1', times: 0.2, weights: 0.3, timeCount: 2, weightCount: 900 }];
  const told = [
    line({ kind: 'crossing', before: 2, after: 2.5, later: [2.25, 2] }),
    line({ kind: 'crossing', before: 2, after: 2.1, later: [] }),
    line({ kind: 'quiet', before: 2, after: 2, later: [1.9] }),
    line({ kind: 'gradients', norms }),
  ];
  const svg = drawRun([...particles, ...told], 'told');
  const all = texts(svg);
  for (const text of ['Jump of the loss at crossings', 'crossings', 'quiet steps', 'τ stage1', 'θ stage1'])
    assert.ok(all.includes(text), `'${text}' in ${all}`);
  const after = paths(svg, '#c8502d').find((path) => path.length === 3)!;
  const [jump, one, two] = after.map(([, y]) => y) as [number, number, number];
  // Means 0.3, 0.25, 0 above the loss before.
  assert.ok(Math.abs((one - jump) / (two - one) - 0.2) < 0.02, `${[jump, one, two]}`);
  assert.not.match(drawRun([...particles, told[2]!], 'quiet alone'), /NaN|Infinity|undefined/);
  assert.not.match(
    drawRun([...particles, line({ kind: 'gradients', norms: [{ ...norms[0], times: 0 }] })], ''),
    /NaN|Infinity/,
  );
});

test("Kendall's distance counts inverted pairs", () => {
  assert.is(kendallDistance([0, 1, 2, 3]), 0);
  assert.is(kendallDistance([3, 2, 1, 0]), 1);
  assert.is(kendallDistance([1, 0, 2, 3]), 1 / 6);
  assert.is(kendallDistance([5, 0, 2]), 2 / 3);
  assert.is(kendallDistance([0]), 0);
});

test('heights are those of the values', () => {
  const [loss, error] = paths(drawRun([epoch(1), epoch(2), epoch(3)], ''), '#3a6ea5');
  for (const line of [loss!, error!]) {
    const [a, b, c] = line.map(([, y]) => y) as [number, number, number];
    // Values 1, 1/2, 1/3 of the first: the drops are as 3 to 1.
    assert.ok(Math.abs((b - a) / (c - b) - 3) < 0.02, `${[a, b, c]}`);
  }
});

test('gaps, infinite losses and empty runs leave no NaN', () => {
  const broken = [step(1), step(2, Number.NaN), step(3, null as unknown as number), step(4, Number.POSITIVE_INFINITY)];
  const runs = [[], [step(1)], [epoch(1)], broken, [epoch(1), epoch(2, { testError: 9 })], particles.slice(0, 1)];
  for (const run of runs) {
    const svg = drawRun(run, 'run');
    assert.not.match(svg, /NaN|Infinity|undefined/);
  }
});

test('a long run is thinned out', () => {
  const long = Array.from({ length: 50_000 }, (_, i) => step(i + 1, 2 + Math.sin(i)));
  assert.ok(drawRun(long, 'long').length < 60_000);
});

test('labels of close lines do not overlap', () => {
  const n = 12;
  const order = Array.from({ length: n }, (_, i) => i);
  const stages = [{ stage: 'stage1', tau: order.map((i) => 1 + i * 1e-3), order, swaps: 0 }];
  const svg = drawRun(
    [
      epoch(1, { stages }),
      epoch(2, { stages: [{ ...stages[0]!, tau: [...order.map((i) => i * 1e-3 + 1), 9].slice(0, n) }] }),
    ],
    '',
  );
  const ys = [...svg.matchAll(/<text([^>]*)>(\d+)<\/text>/g)]
    .filter(([, attributes]) => /fill="rgb/.test(attributes!))
    .map(([, attributes]) =>
      Number(attributes!.match(/ y="([-\d.]+)"/)?.[1] ?? attributes!.match(/translate\([-\d.]+ ([-\d.]+)\)/)?.[1]),
    )
    .sort((a, b) => a - b);
  assert.is(ys.length, n);
  for (let i = 1; i < n; i++) assert.ok(ys[i]! - ys[i - 1]! > 10, `${ys}`);
});

test.run();
