// Windows as columns and back, pixels and channels, padding in PyTorch's form: against loops over positions.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cast } from '../../src/ops/elementwise';
import { channelShuffle, type FoldOptions, fold, pixelShuffle, pixelUnshuffle, unfold } from '../../src/ops/fold';
import { pad } from '../../src/ops/pad';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { checkLinear, counted, random } from './linear-maps';

useGpu();

const cases: [[number, number], FoldOptions & { kernelSize: number | [number, number] }][] = [
  [[4, 5], { kernelSize: [2, 3] }],
  [[5, 6], { kernelSize: 2, padding: 1, stride: [2, 1] }],
  [[5, 7], { kernelSize: [3, 2], dilation: [1, 2], padding: [0, 1], stride: 2 }],
];

/** For each row of columns and each window, the position in an image of one channel, or −1. */
function positions([h, w]: readonly number[], o: (typeof cases)[number][1]): number[][] {
  const pair = (v: number | readonly number[] = 1) => (typeof v === 'number' ? [v, v] : v);
  const [k, s, p, d] = [pair(o.kernelSize), pair(o.stride), pair(o.padding ?? 0), pair(o.dilation)];
  const count = [h, w].map((n, i) => Math.floor((n + 2 * p[i] - d[i] * (k[i] - 1) - 1) / s[i]) + 1);
  const rows: number[][] = [];
  for (let a = 0; a < k[0]; a++)
    for (let b = 0; b < k[1]; b++) {
      const row: number[] = [];
      for (let i = 0; i < count[0]; i++)
        for (let j = 0; j < count[1]; j++) {
          const [y, x] = [i * s[0] - p[0] + a * d[0], j * s[1] - p[1] + b * d[1]];
          row.push(y >= 0 && y < h && x >= 0 && x < w ? y * w + x : -1);
        }
      rows.push(row);
    }
  return rows;
}

test('unfold and fold', async () => {
  for (const [[h, w], { kernelSize, ...o }] of cases) {
    const at = positions([h, w], { kernelSize, ...o });
    const x = random([2, 3, h, w], 1);
    const data = await x.data();
    const planes = Array.from({ length: 6 }, (_, i) => data.subarray(i * h * w, (i + 1) * h * w));
    const want = planes.flatMap((plane) => at.flatMap((row) => row.map((i) => (i < 0 ? 0 : plane[i]))));
    const y = unfold(x, kernelSize, o);
    assert.equal(y.shape, [2, 3 * at.length, at[0].length]);
    close(await y.data(), want, 0);
    const columns = random(y.shape, 2);
    const values = await columns.data();
    const image = new Float64Array(6 * h * w);
    for (let i = 0, plane = 0; plane < 6; plane++)
      for (const row of at)
        for (const p of row) (p < 0 ? [] : [p]).forEach((q) => (image[plane * h * w + q] += values[i])), i++;
    close(await fold(columns, [h, w], kernelSize, o).data(), image, 1e-6);
  }
  const [size, { kernelSize, ...o }] = cases[1];
  await checkLinear((t) => unfold(t, kernelSize, o), [1, ...size]);
  await checkLinear((t) => fold(t, 3, 2), [4, 4]);
});

test('pixels and channels change places', async () => {
  const y = pixelShuffle(counted([1, 4, 1, 2]), 2);
  assert.equal(await y.toArray(), [[[[0, 2, 1, 3], [4, 6, 5, 7]]]]); // biome-ignore format: an image
  assert.equal(await pixelUnshuffle(y, 2).toArray(), [[[[0, 1]], [[2, 3]], [[4, 5]], [[6, 7]]]]);
  assert.equal([...(await channelShuffle(counted([1, 6, 1]), 2).data())], [0, 3, 1, 4, 2, 5]);
  const whole = pixelShuffle(tensor(new Int32Array([1, 2, 3, 4]), { shape: [4, 1, 1] }), 2);
  assert.equal(await whole.toArray(), [[[1, 2], [3, 4]]]); // biome-ignore format: an image
  await checkLinear((t) => pixelShuffle(t, 2), [4, 1, 3]);
});

test("padding in PyTorch's form", async () => {
  const line = tensor([1, 2, 3, 4], { shape: [1, 4] });
  for (const [amounts, options, want] of [
    [[1, 2], {}, [0, 1, 2, 3, 4, 0, 0]],
    [[-1, 2], { value: 9 }, [2, 3, 4, 9, 9]],
    [[2, 1], { mode: 'reflect' }, [3, 2, 1, 2, 3, 4, 3]],
    [[-1, 3], { mode: 'reflect' }, [2, 3, 4, 3, 2, 1]],
    [[1, -2], { mode: 'replicate' }, [1, 1, 2]],
    [[-1, 2], { mode: 'circular' }, [2, 3, 4, 2, 3]],
    [[1, 1], { mode: 'symmetric' }, [1, 1, 2, 3, 4, 4]],
  ] as [number[], Parameters<typeof pad>[2], number[]][]) {
    assert.equal([...(await pad(line, amounts, options).data())], want, JSON.stringify([amounts, options]));
    const whole = pad(cast(line, 'int32'), amounts, options);
    assert.equal([whole.dtype, ...(await whole.data())], ['int32', ...want]);
  }
  // The last dimension comes first; the nested form begins with the first.
  const y = pad(counted([2, 2]), [1, 0, 0, 1]);
  assert.equal(await y.toArray(), [[0, 0, 1], [0, 2, 3], [0, 0, 0]]); // biome-ignore format: a matrix
  assert.equal(await pad(counted([2, 2]), [[0, 1], [1, 0]]).toArray(), await y.toArray()); // biome-ignore format: amounts
  await checkLinear((t) => pad(t, [2, -1, 1, 1]), [3, 4]);
  await checkLinear((t) => pad(t, [2, 1, 1, 2], { mode: 'reflect' }), [3, 4]);
});

test('refused', () => {
  const image = zeros([1, 5, 4, 4]);
  for (const [call, message] of [
    [() => unfold(image, 6), /unfold: windows \[6,6\] do not fit into \[4,4\]/],
    [() => unfold(zeros([4]), 2), /unfold: 1 dimensions/],
    [() => fold(zeros([1, 5, 4]), 3, 2), /fold: columns of 5 elements.*4 windows of C·4/],
    [() => pixelShuffle(image, 2), /pixelShuffle: the sizes are no multiples.*\[1, 5, 4, 4\]/],
    [() => channelShuffle(image, 0), /channelShuffle: groups is 0/],
    [() => pad(image, [1]), /pad: the amounts are \[1\].*flat list/],
    [() => pad(image, [-3, -2]), /pad: dimension 3 of size 4 cannot lose/],
    [() => pad(image, [4, 0], { mode: 'reflect' }), /mode 'reflect' cannot add 4.*At most 3/s],
  ] as [() => Tensor, RegExp][])
    assert.throws(call, message);
});

test('images of nothing keep their shapes', () => {
  assert.equal(pixelShuffle(zeros([2, 0, 2, 3]), 2).shape, [2, 0, 4, 6]);
  assert.equal(pixelUnshuffle(zeros([0, 1, 4, 6]), 2).shape, [0, 4, 2, 3]);
  assert.equal(unfold(zeros([0, 1, 4, 6]), 2).shape, [0, 4, 15]);
});

test.run();
