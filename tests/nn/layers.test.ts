// Every layer computes what its function in F computes with its tensors, and shows PyTorch's names and shapes in its state dict.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, nn, type Tensor, tensor } from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

const input = (shape: number[], seed = 1) => {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(Float32Array.from(numbers(n, seed, -2, 2)), { shape });
};

interface Case {
  layer: nn.AnyModule;
  inputs: Tensor[];
  want: (...inputs: Tensor[]) => Tensor;
  /** State dict: names and shapes. */
  state?: Record<string, number[]>;
  text: string;
}

/** A layer and what it is compared with; the function gets the layer, to reach its tensors. */
function like<L extends nn.AnyModule>(
  layer: L,
  text: string,
  inputs: Tensor[],
  want: (layer: L, ...inputs: Tensor[]) => Tensor,
  state: Record<string, number[]> = {},
): Case {
  return { layer, inputs, want: (...given) => want(layer, ...given), state, text };
}

function parametrised(): Case[] {
  const image = input([2, 4, 5, 6]);
  const line = input([2, 4, 7]);
  return [
    like(new nn.Linear(6, 3), 'Linear(in=6, out=3) · 21 parameters', [image], (l, x) => F.linear(x, l.weight, l.bias), {
      weight: [3, 6],
      bias: [3],
    }),
    like(
      new nn.Bilinear(6, 6, 2),
      'Bilinear(in1=6, in2=6, out=2) · 74 parameters',
      [image, image],
      (l, a, b) => F.bilinear(a, b, l.weight, l.bias),
      { weight: [2, 6, 6], bias: [2] },
    ),
    like(
      new nn.Linear(6, 3, { bias: false }),
      'Linear(in=6, out=3, bias=false) · 18 parameters',
      [image],
      (l, x) => x.matmul(l.weight.transpose()),
      { weight: [3, 6] },
    ),
    like(
      new nn.Conv2d(4, 6, [3, 2], { stride: 2, padding: 1, groups: 2 }),
      'Conv2d(4, 6, kernel=3×2, stride=2, padding=1, groups=2) · 78 parameters',
      [image],
      (l, x) => F.conv2d(x, l.weight, l.bias, { stride: 2, padding: 1, groups: 2 }),
      { weight: [6, 2, 3, 2], bias: [6] },
    ),
    like(
      new nn.Conv1d(4, 3, 3, { padding: 'same', bias: false }),
      'Conv1d(4, 3, kernel=3, padding="same", bias=false) · 36 parameters',
      [line],
      (l, x) => F.conv1d(x, l.weight, null, { padding: 'same' }),
      { weight: [3, 4, 3] },
    ),
    like(
      new nn.ConvTranspose2d(4, 6, 2, { stride: 2, groups: 2 }),
      'ConvTranspose2d(4, 6, kernel=2×2, stride=2, groups=2) · 54 parameters',
      [image],
      (l, x) => F.convTranspose2d(x, l.weight, l.bias, { stride: 2, groups: 2 }),
      { weight: [4, 3, 2, 2], bias: [6] },
    ),
    like(
      new nn.Embedding(5, 3),
      'Embedding(5, 3) · 15 parameters',
      [tensor(Int32Array.of(4, 0, 4))],
      (l, index) => F.indexSelect(l.weight, 0, index),
      { weight: [5, 3] },
    ),
    like(
      new nn.EmbeddingBag(5, 3, { mode: 'sum', paddingIdx: 1 }),
      'EmbeddingBag(5, 3, mode=sum, paddingIdx=1) · 15 parameters',
      [tensor(Int32Array.of(4, 0, 1), { shape: [1, 3] })],
      (l, index) => F.indexSelect(l.weight, 0, index.flatten()).sum(0, true),
      { weight: [5, 3] },
    ),
    like(
      new nn.LayerNorm([5, 6]),
      'LayerNorm([5, 6]) · 60 parameters',
      [image],
      (_, x) => x.sub(x.mean([2, 3], true)).div(x.var([2, 3], true, 0).add(1e-5).sqrt()),
      { weight: [5, 6], bias: [5, 6] },
    ),
    like(new nn.GroupNorm(2, 4, { affine: false }), 'GroupNorm(2 groups of 4 channels)', [image], (_, x) => {
      const grouped = x.reshape([2, 2, -1]);
      const centred = grouped.sub(grouped.mean(2, true));
      return centred.div(grouped.var(2, true, 0).add(1e-5).sqrt()).reshape(x.shape);
    }),
    like(new nn.PReLU(4), 'PReLU(4) · 4 parameters', [image], (_, x) => F.leakyRelu(x, 0.25), { weight: [4] }),
    like(new nn.PReLU(), 'PReLU(1) · 1 parameter', [line], (_, x) => F.leakyRelu(x, 0.25), { weight: [1] }),
  ];
}

const stateless = (): Case[] => {
  const x = input([2, 3, 4, 4]);
  const apply = (layer: nn.Module, text: string, want: (x: Tensor) => Tensor) =>
    like(layer, text, [x], (_, t) => want(t));
  return [
    apply(new nn.Identity(), 'Identity()', (t) => t),
    apply(new nn.ReLU(), 'ReLU()', F.relu),
    apply(new nn.ReLU6(), 'ReLU6()', (t) => F.clamp(t, 0, 6)),
    apply(new nn.LeakyReLU(0.1), 'LeakyReLU(slope=0.1)', (t) => F.leakyRelu(t, 0.1)),
    apply(new nn.ELU(0.5), 'ELU(alpha=0.5)', (t) => F.elu(t, 0.5)),
    apply(new nn.CELU(2), 'CELU(alpha=2)', (t) => F.celu(t, 2)),
    apply(new nn.SELU(), 'SELU()', F.selu),
    apply(new nn.Threshold(0.5, -2), 'Threshold(threshold=0.5, value=-2)', (t) => F.where(t.gt(0.5), t, -2)),
    apply(new nn.Hardshrink(), 'Hardshrink(lambd=0.5)', (t) => F.hardshrink(t, 0.5)),
    apply(new nn.Softshrink(0.2), 'Softshrink(lambd=0.2)', (t) => F.softshrink(t, 0.2)),
    apply(new nn.Tanhshrink(), 'Tanhshrink()', (t) => t.sub(t.tanh())),
    apply(new nn.GLU(0), 'GLU(dim=0)', (t) => F.glu(t, 0)),
    apply(new nn.RReLU(0, 0.5).eval(), 'RReLU(lower=0, upper=0.5)', (t) => F.leakyRelu(t, 0.25)),
    apply(new nn.Softmin(0), 'Softmin(axis=0)', (t) => F.softmax(t.neg(), 0)),
    apply(new nn.GELU(), 'GELU(approximate=none)', (t) => F.gelu(t)),
    apply(new nn.GELU('tanh'), 'GELU(approximate=tanh)', (t) => F.gelu(t, { approximate: 'tanh' })),
    apply(new nn.SiLU(), 'SiLU()', (t) => t.mul(t.sigmoid())),
    apply(new nn.Mish(), 'Mish()', (t) => t.mul(F.softplus(t).tanh())),
    apply(new nn.Softplus(2), 'Softplus(beta=2, threshold=20)', (t) => t.mul(2).exp().log1p().div(2)),
    apply(new nn.Softsign(), 'Softsign()', (t) => t.div(t.abs().add(1))),
    apply(new nn.LogSigmoid(), 'LogSigmoid()', (t) => t.sigmoid().log()),
    apply(new nn.Hardswish(), 'Hardswish()', (t) => t.mul(F.clamp(t.add(3), 0, 6)).div(6)),
    apply(new nn.Hardsigmoid(), 'Hardsigmoid()', (t) => F.clamp(t.div(6).add(0.5), 0, 1)),
    apply(new nn.Hardtanh(-1, 0.5), 'Hardtanh(min=-1, max=0.5)', (t) => F.clamp(t, -1, 0.5)),
    apply(new nn.Tanh(), 'Tanh()', F.tanh),
    apply(new nn.Sigmoid(), 'Sigmoid()', F.sigmoid),
    apply(new nn.Softmax(1), 'Softmax(axis=1)', (t) => t.exp().div(t.exp().sum(1, true))),
    apply(new nn.LogSoftmax(), 'LogSoftmax(axis=-1)', (t) => t.sub(t.logsumexp(-1, true))),
    apply(new nn.Flatten(), 'Flatten(start=1)', (t) => t.reshape([2, 48])),
    apply(new nn.MaxPool2d(2), 'MaxPool2d({"kernel":2})', (t) => F.maxPool2d(t, { kernel: 2 })),
    apply(new nn.AvgPool2d({ kernel: 2, stride: 1 }), 'AvgPool2d({"kernel":2,"stride":1})', (t) =>
      F.avgPool2d(t, { kernel: 2, stride: 1 }),
    ),
    apply(new nn.AdaptiveAvgPool2d(2), 'AdaptiveAvgPool2d(2)', (t) => F.avgPool2d(t, { kernel: 2 })),
    apply(new nn.GlobalAvgPool2d(), 'GlobalAvgPool2d()', (t) => t.mean([2, 3])),
  ];
};

const losses = (): Case[] => {
  const logits = input([4, 3]);
  const labels = tensor(Int32Array.of(0, 2, 1, 1));
  const target = input([4, 3], 2);
  const loss = (layer: nn.AnyModule, inputs: Tensor[], want: (...inputs: Tensor[]) => Tensor) =>
    like(layer, `${layer.constructor.name}()`, inputs, (_, ...given) => want(...given));
  return [
    loss(new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }), [logits, labels], (x, y) =>
      F.crossEntropy(x, y, { labelSmoothing: 0.1 }),
    ),
    loss(new nn.NLLLoss(), [logits, labels], (x, y) => F.nllLoss(x, y)),
    loss(new nn.MSELoss({ reduction: 'sum' }), [logits, target], (x, y) => x.sub(y).square().sum()),
    loss(new nn.L1Loss(), [logits, target], (x, y) => x.sub(y).abs().mean()),
    loss(new nn.HuberLoss({ delta: 0.5 }), [logits, target], (x, y) => F.huberLoss(x, y, { delta: 0.5 })),
    loss(new nn.BCEWithLogitsLoss(), [logits, target.sigmoid()], (x, y) => F.bceWithLogits(x, y)),
  ];
};

for (const [kind, cases] of Object.entries({ parametrised, stateless, losses }))
  test(`${kind} layers: values, state dict, text`, async () => {
    for (const { layer, inputs, want, state = {}, text } of cases()) {
      assert.is(layer.toString(), text);
      const shapes = Object.fromEntries(Object.entries(layer.stateDict()).map(([name, t]) => [name, [...t.shape]]));
      assert.equal(shapes, state, `${text}: state dict`);
      const count = Object.values(state).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
      assert.is(layer.parameterCount, count, `${text}: parameters`);
      const got = layer.forward(...inputs);
      const expected = want(...inputs);
      assert.equal([...got.shape], [...expected.shape], text);
      close(await got.data(), await expected.data(), 1e-5, text);
    }
  });

test('batch norm: running statistics move in training and are used in evaluation', async () => {
  for (const [Layer, shape] of [
    [nn.BatchNorm2d, [3, 2, 4, 5]],
    [nn.BatchNorm1d, [6, 2]],
    [nn.BatchNorm1d, [3, 2, 5]],
  ] as const) {
    const layer = new Layer(2, { momentum: 0.5 });
    assert.equal(Object.keys(layer.stateDict()), [
      'weight',
      'bias',
      'running_mean',
      'running_var',
      'num_batches_tracked',
    ]);
    assert.is(layer.parameterCount, 4);
    const x = input([...shape]).add(3);
    const axes = shape.map((_, i) => i).filter((i) => i !== 1);
    const perChannel = (t: Tensor) => t.reshape([1, 2, ...shape.slice(2).map(() => 1)]);
    const mean = x.mean(axes);
    const normalised = x.sub(perChannel(mean)).div(perChannel(x.var(axes, false, 0).add(1e-5).sqrt()));
    close(await layer.forward(x).data(), await normalised.data(), 1e-5, 'training');
    close(await layer.runningMean.data(), await mean.mul(0.5).data(), 1e-5, 'running mean');
    close(await layer.runningVar.data(), await x.var(axes).mul(0.5).add(0.5).data(), 1e-5, 'running variance');
    const { runningMean, runningVar } = layer.eval();
    const before = await runningMean.data();
    const want = x.sub(perChannel(runningMean)).div(perChannel(runningVar.add(1e-5).sqrt()));
    close(await layer.forward(x).data(), await want.data(), 1e-5, 'evaluation');
    assert.equal(await runningMean.data(), before);
  }
  assert.throws(() => new nn.BatchNorm1d(3).forward(input([4, 2])), /BatchNorm1d.*3 channels.*\[4, 2\]/s);
});

test('dropout drops in training only, and scales what stays', async () => {
  const layer = new nn.Dropout(0.25);
  const x = tensor(new Float32Array(4000).fill(3));
  const values = await layer.forward(x).data();
  const dropped = values.filter((v) => v === 0).length;
  assert.ok(dropped > 850 && dropped < 1150, `${dropped} of 4000 dropped`);
  assert.ok(values.every((v) => v === 0 || v === 4));
  assert.is(layer.eval().forward(x), x);
  close(await new nn.Dropout(1).forward(x).data(), new Float32Array(4000));
  for (const p of [-0.1, 1.1, NaN]) assert.throws(() => new nn.Dropout(p), /probability/);
});

test('channels that do not divide into groups are refused when the layer is made', () => {
  assert.throws(() => new nn.Conv2d(4, 6, 3, { groups: 3 }), /Conv2d.*4 input and 6 output.*3 groups/s);
  assert.throws(() => new nn.ConvTranspose2d(4, 5, 3, { groups: 2 }), /ConvTranspose2d.*2 groups/s);
});

test('embeddings: the row of the padding, bags by offsets, tables that are trained already', async () => {
  const embedding = new nn.Embedding(4, 2, { paddingIdx: -1 });
  assert.equal([...(await embedding.weight.select(0, 3).data())], [0, 0]);
  embedding
    .forward(tensor(Int32Array.of(3, 0, 0)))
    .sum()
    .backward();
  assert.equal([...(await embedding.weight.grad!.data())], [2, 2, 0, 0, 0, 0, 0, 0]);
  const table = tensor([
    [1, 2],
    [3, 4],
  ]);
  const bag = nn.EmbeddingBag.fromPretrained(table, { freeze: false });
  const [index, offsets] = [tensor(Int32Array.of(0, 1, 1)), tensor(Int32Array.of(0, 2))];
  assert.equal([...(await bag.forward(index, offsets).data())], [2, 3, 3, 4]);
  assert.ok(bag.weight.requiresGrad && !nn.Embedding.fromPretrained(table).weight.requiresGrad);
  assert.equal(await nn.Embedding.fromPretrained(table).weight.data(), await table.data());
  assert.throws(() => new nn.Embedding(4, 2, { paddingIdx: 4 }), /Embedding: paddingIdx is 4/);
  assert.throws(() => nn.Embedding.fromPretrained(tensor([1, 2])), /no table/);
});

test.run();
