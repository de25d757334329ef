// Losses that are rows or made of other operations, distances and CTC, against float64 formulas.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from '../../src/autograd/compile';
import { jvp } from '../../src/autograd/forward-mode';
import { gradcheck } from '../../src/autograd/gradcheck';
import * as nn from '../../src/nn';
import * as F from '../../src/nn/functional';
import '../../src/ops/methods';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

const [N, C] = [5, 3];
const signs = Float64Array.from({ length: N * C }, (_, i) => (i % 3 === 1 ? -1 : 1));
const sign = () => tensor(Float32Array.from(signs), { shape: [N, C] });
const relu = (x: number) => Math.max(0, x);
const softplus = (x: number) => relu(x) + Math.log1p(Math.exp(-Math.abs(x)));
const row = (x: Float64Array, i: number) => x.subarray(i * C, (i + 1) * C);
const rowsOf = (x: Float64Array, f: (i: number) => number) => Array.from({ length: x.length / C }, (_, i) => f(i));
const norm = (a: ArrayLike<number>, b: ArrayLike<number>, p: number, eps = 0) => {
  const d = Array.from(a, (v, i) => Math.abs(v - b[i] + eps));
  if (p === Infinity) return Math.max(...d);
  return p === 0 ? d.filter((v) => v > 0).length : d.reduce((sum, v) => sum + v ** p, 0) ** (1 / p);
};
const labels = [2, 0, 1, 1, 0];
const cosine = (a: Float64Array, b: Float64Array) => {
  const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

/** Losses of each sample of x [N, C] and t [N, C] (both with gradients, unless `fixed`), of 0 … 1 or −2 … 2. */
const each: [
  string,
  (x: Tensor, t: Tensor, o: { reduction: 'none' | 'mean' | 'sum' }) => Tensor,
  (x: Float64Array, t: Float64Array) => ArrayLike<number>,
  boolean?,
][] = [
  ['bce', F.binaryCrossEntropy, (x, t) => x.map((v, i) => -(t[i] * Math.log(v) + (1 - t[i]) * Math.log1p(-v))), true],
  ['klDiv', F.klDiv, (x, t) => x.map((v, i) => t[i] * (Math.log(t[i]) - v)), true],
  [
    'klDiv of logarithms',
    (x, t, o) => F.klDiv(x, t, { ...o, logTarget: true }),
    (x, t) => x.map((v, i) => Math.exp(t[i]) * (t[i] - v)),
  ],
  [
    'smoothL1',
    (x, t, o) => F.smoothL1Loss(x, t, { ...o, beta: 0.6 }),
    (x, t) => x.map((v, i) => (Math.abs(v - t[i]) < 0.6 ? (v - t[i]) ** 2 / 1.2 : Math.abs(v - t[i]) - 0.3)),
  ],
  ['poisson', F.poissonNllLoss, (x, t) => x.map((v, i) => Math.exp(v) - t[i] * v)],
  [
    'poisson in full',
    (x, t, o) => F.poissonNllLoss(x, t.add(0.9), { ...o, logInput: false, full: true, eps: 0.1 }),
    (x, t) =>
      x.map((v, i) => {
        const b = t[i] + 0.9;
        return v - b * Math.log(v + 0.1) + (b > 1 ? b * Math.log(b) - b + 0.5 * Math.log(2 * Math.PI * b) : 0);
      }),
    true,
  ],
  [
    'gaussian',
    (x, t, o) => F.gaussianNllLoss(x, x.detach().mul(0), t, { ...o, full: true }),
    (x, t) => x.map((v, i) => 0.5 * (Math.log(t[i]) + v ** 2 / t[i] + Math.log(2 * Math.PI))),
    true,
  ],
  ['softMargin', (x, _, o) => F.softMarginLoss(x, sign(), o), (x) => x.map((v, i) => softplus(-signs[i] * v))],
  [
    'hingeEmbedding',
    (x, _, o) => F.hingeEmbeddingLoss(x, sign(), { ...o, margin: 0.5 }),
    (x) => x.map((v, i) => (signs[i] === 1 ? v : relu(0.5 - v))),
  ],
  [
    'marginRanking',
    (x, t, o) => F.marginRankingLoss(x, t, sign(), { ...o, margin: 0.2 }),
    (x, t) => x.map((v, i) => relu(0.2 - signs[i] * (v - t[i]))),
  ],
  [
    'multilabelSoftMargin',
    (x, _, o) => F.multilabelSoftMarginLoss(x, sign().relu(), { ...o, weight: tensor([1, 2, 0.5]) }),
    (x) =>
      rowsOf(x, (i) =>
        row(x, i).reduce((sum, v, c) => sum + ([1, 2, 0.5][c] * softplus(-signs[i * C + c] * v)) / C, 0),
      ),
  ],
  [
    'cosineEmbedding',
    (x, t, o) => F.cosineEmbeddingLoss(x, t, tensor([1, -1, 1, -1, 1]), { ...o, margin: 0.1 }),
    (x, t) => rowsOf(x, (i) => (i % 2 ? relu(cosine(row(x, i), row(t, i)) - 0.1) : 1 - cosine(row(x, i), row(t, i)))),
  ],
  [
    'triplet',
    (x, t, o) => F.tripletMarginLoss(x, t, sign(), { ...o, swap: true, p: 3 }),
    (x, t) =>
      rowsOf(x, (i) => {
        const [a, p, n] = [row(x, i), row(t, i), row(signs, i)];
        return relu(1 + norm(a, p, 3, 1e-6) - Math.min(norm(a, n, 3, 1e-6), norm(p, n, 3, 1e-6)));
      }),
  ],
  [
    'multiMargin',
    (x, _, o) => F.multiMarginLoss(x, tensor(Int32Array.from(labels)), { ...o, p: 2, weight: tensor([1, 2, 0.5]) }),
    (x) =>
      rowsOf(x, (i) => {
        const own = row(x, i)[labels[i]];
        const total = row(x, i).reduce((sum, v, c) => sum + (c === labels[i] ? 0 : relu(1 - own + v) ** 2), 0);
        return ([1, 2, 0.5][labels[i]] * total) / C;
      }),
  ],
];

test('losses of samples, their reductions and gradients', async () => {
  for (const [name, run, reference, unit] of each)
    for (const reduction of ['none', 'sum', 'mean'] as const)
      await checkOperation(`${name} ${reduction}`, {
        shapes: [
          [N, C],
          [N, C],
        ],
        values: [
          numbers(N * C, 1, unit ? 0.05 : -2, unit ? 0.95 : 2),
          numbers(N * C, 2, unit ? 0.05 : -2, unit ? 0.95 : 2),
        ],
        run: (x, t) => run(x, t, { reduction }),
        reference: (x, t) => {
          const losses = [...(reference(x, t) as number[])];
          const sum = losses.reduce((a, b) => a + b, 0);
          return reduction === 'none' ? losses : [reduction === 'sum' ? sum : sum / losses.length];
        },
      });
});

test('weighted losses of pairs, and targets that are broadcast', async () => {
  const shapes = [
    [N, C],
    [N, C],
  ];
  const values = [numbers(N * C, 3), numbers(N * C, 4, 0.5, 2)];
  for (const [loss, f] of [
    [F.mseLoss, (x: number) => x * x],
    [F.l1Loss, Math.abs],
  ] as const)
    await checkOperation(loss.name, {
      shapes,
      values,
      run: (x, w) => loss(x, zeros([N, C]), { weight: w }),
      reference: (x, w) => [x.reduce((s, v, i) => s + w[i] * f(v), 0) / w.reduce((a, b) => a + b, 0)],
    });
  const warn = console.warn;
  const said: string[] = [];
  console.warn = (text: string) => said.push(text);
  try {
    for (let i = 0; i < 2; i++) assert.is(await F.mseLoss(zeros([4, 1]), tensor([1, 1, 2])).item(), 2);
  } finally {
    console.warn = warn;
  }
  assert.is(said.length, 1);
  assert.match(said[0], /mseLoss: the target \[3\] is broadcast against the input \[4,1\]/);
});

test('distances of pairs and of all rows', async () => {
  for (const p of [2, 1, 0, Infinity, 0.5, 3]) {
    await checkOperation(`cdist ${p}`, {
      shapes: [
        [2, 4, C],
        [3, C],
      ],
      values: [numbers(8 * C, 5), numbers(3 * C, 6)],
      run: (a, b) => F.cdist(a, b, { p }),
      reference: (a, b) => rowsOf(a, (i) => i).flatMap((i) => [0, 1, 2].map((j) => norm(row(a, i), row(b, j), p))),
    });
    await checkOperation(`pdist ${p}`, {
      shapes: [[4, C]],
      values: [numbers(4 * C, 7)],
      run: (x) => F.pdist(x, { p }),
      reference: (x) =>
        [
          [0, 1],
          [0, 2],
          [0, 3],
          [1, 2],
          [1, 3],
          [2, 3],
        ].map(([i, j]) => norm(row(x, i), row(x, j), p)),
    });
  }
  const view = tensor(Float32Array.from(numbers(12, 8)), { shape: [3, 4] }).transpose();
  close(await F.cdist(view, view).data(), await F.cdist(view.clone(), view.clone()).data(), 0);
  assert.equal(F.cdist(zeros([0, 2]), zeros([3, 2])).shape, [0, 3]);
  assert.equal([...(await F.cdist(zeros([1, 0]), zeros([2, 0]), { p: Infinity }).data())], [0, 0]);
  const nan = await F.cdist(tensor([[Number.NaN, 0]]), zeros([1, 2]), { p: Infinity }).item();
  assert.ok(Number.isNaN(nan));
  // At equal rows the gradient is zero.
  const x = tensor([[1, 2]], { requiresGrad: true });
  F.cdist(x, tensor([[1, 2]]))
    .sum()
    .backward();
  assert.equal([...(await x.grad!.data())], [0, 0]);
});

test('similarities, normalize, and second derivatives', async () => {
  const values = [numbers(N * C, 9), numbers(N * C, 10)];
  const shapes = [
    [N, C],
    [N, C],
  ];
  await checkOperation('cosine', {
    shapes,
    values,
    run: (a, b) => F.cosineSimilarity(a, b),
    reference: (a, b) => rowsOf(a, (i) => cosine(row(a, i), row(b, i))),
  });
  await checkOperation('normalize', {
    shapes: [[N, C]],
    values: values.slice(0, 1),
    run: (x) => F.normalize(x, { p: 1, dim: -1 }),
    reference: (x) => x.map((v, i) => v / norm(row(x, Math.floor(i / C)), [0, 0, 0], 1)),
  });
  assert.equal([...(await F.cosineSimilarity(zeros([1, 2]), tensor([[1, 2]])).data())], [0]);
  const given = () => values.map((v) => tensor(Float32Array.from(v), { shape: [N, C], requiresGrad: true }));
  for (const f of [
    (a: Tensor, b: Tensor) => F.cdist(a, b),
    (a: Tensor, b: Tensor) => F.klDiv(a, b.square().add(1)),
    (a: Tensor, b: Tensor) => F.cosineSimilarity(a, b),
  ])
    assert.ok(await gradcheck(f, given()));
});

/** −log of the sum over all paths, by enumerating them. */
function ctcByPaths(lp: Float64Array, [T, N, C]: number[], n: number, target: number[], times: number, blank: number) {
  let total = 0;
  for (let code = 0; code < C ** times; code++) {
    const path = Array.from({ length: times }, (_, t) => Math.floor(code / C ** t) % C);
    const said = path.filter((c, t) => c !== blank && c !== path[t - 1]);
    if (said.join() !== target.join()) continue;
    total += Math.exp(path.reduce((sum, c, t) => sum + lp[(t * N + n) * C + c], 0));
  }
  return T ? -Math.log(total) : 0;
}

test('CTC sums over all paths, on both targets', () =>
  onBothTargets(async () => {
    const shape = [5, 3, 3];
    const targets = [[1, 1], [2], []];
    const times = [5, 4, 3];
    const reference = (lp: Float64Array) => targets.map((t, n) => ctcByPaths(lp, shape, n, t, times[n], 0));
    const values = [numbers(45, 11, -2, 0)];
    const padded = tensor(Int32Array.from([1, 1, 2, 0, 0, 0]), { shape: [3, 2] });
    const joined = tensor(Int32Array.from([1, 1, 2]));
    const lengths = tensor(Int32Array.from([2, 1, 0]));
    const run = (lp: Tensor, t: Tensor, o = {}) => F.ctcLoss(lp, t, times, lengths, { reduction: 'none', ...o });
    await checkOperation('padded', { shapes: [shape], values, run: (lp) => run(lp, padded), reference });
    await checkOperation('joined', { shapes: [shape], values, run: (lp) => run(lp, joined), reference });
    await checkOperation('mean', {
      shapes: [shape],
      values,
      run: (lp) => run(lp, padded, { reduction: 'mean' }),
      reference: (lp) => [reference(lp).reduce((sum, v, n) => sum + v / Math.max(1, targets[n].length) / 3, 0)],
    });
  }));

test('CTC: impossible targets, wrong lengths and labels, compiled steps', async () => {
  const lp = () => F.logSoftmax(zeros([2, 2, 3]), -1);
  const targets = tensor(Int32Array.from([1, 1, 1, 2]), { shape: [2, 2] });
  const loss = (x: Tensor, o = {}) => F.ctcLoss(x, targets, [2, 2], [2, 2], { reduction: 'none', ...o });
  const [impossible, possible] = await loss(lp()).data();
  assert.is(impossible, Infinity);
  close([possible], [2 * Math.log(3)], 1e-6);
  const x = zeros([2, 2, 3]).requiresGrad_();
  loss(x, { zeroInfinity: true }).sum().backward();
  const gradient = [...(await x.grad!.data())];
  assert.equal(
    [gradient.slice(0, 3), gradient.slice(6, 9)],
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
  );
  assert.ok(gradient[4] < 0);
  const label = F.ctcLoss(lp(), tensor(Int32Array.from([1, 7]), { shape: [2, 1] }), [2, 2], [1, 1], {
    reduction: 'none',
  });
  assert.ok(Number.isNaN((await label.data())[1]));
  const long = F.ctcLoss(lp(), targets, tensor(Int32Array.from([2, 3])), [1, 1], { reduction: 'none' });
  assert.ok(Number.isNaN((await long.data())[1]));
  assert.throws(() => F.ctcLoss(lp(), targets, [2, 3], [2, 2]), /ctcLoss: inputLengths holds 3.*0 … 2/);
  assert.throws(() => F.ctcLoss(lp(), targets, [2], [2, 2]), /inputLengths has 1 numbers for 2 samples/);
  assert.throws(() => F.ctcLoss(lp(), targets, [2, 2], [2, 2], { blank: 3 }), /blank is 3.*0 … 2/);
  const y = tensor(Float32Array.from(numbers(12, 12)), { shape: [2, 2, 3], requiresGrad: true });
  const step = (a: Tensor) => F.ctcLoss(F.logSoftmax(a, -1), targets, [2, 2], [1, 2], { zeroInfinity: true });
  assert.is(await compile(step)(y).item(), await step(y).item());
});

test('multi-label margins: labels end at −1 and may come twice', async () => {
  const target = tensor(Int32Array.from([2, 0, -1, 1, 1, -1, -1, 0, 1]), { shape: [3, 3] });
  await checkOperation('multilabelMargin', {
    shapes: [[3, 3]],
    values: [numbers(9, 13, -2, 2)],
    run: (x) => F.multilabelMarginLoss(x, target, { reduction: 'none' }),
    reference: (x) =>
      [[2, 0], [1, 1], []].map((given, i) =>
        given.reduce(
          (sum, t) =>
            sum + row(x, i).reduce((s, v, c) => s + (given.includes(c) ? 0 : relu(1 - row(x, i)[t] + v)), 0) / C,
          0,
        ),
      ),
  });
});

test('NaN stays, probabilities at the border have the gradient of PyTorch, wrong calls say what to do', async () => {
  for (const f of [
    F.binaryCrossEntropy,
    F.klDiv,
    F.smoothL1Loss,
    F.hingeEmbeddingLoss,
    F.poissonNllLoss,
    F.softMarginLoss,
  ])
    assert.ok(Number.isNaN(await f(tensor([Number.NaN, 1]), tensor([1, 1])).item()), f.name);
  assert.ok(Number.isNaN(await F.binaryCrossEntropy(tensor([1.5]), tensor([1])).item()));
  assert.ok(Number.isNaN(await F.gaussianNllLoss(tensor([1]), tensor([1]), tensor([-1])).item()));
  const p = tensor([0, 0, 1, 1], { requiresGrad: true });
  const losses = F.binaryCrossEntropy(p, tensor([0, 1, 0, 1]), { reduction: 'none' });
  assert.equal(
    [...(await losses.data())].map((v) => v + 0),
    [0, 100, 100, 0],
  );
  losses.sum().backward();
  close(await p.grad!.data(), [0, -1e12, 1e12, 0], 1e-6);
  assert.throws(() => F.smoothL1Loss(zeros([2]), zeros([2]), { beta: -1 }), /beta is -1/);
  assert.throws(() => F.cdist(zeros([2, 3]), zeros([2, 4])), /cdist.*\[2, 3\].*\[2, 4\].*\[\.\.\., P, M\]/);
  assert.throws(() => F.multiMarginLoss(zeros([2, 3]), zeros([2])), /int32/);
  assert.throws(() => F.gaussianNllLoss(zeros([2, 3]), zeros([2, 3]), zeros([4])), /variance does not fit.*\[4\]/);
  assert.throws(() => F.tripletMarginLoss(zeros([2]), zeros([2]), zeros([2]), { margin: 0 }), /margin is 0/);
  assert.throws(() => F.klDiv(zeros([2]), zeros([2]), { reducton: 'sum' } as never), /did you mean reduction\?/);
});

test('modules keep their options, weights are in the state dict', async () => {
  const [x, t] = [tensor([[0.2, 0.7]]), tensor([[1, 0]])];
  const weight = tensor([1, 3]);
  const bce = new nn.BCELoss({ weight, reduction: 'sum' });
  assert.equal(Object.keys(bce.stateDict()), ['weight']);
  assert.is(await bce.forward(x, t).item(), await F.binaryCrossEntropy(x, t, { weight, reduction: 'sum' }).item());
  bce.loadStateDict({ weight: tensor([0, 0]) });
  assert.is(await bce.forward(x, t).item(), 0);
  assert.equal(Object.keys(new nn.BCEWithLogitsLoss({ posWeight: weight }).stateDict()), ['pos_weight']);
  const triplet = new nn.TripletMarginWithDistanceLoss({ distanceFunction: (a, b) => a.sub(b).abs().sum(-1) });
  close([await triplet.forward(x, t, zeros([1, 2])).item()], [1 + 1.5 - 0.9], 1e-6);
  assert.throws(() => new nn.KLDivLoss({ reduction: 'avg' } as never), /KLDivLoss: reduction 'avg'/);
});

test('push-forwards take targets of integers, as values and gradients do', async () => {
  const losses = { l1: F.l1Loss, mse: F.mseLoss, smooth: F.smoothL1Loss, huber: F.huberLoss };
  const [x, v] = [tensor([0.5, -1.5, 2.25]), tensor([1, 2, 3])];
  const whole = tensor([1, 0, 2], { dtype: 'int32' });
  for (const [name, loss] of Object.entries(losses))
    for (const reduction of ['none', 'mean', 'sum'] as const) {
      const tangent = (target: Tensor) => jvp((a: Tensor) => loss(a, target, { reduction }), [x], [v]).tangent;
      close(await tangent(whole).data(), Array.from(await tangent(tensor([1, 0, 2])).data()), 1e-7, name + reduction);
    }
});

test.run();
