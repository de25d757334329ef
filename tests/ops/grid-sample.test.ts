// Sampling at the places of a grid, against float64 loops; affine grids; gradients for the image and the places.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gradcheck } from '../../src/autograd/gradcheck';
import { affineGrid, type GridSampleOptions, gridSample } from '../../src/ops/grid-sample';
import { tensor, zeros } from '../../src/tensor/create';
import { checkOperation, close, numbers, useGpu } from '../util';
import { counted, random } from './linear-maps';

useGpu();

/** The place of a coordinate on an axis of n pixels, by the mode of padding. */
function place(g: number, n: number, { paddingMode, alignCorners }: GridSampleOptions): number {
  const x = alignCorners ? ((g + 1) / 2) * (n - 1) : ((g + 1) * n - 1) / 2;
  if (paddingMode === 'border') return Math.max(0, Math.min(n - 1, x));
  if (paddingMode !== 'reflection') return x;
  const [low, high] = alignCorners ? [0, n - 1] : [-0.5, n - 0.5];
  let at = x;
  while (at < low || at > high) at = at < low ? 2 * low - at : 2 * high - at;
  return Math.max(0, Math.min(n - 1, at));
}

const H = 3;
const W = 4;

function sampled(x: Float64Array, grid: Float64Array, o: GridSampleOptions): number[] {
  const pixel = (r: number, c: number) => (r >= 0 && r < H && c >= 0 && c < W ? x[r * W + c] : 0);
  return Array.from({ length: grid.length / 2 }, (_, i) => {
    const [c, r] = [place(grid[2 * i], W, o), place(grid[2 * i + 1], H, o)];
    if (o.mode === 'nearest') return pixel(Math.round(r), Math.round(c));
    const [r0, c0] = [Math.floor(r), Math.floor(c)];
    const [a, b] = [r - r0, c - c0];
    const row = (k: number) => pixel(k, c0) * (1 - b) + pixel(k, c0 + 1) * b;
    return row(r0) * (1 - a) + row(r0 + 1) * a;
  });
}

test('images: values and gradients', async () => {
  const grid = numbers(12, 2, -1.6, 1.6);
  for (const mode of ['bilinear', 'nearest'] as const)
    for (const paddingMode of ['zeros', 'border', 'reflection'] as const)
      for (const alignCorners of [true, false]) {
        const o = { mode, paddingMode, alignCorners };
        await checkOperation(JSON.stringify(o), {
          shapes: [[1, 1, H, W], [1, 2, 3, 2]],
          values: [numbers(H * W, 1), grid],
          run: (x, g) => gridSample(x, g, o),
          reference: (x, g) => sampled(x, g, o),
        }); // biome-ignore format: shapes in one line
      }
});

test('cubic, volumes, batches', async () => {
  const image = counted([1, 2, 4, 5]);
  const identity = affineGrid(tensor([[[1, 0, 0], [0, 1, 0]]]), [1, 2, 4, 5]); // biome-ignore format: a matrix
  close(await gridSample(image, identity, { mode: 'bicubic' }).data(), await image.data(), 1e-5);
  // Between the middle pixels the weights of Keys' kernel with a = −0.75 are −3/32, 19/32, 19/32, −3/32.
  const row = tensor([1, 2, 4, 8], { shape: [1, 1, 1, 4] });
  const middle = gridSample(row, zeros([1, 1, 1, 2]), { mode: 'bicubic', paddingMode: 'border', alignCorners: true });
  close(await middle.data(), [(19 * 6 - 3 * 9) / 32], 1e-6);
  const volumes = random([2, 1, 2, 3, 2], 4);
  const theta = tensor([[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]]); // biome-ignore format: matrices
  const same = affineGrid(theta, volumes.shape, { alignCorners: true });
  close(await gridSample(volumes, same, { alignCorners: true }).data(), await volumes.data(), 1e-5);
  const places = random([1, 2, 2, 2], 5, true);
  await gradcheck(
    (x, g) => gridSample(x, g, { mode: 'bicubic', paddingMode: 'reflection' }),
    [random([1, 1, 3, 3], 6, true), places],
  );
});

test('affine grids', async () => {
  const theta = tensor([[[1, 2, 3], [0, 1, -1]]]); // biome-ignore format: a matrix
  const grid = await affineGrid(theta, [1, 1, 2, 2], { alignCorners: true }).data();
  assert.equal([...grid], [0, -2, 2, -2, 4, 0, 6, 0]);
  close(await affineGrid(theta, [1, 1, 1, 2]).data(), [2.5, -1, 3.5, -1], 1e-6);
  await gradcheck((t) => affineGrid(t, [1, 1, 2, 3]), [random([1, 2, 3], 7, true)], { kind: 'linear' });
});

test('NaN stays NaN; refused shapes', async () => {
  const image = counted([1, 1, 2, 2]);
  for (const mode of ['bilinear', 'nearest', 'bicubic'] as const)
    for (const paddingMode of ['zeros', 'border', 'reflection'] as const) {
      const y = await gridSample(image, tensor([[[[Number.NaN, 0], [0.5, 0.5]]]]), { mode, paddingMode }).data(); // biome-ignore format: a grid
      assert.equal([...y].map(Number.isNaN), [true, false], `${mode} ${paddingMode}`);
    }
  assert.throws(() => gridSample(image, zeros([1, 2, 2])), /gridSample: input and grid do not fit.*\[1, 2, 2\]/);
  const volume = zeros([1, 1, 2, 2, 2]);
  assert.throws(() => gridSample(volume, zeros([1, 1, 1, 1, 3]), { mode: 'bicubic' }), /for images only/);
  assert.throws(() => affineGrid(zeros([1, 2, 2]), [1, 1, 2, 2]), /affineGrid: theta and the size do not fit/);
});

test.run();
