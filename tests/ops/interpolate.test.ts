// Resizing: values that PyTorch 2.13 gives in float64, the same along other axes, gradients of both orders, wrong calls.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mul } from '../../src/ops/elementwise';
import { type InterpolateMode, type InterpolateOptions, interpolate } from '../../src/ops/interpolate';
import { reshape } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import { close, useGpu } from '../util';
import { checkLinear } from './linear-maps';

useGpu();

/** F.interpolate of [1, 2, 4, 8, 16], or of that as an image of one row, of which the options give the last axis. */
const lines: [InterpolateOptions, number[]][] = [
  [{ size: 8 }, [1, 1, 2, 2, 4, 8, 8, 16]],
  [{ size: 8, mode: 'nearest-exact' }, [1, 1, 2, 4, 4, 8, 16, 16]],
  [{ scaleFactor: 0.7 }, [1, 2, 4]],
  [{ size: 3, mode: 'area' }, [1.5, 4.666667, 12]],
  [{ size: 7, mode: 'linear' }, [1, 1.571429, 2.571429, 4, 6.857143, 11.428571, 16]],
  [{ size: 7, mode: 'linear', alignCorners: true }, [1, 1.666667, 2.666667, 4, 6.666667, 10.666667, 16]],
  [{ scaleFactor: 1.5, mode: 'linear' }, [1, 1.5, 2.333333, 3.666667, 6, 9.333333, 14.666667]],
  [
    { scaleFactor: 1.5, mode: 'linear', recomputeScaleFactor: true },
    [1, 1.571429, 2.571429, 4, 6.857143, 11.428571, 16],
  ],
];
const images: [InterpolateOptions, number[]][] = [
  [{ size: [1, 3], mode: 'bilinear', antialias: true }, [1.428571, 4.444444, 12.571429]],
  [{ size: [1, 7], mode: 'bicubic' }, [0.921283, 1.370262, 2.462099, 4, 6.157434, 11.778426, 16.629738]],
  [{ size: [1, 7], mode: 'bicubic', alignCorners: true }, [1, 1.462963, 2.518519, 4, 5.962963, 10.962963, 16]],
  [{ size: [1, 3], mode: 'bicubic', antialias: true }, [1.230769, 4.15814, 12.861538]],
];
const x = [1, 2, 4, 8, 16];

test('values along a line', async () => {
  for (const [options, want] of lines)
    close(await interpolate(tensor(x, { shape: [1, 1, 5] }), options).data(), want, 1e-6, JSON.stringify(options));
  for (const [options, want] of images)
    close(await interpolate(tensor(x, { shape: [1, 1, 1, 5] }), options).data(), want, 1e-6, JSON.stringify(options));
});

test('images and volumes: each axis by itself', async () => {
  const line = tensor(x);
  const plane = reshape(mul(reshape(line, [5, 1]), line), [1, 1, 5, 5]);
  const volume = mul(reshape(plane, [1, 1, 5, 5, 1]), line);
  const outer = (a: number[], b: number[]) => a.flatMap((p) => b.map((q) => p * q));
  for (const [{ size, ...options }, want] of images) {
    const both = [(size as number[])[1], (size as number[])[1]];
    close(await interpolate(plane, { ...options, size: both }).data(), outer(want, want), 1e-5);
  }
  for (const [options, want] of lines) {
    const more = options.mode === 'linear' ? ({ ...options, mode: 'bilinear' } as const) : options;
    close(await interpolate(plane, more).data(), outer(want, want), 1e-5, JSON.stringify(more));
    const most = options.mode === 'linear' ? ({ ...options, mode: 'trilinear' } as const) : options;
    const expected = outer(outer(want, want), want);
    close(await interpolate(volume, most).data(), expected, 1e-5, JSON.stringify(most));
  }
});

test('gradients, of both orders, and views', async () => {
  await checkLinear((t) => interpolate(t, { size: [5, 2], mode: 'bilinear' }), [1, 2, 3, 4]);
  await checkLinear((t) => interpolate(t, { scaleFactor: 0.6, mode: 'bicubic', antialias: true }), [1, 1, 5, 4]);
  await checkLinear((t) => interpolate(t, { size: 7 }), [2, 1, 3]);
});

test('sizes that stay, empty batches, NaN', async () => {
  const image = tensor(x, { shape: [1, 1, 1, 5] });
  assert.equal([...(await interpolate(image, { scaleFactor: 1.1 }).data())], x);
  // The same size by another factor: PyTorch leaves linear weights and images by 'nearest' as they are, nothing else.
  const three = (shape: number[], mode: InterpolateMode) =>
    interpolate(tensor([0, 1, 2], { shape }), { scaleFactor: [...shape.slice(3).map(() => 1), 1.3], mode }).data();
  assert.equal([...(await three([1, 1, 3], 'linear'))], [0, 1, 2]);
  assert.equal([...(await three([1, 1, 3], 'nearest'))], [0, 0, 1]);
  assert.equal([...(await three([1, 1, 1, 1, 3], 'nearest'))], [0, 0, 1]);
  assert.equal([...(await three([1, 1, 1, 3], 'nearest'))], [0, 1, 2]);
  assert.equal([...(await three([1, 1, 1, 3], 'nearest-exact'))], [0, 1, 1]);
  assert.equal(interpolate(zeros([0, 3, 2, 2]), { scaleFactor: 2 }).shape, [0, 3, 4, 4]);
  const odd = tensor([0, Number.NaN, 2], { shape: [1, 1, 3] });
  const y = await interpolate(odd, { size: 6, mode: 'linear' }).data();
  assert.equal([...y].map(Number.isNaN), [false, true, true, true, true, false]);
});

test('refused', () => {
  const image = zeros([1, 1, 4, 4]);
  for (const [options, message] of [
    [{}, /either size or scaleFactor/],
    [{ size: 2, scaleFactor: 2 }, /either size or scaleFactor/],
    [{ size: 2, alignCorners: true }, /alignCorners means nothing to mode 'nearest'/],
    [{ size: 2, mode: 'area', antialias: true }, /antialias is not for mode 'area'/],
    [{ size: 2, mode: 'linear' }, /mode 'linear' does not fit.*\[1, 1, 4, 4\]/],
    [{ size: [2, 2, 2] }, /size would be \[2,2,2\].*\[1, 1, 4, 4\]/],
    [{ scaleFactor: 0.1 }, /size would be \[0,0\]/],
    [{ size: 2, recomputeScaleFactor: true }, /recomputeScaleFactor needs scaleFactor/],
  ] as [InterpolateOptions, RegExp][])
    assert.throws(() => interpolate(image, options), message);
  assert.throws(() => interpolate(zeros([1, 1, 4], { dtype: 'int32' }), { size: 2 }), /int32, not float32/);
});

test.run();
