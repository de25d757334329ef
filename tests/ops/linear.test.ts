// F.linear with a bias: columns in fours and others, rows and columns beyond one workgroup of the kernel that adds it (shaders/bias.ts).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { linear } from '../../src/ops/matmul';
import { tensor, zeros } from '../../src/tensor/create';
import { close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

const of = (values: Float64Array, shape: number[]) => tensor(Float32Array.from(values), { shape });

test('the bias is added to every row', () =>
  onBothTargets(async () => {
    for (const [rows, inputs, outputs] of [
      [1, 3, 4],
      [5, 4, 7],
      [65, 2, 8],
      [130, 3, 68],
      [9, 2, 300],
      [2, 5, 1],
    ] as const) {
      const [x, w, b] = [numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3)];
      const want = Float64Array.from({ length: rows * outputs }, (_, i) => {
        const [row, column] = [Math.floor(i / outputs), i % outputs];
        let sum = b[column]!;
        for (let k = 0; k < inputs; k++) sum += x[row * inputs + k]! * w[column * inputs + k]!;
        return sum;
      });
      const y = linear(of(x, [rows, inputs]), of(w, [outputs, inputs]), of(b, [outputs]));
      close(await y.data(), want, 1e-5, `[${rows}, ${inputs}] to ${outputs}`);
    }
  }));

test('no rows and no outputs', async () => {
  assert.equal(linear(zeros([0, 3]), zeros([4, 3]), zeros([4])).shape, [0, 4]);
  assert.equal(linear(zeros([2, 3]), zeros([0, 3]), zeros([0])).shape, [2, 0]);
});

test.run();
