// Layer, group and root-mean-square norm of rows that a team holds in registers, and of longer ones (shaders/norm/rows.ts).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fitsRows } from '../../shaders/norm/rows';
import { backward } from '../../src/autograd/backward';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { add, mul } from '../../src/ops/elementwise';
import { layerNorm } from '../../src/ops/norm';
import { rmsNorm } from '../../src/ops/norm-nd';
import { transpose } from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, onBothTargets, targetFor, useGpu, withTarget } from '../util';

useGpu();

/** y and the gradients for x, weight and bias of an upstream `g`, in float64. */
function reference(x: Float64Array, n: number, w: Float64Array, b: Float64Array, g: Float64Array, centered: boolean) {
  const eps = 1e-5;
  const [y, dx, dw, db] = [
    new Float64Array(x.length),
    new Float64Array(x.length),
    new Float64Array(n),
    new Float64Array(n),
  ];
  for (let from = 0; from < x.length; from += n) {
    const row = x.slice(from, from + n);
    const mean = centered ? row.reduce((a, v) => a + v, 0) / n : 0;
    const rstd = 1 / Math.sqrt(row.reduce((a, v) => a + (v - mean) ** 2, 0) / n + eps);
    const hat = row.map((v) => (v - mean) * rstd);
    const t = hat.map((_, i) => g[from + i]! * w[i]!);
    const s1 = centered ? t.reduce((a, v) => a + v, 0) / n : 0;
    const s2 = t.reduce((a, v, i) => a + v * hat[i]!, 0) / n;
    hat.forEach((h, i) => {
      y[from + i] = h * w[i]! + b[i]!;
      dx[from + i] = rstd * (t[i]! - s1 - h * s2);
      dw[i]! += g[from + i]! * h;
      db[i]! += g[from + i]!;
    });
  }
  return { y, dx, dw, db };
}

/** Rows × elements: fewer than a vector, one beyond a multiple of four, a team's whole width and one more, many rows, rows that are too long. */
const SIZES = [
  [3, 1],
  [5, 3],
  [7, 33],
  [1, 64],
  [4, 68],
  [9, 260],
  [700, 8],
  [300, 128],
  [2, 1024],
  [3, 1028],
  [2, 5001],
] as const;

const leaf = (values: Float64Array, shape: number[]) =>
  tensor(Float32Array.from(values), { shape, requiresGrad: true });

for (const centered of [true, false])
  test(`values and gradients of ${centered ? 'layer norm' : 'root-mean-square norm'} agree with float64`, () =>
    onBothTargets(async () => {
      for (const [rows, n] of SIZES) {
        const [x, g] = [numbers(rows * n, 1, -1, 3), numbers(rows * n, 4)];
        const [w, b] = [numbers(n, 2, 0.5, 1.5), centered ? numbers(n, 3) : new Float64Array(n)];
        const want = reference(x, n, w, b, g, centered);
        const [input, weight, bias] = [leaf(x, [rows, n]), leaf(w, [n]), leaf(b, [n])] as [Tensor, Tensor, Tensor];
        const y = centered ? layerNorm(input, n, { weight, bias }) : rmsNorm(input, n, { weight, eps: 1e-5 });
        const what = `[${rows}, ${n}]`;
        close(await y.data(), want.y, 1e-5, `${what}: y`);
        backward(y, { gradient: tensor(Float32Array.from(g), { shape: [rows, n] }) });
        close(await input.grad!.data(), want.dx, 1e-5, `${what}: dx`);
        close(await weight.grad!.data(), want.dw, 1e-5, `${what}: dWeight`);
        if (centered) close(await bias.grad!.data(), want.db, 1e-5, `${what}: dBias`);
        const twice = leaf(x, [rows, n]);
        const residual = mul(twice, 1);
        const normed = centered ? layerNorm(residual, n, { weight }) : rmsNorm(residual, n, { weight, eps: 1e-5 });
        backward(add(normed, residual), { gradient: tensor(Float32Array.from(g), { shape: [rows, n] }) });
        const both = want.dx.map((v, i) => v + g[i]!);
        close(await twice.grad!.data(), both, 1e-5, `${what}: dx of a residual connection`);
      }
    }));

test('one launch forward, one for all gradients and one for each sum, as long as rows are short', () =>
  onBothTargets(async () => {
    const [rows, n] = [32, 256];
    const [x, weight, bias] = [[rows, n], [n], [n]].map((shape, i) =>
      leaf(
        numbers(
          shape.reduce((p, q) => p * q),
          i,
        ),
        shape,
      ),
    ) as [Tensor, Tensor, Tensor];
    const g = tensor(Float32Array.from(numbers(rows * n, 9)), { shape: [rows, n] });
    const count = (body: () => void) => {
      const before = device().stats().dispatches;
      body();
      return device().stats().dispatches - before;
    };
    let y!: Tensor;
    assert.is(
      count(() => (y = layerNorm(x, n, { weight, bias }))),
      1,
    );
    assert.is(
      count(() => backward(y, { gradient: g })),
      3,
    );
    assert.is(
      count(() => (y = rmsNorm(x, n, { weight }))),
      1,
    );
    for (const t of [x, weight]) t.grad = null;
    assert.is(
      count(() => backward(y, { gradient: g })),
      2,
    );
    for (const t of [x, weight]) t.grad = null;
    assert.is(
      count(() => backward(layerNorm(x, n), { gradient: g })),
      2,
      'without weights',
    );
    assert.is(
      count(() => noGrad(() => layerNorm(x, n, { weight }))),
      1,
    );
  }));

test('sums of many rows and a strided input, weight alone and bias alone', () =>
  onBothTargets(async () => {
    const [rows, n] = [40, 12];
    const values = numbers(rows * n, 5, -2, 2);
    const [w, g] = [numbers(n, 6, 0.5, 1.5), numbers(rows * n, 7)];
    const turned = leaf(values, [n, rows]);
    const x = Float64Array.from(values, (_, i) => values[(i % n) * rows + Math.floor(i / n)]!);
    const zeros = new Float64Array(n);
    const ones = zeros.map(() => 1);
    for (const [weight, bias] of [
      [leaf(w, [n]), null],
      [null, leaf(w, [n])],
    ] as const) {
      turned.grad = null;
      const y = layerNorm(transpose(turned), n, { weight, bias });
      const want = reference(x, n, weight ? w : ones, bias ? w : zeros, g, true);
      close(await y.data(), want.y, 1e-5);
      backward(y, { gradient: tensor(Float32Array.from(g), { shape: [rows, n] }) });
      close(await transpose(turned.grad!).data(), want.dx, 1e-5);
      if (weight) close(await weight.grad!.data(), want.dw, 1e-5);
      if (bias) close(await bias.grad!.data(), want.db, 1e-5);
    }
  }));

test('the statistics of values far from zero are exact, and NaN stays in its row', () =>
  onBothTargets(async () => {
    const n = 64;
    const x = Float64Array.from({ length: 3 * n }, (_, i) => (i === n + 5 ? Number.NaN : 4096 + (i % 2)));
    const y = await layerNorm(leaf(x, [3, n]), n, { eps: 0 }).data();
    close(y.slice(0, 2), [-1, 1], 1e-6);
    assert.ok(y.slice(n, 2 * n).every(Number.isNaN));
    close(y.slice(2 * n, 2 * n + 2), [-1, 1], 1e-6);
  }));

test('a row is short where it fits into the registers of a team', async () => {
  const { isCpu, subgroupSize } = targetFor('cpu');
  assert.ok(isCpu);
  if (subgroupSize) {
    assert.ok(fitsRows(targetFor('cpu'), 64 * subgroupSize));
    assert.not.ok(fitsRows(targetFor('cpu'), 64 * subgroupSize + 4));
  }
  assert.ok(fitsRows(targetFor('gpu'), 16384));
  assert.not.ok(fitsRows(targetFor('gpu'), 16388));
  assert.not.ok(fitsRows(targetFor('gpu'), 0));
  await withTarget(targetFor('gpu'), async () => assert.ok(fitsRows(device().target, 1)));
});

test.run();
