// Matrix products against float64 loops: vectors to broadcast batches, transposed and strided operands, values and gradients.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { linear, matmul } from '../../src/ops/matmul';
import { permute, slice, transpose } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { broadcastShapes, size } from '../../src/tensor/shape';
import { checkOperation, close, numbers, useGpu } from '../util';

useGpu();

/** C[…, m, n] of row-major operands. */
function reference(a: Float64Array, aShape: Shape, b: Float64Array, bShape: Shape): number[] {
  const wideA = aShape.length === 1 ? [1, ...aShape] : aShape;
  const wideB = bShape.length === 1 ? [...bShape, 1] : bShape;
  const [m, k] = wideA.slice(-2);
  const n = wideB[wideB.length - 1];
  const batch = broadcastShapes('', wideA.slice(0, -2), wideB.slice(0, -2));
  const start = (shape: Shape, index: number) => {
    // The matrix of a batch index in an operand whose leading dimensions may be 1.
    let at = 0;
    let step = 1;
    for (let d = batch.length - 1; d >= 0; d--) {
      const own = shape[d - batch.length + shape.length - 2] ?? 1;
      at += own === 1 ? 0 : (index % batch[d]) * step;
      step *= own;
      index = Math.floor(index / batch[d]);
    }
    return at;
  };
  const out: number[] = [];
  for (let z = 0; z < size(batch); z++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += a[(start(wideA, z) * m + i) * k + p] * b[(start(wideB, z) * k + p) * n + j];
        out.push(sum);
      }
  return out;
}

const cases: [Shape, Shape][] = [
  [[3], [3]],
  [[3], [3, 4]],
  [[2, 3], [3]],
  [
    [5, 7],
    [7, 3],
  ],
  [
    [1, 1],
    [1, 1],
  ],
  [
    [33, 17],
    [17, 65],
  ],
  [
    [2, 3, 4],
    [4, 5],
  ],
  [
    [4, 5],
    [3, 5, 2],
  ],
  [
    [2, 1, 3, 4],
    [5, 4, 2],
  ],
  [
    [3, 2, 4],
    [4, 3],
  ],
  [[4], [2, 4, 3]],
  [
    [2, 0],
    [0, 3],
  ],
  [
    [0, 2],
    [2, 3],
  ],
];
for (const [i, [aShape, bShape]] of cases.entries())
  test(`matmul [${aShape}] · [${bShape}]`, () =>
    checkOperation('matmul', {
      shapes: [aShape, bShape],
      values: [numbers(size(aShape), i), numbers(size(bShape), 100 + i)],
      run: matmul,
      reference: (a, b) => reference(a, aShape, b, bShape),
    }));

test('operands that are transposed or strided views', async () => {
  const values = numbers(6 * 8 * 10, 3);
  const x = tensor(Float32Array.from(values), { shape: [6, 8, 10] });
  const a = slice(x, [0]);
  const b = slice(x, [{ start: 1, stop: 6, step: 2 }, { start: 2, stop: 6 }, { step: -1 }]);
  const host = async (t: typeof x) => Float64Array.from(await t.data());
  for (const [p, q] of [
    [transpose(a), a],
    [a, transpose(a)],
    [transpose(b), b],
    [b, permute(b, [0, 2, 1])],
    [permute(x, [1, 0, 2]), permute(x, [1, 2, 0])],
  ] as const)
    close(await matmul(p, q).data(), reference(await host(p), p.shape, await host(q), q.shape), 1e-4);
});

test('linear with and without bias, two and three dimensions', async () => {
  const affine = (x: Float64Array, w: Float64Array, b?: Float64Array) => {
    const rows = x.length / 4;
    return Array.from({ length: rows * 3 }, (_, at) => {
      const [i, o] = [Math.floor(at / 3), at % 3];
      let sum = b ? b[o] : 0;
      for (let k = 0; k < 4; k++) sum += x[4 * i + k] * w[4 * o + k];
      return sum;
    });
  };
  const [w, b] = [numbers(12, 2), numbers(3, 3)];
  await checkOperation('linear', {
    shapes: [
      [5, 4],
      [3, 4],
    ],
    values: [numbers(20, 1), w],
    run: (x, v) => linear(x, v),
    reference: affine,
  });
  await checkOperation('linear', {
    shapes: [[2, 3, 4], [3, 4], [3]],
    values: [numbers(24, 1), w, b],
    run: linear,
    reference: affine,
  });
  await checkOperation('linear', {
    shapes: [[4], [3, 4], [3]],
    values: [numbers(4, 1), w, b],
    run: linear,
    reference: affine,
  });
});

test('refuses what does not fit', () => {
  assert.throws(
    () => matmul(zeros([2, 3]), zeros([4, 5])),
    /matmul: the inner dimensions 3 and 4 differ \(a \[2, 3\], b \[4, 5\]\)/,
  );
  assert.throws(() => matmul(zeros([]), zeros([4])), /number is no matrix/);
  assert.throws(() => matmul(zeros([2, 2], { dtype: 'int32' }), zeros([2, 2])), /float32/);
  assert.throws(
    () => linear(zeros([2, 3]), zeros([5, 4])),
    /linear: .*input \[2, 3\]|linear: the inner dimensions 3 and 4/,
  );
  assert.throws(() => linear(zeros([2, 4]), zeros([5, 4]), zeros([4])), /one element for each of 5 outputs/);
});

test.run();
