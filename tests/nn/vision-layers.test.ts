// Layers for images: each computes what its function in F computes, shows its options, and has PyTorch's keys.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, nn, noGrad, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

const input = (...shape: number[]) =>
  tensor(Float32Array.from(numbers(shape.reduce((a, b) => a * b, 1), 1)), { shape }); // biome-ignore format: one line

type Row = [layer: nn.Module, want: (x: Tensor) => Tensor, text?: string];

const rowsOf = (): Record<string, Row[]> => ({
  line: [
    [new nn.MaxPool1d(2, { stride: 1 }), (x) => F.maxPool1d(x, 2, { stride: 1 }), 'MaxPool1d(2, {"stride":1})'],
    [new nn.AvgPool1d({ kernelSize: 3 }), (x) => F.avgPool1d(x, 3)],
    [new nn.LPPool1d(2, 3), (x) => F.lpPool1d(x, 2, 3)],
    [new nn.AdaptiveAvgPool1d(3), (x) => F.adaptiveAvgPool1d(x, 3)],
    [new nn.AdaptiveMaxPool1d(3), (x) => F.adaptiveMaxPool1d(x, 3), 'AdaptiveMaxPool1d(3)'],
    [new nn.ReflectionPad1d([2, 1]), (x) => F.pad(x, [2, 1], { mode: 'reflect' })],
    [new nn.InstanceNorm1d(4), (x) => F.instanceNorm(x)],
  ],
  image: [
    [new nn.MaxPool2d(3, { stride: 2, padding: 1 }), (x) => F.maxPool2d(x, { kernel: 3, stride: 2, padding: 1 })],
    [new nn.AdaptiveMaxPool2d([2, null]), (x) => F.adaptiveMaxPool2d(x, [2, null])],
    [new nn.LPPool2d(2, 2), (x) => F.lpPool2d(x, 2, 2)],
    [new nn.Upsample({ scaleFactor: 2 }), (x) => F.interpolate(x, { scaleFactor: 2 })],
    [new nn.PixelShuffle(2), (x) => F.pixelShuffle(x, 2), 'PixelShuffle(2)'],
    [new nn.PixelUnshuffle(3), (x) => F.pixelUnshuffle(x, 3)],
    [new nn.ChannelShuffle(2), (x) => F.channelShuffle(x, 2)],
    [new nn.Unfold([2, 3]), (x) => F.unfold(x, [2, 3])],
    [new nn.ZeroPad2d(1), (x) => F.pad(x, [1, 1, 1, 1])],
    [new nn.ConstantPad2d([1, 0, 2, 0], 3), (x) => F.pad(x, [1, 0, 2, 0], { value: 3 })],
    [new nn.ReplicationPad2d(2), (x) => F.pad(x, [2, 2, 2, 2], { mode: 'replicate' })],
    [new nn.CircularPad2d(2), (x) => F.pad(x, [2, 2, 2, 2], { mode: 'circular' }), 'CircularPad2d(2)'],
    [new nn.LocalResponseNorm(3), (x) => F.localResponseNorm(x, 3)],
    [new nn.RMSNorm(6), (x) => F.rmsNorm(x, 6), 'RMSNorm([6]) · 6 parameters'],
    [new nn.Unflatten(1, [2, -1]), (x) => x.reshape([2, 2, 2, 6, 6]), 'Unflatten(1, [2, -1])'],
    [new nn.LayerNorm(6, { elementwiseAffine: false }), (x) => F.layerNorm(x, 6)],
    [new nn.BatchNorm2d(4, { trackRunningStats: false }).eval(), (x) => F.batchNorm(x, { training: true })],
  ],
  volume: [
    [new nn.MaxPool3d(2), (x) => F.maxPool3d(x, 2)],
    [new nn.AvgPool3d(2, { divisorOverride: 3 }), (x) => F.avgPool3d(x, 2, { divisorOverride: 3 })],
    [new nn.AdaptiveAvgPool3d(1), (x) => F.adaptiveAvgPool3d(x, 1)],
    [new nn.ReplicationPad3d(1), (x) => F.pad(x, [1, 1, 1, 1, 1, 1], { mode: 'replicate' })],
    [new nn.BatchNorm3d(2), (x) => F.batchNorm(x, { training: true })],
  ],
});

test('layers are their functions', async () => {
  const inputs = { line: input(2, 4, 6), image: input(2, 4, 6, 6), volume: input(1, 2, 4, 2, 3) };
  for (const [kind, list] of Object.entries(rowsOf()))
    for (const [layer, want, text] of list) {
      const x = inputs[kind as keyof typeof inputs];
      close(await layer.forward(x).data(), await want(x).data(), 1e-6, String(layer));
      if (text) assert.is(String(layer), text);
    }
});

test('convolutions: shapes of weights, borders other than zeros', async () => {
  const shapes = (m: nn.AnyModule) => Object.fromEntries(Object.entries(m.stateDict()).map(([k, t]) => [k, t.shape]));
  assert.equal(shapes(new nn.Conv3d(4, 6, [1, 2, 3], { groups: 2 })), { weight: [6, 2, 1, 2, 3], bias: [6] });
  assert.equal(shapes(new nn.ConvTranspose1d(4, 6, 3, { groups: 2, bias: false })), { weight: [4, 3, 3] });
  assert.equal(new nn.ConvTranspose3d(2, 3, 2, { stride: 2 }).forward(input(1, 2, 2, 2, 2)).shape, [1, 3, 4, 4, 4]);
  assert.equal(new nn.Conv3d(2, 3, 3, { padding: 1 }).forward(input(1, 2, 4, 3, 2)).shape, [1, 3, 4, 3, 2]);
  const x = input(1, 2, 5, 4);
  for (const [padding, sides] of [
    ['same', [0, 1, 1, 1]],
    [
      [2, 1],
      [1, 1, 2, 2],
    ],
  ] as const) {
    // biome-ignore format: rows
    const conv = new nn.Conv2d(2, 3, [3, 2], { padding, paddingMode: 'circular' });
    const want = F.conv2d(F.pad(x, sides, { mode: 'circular' }), conv.weight, conv.bias);
    close(await conv.forward(x).data(), await want.data(), 1e-6);
  }
});

test('instance norm: keys, running statistics, one sample', async () => {
  const norm = new nn.InstanceNorm2d(4, { affine: true, trackRunningStats: true });
  assert.equal(Object.keys(norm.stateDict()).sort(), [
    'bias',
    'num_batches_tracked',
    'running_mean',
    'running_var',
    'weight',
  ]);
  const x = input(2, 4, 3, 3);
  norm.forward(x);
  close(await norm.runningMean!.data(), await x.mean([0, 2, 3]).mul(0.1).data(), 1e-6);
  norm.eval();
  const { runningMean, runningVar } = norm;
  const want = F.batchNorm(x, { runningMean, runningVar });
  close(await noGrad(() => norm.forward(x)).data(), await want.data(), 1e-6);
  assert.equal(new nn.InstanceNorm1d(3).forward(input(3, 5)).shape, [3, 5]);
  assert.throws(() => norm.forward(input(2, 3, 3, 3)), /InstanceNorm2d: made for 4 channels.*\[2, 3, 3, 3\]/);
});

test('max-pooling layers give the places as well, where they are asked for', async () => {
  const [line, image, volume] = [input(2, 3, 8), input(2, 3, 8, 6), input(1, 2, 4, 6, 4)];
  for (const [layer, want] of [
    [new nn.MaxPool1d(2, { returnIndices: true }).forward(line), F.maxPool1dWithIndices(line, 2)],
    [new nn.MaxPool2d({ kernel: 2, returnIndices: true }).forward(image), F.maxPool2dWithIndices(image, 2)],
    [
      new nn.MaxPool2d(3, { stride: 2, returnIndices: true }).forward(image),
      F.maxPool2dWithIndices(image, 3, { stride: 2 }),
    ],
    [new nn.MaxPool3d(2, { returnIndices: true }).forward(volume), F.maxPool3dWithIndices(volume, 2)],
    [new nn.AdaptiveMaxPool1d(3, { returnIndices: true }).forward(line), F.adaptiveMaxPool1dWithIndices(line, 3)],
    [new nn.AdaptiveMaxPool2d(2, { returnIndices: true }).forward(image), F.adaptiveMaxPool2dWithIndices(image, 2)],
    [new nn.AdaptiveMaxPool3d(2, { returnIndices: true }).forward(volume), F.adaptiveMaxPool3dWithIndices(volume, 2)],
  ] as const) {
    assert.equal(await layer.values.data(), await want.values.data());
    assert.equal(await layer.indices.data(), await want.indices.data());
  }
  const plain: Tensor = new nn.MaxPool2d(2, { returnIndices: false }).forward(image);
  assert.equal(plain.shape, [2, 3, 4, 3]);
  assert.throws(() => new nn.MaxPool2d(2, { returnIndices: 1 as never }), /MaxPool2d: returnIndices 1 must be true or/);
  assert.throws(() => new nn.AdaptiveMaxPool1d(2, { indices: true } as never), /AdaptiveMaxPool1d: there is no option/);
});

test('unpooling takes positions; what is refused when a layer is made', async () => {
  const { values, indices } = F.maxPool2dWithIndices(input(1, 2, 4, 5), 2);
  const unpool = new nn.MaxUnpool2d(2);
  assert.equal(unpool.forward(values, indices, [4, 5]).shape, [1, 2, 4, 5]);
  close(await unpool.forward(values, indices).data(), await F.maxUnpool2d(values, indices, 2).data(), 0);
  assert.throws(() => new nn.MaxPool1d({ stride: 2 }), /MaxPool1d: the size of the window is missing/);
  assert.throws(() => new nn.Upsample({}), /Upsample: either size or scaleFactor/);
  assert.throws(() => new nn.ReflectionPad2d([1, 2]), /ReflectionPad2d: padding is \[1,2\].*or 4/);
  assert.throws(() => new nn.MaxPool2d(2).forward(zeros([2, 2])), /maxPool2d: 2 dimensions/);
});

test.run();
