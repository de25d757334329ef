// Convolutions against float64 loops: strides, four-sided and 'same' padding, dilation, groups, transposed and one-dimensional.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Conv2dOptions } from '../../src/ops/conv';
import { conv2d, convTranspose2d } from '../../src/ops/conv';
import { conv1d } from '../../src/ops/conv-nd';
import { permute } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import { checkOperation, close, numbers, useGpu } from '../util';

useGpu();

interface Geometry {
  stride: [number, number];
  sides: [number, number, number, number];
  dilation: [number, number];
  groups: number;
}

function outShape([n, , h, w]: Shape, [o, , kh, kw]: Shape, { stride, sides, dilation }: Geometry): Shape {
  const oh = Math.floor((h + sides[0] + sides[1] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1;
  return [n, o, oh, Math.floor((w + sides[2] + sides[3] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1];
}

/** Calls `visit` with the flat positions in x, weight and y of every product of a convolution. */
function walk(xShape: Shape, wShape: Shape, g: Geometry, visit: (x: number, w: number, y: number) => void): void {
  const [n, c, h, w] = xShape;
  const [o, perGroup, kh, kw] = wShape;
  const [, , oh, ow] = outShape(xShape, wShape, g);
  for (let b = 0; b < n; b++)
    for (let f = 0; f < o; f++)
      for (let i = 0; i < oh; i++)
        for (let j = 0; j < ow; j++)
          for (let q = 0; q < perGroup; q++)
            for (let u = 0; u < kh; u++)
              for (let v = 0; v < kw; v++) {
                const row = i * g.stride[0] + u * g.dilation[0] - g.sides[0];
                const column = j * g.stride[1] + v * g.dilation[1] - g.sides[2];
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                const channel = Math.floor(f / (o / g.groups)) * perGroup + q;
                visit(
                  ((b * c + channel) * h + row) * w + column,
                  ((f * perGroup + q) * kh + u) * kw + v,
                  ((b * o + f) * oh + i) * ow + j,
                );
              }
}

const addBias = (y: Float64Array, bias: Float64Array | undefined, plane: number) =>
  bias ? y.map((value, i) => value + bias[Math.floor(i / plane) % bias.length]) : y;

const plain: Geometry = { stride: [1, 1], sides: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };
const cases: [string, Shape, Shape, Conv2dOptions, Partial<Geometry>][] = [
  ['3×3', [2, 3, 5, 6], [4, 3, 3, 3], {}, {}],
  ['1×1, stride 2', [2, 4, 5, 5], [3, 4, 1, 1], { stride: 2 }, { stride: [2, 2] }],
  [
    'padding 1, stride 2',
    [1, 2, 7, 6],
    [3, 2, 3, 3],
    { padding: 1, stride: 2 },
    { stride: [2, 2], sides: [1, 1, 1, 1] },
  ],
  ['four sides', [1, 2, 4, 5], [2, 2, 2, 3], { padding: [0, 2, 1, 3] }, { sides: [0, 2, 1, 3] }],
  ["'same', even kernel", [1, 1, 5, 4], [2, 1, 2, 4], { padding: 'same' }, { sides: [0, 1, 1, 2] }],
  [
    'dilation and pairs',
    [1, 2, 9, 8],
    [2, 2, 3, 2],
    { dilation: [2, 3], stride: [1, 2], padding: [2, 0] },
    { dilation: [2, 3], stride: [1, 2], sides: [2, 2, 0, 0] },
  ],
  ['groups', [2, 4, 5, 5], [6, 2, 3, 3], { groups: 2, padding: 1 }, { groups: 2, sides: [1, 1, 1, 1] }],
  ['depthwise', [1, 4, 6, 5], [4, 1, 3, 3], { groups: 4 }, { groups: 4 }],
  ['leftover columns with stride 2', [1, 1, 6, 8], [1, 1, 3, 3], { stride: 3 }, { stride: [3, 3] }],
  // Lanes of a CPU driver borrow from their neighbours: rows read that are longer than what the lanes of a row own.
  ['rows far longer than written', [2, 2, 8, 8], [2, 2, 3, 3], { dilation: 3 }, { dilation: [3, 3] }],
  ['rows of several lanes', [1, 2, 3, 16], [4, 2, 3, 3], { padding: 1 }, { sides: [1, 1, 1, 1] }],
  [
    'wide dilation across lanes',
    [1, 2, 6, 16],
    [4, 2, 3, 3],
    { dilation: [1, 6], padding: [1, 6] },
    { dilation: [1, 6], sides: [1, 1, 6, 6] },
  ],
];
for (const [i, [name, xShape, wShape, options, geometry]] of cases.entries())
  test(`conv2d: ${name}`, () =>
    checkOperation('conv2d', {
      shapes: [xShape, wShape, [wShape[0]]],
      values: [numbers(size(xShape), i), numbers(size(wShape), 50 + i), numbers(wShape[0], 99)],
      run: (x, w, b) => conv2d(x, w, b, options),
      reference: (x, w, b) => {
        const g = { ...plain, ...geometry };
        const y = new Float64Array(size(outShape(xShape, wShape, g)));
        walk(xShape, wShape, g, (ix, iw, iy) => {
          y[iy] += x[ix] * w[iw];
        });
        const [, , oh, ow] = outShape(xShape, wShape, g);
        return addBias(y, b, oh * ow);
      },
    }));

test('convTranspose2d is the transpose of a convolution', async () => {
  for (const { outputPadding, groups } of [
    { outputPadding: 0, groups: 1 },
    { outputPadding: 1, groups: 2 },
  ]) {
    const xShape = [2, 4, 3, 4];
    const wShape = [4, 3, 3, 2];
    const g: Geometry = { stride: [2, 2], sides: [1, 1, 1, 1], dilation: [1, 1], groups };
    const full = [2, 3 * groups, 2 * 2 - 2 + 3 + outputPadding, 3 * 2 - 2 + 2 + outputPadding];
    await checkOperation('convTranspose2d', {
      shapes: [xShape, wShape, [full[1]]],
      values: [numbers(size(xShape), 1), numbers(size(wShape), 2), numbers(full[1], 3)],
      run: (x, w, b) => convTranspose2d(x, w, b, { stride: 2, padding: 1, outputPadding, groups }),
      reference: (x, w, b) => {
        const y = new Float64Array(size(full));
        walk(full, wShape, g, (iy, iw, ix) => {
          y[iy] += x[ix] * w[iw];
        });
        return addBias(y, b, full[2] * full[3]);
      },
    });
  }
});

test('conv1d', () =>
  checkOperation('conv1d', {
    shapes: [
      [2, 2, 9],
      [4, 1, 3],
    ],
    values: [numbers(36, 1), numbers(12, 2)],
    run: (x, w) => conv1d(x, w, null, { padding: [2, 1], stride: 2, dilation: 2, groups: 2 }),
    reference: (x, w) => {
      const y = new Float64Array(2 * 4 * 4);
      const g: Geometry = { stride: [1, 2], sides: [0, 0, 2, 1], dilation: [1, 2], groups: 2 };
      walk([2, 2, 1, 9], [4, 1, 1, 3], g, (ix, iw, iy) => {
        y[iy] += x[ix] * w[iw];
      });
      return y;
    },
  }));

test('views, empty batches', async () => {
  const x = tensor(Float32Array.from(numbers(2 * 5 * 5 * 3, 1)), { shape: [2, 5, 5, 3] });
  const w = tensor(Float32Array.from(numbers(4 * 3 * 9, 2)), { shape: [4, 3, 3, 3] });
  const nchw = permute(x, [0, 3, 1, 2]);
  const copied = tensor(Float32Array.from(await nchw.data()), { shape: nchw.shape });
  close(await conv2d(nchw, w).data(), await conv2d(copied, w).data(), 0);
  assert.equal(conv2d(zeros([0, 3, 5, 5]), w).shape, [0, 4, 3, 3]);
});

test('refuses what does not fit', () => {
  const x = zeros([2, 3, 8, 8]);
  assert.throws(
    () => conv2d(x, zeros([4, 2, 3, 3])),
    /conv2d: the weight is for 2 input channels, the input has 3 \(input \[2, 3, 8, 8\], weight \[4, 2, 3, 3\]\)/,
  );
  assert.throws(() => conv2d(x, zeros([4, 3, 9, 9])), /does not fit into 8×8/);
  assert.equal(conv2d(zeros([3, 8, 8]), zeros([4, 3, 3, 3])).shape, [4, 6, 6]); // one image without a batch
  assert.throws(() => conv2d(zeros([8, 8]), zeros([4, 3, 3, 3])), /four dimensions.*\[8, 8\].*\[C, H, W\]/);
  assert.throws(() => conv2d(x, zeros([4, 3, 3, 3]), zeros([3])), /one element for each output channel: \[4\]/);
  assert.throws(() => conv2d(x, zeros([4, 3, 3, 3]), null, { stride: 0 }), /stride/);
  assert.throws(() => conv2d(x, zeros([4, 3, 3, 3]), null, { stride: 2, padding: 'same' }), /'same' needs stride 1/);
  assert.throws(() => conv2d(x, zeros([4, 1, 3, 3]), null, { groups: 2 }), /groups/);
});

test.run();
