// More than 65,535 workgroups: kernels whose grid is folded into two dimensions reach every element.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { FLAT_TILE, STRIDED_TILE } from '../../shaders/elementwise';
import { backward } from '../../src/autograd/backward';
import { add, mul } from '../../src/ops/elementwise';
import { gather } from '../../src/ops/gather';
import { concat } from '../../src/ops/join';
import { maxPool2d } from '../../src/ops/pool';
import { sum } from '../../src/ops/reduce';
import { cumsum } from '../../src/ops/scan';
import { softmax } from '../../src/ops/softmax';
import { transpose } from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import { endStep } from '../../src/tensor/memory';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';

useGpu();

const GROUPS = 65_536;
/** Numbers whose sums are exact. */
const pattern = (i: number): number => (i % 251) - 125;
const source = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => pattern(i));

/** Every element of y is what `want` says of its position. */
async function expectAll(y: Tensor, want: (i: number) => number, tolerance = 0): Promise<void> {
  const data = await y.data();
  for (let i = 0; i < data.length; i++)
    if (!(Math.abs(data[i] - want(i)) <= tolerance))
      assert.unreachable(`element ${i} of ${data.length} is ${data[i]}, expected ${want(i)}`);
  endStep();
}

const H = 2049;
const W = Math.ceil((GROUPS * STRIDED_TILE) / H) + 1;

test('elementwise, contiguous', async () => {
  const n = GROUPS * FLAT_TILE + 7;
  await expectAll(add(tensor(source(n)), 1), (i) => pattern(i) + 1);
});

test('elementwise, strided, and its gradient', async () => {
  const x = tensor(source(H * W), { shape: [H, W], requiresGrad: true });
  const column = tensor(source(H), { shape: [1, H] });
  const y = mul(transpose(x), column);
  backward(sum(y));
  await expectAll(y, (i) => pattern((i % H) * W + Math.floor(i / H)) * pattern(i % H));
  await expectAll(x.grad!, (i) => pattern(Math.floor(i / W)));
});

test('sums of rows and columns', async () => {
  const [rows, columns] = [GROUPS + 9, 40];
  const x = tensor(source(rows * columns), { shape: [rows, columns] });
  const of = (row: number) =>
    Array.from({ length: columns }, (_, c) => pattern(row * columns + c)).reduce((a, b) => a + b);
  await expectAll(sum(x, 1), of);
  await expectAll(sum(transpose(x), 0), of);
});

test('running sums and softmax of many lines', async () => {
  const [rows, columns] = [GROUPS * 64 + 5, 3]; // a thread for each line
  const x = tensor(source(rows * columns), { shape: [rows, columns] });
  const at = (i: number) => pattern(i);
  await expectAll(cumsum(x, 1), (i) =>
    Array.from({ length: (i % columns) + 1 }, (_, c) => at(i - c)).reduce((a, b) => a + b),
  );
  const wide = tensor(source((GROUPS + 3) * 2), { shape: [GROUPS + 3, 2] });
  await expectAll(softmax(wide, 1), (i) => 1 / (1 + Math.exp(at(i ^ 1) - at(i))), 1e-6);
});

test('gather, concat and pooling', async () => {
  const n = GROUPS * 64 + 3;
  const x = tensor(source(n));
  const reversed = tensor(Int32Array.from({ length: n }, (_, i) => n - 1 - i));
  await expectAll(gather(x, 0, reversed), (i) => pattern(n - 1 - i));
  await expectAll(concat([x, x.slice([{ stop: 5 }])]), (i) => pattern(i < n ? i : i - n));
  const planes = tensor(source(n), { shape: [1, 1, 1, n] });
  await expectAll(maxPool2d(planes, { kernel: [1, 2], stride: 1 }), (i) => Math.max(pattern(i), pattern(i + 1)));
});

test.run();
