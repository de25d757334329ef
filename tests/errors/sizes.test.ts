// Options that are a number for all axes or one for each: lists of another length are refused by name, in functions and layers; a list of one counts for all.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, InputError, nn, optim, type Tensor, zeros } from '../../src/index';
import { useGpu } from '../util';

useGpu();

const lines = () => zeros([1, 2, 6]);
const images = () => zeros([1, 2, 6, 6]);
const volumes = () => zeros([1, 2, 6, 6, 6]);
const three = [1, 1, 1] as unknown as [number, number];
const two = [1, 1] as const;

/** Calls by what the message has to name. */
const wrong: [string, () => unknown][] = [
  ['maxPool2d: kernel', () => F.maxPool2d(images(), three)],
  ['maxPool2d: stride', () => F.maxPool2d(images(), { kernel: 2, stride: three })],
  ['maxPool2d: dilation', () => F.maxPool2d(images(), { kernel: 2, dilation: three })],
  ['maxPool2d: padding', () => F.maxPool2d(images(), { kernel: 2, padding: three })],
  ['maxPool2d: padding', () => F.maxPool2d(images(), { kernel: 2, padding: [] as never })],
  ['avgPool2d: padding', () => F.avgPool2d(images(), { kernel: 2, padding: three })],
  ['lpPool2d: stride', () => F.lpPool2d(images(), 2, 2, { stride: three })],
  ['maxPool1d: padding', () => F.maxPool1d(lines(), { kernel: 2, padding: two })],
  ['avgPool3d: stride', () => F.avgPool3d(volumes(), { kernel: 2, stride: two })],
  ['adaptiveAvgPool2d: outputSize', () => F.adaptiveAvgPool2d(images(), three)],
  ['adaptiveMaxPool2d: outputSize', () => F.adaptiveMaxPool2d(images(), three)],
  ['adaptiveAvgPool3d: outputSize', () => F.adaptiveAvgPool3d(volumes(), two as never)],
  ['conv2d: stride', () => F.conv2d(images(), zeros([2, 2, 3, 3]), null, { stride: three })],
  ['conv2d: dilation', () => F.conv2d(images(), zeros([2, 2, 3, 3]), null, { dilation: three })],
  ['conv2d: padding', () => F.conv2d(images(), zeros([2, 2, 3, 3]), null, { padding: three })],
  [
    'convTranspose2d: outputPadding',
    () => F.convTranspose2d(images(), zeros([2, 2, 3, 3]), null, { outputPadding: three }),
  ],
  ['conv1d: padding', () => F.conv1d(lines(), zeros([2, 2, 3]), null, { padding: three })],
  ['conv1d: stride', () => F.conv1d(lines(), zeros([2, 2, 3]), null, { stride: two })],
  ['conv3d: padding', () => F.conv3d(volumes(), zeros([2, 2, 3, 3, 3]), null, { padding: two })],
  ['unfold: kernelSize', () => F.unfold(images(), three)],
  ['fold: outputSize', () => F.fold(zeros([1, 2, 36]), [...two, 1] as never, 1)],
  ['interpolate: the size', () => F.interpolate(images(), { size: three })],
  ['interpolate: the size', () => F.interpolate(images(), { scaleFactor: three })],
  ['rot90: dims', () => F.rot90(images(), { dims: three })],
  ['Conv2d: kernelSize', () => new nn.Conv2d(1, 1, three)],
  ['Conv2d: stride', () => new nn.Conv2d(1, 1, 3, { stride: three })],
  ['Conv2d: padding', () => new nn.Conv2d(1, 1, 3, { padding: three })],
  ['Conv1d: dilation', () => new nn.Conv1d(1, 1, 3, { dilation: two })],
  ['Conv3d: padding', () => new nn.Conv3d(1, 1, 3, { padding: two })],
  ['ConvTranspose2d: outputPadding', () => new nn.ConvTranspose2d(1, 1, 3, { outputPadding: three })],
  ['MaxPool2d: padding', () => new nn.MaxPool2d(2, { padding: three })],
  ['AvgPool1d: kernel', () => new nn.AvgPool1d(two)],
  ['LPPool2d: kernelSize', () => new nn.LPPool2d(2, three)],
  ['MaxUnpool2d: stride', () => new nn.MaxUnpool2d(2, { stride: three })],
  ['AdaptiveAvgPool2d: outputSize', () => new nn.AdaptiveAvgPool2d(three)],
  ['AdaptiveMaxPool1d: outputSize', () => new nn.AdaptiveMaxPool1d(two)],
  ['Unfold: dilation', () => new nn.Unfold(2, { dilation: three })],
  ['Fold: outputSize', () => new nn.Fold(three, 2)],
  ['Adam: betas', () => new optim.Adam([new nn.Parameter(zeros([1]))], { betas: three })],
  ['Adamax: betas', () => new optim.Adamax([new nn.Parameter(zeros([1]))], { betas: [0.9] as never })],
];

test('a list of another length is refused', () => {
  for (const [told, call] of wrong)
    assert.throws(call, (e: Error) => e instanceof InputError && e.message.startsWith(told), told);
});

test('a list of one counts for all axes, as in PyTorch', () => {
  const one = [2] as unknown as [number, number];
  const shapes: [Tensor, number[]][] = [
    [F.maxPool2d(images(), one), [1, 2, 3, 3]],
    [F.avgPool2d(images(), { kernel: one, padding: [1] as never }), [1, 2, 4, 4]],
    [F.conv2d(images(), zeros([2, 2, 3, 3]), null, { stride: one, padding: [1] as never }), [1, 2, 3, 3]],
    [F.unfold(images(), one, { stride: one }), [1, 8, 9]],
    [F.adaptiveAvgPool2d(images(), [null, 2]), [1, 2, 6, 2]],
    [new nn.Conv2d(2, 3, one).forward(images()), [1, 3, 5, 5]],
  ];
  for (const [y, shape] of shapes) assert.equal(y.shape, shape);
});

test('a side of padding each goes with every padding mode', async () => {
  const layer = new nn.Conv2d(1, 1, 1, { padding: [1, 0, 2, 0], paddingMode: 'replicate', bias: false });
  assert.equal(layer.forward(zeros([1, 1, 3, 3])).shape, [1, 1, 4, 5]);
});

test.run();
