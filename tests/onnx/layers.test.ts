// Layers and functions in ONNX Runtime: each at the batch of its example and another one.
import { test } from 'uvu';
import { F, init, nn, type Tensor, tensor } from '../../src/index.node.js';
import { checkerTest, sameInRuntime, waves, withRuntime } from './runtime';

class Fn extends nn.Module<Tensor[], Tensor | Tensor[]> {
  readonly #f: (...x: Tensor[]) => Tensor | Tensor[];

  constructor(f: (...x: Tensor[]) => Tensor | Tensor[]) {
    super();
    this.#f = f;
  }

  override forward(...x: Tensor[]): Tensor | Tensor[] {
    return this.#f(...x);
  }
}

type Row = readonly [make: () => nn.AnyModule, ...shapes: readonly (readonly number[])[]];
const of = (f: (...x: Tensor[]) => Tensor | Tensor[], ...shapes: (readonly number[])[]): Row => [
  () => new Fn(f),
  ...shapes,
];

const line = [4, 4, 9];
const image = [4, 4, 7, 6];
const volume = [4, 2, 5, 4, 4];

const layers: Readonly<Record<string, Row>> = {
  Conv1d: [() => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }), line],
  'Conv1d same': [() => new nn.Conv1d(4, 6, 4, { padding: 'same', dilation: 2 }), line],
  Conv2d: [() => new nn.Conv2d(4, 6, 3, { stride: [2, 1], padding: [1, 2], dilation: [1, 2] }), image],
  'Conv2d same': [() => new nn.Conv2d(4, 6, [2, 3], { padding: 'same', bias: false }), image],
  'Conv2d depthwise': [() => new nn.Conv2d(4, 4, 3, { padding: [1, 0, 2, 1], groups: 4 }), image],
  Conv3d: [() => new nn.Conv3d(2, 3, 3, { stride: 2, padding: 1 }), volume],
  ConvTranspose1d: [() => new nn.ConvTranspose1d(4, 3, 3, { stride: 2, outputPadding: 1 }), line],
  ConvTranspose2d: [
    () => new nn.ConvTranspose2d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
    image,
  ],
  ConvTranspose3d: [() => new nn.ConvTranspose3d(2, 3, 2, { stride: 2 }), volume],
  MaxPool1d: [() => new nn.MaxPool1d(3, { stride: 2, padding: 1 }), line],
  MaxPool2d: [() => new nn.MaxPool2d(3, { stride: 2, padding: 1, ceilMode: true }), image],
  'MaxPool2d dilated': [() => new nn.MaxPool2d([2, 3], { stride: 1, dilation: 2 }), image],
  MaxPool3d: [() => new nn.MaxPool3d(2), volume],
  AvgPool1d: [() => new nn.AvgPool1d(2), line],
  AvgPool2d: [() => new nn.AvgPool2d(3, { stride: 2, padding: 1 }), image],
  'AvgPool2d without padding': [() => new nn.AvgPool2d(3, { stride: 2, padding: 1, countIncludePad: false }), image],
  'AvgPool2d divisor': [() => new nn.AvgPool2d(2, { divisorOverride: 3 }), image],
  AvgPool3d: [() => new nn.AvgPool3d(2), volume],
  AdaptiveAvgPool1d: [() => new nn.AdaptiveAvgPool1d(4), line],
  AdaptiveAvgPool2d: [() => new nn.AdaptiveAvgPool2d([3, 2]), image],
  'AdaptiveAvgPool2d 1': [() => new nn.AdaptiveAvgPool2d(1), image],
  'AdaptiveAvgPool2d parts': [() => new nn.AdaptiveAvgPool2d([7, 2]), image],
  AdaptiveMaxPool2d: [() => new nn.AdaptiveMaxPool2d([7, 3]), image],
  'AdaptiveMaxPool2d 1': [() => new nn.AdaptiveMaxPool2d(1), image],
  AdaptiveAvgPool3d: [() => new nn.AdaptiveAvgPool3d(2), volume],
  BatchNorm1d: [() => new nn.BatchNorm1d(4), [4, 4]],
  BatchNorm2d: [() => new nn.BatchNorm2d(4, { activation: 'relu' }), image],
  'BatchNorm2d of the batch': [() => new nn.BatchNorm2d(4, { trackRunningStats: false, affine: false }), image],
  BatchNorm3d: [() => new nn.BatchNorm3d(2, { affine: false }), volume],
  InstanceNorm1d: [() => new nn.InstanceNorm1d(4, { affine: true }), line],
  InstanceNorm2d: [() => new nn.InstanceNorm2d(4), image],
  'InstanceNorm2d tracked': [() => new nn.InstanceNorm2d(4, { trackRunningStats: true }), image],
  GroupNorm: [() => new nn.GroupNorm(2, 4), image],
  LayerNorm: [() => new nn.LayerNorm([7, 6]), image],
  'LayerNorm without weights': [() => new nn.LayerNorm(6, { elementwiseAffine: false }), image],
  RMSNorm: [() => new nn.RMSNorm(6), image],
  LocalResponseNorm: [() => new nn.LocalResponseNorm(3, { alpha: 0.3 }), image],
  PReLU: [() => new nn.PReLU(4), image],
  GLU: [() => new nn.GLU(1), image],
  Softmax: [() => new nn.Softmax(1), image],
  Dropout: [() => new nn.Dropout(0.5), image],
  Bilinear: [() => new nn.Bilinear(3, 5, 2), [4, 3], [4, 5]],
  Upsample: [() => new nn.Upsample({ scaleFactor: 2 }), image],
  'Upsample bilinear': [() => new nn.Upsample({ size: [10, 9], mode: 'bilinear' }), image],
  'Upsample aligned': [() => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear', alignCorners: true }), image],
  'Upsample bicubic': [() => new nn.Upsample({ scaleFactor: 2, mode: 'bicubic' }), image],
  PixelShuffle: [() => new nn.PixelShuffle(2), image],
  PixelUnshuffle: [() => new nn.PixelUnshuffle(2), [4, 4, 6, 4]],
  Flatten: [() => new nn.Flatten(), image],
  Unflatten: [() => new nn.Unflatten(1, [2, 2]), image],
  RNNCell: [() => new nn.RNNCell(4, 5), [4, 4]],
  LSTMCell: [() => new nn.LSTMCell(4, 5), [4, 4]],
  GRUCell: [() => new nn.GRUCell(4, 5), [4, 4], [4, 5]],
  RNN: [() => new nn.RNN(4, 5, { nonlinearity: 'relu', batchFirst: true, bias: false }), [4, 6, 4]],
  GRU: [() => new nn.GRU(4, 5, { numLayers: 2, bidirectional: true, batchFirst: true }), [4, 6, 4]],
  'LSTM with projection': [() => new nn.LSTM(4, 5, { projSize: 3, batchFirst: true }), [4, 6, 4]],
  TransformerEncoderLayer: [
    () => new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, batchFirst: true }),
    [4, 5, 8],
  ],
  Transformer: [
    () =>
      new nn.Transformer({
        dModel: 8,
        nhead: 2,
        numEncoderLayers: 1,
        numDecoderLayers: 1,
        dimFeedforward: 16,
        batchFirst: true,
      }),
    [4, 5, 8],
    [4, 3, 8],
  ],
};

const rows = [4, 5];
const functions: Readonly<Record<string, Row>> = {
  einsum: of((a, b) => F.einsum('bij,bkj->bik', a!, b!), [4, 3, 5], [4, 2, 5]),
  'einsum with ...': of((a, b) => F.einsum('...ij,jk', a!, b!), [4, 3, 5], [5, 2]),
  'einsum diagonal': of((a) => F.einsum('bii->bi', a!), [4, 3, 3]),
  bmm: of((a, b) => F.bmm(a!, b!), [4, 3, 5], [4, 5, 2]),
  'matmul of vectors': of((a, b) => a!.matmul(b!), [4, 3, 5], [5]),
  'attention, causal': of(
    (q, k) => F.scaledDotProductAttention(q!, k!, k!, { isCausal: true }),
    [4, 2, 5, 8],
    [4, 2, 5, 8],
  ),
  'attention, shared heads': of(
    (q, k) => F.scaledDotProductAttention(q!, k!, k!, { enableGqa: true }),
    [4, 4, 5, 8],
    [4, 2, 6, 8],
  ),
  'attention, masked': of(
    (q, k) =>
      F.scaledDotProductAttention(q!, k!, k!, {
        attnMask: q!.select(3, 0).select(1, 0).gt(0).unsqueeze(1).unsqueeze(1),
      }),
    [4, 2, 4, 8],
    [4, 2, 4, 8],
  ),
  concat: of((a, b) => F.concat([a!, b!], 1), rows, [4, 2]),
  'concat of the batch': of((a, b) => F.concat([a!, b!, a!], 0), rows, rows),
  stack: of((a, b) => F.stack([a!, b!], 1), rows, rows),
  split: of((a) => F.split(a!, [1, 4], 1), rows),
  chunk: of((a) => F.chunk(a!, 2, 1), [4, 6]),
  slice: of((a) => a!.slice([null, { start: 1, stop: -1, step: 2 }]), rows),
  'slice of the batch': of((a) => a!.slice([{ start: 1 }]).add(a!.slice([{ stop: -1 }])), rows),
  'the last of the batch': of((a) => a!.slice([-1]), rows),
  'every other of the batch': of((a) => a!.slice([{ step: 2 }]).sum(0), rows),
  flip: of((a) => a!.flip(1), rows),
  roll: of((a) => (F.roll ? F.roll(a!, 2, { dims: 1 }) : a!.roll(2, { dims: 1 })), rows),
  tile: of((a) => a!.tile([1, 3]), rows),
  expand: of((a) => a!.unsqueeze(1).expand([-1, 3, -1]), rows),
  'the batch in a shape': of(
    (a) =>
      a!
        .reshape([a!.shape[0]! * 2, -1])
        .reshape([a!.shape[0]!, 2, -1])
        .transpose(0, 1),
    [4, 6],
  ),
  'a mean by hand': of((a) => a!.sum(1).div(a!.shape[1]!), rows),
  pad: of((a) => F.pad(a!, [1, 2, 3, 0], { value: 2 }), image),
  'pad, reflected': of((a) => F.pad(a!, [1, 2], { mode: 'reflect' }), image),
  'pad, negative': of((a) => F.pad(a!, [-1, 2]), image),
  where: of((a, b) => F.where(a!.gt(b!), a!, 0.5), rows, rows),
  maskedFill: of((a) => a!.maskedFill(a!.lt(0), -1), rows),
  tril: of((a) => a!.tril(), [4, 5, 5]),
  cumsum: of((a) => a!.cumsum(1), rows),
  'sum of all': of((a) => a!.sum(), rows),
  'mean of the batch': of((a) => a!.mean(0), rows),
  'max and min': of((a) => a!.max(1).sub(a!.min(-1)), rows),
  variance: of((a) => a!.var(1).add(a!.std([1], false, 0)), rows),
  'prod, logsumexp, norm': of((a) => a!.prod(1).add(a!.logsumexp(1)).add(a!.norm(2, 1)).add(a!.norm(1, 1)), rows),
  'any and all': of((a) => F.logicalAnd(a!.gt(1).any(1), a!.gt(-2).all(1)), rows),
  argmax: of((a) => [a!.argmax(1), a!.argmin(-1, true), a!.argmax(0)], rows),
  topk: of((a) => {
    const { values, indices } = a!.topk(3);
    return [values, indices];
  }, rows),
  sort: of((a) => {
    const { values, indices } = a!.sort({ dim: 1, descending: true });
    return [values, indices];
  }, rows),
  gather: of((a) => a!.gather(1, a!.argmax(1, true)), rows),
  index: of((a) => a!.index([':', tensor(Int32Array.of(3, 0, -1))]), rows),
  'index by pairs': of((a) => a!.index([':', tensor(Int32Array.of(1, 0)), tensor(Int32Array.of(2, -1))]), image),
  indexSelect: of((a) => a!.indexSelect(1, tensor(Int32Array.of(3, 0, 1))), rows),
  oneHot: of((a) => F.oneHot(a!.argmax(1), 5), rows),
  positions: of((a) => a!.add(F.concat([a!.argmax(1, true), a!.argmin(1, true)], 1).sum(1, true)), rows),
  normalize: of((a) => F.normalize(a!), rows),
  cosineSimilarity: of((a, b) => F.cosineSimilarity(a!, b!), rows, rows),
  unfold: of((a) => F.unfold(a!, 3, { padding: 1 }), image),
  area: of((a) => F.interpolate(a!, { size: [4, 4], mode: 'area' }), image),
  'bilinear, antialiased': of((a) => F.interpolate(a!, { size: [4, 4], mode: 'bilinear', antialias: true }), image),
  'scatter: additions, and smaller indices': of(
    (a) => [
      a!.scatterAdd(1, F.cast(a!.abs(), 'int32'), a!.mul(2)),
      a!.indexAdd(1, tensor(Int32Array.of(2, 0, 2)), a!.narrow(1, 0, 3), { alpha: 3 }),
      a!.scatter(1, a!.argmax(1, true), 9),
      a!.scatterReduce(1, F.cast(a!.abs(), 'int32'), a!, 'mean', { includeSelf: false }),
      a!.scatterReduce(1, F.cast(a!.abs(), 'int32'), a!, 'amin', { includeSelf: false }),
      a!.scatterReduce(1, F.cast(a!.abs(), 'int32'), a!, 'mean'),
      a!.indexFill(1, a!.narrow(0, 0, 1).argmax(1), 3),
    ],
    rows,
  ),
  'distances of all rows': of(
    (a, b) => [F.cdist(a!, b!), F.cdist(a!, b!, { p: 1 }), F.cdist(a!, b!, { p: 3 }), F.cdist(a!, b!, { p: 0 })],
    [4, 3, 5],
    [4, 2, 5],
  ),
  'special functions on both sides of zero': of((a) => {
    const x = a!.mul(6).add(0.01);
    return [F.lgamma(x), F.digamma(x).clamp(-20, 20), F.i0e(x), F.i1e(x), F.logNdtr(x), F.sinc(x), F.i1(x)];
  }, rows),
  'angles and signs': of(
    (a, b) => [
      F.atan2(a!.round(), b!.round()),
      F.copysign(a!, b!.round()),
      F.heaviside(a!.round(), b!),
      F.polygamma(a!.mul(3).add(0.1), 1).clamp(0, 50),
      F.ndtri(a!.mul(5).sigmoid()),
    ],
    rows,
    rows,
  ),
  'running extremes, products': of((a) => {
    const { values, indices } = F.cummax(a!, 1);
    return [
      values,
      indices,
      a!.cumprod(1, { exclusive: true, reverse: true }),
      F.logcumsumexp(a!, 1),
      a!.median(1).values,
    ];
  }, rows),
  diagonals: of(
    (a) => [
      F.diagonal(a!, { offset: 1, dim1: 1, dim2: 2 }),
      F.diagEmbed(a!.select(2, 0), { offset: -1 }),
      F.diagonalScatter(a!, a!.select(1, 0).narrow(1, 0, 3), { dim1: 1, dim2: 2 }),
      F.sliceScatter(a!, a!.narrow(2, 0, 2), { dim: 2, start: 1, end: 4, step: 2 }),
    ],
    [4, 3, 5],
  ),
  'a grid to sample at': of(
    (a, b) =>
      (['bilinear', 'nearest', 'bicubic'] as const).map((mode) =>
        F.gridSample(a!, b!.reshape([-1, 3, 4, 2]), { mode, paddingMode: 'reflection', alignCorners: true }),
      ),
    image,
    [4, 24],
  ),
  'pooling and back': of(
    (a) => {
      const { values, indices } = F.maxPool2dWithIndices(a!, { kernel: 2, stride: 2 });
      return [indices, F.maxUnpool2d(values, indices, 2)];
    },
    [4, 3, 6, 6],
  ),
  'lerp, addcmul': of((a, b) => a!.lerp(b!, 0.3).addcmul(a!, b!, { value: 2 }), rows, rows),
  'whole numbers': of((a, b) => a!.mul(9).to('int32').remainder(4).add(b!.mul(9).to('int32').floorDiv(3)), rows, rows),
  bits: of((a, b) => a!.gt(0).bitwiseAnd(b!.gt(0)).logicalOr(a!.eq(b!)).logicalNot(), rows, rows),
  comparisons: of(
    (a, b) => F.where(a!.ge(0).logicalXor(b!.le(1)), a!.ne(0).to('float32'), b!.isfinite().to('float32')),
    rows,
    rows,
  ),
};

const UNARY = [
  'neg',
  'abs',
  'sign',
  'square',
  'exp',
  'exp2',
  'expm1',
  'sin',
  'cos',
  'atan',
  'sinh',
  'cosh',
  'tanh',
  'asinh',
  'erf',
  'erfc',
  'floor',
  'ceil',
  'round',
  'trunc',
  'frac',
  'relu',
  'relu6',
  'sigmoid',
  'logSigmoid',
  'silu',
  'mish',
  'softsign',
  'selu',
  'hardSwish',
  'gelu',
  'leakyRelu',
  'elu',
  'celu',
  'softplus',
  'hardSigmoid',
  'hardTanh',
  'hardshrink',
  'softshrink',
  'tanhshrink',
  'deg2rad',
  'rad2deg',
  'ndtr',
  'nanToNum',
] as const;
const POSITIVE = ['log', 'log2', 'log10', 'log1p', 'sqrt', 'rsqrt', 'reciprocal', 'acosh'] as const;
const WITHIN = ['asin', 'acos', 'atanh', 'tan'] as const;
const BINARY = [
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
  'remainder',
  'fmod',
  'floorDiv',
  'squaredDifference',
  'hypot',
  'logaddexp',
] as const;

const elementwise: Readonly<Record<string, Row>> = {
  'functions of all numbers': of((a) => UNARY.map((name) => F[name](a!)), rows),
  'functions of positive numbers': of((a) => POSITIVE.map((name) => F[name](a!.square().add(1.5))), rows),
  'functions of numbers within 1': of((a) => WITHIN.map((name) => F[name](a!.div(2))), rows),
  'functions of two': of((a, b) => BINARY.map((name) => F[name](a!, b!)), rows, [4, 1]),
  'functions with numbers': of(
    (a) => [
      F.pow(a!.abs(), 1.5),
      F.sub(2, a!),
      a!.clamp(-0.5, 0.5),
      a!.clamp(null, 1),
      F.threshold(a!, 0.1, 20),
      F.gelu(a!, { approximate: 'tanh' }),
      F.softplus(a!, 2),
      F.logit(a!, { eps: 0.1 }),
      a!.add(a!, { alpha: 0.5 }),
    ],
    rows,
  ),
};

await init();

for (const [name, [make, ...shapes]] of Object.entries({ ...layers, ...functions, ...elementwise }))
  withRuntime(name, async () => {
    const inputs = (batch: number) =>
      shapes.map((shape, i) => waves(shape[0] === 4 ? shape.with(0, batch) : shape, i + 1));
    await sameInRuntime(make(), [inputs(4), inputs(2), inputs(5)]);
  });

checkerTest();
test.run();
