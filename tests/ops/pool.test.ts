// Pooling against float64 loops.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { adaptiveAvgPool2d, avgPool2d, globalAvgPool2d, maxPool2d, maxPool2dWithIndices } from '../../src/ops/pool';
import { tensor, zeros } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import { checkOperation, numbers, useGpu } from '../util';

useGpu();

interface Windows {
  kernel: [number, number];
  stride: [number, number];
  padding: [number, number, number, number];
  dilation?: [number, number];
  ceilMode?: boolean;
  countIncludePad?: boolean;
}

/** Every window as its list of positions in the plane, and the number that an average divides by. */
function windowsOf(h: number, w: number, o: Windows) {
  const axis = (n: number, i: 0 | 1) => {
    const [k, s, d] = [o.kernel[i], o.stride[i], o.dilation?.[i] ?? 1];
    const [before, after] = [o.padding[2 * i], o.padding[2 * i + 1]];
    const list: { at: number[]; extent: number }[] = [];
    for (let start = -before; ; start += s) {
      const end = start + (k - 1) * d;
      const fits = end < n + after || (o.ceilMode && start < n && end - s < n + after - 1);
      if (!fits) return list;
      const at = Array.from({ length: k }, (_, j) => start + j * d);
      const extent =
        o.countIncludePad === false ? at.filter((p) => p >= 0 && p < n).length : Math.min(end + 1, n + after) - start;
      list.push({ at: at.filter((p) => p >= 0 && p < n), extent });
    }
  };
  const [rows, columns] = [axis(h, 0), axis(w, 1)];
  return rows.flatMap((r) =>
    columns.map((c) => ({ at: r.at.flatMap((y) => c.at.map((x) => y * w + x)), count: r.extent * c.extent })),
  );
}

const cases: [number[], Windows][] = [
  [[2, 3, 6, 8], { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0] }],
  [[1, 2, 7, 5], { kernel: [3, 3], stride: [2, 1], padding: [1, 1, 1, 1] }],
  [[2, 1, 7, 9], { kernel: [3, 2], stride: [2, 3], padding: [1, 0, 0, 1], ceilMode: true }],
  [[1, 1, 6, 6], { kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], countIncludePad: false, ceilMode: true }],
  [[1, 1, 3, 3], { kernel: [3, 3], stride: [1, 1], padding: [1, 2, 0, 1] }],
  [[3, 1, 1], { kernel: [1, 1], stride: [1, 1], padding: [0, 0, 0, 0] }],
];

test('average pooling', async () => {
  for (const [shape, o] of cases) {
    const [h, w] = shape.slice(-2);
    const windows = windowsOf(h, w, o);
    await checkOperation(`average [${shape}]`, {
      shapes: [shape],
      values: [numbers(size(shape), 1)],
      run: (x) => avgPool2d(x, o),
      reference: (x) =>
        planes(x, h * w).flatMap((p) => windows.map(({ at, count }) => at.reduce((sum, i) => sum + p[i], 0) / count)),
    });
  }
});

const planes = (x: Float64Array, n: number) =>
  Array.from({ length: x.length / n }, (_, i) => x.subarray(i * n, (i + 1) * n));

test('max pooling', async () => {
  const more: [number[], Windows][] = [
    [[1, 2, 9, 8], { kernel: [3, 2], stride: [2, 2], padding: [1, 1, 1, 0], dilation: [2, 3] }],
  ];
  for (const [shape, all] of [...cases, ...more]) {
    const { countIncludePad: _, ...o } = all; // of means alone
    const [h, w] = shape.slice(-2);
    const windows = windowsOf(h, w, o);
    await checkOperation(`max [${shape}]`, {
      shapes: [shape],
      values: [numbers(size(shape), 1)],
      run: (x) => maxPool2d(x, o),
      reference: (x) => planes(x, h * w).flatMap((p) => windows.map(({ at }) => Math.max(...at.map((i) => p[i])))),
    });
  }
});

test('max pooling: positions, ties, NaN and windows without a pixel', async () => {
  const x = tensor([
    [
      [1, 1, 0],
      [1, 0, Number.NaN],
      [0, 2, 2],
    ],
  ]);
  const { values, indices } = maxPool2dWithIndices(x, { kernel: 2, stride: 1 });
  assert.equal([...(await values.data())], [1, Number.NaN, 2, Number.NaN]);
  assert.equal([...(await indices.data())], [0, 5, 7, 5]);
  const outside = maxPool2d(tensor([[[3]]]), { kernel: 2, padding: 1, dilation: 2, stride: 1 });
  assert.equal([...(await outside.data())], [Number.NEGATIVE_INFINITY]);
});

test('adaptive and global average pooling', async () => {
  for (const [shape, out] of [
    [
      [2, 2, 7, 5],
      [3, 2],
    ],
    [
      [1, 3, 4, 4],
      [1, 1],
    ],
    [
      [2, 2, 3],
      [5, 4],
    ],
  ]) {
    const [h, w] = shape.slice(-2);
    const range = (n: number, m: number) =>
      Array.from({ length: m }, (_, i) => ({ from: Math.floor((i * n) / m), to: Math.ceil(((i + 1) * n) / m) }));
    await checkOperation(`adaptive [${shape}]`, {
      shapes: [shape],
      values: [numbers(size(shape), 2)],
      run: (x) => adaptiveAvgPool2d(x, out as [number, number]),
      reference: (x) =>
        planes(x, h * w).flatMap((p) =>
          range(h, out[0]).flatMap((r) =>
            range(w, out[1]).map((c) => {
              let sum = 0;
              for (let y = r.from; y < r.to; y++) for (let z = c.from; z < c.to; z++) sum += p[y * w + z];
              return sum / ((r.to - r.from) * (c.to - c.from));
            }),
          ),
        ),
    });
  }
  for (const keepDims of [false, true])
    await checkOperation('global', {
      shapes: [[3, 5, 8, 8]],
      values: [numbers(960, 3)],
      run: (x) => globalAvgPool2d(x, { keepDims }),
      reference: (x) => planes(x, 64).map((p) => p.reduce((sum, v) => sum + v / 64, 0)),
    });
});

test('empty batches and refused input', () => {
  assert.equal(maxPool2d(zeros([0, 3, 4, 4]), { kernel: 2 }).shape, [0, 3, 2, 2]);
  assert.throws(() => maxPool2d(zeros([2, 2]), { kernel: 2 }), /maxPool2d.*\[2, 2\].*\[N, C, H, W\]/);
  assert.throws(() => avgPool2d(zeros([1, 1, 3, 3]), { kernel: 5 }), /does not fit.*\[1, 1, 3, 3\]/);
  assert.throws(() => avgPool2d(zeros([1, 1, 9, 9]), { kernel: 3, padding: 3 }), /below the extent \[3,3\]/);
  assert.throws(() => maxPool2d(zeros([1, 1, 9, 9]), { kernel: 3, stride: 0 }), /stride.*positive/);
  assert.throws(() => adaptiveAvgPool2d(zeros([1, 1, 9, 9]), [0, 1]), /outputSize/);
});

test.run();
