// F.linear with a bias: columns in fours and others, rows and columns beyond one workgroup of the kernel that adds it (shaders/bias.ts).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device } from '../../src/gpu';
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
      // Rows whose inputs are read in fours as they lie, in blocks that the last does not fill.
      [70, 132, 72],
      [300, 64, 40],
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

test('a CPU driver reads the rows as they lie: it packs the weight alone', () =>
  onBothTargets(async () => {
    if (device().target.lanes < 16) return;
    const [x, w, b] = [zeros([256, 128]), zeros([192, 128]), zeros([192])];
    const { dispatches } = device().stats();
    linear(x, w, b);
    assert.is(device().stats().dispatches - dispatches, 3, 'pack, product, bias');
  }, ['cpu']));

test('no rows and no outputs', async () => {
  assert.equal(linear(zeros([0, 3]), zeros([4, 3]), zeros([4])).shape, [0, 4]);
  assert.equal(linear(zeros([2, 3]), zeros([0, 3]), zeros([0])).shape, [2, 0]);
});

test.run();
