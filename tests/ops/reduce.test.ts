// Reductions and running sums against float64 loops: any axes, views, empty and size-1 dimensions, split ranges, gradients.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { mul } from '../../src/ops/elementwise';
import * as reduce from '../../src/ops/reduce';
import { cumprod, cumsum } from '../../src/ops/scan';
import { expand, permute, slice } from '../../src/ops/views';
import { tensor, zeros } from '../../src/tensor/create';
import { sumTo } from '../../src/tensor/reduce';
import type { Shape } from '../../src/tensor/shape';
import { reducedShape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';

useGpu();

type Fold = (values: number[]) => number;

/** Applies `f` to the elements over `axes` of every result, in row-major order. */
function fold(x: ArrayLike<number>, shape: Shape, axes: readonly number[], f: Fold): number[] {
  const groups: number[][] = Array.from({ length: size(reducedShape(shape, axes, false)) }, () => []);
  for (let i = 0; i < size(shape); i++) {
    let rest = i;
    let at = 0;
    let step = 1;
    for (let d = shape.length - 1; d >= 0; d--) {
      const c = rest % shape[d];
      rest = Math.floor(rest / shape[d]);
      if (axes.includes(d)) continue;
      at += c * step;
      step *= shape[d];
    }
    groups[at].push(x[i]);
  }
  return groups.map(f);
}

const total: Fold = (v) => v.reduce((a, b) => a + b, 0);
const mean: Fold = (v) => total(v) / v.length;
const variance =
  (correction: number): Fold =>
  (v) => {
    const center = mean(v);
    return total(v.map((x) => (x - center) ** 2)) / (v.length - correction);
  };
const norm =
  (p: number): Fold =>
  (v) =>
    total(v.map((x) => Math.abs(x) ** p)) ** (1 / p);

const functions: Record<string, [(x: Tensor, axes: number[], keepDims: boolean) => Tensor, Fold]> = {
  sum: [reduce.sum, total],
  mean: [reduce.mean, mean],
  var: [reduce.variance, variance(1)],
  'var, biased': [(x, axes, keep) => reduce.variance(x, axes, keep, 0), variance(0)],
  std: [reduce.std, (v) => Math.sqrt(variance(1)(v))],
  prod: [reduce.prod, (v) => v.reduce((a, b) => a * b, 1)],
  max: [reduce.max, (v) => Math.max(...v)],
  min: [reduce.min, (v) => Math.min(...v)],
  logsumexp: [reduce.logsumexp, (v) => Math.log(total(v.map(Math.exp)))],
  'norm 1': [(x, axes, keep) => reduce.norm(x, 1, axes, keep), norm(1)],
  'norm 2': [(x, axes, keep) => reduce.norm(x, 2, axes, keep), norm(2)],
  'norm 3': [(x, axes, keep) => reduce.norm(x, 3, axes, keep), norm(3)],
  'norm ∞': [(x, axes, keep) => reduce.norm(x, Infinity, axes, keep), (v) => Math.max(...v.map(Math.abs))],
};
// The last dimension (a tree), the first (columns), one in the middle, two apart (decoded), all.
const layouts: [Shape, number[]][] = [
  [[3, 37], [1]],
  [[19, 33], [0]],
  [[2, 3, 4], [-2]],
  [
    [4, 3, 5],
    [0, 2],
  ],
  [
    [2, 1, 3],
    [0, 1, 2],
  ],
];
for (const [name, [run, f]] of Object.entries(functions))
  test(name, async () => {
    // Half of the functions take the larger layouts too: compiling costs more than running.
    for (const [i, [shape, axes]] of (name === 'sum' ? layouts : layouts.slice(2 * (name.length % 2))).entries()) {
      const over = axes.map((axis) => (axis + shape.length) % shape.length);
      const keepDims = i % 2 === 1;
      await checkOperation(`${name} of [${shape}] over [${axes}]`, {
        shapes: [shape],
        values: [numbers(size(shape), 40 + i, -2, 2)],
        run: (x) => {
          const y = run(x, axes, keepDims);
          assert.equal(y.shape, reducedShape(shape, over, keepDims));
          return y;
        },
        reference: (x) => fold(x, shape, over, f),
      });
    }
  });
test('prod and cumprod have the right gradient at zeros', async () => {
  for (const values of [
    [2, 0, 3, 4],
    [0, 5, 0, 2],
  ]) {
    const product: Fold = (v) => v.reduce((a, b) => a * b, 1);
    await checkOperation('prod', {
      shapes: [[4]],
      values: [values],
      run: (x) => reduce.prod(x),
      reference: (x) => [product([...x])],
    });
    const running = (x: Float64Array) => x.map((_, i) => product([...x.slice(0, i + 1)]));
    await checkOperation('cumprod', {
      shapes: [[4]],
      values: [values],
      run: (x) => cumprod(x, 0),
      reference: running,
    });
  }
});

test('ties share the gradient of max', async () => {
  const x = tensor(
    [
      [1, 3, 3],
      [2, 2, 2],
    ],
    { requiresGrad: true },
  );
  backward(reduce.sum(mul(reduce.max(x, 1), tensor([1, 6]))));
  close(await x.grad!.data(), [0, 0.5, 0.5, 2, 2, 2]);
});

test('argmax, argmin: first of ties, flattened, NaN', async () => {
  const values = numbers(6 * 50, 8);
  const x = tensor(Float32Array.from(values), { shape: [6, 50] });
  const place =
    (best: (v: number[]) => number): Fold =>
    (v) =>
      v.indexOf(best(v));
  for (const axis of [0, 1]) {
    close(
      await reduce.argmax(x, axis).data(),
      fold(
        values,
        [6, 50],
        [axis],
        place((v) => Math.max(...v)),
      ),
      0,
    );
    close(
      await reduce.argmin(x, axis, true).data(),
      fold(
        values,
        [6, 50],
        [axis],
        place((v) => Math.min(...v)),
      ),
      0,
    );
  }
  assert.is(await reduce.argmax(tensor(new Float32Array(1000).fill(2))).item(), 0);
  assert.is(
    await reduce
      .argmax(
        tensor([
          [1, 5],
          [5, 0],
        ]),
      )
      .item(),
    1,
  );
  assert.is(await reduce.argmin(tensor([1, NaN, 0])).item(), 1);
  assert.ok(Number.isNaN(await reduce.max(tensor([1, NaN, 7])).item()));
  assert.is(await reduce.max(tensor([-5, -3], { dtype: 'int32' })).item(), -3);
});

test('any, all, and sums of integers and booleans', async () => {
  const b = tensor([
    [true, false],
    [true, true],
  ]);
  assert.equal(await reduce.any(b, 0).toArray(), [true, true]);
  assert.equal(await reduce.all(b, 0).toArray(), [true, false]);
  assert.is(await reduce.any(zeros([3])).item(), 0);
  const count = reduce.sum(b);
  assert.is(count.dtype, 'int32');
  assert.is(await count.item(), 3);
  assert.is(await reduce.sum(tensor([2 ** 30, 2 ** 29], { dtype: 'int32' })).item(), 2 ** 30 + 2 ** 29);
  assert.is(await reduce.mean(b).item(), 0.75);
});

test('empty and size-1 dimensions', async () => {
  close(await reduce.sum(zeros([2, 0]), 1).data(), [0, 0], 0);
  close(await reduce.prod(zeros([0])).data(), [1], 0);
  assert.ok(Number.isNaN(await reduce.mean(zeros([0])).item()));
  assert.equal(reduce.sum(zeros([0, 3]), 1).shape, [0]);
  close(await reduce.logsumexp(zeros([2, 0]), 1).data(), [-Infinity, -Infinity], 0);
  close(await reduce.sum(tensor([[[5]]]), 1).data(), [5], 0);
  assert.throws(() => reduce.max(zeros([2, 0]), 1), /max: there is no max of nothing.*\[2, 0\]/);
});

test('long ranges are split, exactly as every time', async () => {
  const n = 300_007;
  const values = numbers(n, 9, 0, 1);
  const x = tensor(Float32Array.from(values));
  const want = total([...values]);
  const once = await reduce.sum(x).item();
  close([once], [want], 2e-7);
  assert.is(await reduce.sum(x).item(), once);
  close([await reduce.variance(x).item()], [variance(1)([...values])], 1e-6);
  const columns = tensor(Float32Array.from(values.slice(0, 60_000 * 5)), { shape: [60_000, 5] });
  close(await reduce.mean(columns, 0).data(), fold(values.slice(0, 300_000), [60_000, 5], [0], mean), 1e-6);
  const rows = reduce.sum(expand(tensor([[1], [2]]), [2, 70_000]), 0);
  close((await rows.data()).slice(-2), [3, 3], 0);
  close((await reduce.sum(expand(tensor([1]), [70_000, 40]), 1).data()).slice(-2), [40, 40], 0);
});

test('views', async () => {
  const values = numbers(120, 4);
  const x = tensor(Float32Array.from(values), { shape: [4, 5, 6], requiresGrad: true });
  const view = slice(permute(x, [2, 0, 1]), [{ step: -2 }, null, { start: 1 }]);
  const host = await view.data();
  close(await reduce.sum(view, [0, 2]).data(), fold(host, view.shape, [0, 2], total));
  close(
    await reduce.logsumexp(view, 1).data(),
    fold(host, view.shape, [1], (v) => Math.log(total(v.map(Math.exp)))),
  );
  close(await sumTo(view, [4, 1]).data(), fold(host, view.shape, [0, 2], total));
});

test('running sums and products, exclusive and from the end', async () => {
  const shape = [2, 300, 3];
  const values = numbers(size(shape), 6, 0.9, 1.1);
  for (const exclusive of [false, true])
    for (const reverse of [false, true])
      for (const [run, plus, start] of [
        [cumsum, (a: number, b: number) => a + b, 0],
        [cumprod, (a: number, b: number) => a * b, 1],
      ] as const) {
        const reference = (x: Float64Array) => {
          const y = new Float64Array(x.length);
          for (let line = 0; line < 6; line++) {
            let acc: number = start;
            for (let j = 0; j < 300; j++) {
              const at = (Math.floor(line / 3) * 300 + (reverse ? 299 - j : j)) * 3 + (line % 3);
              if (exclusive) y[at] = acc;
              acc = plus(acc, x[at]);
              if (!exclusive) y[at] = acc;
            }
          }
          return y;
        };
        const x = tensor(Float32Array.from(values), { shape, requiresGrad: true });
        const y = run(x, 1, { exclusive, reverse });
        close(await y.data(), reference(values), 1e-5, run.name);
        // Along the sum of all results: the derivative in a direction.
        backward(reduce.sum(y));
        const direction = numbers(size(shape), 12);
        const slope = total([...(await x.grad!.data())].map((g, k) => g * direction[k]));
        const at = (step: number) => total([...reference(values.map((v, i) => v + step * direction[i]))]);
        close([slope], [(at(1e-6) - at(-1e-6)) / 2e-6], 1e-4, `${run.name} gradient`);
      }
});

test('refuses what does not fit', () => {
  assert.throws(() => reduce.sum(zeros([2, 3]), 2), /sum: dimension 2 of a tensor with 2 dimensions/);
  assert.throws(() => reduce.sum(zeros([2, 3]), [0, -2]), /twice/);
  assert.throws(() => cumprod(zeros([2]), 1), /cumprod: dimension 1 of a tensor with 1 dimension/);
});

test.run();
