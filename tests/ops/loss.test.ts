// Softmax and losses against float64 formulas.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import type { ClassLossOptions, LossReduction } from '../../src/ops/loss';
import { bceWithLogits, crossEntropy, huberLoss, l1Loss, mseLoss, nllLoss, pseudoHuberLoss } from '../../src/ops/loss';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { tensor, zeros } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

/** Positions of the lines along `axis`. */
function lines(shape: readonly number[], axis: number): number[][] {
  const inner = size(shape.slice(axis + 1));
  const n = shape[axis];
  return Array.from({ length: size(shape) / n }, (_, l) =>
    Array.from({ length: n }, (_, k) => (Math.floor(l / inner) * n + k) * inner + (l % inner)),
  );
}

function logSoftmaxOf(x: Float64Array, shape: readonly number[], axis: number): Float64Array {
  const y = new Float64Array(x.length);
  for (const line of lines(shape, axis)) {
    const m = Math.max(...line.map((i) => x[i]));
    const s = line.reduce((sum, i) => sum + Math.exp(x[i] - m), 0);
    for (const i of line) y[i] = x[i] - m - Math.log(s);
  }
  return y;
}

test('softmax and log-softmax along every axis', async () => {
  for (const [shape, dim] of [
    [[3, 5], 1],
    [[4, 3, 6], 1],
    [[7, 2], 0],
    [[2, 100], -1],
    [[3, 1], 1],
    [[5], 0],
  ] as [number[], number][]) {
    const axis = (dim + shape.length) % shape.length;
    const values = [numbers(size(shape), 1, -4, 4)];
    await checkOperation(`log [${shape}] ${dim}`, {
      shapes: [shape],
      values,
      run: (x) => logSoftmax(x, dim),
      reference: (x) => logSoftmaxOf(x, shape, axis),
    });
    await checkOperation(`[${shape}] ${dim}`, {
      shapes: [shape],
      values,
      run: (x) => softmax(x, dim),
      reference: (x) => logSoftmaxOf(x, shape, axis).map(Math.exp),
    });
  }
});

test('softmax of large, equal and infinite scores', async () => {
  const x = tensor([
    [1e4, 1e4, -1e4],
    [-3e38, 3e38, 0],
    [Number.NEGATIVE_INFINITY, 0, 0],
  ]);
  close(await softmax(x, 1).data(), [0.5, 0.5, 0, 0, 1, 0, 0, 0.5, 0.5], 1e-6);
  assert.equal(softmax(zeros([0, 3]), 1).shape, [0, 3]);
  assert.equal(softmax(zeros([3, 0]), 1).shape, [3, 0]);
  assert.throws(() => softmax(zeros([2, 3]), 2), /dimension 2/);
});

const reduceLoss = (losses: number[], divisor: number, reduction: LossReduction) => {
  const sum = losses.reduce((a, b) => a + b, 0);
  return reduction === 'none' ? losses : [reduction === 'sum' ? sum : sum / divisor];
};

function crossEntropyOf(
  x: Float64Array,
  shape: readonly number[],
  labels: number[],
  o: ClassLossOptions & { w?: number[]; nll?: boolean },
) {
  const lp = o.nll ? x : logSoftmaxOf(x, shape, 1);
  const e = o.labelSmoothing ?? 0;
  const w = (c: number) => o.w?.[c] ?? 1;
  let total = 0;
  const losses = lines(shape, 1).map((line, s) => {
    if (labels[s] === o.ignoreIndex) return 0;
    total += w(labels[s]);
    const smooth = line.reduce((sum, i, c) => sum - w(c) * lp[i], 0);
    return -(1 - e) * w(labels[s]) * lp[line[labels[s]]] + (e / shape[1]) * smooth;
  });
  return reduceLoss(losses, total, o.reduction ?? 'mean');
}

const w5 = [0.5, 2, 1, 0.25, 1.5];
const options: (ClassLossOptions & { w?: number[] })[] = [
  {},
  { reduction: 'sum' },
  { reduction: 'none', labelSmoothing: 0.1 },
  { ignoreIndex: 2 },
  { w: w5, ignoreIndex: 1, labelSmoothing: 0.2 },
  { w: w5, reduction: 'none' },
  { w: w5, reduction: 'sum', ignoreIndex: -1 },
];

test('cross-entropy and nll with class labels', async () => {
  for (const [shape, labels] of [
    [
      [6, 5],
      [0, 4, 2, 2, 1, 3],
    ],
    [
      [2, 5, 3],
      [0, 2, 4, 1, 1, 3],
    ],
  ] as [number[], number[]][])
    for (const { w, ...o } of options)
      for (const nll of [false, true]) {
        if (nll && o.labelSmoothing) continue;
        const target = tensor(Int32Array.from(labels), { shape: [shape[0], ...shape.slice(2)] });
        const weight = w && tensor(w);
        await checkOperation(`${JSON.stringify(o)} ${nll}`, {
          shapes: [shape],
          values: [numbers(size(shape), 1, -3, 3)],
          run: (x) => (nll ? nllLoss : crossEntropy)(x, target, { ...o, weight }),
          reference: (x) => crossEntropyOf(x, shape, labels, { ...o, w, nll }),
        });
      }
});

test('lines long enough for a team of threads', () =>
  onBothTargets(async () => {
    const labels = [17, 99];
    const values = [numbers(200, 4, -9, 9)];
    await checkOperation('cross-entropy', {
      shapes: [[2, 100]],
      values,
      run: (x) => crossEntropy(x, tensor(Int32Array.from(labels)), { labelSmoothing: 0.1 }),
      reference: (x) => crossEntropyOf(x, [2, 100], labels, { labelSmoothing: 0.1 }),
    });
    await checkOperation('softmax', {
      shapes: [[2, 100]],
      values,
      run: (x) => softmax(x, 1),
      reference: (x) => logSoftmaxOf(x, [2, 100], 1).map(Math.exp),
    });
  }));

test('cross-entropy of one sample without a batch', async () => {
  close([await crossEntropy(tensor([1, 2, 3]), tensor(2, { dtype: 'int32' })).item()], [0.4076059644443803], 1e-6);
});

test('cross-entropy with probabilities', async () => {
  const shape = [3, 5, 2];
  const raw = numbers(30, 5, 0, 1);
  for (const { w, ...o } of options) {
    if (o.ignoreIndex !== undefined) continue;
    const e = o.labelSmoothing ?? 0;
    await checkOperation(`probabilities ${JSON.stringify(o)}`, {
      shapes: [shape, shape],
      values: [numbers(30, 6, -3, 3), raw],
      run: (x, t) => crossEntropy(x, t, { ...o, weight: w && tensor(w) }),
      reference: (x, t) => {
        const lp = logSoftmaxOf(x, shape, 1);
        const losses = lines(shape, 1).map((line) =>
          line.reduce((sum, i, c) => sum - (w?.[c] ?? 1) * ((1 - e) * t[i] + e / 5) * lp[i], 0),
        );
        return reduceLoss(losses, 6, o.reduction ?? 'mean');
      },
    });
  }
});

test('a label that is no class is told at the next read, and gives NaN, never a number', async () => {
  for (const [bad, log] of [
    [5, false],
    [-1, false],
    [7, true],
  ] as [number, boolean][]) {
    const x = tensor(Float32Array.from(numbers(10, 1)), { shape: [2, 5], requiresGrad: true });
    const loss = (log ? nllLoss : crossEntropy)(x, tensor(Int32Array.from([1, bad])));
    const message = String(await loss.item().catch((e: Error) => e));
    assert.match(
      message,
      new RegExp(`^InputError: ${log ? 'nllLoss' : 'crossEntropy'}: ${bad} is out of range, .*0 … 4`),
    );
    assert.ok(Number.isNaN(await loss.item()), 'told once');
    backward(loss);
    const gradient = [...(await x.grad!.data())].slice(5);
    assert.ok(
      gradient.every((g, c) => Number.isNaN(g) || (log && c !== bad)),
      String(gradient),
    );
  }
  const ignored = crossEntropy(zeros([2, 3]), tensor(Int32Array.from([-100, -100])));
  assert.ok(Number.isNaN(await ignored.item()));
});

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const pointwise: [
  string,
  (x: never, t: never, o: { reduction: LossReduction }) => never,
  (x: number, t: number) => number,
][] = [
  ['mse', mseLoss as never, (x, t) => (x - t) ** 2],
  ['l1', l1Loss as never, (x, t) => Math.abs(x - t)],
  [
    'huber',
    ((x: never, t: never, o: object) => huberLoss(x, t, { ...o, delta: 0.7 })) as never,
    (x, t) => (Math.abs(x - t) <= 0.7 ? 0.5 * (x - t) ** 2 : 0.7 * (Math.abs(x - t) - 0.35)),
  ],
  [
    'pseudo-huber',
    ((x: never, t: never, o: object) => pseudoHuberLoss(x, t, { ...o, delta: 2 })) as never,
    (x, t) => 4 * (Math.sqrt(1 + ((x - t) / 2) ** 2) - 1),
  ],
  ['bce', bceWithLogits as never, (x, t) => (1 - t) * x + softplus(-x)],
];

test('losses of pairs', async () => {
  for (const [name, run, f] of pointwise)
    for (const reduction of ['none', 'mean', 'sum'] as const)
      await checkOperation(`${name} ${reduction}`, {
        shapes: [
          [4, 3],
          [4, 3],
        ],
        values: [numbers(12, 7, -3, 3), numbers(12, 8, 0, 1)],
        run: (x, t) => run(x as never, t as never, { reduction }),
        reference: (x, t) =>
          reduceLoss(
            [...x].map((v, i) => f(v, t[i])),
            12,
            reduction,
          ),
      });
  const [weight, posWeight] = [tensor([1, 0.5, 2]), tensor([3, 1, 0.25])];
  await checkOperation('bce with weights', {
    shapes: [
      [4, 3],
      [4, 3],
    ],
    values: [numbers(12, 7, -3, 3), numbers(12, 8, 0, 1)],
    run: (x, t) => bceWithLogits(x, t, { weight, posWeight }),
    reference: (x, t) => [
      [...x].reduce(
        (sum, v, i) =>
          sum + ([1, 0.5, 2][i % 3] * ((1 - t[i]) * v + (1 + ([3, 1, 0.25][i % 3] - 1) * t[i]) * softplus(-v))) / 12,
        0,
      ),
    ],
  });
  close(await pseudoHuberLoss(tensor([1e-4, 1e10]), zeros([2]), { reduction: 'none' }).data(), [5e-9, 1e10], 1e-7);
  const small = await pseudoHuberLoss(tensor([1e-4]), zeros([1])).item();
  assert.ok(Math.abs(small - 5e-9) < 5e-15, String(small));
});

test('empty batches: mean is NaN, sum is 0, gradients are empty', async () => {
  const labels = tensor(new Int32Array(0));
  for (const run of [(x: Tensor) => crossEntropy(x, labels), (x: Tensor) => mseLoss(x, zeros([0, 5]))]) {
    const x = zeros([0, 5], { requiresGrad: true });
    const loss = run(x);
    assert.ok(Number.isNaN(await loss.item()));
    backward(loss);
    assert.equal(x.grad!.shape, [0, 5]);
  }
  assert.is(await crossEntropy(zeros([0, 5]), labels, { reduction: 'sum' }).item(), 0);
});

test('refused input', () => {
  const labels = tensor(Int32Array.from([0, 1]));
  assert.throws(
    () => crossEntropy(zeros([3, 4]), labels),
    /\[3, 4\].*\[2\].*shape of the input without its class dimension/,
  );
  assert.throws(() => crossEntropy(zeros([2, 4]), zeros([2])), /probabilities must have the shape.*int32/);
  assert.throws(() => crossEntropy(zeros([2, 4]), labels, { weight: zeros([3]) }), /4 classes/);
  assert.throws(() => crossEntropy(zeros([2, 4]), labels, { reduction: 'avg' as never }), /'none', 'mean' or 'sum'/);
  assert.throws(() => mseLoss(zeros([2, 4]), zeros([2, 3])), /mseLoss.*\[2, 4\].*\[2, 3\]/);
  assert.throws(() => huberLoss(zeros([2]), zeros([2]), { delta: 0 }), /delta/);
});

test.run();
