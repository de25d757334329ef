// Linear algebra of small matrices against elimination in float64: values, gradients of both orders, tangents, singular matrices.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward, grad } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { jvp } from '../../src/autograd/forward-mode';
import { mul } from '../../src/ops/elementwise';
import '../../src/ops/methods';
import * as linalg from '../../src/ops/linalg';
import { logdet } from '../../src/ops/linalg/determinant';
import { singularValues } from '../../src/ops/linalg/singular';
import { sum } from '../../src/ops/reduce';
import { slice, transpose } from '../../src/ops/views';
import { eye, ones, tensor, zeros } from '../../src/tensor/create';
import { type Shape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

type Flat = Float64Array | number[];

/** The solution of A·X = B and A's determinant, by Gauss's and Jordan's elimination. */
function eliminate(a: Flat, b: Flat, n: number, m: number): { x: number[]; det: number } {
  const rows = Array.from({ length: n }, (_, i) => [...a.slice(i * n, (i + 1) * n), ...b.slice(i * m, (i + 1) * m)]);
  let det = 1;
  for (let k = 0; k < n; k++) {
    let p = k;
    for (let i = k; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[p][k])) p = i;
    if (p !== k) det = -det;
    [rows[k], rows[p]] = [rows[p], rows[k]];
    det *= rows[k][k];
    for (let i = 0; i < n; i++) {
      const factor = i === k ? 0 : rows[i][k] / rows[k][k];
      for (let j = k; j < n + m; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  return { x: rows.flatMap((row, i) => row.slice(n).map((v) => v / row[i])), det };
}
const identity = (n: number) => Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));
const inverse = (a: Flat, n: number) => eliminate(a, identity(n), n, n).x;
/** A [m, n] transposed. */
const swap = (a: Flat, m: number, n: number) => Array.from(a, (_, i) => a[(i % m) * n + Math.floor(i / m)]);
const times = (a: Flat, b: Flat, n: number, k: number, m: number) =>
  Array.from({ length: n * m }, (_, at) => {
    let total = 0;
    for (let l = 0; l < k; l++) total += a[Math.floor(at / m) * k + l] * b[l * m + (at % m)];
    return total;
  });
const each = (a: Float64Array, n: number, f: (part: Float64Array) => Flat): number[] =>
  Array.from({ length: a.length / n }, (_, i) => [...f(a.subarray(i * n, (i + 1) * n))]).flat();
const det = (a: Flat, n: number) => eliminate(a, identity(n), n, n).det;
const triangle = (a: Flat, n: number, keep: (i: number, j: number) => number) =>
  Array.from(a, (v, at) => (keep(Math.floor(at / n), at % n) ? v : 0));
function cholesky(a: Flat, n: number): number[] {
  const l = new Array<number>(n * n).fill(0);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let rest = a[i * n + j];
      for (let k = 0; k < j; k++) rest -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = i === j ? Math.sqrt(rest) : rest / l[j * n + j];
    }
  return l;
}

/** Matrices that are far from singular, with small pivots first. */
const matrices = (count: number, n: number, seed: number) =>
  numbers(count * n * n, seed).map((v, i) => v + 2 * Number(i % n === n - 1 - (Math.floor(i / n) % n)));

interface Case {
  shapes: Shape[];
  values: Flat[];
  run: (...x: Tensor[]) => Tensor;
  reference: (...x: Float64Array[]) => Flat;
}
const a3 = matrices(2, 3, 1);
const a5 = matrices(1, 5, 2);
const b = numbers(24, 3);
const one = { shapes: [[5, 5]], values: [a5] };
const two = { shapes: [[2, 3, 3]], values: [a3] };
const definite = (x: Tensor) => linalg.matmul(x, transpose(x)).add(eye(3));
const gram = (x: Float64Array) => times(x, swap(x, 3, 3), 3, 3, 3).map((v, i) => v + identity(3)[i]);

const cases: Record<string, Case> = {
  inv: { ...two, run: linalg.inv, reference: (a) => each(a, 9, (x) => inverse(x, 3)) },
  'inv of a transposed view': { ...one, run: (x) => linalg.inv(transpose(x)), reference: (a) => inverse(swap(a, 5, 5), 5) },
  det: { ...two, run: linalg.det, reference: (a) => each(a, 9, (x) => [det(x, 3)]) },
  'det of 5': { ...one, run: linalg.det, reference: (a) => [det(a, 5)] },
  slogdet: {
    ...two,
    run: (x) => linalg.slogdet(x).logabsdet,
    reference: (a) => each(a, 9, (x) => [Math.log(Math.abs(det(x, 3)))]),
  },
  solve: {
    shapes: [[5, 5], [5, 4]],
    values: [a5, b.slice(0, 20)],
    run: (x, y) => linalg.solve(x, y),
    reference: (a, y) => eliminate(a, y, 5, 4).x,
  },
  'solve, batches': {
    shapes: [[2, 3, 3], [3, 2]],
    values: [a3, b.slice(0, 6)],
    run: (x, y) => linalg.solve(x, y),
    reference: (a, y) => each(a, 9, (x) => eliminate(x, y, 3, 2).x),
  },
  'solve, vectors': {
    shapes: [[2, 3, 3], [2, 3]],
    values: [a3, b.slice(0, 6)],
    run: (x, y) => linalg.solve(x, y),
    reference: (a, y) => [0, 1].flatMap((k) => eliminate(a.subarray(9 * k, 9 * k + 9), y.subarray(3 * k, 3 * k + 3), 3, 1).x),
  },
  'solve, on the right': {
    shapes: [[5, 5], [2, 5]],
    values: [a5, b.slice(0, 10)],
    run: (x, y) => linalg.solve(x, y, { left: false }),
    reference: (a, y) => swap(eliminate(swap(a, 5, 5), swap(y, 2, 5), 5, 2).x, 5, 2),
  },
  ...Object.fromEntries(
    [[true, true, false], [false, true, false], [true, false, true], [false, false, false]].map(([upper, left, unitriangular]) => [
      `solveTriangular, upper ${upper}, left ${left}, unit ${unitriangular}`,
      {
        shapes: [[3, 3], left ? [3, 4] : [4, 3]],
        values: [a3.slice(0, 9).map((v, i) => v + 3 * identity(3)[i]), b.slice(0, 12)],
        run: (x: Tensor, y: Tensor) => linalg.solveTriangular(x, y, { upper, left, unitriangular }),
        reference: (a: Float64Array, y: Float64Array) => {
          const own = triangle(a, 3, (i, j) => Number(upper ? j >= i : j <= i)).map((v, i) => (unitriangular && i % 4 === 0 ? 1 : v));
          return left ? eliminate(own, y, 3, 4).x : swap(eliminate(swap(own, 3, 3), swap(y, 4, 3), 3, 4).x, 3, 4);
        },
      },
    ]),
  ),
  cholesky: {
    shapes: [[3, 3]],
    values: [a3.slice(0, 9)],
    run: (x) => linalg.cholesky(definite(x)),
    reference: (a) => cholesky(gram(a), 3),
  },
  'cholesky, upper': {
    shapes: [[3, 3]],
    values: [a3.slice(0, 9)],
    run: (x) => linalg.cholesky(definite(x), { upper: true }),
    reference: (a) => swap(cholesky(gram(a), 3), 3, 3),
  },
  'third power': { ...one, run: (x) => linalg.matrixPower(x, 3), reference: (a) => times(times(a, a, 5, 5, 5), a, 5, 5, 5) },
  'power −2': {
    shapes: [[3, 3]],
    values: [a3.slice(9)],
    run: (x) => linalg.matrixPower(x, -2),
    reference: (a) => times(inverse(a, 3), inverse(a, 3), 3, 3, 3),
  },
}; // biome-ignore format: a table

for (const [name, c] of Object.entries(cases)) test(name, () => checkOperation(name, { ...c, tolerance: 2e-4 }));

test('sizes beyond a workgroup, on both targets', async () => {
  const n = 70;
  const a = matrices(1, n, 7);
  const y = numbers(n * 3, 8);
  const spd = times(a, swap(a, n, n), n, n, n).map((v, i) => v + 4 * identity(n)[i]);
  await onBothTargets(async () => {
    const x = tensor(Float32Array.from(a), { shape: [n, n] });
    const right = tensor(Float32Array.from(y), { shape: [n, 3] });
    close(await linalg.solve(x, right).data(), eliminate(a, y, n, 3).x, 1e-4);
    const l = linalg.cholesky(tensor(Float32Array.from(spd), { shape: [n, n] }));
    close(await l.data(), cholesky(spd, n), 1e-4);
    close([await linalg.slogdet(x).logabsdet.item()], [Math.log(Math.abs(det(a, n)))], 1e-4);
    // Σ s² is the sum of squares, and Π s the absolute value of the determinant.
    const s = [...(await singularValues(x).data())];
    close([s.reduce((t, v) => t + v * v, 0)], [a.reduce((t, v) => t + v * v, 0)], 1e-4);
    close([s.reduce((t, v) => t + Math.log(v), 0)], [Math.log(Math.abs(det(a, n)))], 1e-3);
  });
});

test('second derivatives', async () => {
  const shapes: Shape[] = [
    [3, 3],
    [3, 2],
  ];
  const host = [a3.slice(0, 9).map((v, i) => v + 2 * identity(3)[i]), b.slice(0, 6)].map((v) => Float64Array.from(v));
  const functions: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
    inv: (x) => linalg.inv(x),
    det: (x) => linalg.det(x),
    slogdet: (x) => linalg.slogdet(x).logabsdet,
    solve: (p, q) => linalg.solve(p, q),
    solveTriangular: (x, y) => linalg.solveTriangular(x, y, { upper: false }),
    cholesky: (x) => linalg.cholesky(definite(x)),
    nuc: (x) => linalg.matrixNorm(x, 'nuc'),
    'nuc of a wide matrix': (x) => linalg.norm(slice(x, [{ stop: 2 }]), 'nuc'),
    spectral: (x) => linalg.matrixNorm(x, 2),
  };
  for (const [name, f] of Object.entries(functions)) {
    const inputs = host.map((v, i) => tensor(Float32Array.from(v), { shape: shapes[i], requiresGrad: true }));
    const slope = (x: Tensor, y: Tensor, createGraph: boolean) => {
      const z = f(x, y);
      const weights = tensor(Float32Array.from(numbers(z.size, 5)), { shape: z.shape });
      const [g] = grad(sum(mul(z, weights)), [x], { createGraph }) as Tensor[];
      return mul(g, tensor(Float32Array.from(numbers(9, 6)), { shape: [3, 3] }));
    };
    backward(sum(slope(inputs[0], inputs[1], true)));
    const h = 2 ** -6;
    const numeric = await Promise.all(
      [...host[0]].map(async (_, k) => {
        const at = async (step: number) => {
          const x = tensor(
            Float32Array.from(host[0], (v, i) => v + (i === k ? step : 0)),
            { shape: [3, 3], requiresGrad: true },
          );
          return sum(slope(x, inputs[1].detach(), false)).item();
        };
        // Of the fourth order, so that float32 is enough.
        const [p, q, r, s] = [await at(h), await at(-h), await at(2 * h), await at(-2 * h)];
        return (8 * (p - q) - (r - s)) / (12 * h);
      }),
    );
    close(await inputs[0].grad!.data(), numeric, 2e-3, name);
  }
});

test('tangents agree with gradients', async () => {
  const x = tensor(Float32Array.from(a3), { shape: [2, 3, 3] });
  const y = tensor(Float32Array.from(b.slice(0, 12)), { shape: [2, 3, 2] });
  const functions: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
    inv: (p) => linalg.inv(p),
    det: (p) => linalg.det(p),
    slogdet: (p) => linalg.slogdet(p).logabsdet,
    solve: (p, q) => linalg.solve(p, q),
    solveTriangular: (p, q) => linalg.solveTriangular(p, q, { upper: true }),
    cholesky: (p) => linalg.cholesky(definite(p)),
  };
  const tangents = [numbers(18, 21), numbers(12, 22)].map((v, i) =>
    tensor(Float32Array.from(v), { shape: [x, y][i].shape }),
  );
  for (const [name, f] of Object.entries(functions)) {
    const { tangent } = jvp(f, [x, y], tangents) as unknown as { tangent: Tensor };
    const inputs = [x, y].map((t) => t.clone().detach().requiresGrad_());
    const z = f(inputs[0], inputs[1]);
    const weights = tensor(Float32Array.from(numbers(z.size, 23)), { shape: z.shape });
    backward(z, { gradient: weights });
    const through = await Promise.all(inputs.map((t, i) => (t.grad ? sum(mul(t.grad, tangents[i])).item() : 0)));
    close([await sum(mul(tangent, weights)).item()], [through[0] + through[1]], 1e-4, name);
  }
});

test('singular matrices are reported by name at the next read, and have determinants', async () => {
  const fails = async (y: Tensor, message: RegExp) => {
    try {
      await y.data();
    } catch (error) {
      return assert.match((error as Error).message, message);
    }
    assert.unreachable(`expected ${message}`);
  };
  const singular = tensor([[[1, 0], [0, 1]], [[1, 2], [2, 4]]]); // biome-ignore format: matrices
  await fails(linalg.inv(singular), /linalg\.inv: matrix 1 of the batch is singular/);
  await fails(linalg.solve(singular, ones([2, 2, 1])), /linalg\.solve: matrix 1 of the batch is singular/);
  await fails(linalg.cholesky(tensor([[1, 2], [2, 1]])), /linalg\.cholesky: matrix 0 of the batch is not positive definite/); // biome-ignore format: a matrix
  assert.equal(await linalg.det(singular).toArray(), [1, 0]);
  const { sign, logabsdet } = linalg.slogdet(singular);
  assert.equal(await sign.toArray(), [1, 0]);
  assert.equal(await logabsdet.toArray(), [0, -Infinity]);
  const x = singular.clone().detach().requiresGrad_();
  backward(sum(linalg.det(x)));
  assert.equal(await x.grad!.toArray(), [[[1, 0], [0, 1]], [[0, 0], [0, 0]]].map((m) => m.map((r) => r.map((v) => v + 0)))); // biome-ignore format: matrices
  const negative = await logdet(tensor([[[0, 1], [1, 0]], [[2, 0], [0, 2]]])).data(); // biome-ignore format: matrices
  close(negative, [NaN, Math.log(4)], 1e-6);
  close(await linalg.solveTriangular(tensor([[0]]), tensor([[1]]), { upper: true }).data(), [Infinity]);
  close(await linalg.det(tensor([[NaN, 1], [1, 2]])).data(), [NaN]); // biome-ignore format: a matrix
});

test('empty matrices and batches, powers of 0 and 1', async () => {
  assert.equal(linalg.inv(zeros([0, 3, 3])).shape, [0, 3, 3]);
  assert.equal(linalg.inv(zeros([2, 0, 0])).shape, [2, 0, 0]);
  assert.equal(await linalg.det(zeros([2, 0, 0])).toArray(), [1, 1]);
  assert.equal(await linalg.det(zeros([0, 2, 2])).toArray(), []);
  assert.equal(linalg.solve(zeros([2, 2]), zeros([2, 0])).shape, [2, 0]);
  assert.equal(linalg.cholesky(zeros([0, 0])).shape, [0, 0]);
  assert.equal(await linalg.matrixPower(zeros([2, 2]), 0).toArray(), [[1, 0], [0, 1]]); // biome-ignore format: a matrix
  assert.equal(await linalg.inv(tensor([[4]])).toArray(), [[0.25]]);
  assert.equal(await linalg.matrixPower(tensor([[3]]), 1).toArray(), [[3]]);
});

test('compiled', async () => {
  const x = tensor(Float32Array.from(a3), { shape: [2, 3, 3] });
  const f = (t: Tensor) => linalg.inv(t).add(linalg.cholesky(definite(t)));
  const step = compile(f);
  const want = await f(x).data();
  for (let i = 0; i < 3; i++) assert.equal(await step(x).data(), want);
});

test('norms and vecdot of linalg', async () => {
  const x = tensor([[3, -4], [0, 12]]); // biome-ignore format: a matrix
  for (const [y, want] of [
    [linalg.norm(x), 13],
    [linalg.norm(x, 1), 16],
    [linalg.norm(x, -1), 3],
    [linalg.norm(x, Infinity), 12],
    [linalg.norm(x, -Infinity), 7],
    [linalg.norm(x, 'fro'), 13],
    [linalg.norm(tensor([3, 4])), 5],
    [linalg.norm(tensor([3, -4]), 1), 7],
  ] as [Tensor, number][])
    close([await y.item()], [want], 1e-6);
  close(await linalg.norm(x, 1, 0).data(), [3, 16]);
  close(await linalg.vecdot(x, tensor([1, 2])).data(), [-5, 24]);
  close(await linalg.vecdot(tensor([1, 2]), x).data(), [-5, 24]); // the dimension is that of the products
  close(await linalg.vecdot(tensor([1, 2]), x, 1).data(), [-5, 24]);
  assert.equal(linalg.matrixNorm(zeros([2, 3, 4]), 1, [0, 2], true).shape, [1, 3, 1]);
});

test('refuses what does not fit', () => {
  assert.throws(() => linalg.inv(zeros([2, 3])), /linalg\.inv: the matrix is not square.*\[2, 3\]/s);
  assert.throws(() => linalg.det(zeros([2, 2], { dtype: 'int32' })), /linalg\.det.*float32/s);
  assert.throws(() => linalg.solve(zeros([2, 2]), zeros([3, 1])), /linalg\.solve: the right side does not fit/);
  assert.throws(() => linalg.solveTriangular(zeros([2, 2]), zeros([2, 1]), {} as never), /upper is missing/);
  assert.throws(() => linalg.matrixPower(zeros([2, 2]), 0.5), /n is 0.5/);
  assert.throws(() => linalg.matrixNorm(zeros([2, 2]), 3), /the norm 3 is not there/);
  assert.throws(() => linalg.cholesky(zeros([2, 2]), { lower: true } as never), /no option 'lower'/);
  assert.is(size([2, 3]), 6);
});

test.run();
