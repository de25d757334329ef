// Recurrences against float64 loops, and the fused steps against the same written in recorded operations.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recurrentStep, rowsPerThread } from '../../shaders/recurrent';
import { backward, grad } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import { detach } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { add, mul, square } from '../../src/ops/elementwise';
import { concat } from '../../src/ops/join';
import { type Cell, gatesOf, type Recurred, type Recurrence, recurrence, unrolled } from '../../src/ops/recurrent';
import { sum } from '../../src/ops/reduce';
import { permute, reshape } from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import { strided, type Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, onBothTargets, targetFor, useGpu } from '../util';

useGpu();

interface Case {
  cell: Cell;
  T: number;
  N: number;
  I: number;
  H: number;
  /** Of a projection. */
  P?: number;
  bias?: false;
  state?: false;
  reverse?: true;
}

/** Names and shapes of the inputs. */
function shapesOf({ cell, T, N, I, H, P, ...o }: Case): Record<string, number[]> {
  const [bias, state] = [o.bias !== false, o.state !== false];
  const rows = gatesOf[cell] * H;
  return {
    x: [T, N, I],
    ih: [rows, I],
    hh: [rows, P ?? H],
    ...(bias && { biasIh: [rows], biasHh: [rows] }),
    ...(P && { hr: [P, H] }),
    ...(state && { h: [N, P ?? H] }),
    ...(state && cell === 'lstm' && { c: [N, H] }),
  };
}

const outputs = ({ y, h, c }: Recurred): Tensor => concat([y, h, ...(c ? [c] : [])].map((t) => reshape(t, [t.size])));

/** All outputs in a row, in float64. */
function reference(o: Case, given: Record<string, ArrayLike<number>>): number[] {
  const { cell, T, N, I, H, reverse } = o;
  const P = o.P ?? H;
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
  const dot = (w: ArrayLike<number>, row: number, x: ArrayLike<number>, from: number, n: number) => {
    let total = 0;
    for (let k = 0; k < n; k++) total += w[row * n + k] * x[from + k];
    return total;
  };
  const h = Array.from({ length: N * P }, (_, i) => given.h?.[i] ?? 0);
  const c = Array.from({ length: N * H }, (_, i) => given.c?.[i] ?? 0);
  const y = new Array<number>(T * N * P);
  for (let step = 0; step < T; step++) {
    const t = reverse ? T - 1 - step : step;
    for (let n = 0; n < N; n++) {
      const a = (row: number) => dot(given.ih, row, given.x, (t * N + n) * I, I) + (given.biasIh?.[row] ?? 0);
      const s = (row: number) => dot(given.hh, row, h, n * P, P) + (given.biasHh?.[row] ?? 0);
      const after = Array.from({ length: H }, (_, j) => {
        const gate = (k: number) => a(k * H + j) + s(k * H + j);
        if (cell === 'tanh') return Math.tanh(gate(0));
        if (cell === 'relu') return Math.max(0, gate(0));
        if (cell === 'gru') {
          const [r, z] = [sigmoid(gate(0)), sigmoid(gate(1))];
          const candidate = Math.tanh(a(2 * H + j) + r * s(2 * H + j));
          return (1 - z) * candidate + z * h[n * P + j];
        }
        c[n * H + j] = sigmoid(gate(1)) * c[n * H + j] + sigmoid(gate(0)) * Math.tanh(gate(2));
        return sigmoid(gate(3)) * Math.tanh(c[n * H + j]);
      });
      for (let p = 0; p < P; p++) {
        h[n * P + p] = o.P ? dot(given.hr, p, after, 0, H) : after[p];
        y[(t * N + n) * P + p] = h[n * P + p];
      }
    }
  }
  return [...y, ...h, ...(cell === 'lstm' ? c : [])];
}

const small: Case[] = [
  { cell: 'tanh', T: 3, N: 2, I: 3, H: 5 },
  { cell: 'relu', T: 2, N: 3, I: 2, H: 4, reverse: true, state: false },
  { cell: 'lstm', T: 3, N: 2, I: 3, H: 5, reverse: true },
  { cell: 'lstm', T: 2, N: 1, I: 1, H: 1, bias: false, state: false },
  { cell: 'lstm', T: 3, N: 2, I: 2, H: 5, P: 3 },
  { cell: 'gru', T: 3, N: 2, I: 3, H: 5 },
  { cell: 'gru', T: 2, N: 3, I: 2, H: 3, bias: false, reverse: true },
];

test('values and gradients of all inputs', () =>
  onBothTargets(async () => {
    for (const o of small) {
      const shapes = shapesOf(o);
      const names = Object.keys(shapes);
      const named = <T>(list: readonly T[]) => Object.fromEntries(list.map((x, i) => [names[i], x]));
      await checkOperation(JSON.stringify(o), {
        shapes: Object.values(shapes),
        values: Object.values(shapes).map((shape, i) => numbers(size(shape), 5 + i)),
        run: (...inputs) =>
          outputs(recurrence({ cell: o.cell, reverse: o.reverse, ...named(inputs) } as unknown as Recurrence)),
        reference: (...inputs) => reference(o, named(inputs)),
      });
    }
  }));

/** Inputs of a case on the GPU. */
function inputsOf(o: Case, scale = 1): Recurrence {
  const made = Object.entries(shapesOf(o)).map(([name, shape], i) => {
    const values = Float32Array.from(numbers(size(shape), 9 + i, -scale, scale));
    return [name, tensor(values, { shape, requiresGrad: true })];
  });
  return { cell: o.cell, reverse: o.reverse, ...Object.fromEntries(made) };
}

const tensorsOf = (given: Recurrence): [string, Tensor][] =>
  Object.entries(given).filter((entry): entry is [string, Tensor] => typeof entry[1] === 'object');

/** Outputs and gradients of a random objective. */
async function results(
  given: Recurrence,
  run: (o: Recurrence) => Recurred,
): Promise<Record<string, ArrayLike<number>>> {
  const out = outputs(run(given));
  const leaves = tensorsOf(given);
  const gradient = tensor(Float32Array.from(numbers(out.size, 3)));
  const found = grad(
    out,
    leaves.map(([, t]) => t),
    { gradient },
  );
  const list = await Promise.all(found.map((g) => g!.data()));
  return { out: await out.data(), ...Object.fromEntries(leaves.map(([name], i) => [name, list[i]])) };
}

test('many rows, long sums, wide blocks: equal to the recorded operations', () =>
  onBothTargets(async () => {
    for (const [o, scale] of [
      [{ cell: 'lstm', T: 2, N: 70, I: 3, H: 33 }, 0.3],
      [{ cell: 'gru', T: 2, N: 9, I: 5, H: 300 }, 0.05],
      [{ cell: 'tanh', T: 2, N: 17, I: 2, H: 18, reverse: true }, 0.3],
      [{ cell: 'lstm', T: 3, N: 5, I: 4, H: 40, P: 21, state: false }, 0.3],
    ] as [Case, number][]) {
      const [got, want] = [await results(inputsOf(o, scale), recurrence), await results(inputsOf(o, scale), unrolled)];
      for (const name of Object.keys(want)) close(got[name], want[name], 2e-5, `${o.cell} ${name}`);
    }
  }));

test('every number of rows of a thread has its kernel', () => {
  const counts = (kind: 'cpu' | 'gpu', quads: number) =>
    new Set([1, 2, 3, 8, 20, 64, 1000].map((rows) => rowsPerThread(targetFor(kind), rows, quads)));
  assert.equal([...counts('gpu', 64)], [1, 4, 8]);
  assert.equal([...counts('cpu', 512)], [1, 4, 8, 32]);
  assert.is(rowsPerThread(targetFor('cpu'), 32, 128), 16);
  assert.is(recurrentStep(targetFor('gpu'), 'gru', 4), recurrentStep(targetFor('gpu'), 'gru', 4));
});

test('launches: one a step forward and one in the gradient, two each with a projection', async () => {
  const launches = (T: number, P?: number, cell: Cell = 'lstm') => {
    const given = inputsOf({ cell, T, N: 2, I: 3, H: 5, P });
    const before = device().stats().dispatches;
    const out = recurrence(given);
    const between = device().stats().dispatches;
    backward(sum(out.y));
    return [between - before, device().stats().dispatches - between];
  };
  for (const [P, steps, cell] of [
    [undefined, 1, 'lstm'],
    [undefined, 1, 'gru'],
    [undefined, 1, 'tanh'],
    [3, 2, 'lstm'],
  ] as const) {
    const [short, long] = [launches(3, P, cell), launches(35, P, cell)];
    // The products over all steps may be split into a few parts.
    assert.equal(
      long.map((n, i) => Math.floor((n - short[i]) / 32)),
      [steps, steps],
      cell,
    );
    assert.ok(long[0] + long[1] <= 4 * 35 + 30, `${long} launches for 35 steps`);
  }
});

test('views as inputs, and outputs that are not used', async () => {
  const o: Case = { cell: 'lstm', T: 3, N: 2, I: 3, H: 5 };
  const want = await results(inputsOf(o), recurrence);
  const turned = inputsOf(o);
  for (const name of ['x', 'hh', 'h'] as const) {
    const t = turned[name]!;
    const order = t.shape.map((_, i) => t.ndim - 1 - i);
    const values = await permute(t, order).data();
    const leaf = tensor(values, { shape: order.map((i) => t.shape[i]), requiresGrad: true });
    const got = await results({ ...inputsOf(o), [name]: leaf }, (given) =>
      recurrence({ ...given, [name]: permute(leaf, order) }),
    );
    close(got.out, want.out, 1e-6, name);
    if (name !== 'hh') close(got.hh, want.hh, 1e-6, `gradient with a turned ${name}`);
  }
  const offset = tensor(Float32Array.from([7, ...(await turned.c!.data())]));
  const moved = recurrence({ ...inputsOf(o), c: strided(offset, [2, 5], [5, 1], 1) });
  close(await outputs(moved).data(), want.out, 1e-6, 'an offset');
  for (const name of ['y', 'h', 'c'] as const) {
    const sums = [recurrence, unrolled].map((run) => {
      const given = inputsOf(o);
      backward(sum(square(run(given)[name]!)));
      return given.hh.grad!.data();
    });
    const [got, expected] = await Promise.all(sums);
    close(got, expected, 1e-5, `only ${name}`);
  }
});

test('second derivatives and jvp', async () => {
  const o: Case = { cell: 'gru', T: 2, N: 2, I: 2, H: 3 };
  const hessian = async (cell: Cell, P: number | undefined, run: (given: Recurrence) => Recurred) => {
    const given = inputsOf({ ...o, cell, P });
    const [g, gx] = grad(sum(square(outputs(run(given)))), [given.hh, given.x], { createGraph: true });
    backward(add(sum(mul(g!, g!)), sum(gx!)));
    return Promise.all([given.ih, given.x, given.h!].map((t) => t.grad!.data()));
  };
  for (const [cell, P] of [['tanh'], ['lstm', 2], ['gru']] as [Cell, number?][]) {
    const [got, want] = [await hessian(cell, P, recurrence), await hessian(cell, P, unrolled)];
    got.forEach((values, i) => close(values, want[i], 1e-5, `second derivative of ${cell}, ${i}`));
  }
  for (const cell of ['gru', 'lstm'] as const) {
    const given = inputsOf({ ...o, cell });
    const leaves = tensorsOf(given);
    const directions = leaves.map(([, t], i) => tensor(Float32Array.from(numbers(t.size, 40 + i)), { shape: t.shape }));
    const pushed = (run: (given: Recurrence) => Recurred) =>
      jvp(
        (...own) => outputs(run({ ...given, ...Object.fromEntries(own.map((t, i) => [leaves[i][0], t])) })),
        leaves.map(([, t]) => detach(t)),
        directions,
      ).tangent.data();
    close(await pushed(recurrence), await pushed(unrolled), 1e-5, `jvp of ${cell}`);
  }
});

test('NaN and infinities spread as in the formula', async () => {
  const given = inputsOf({ cell: 'relu', T: 2, N: 2, I: 1, H: 2, bias: false, state: false });
  given.x = tensor([Number.NaN, 1, 0, Infinity], { shape: [2, 2, 1] });
  const y = await recurrence(given).y.data();
  const want = await unrolled(given).y.data();
  assert.equal([...y].map(Number.isNaN), [...want].map(Number.isNaN));
  assert.ok(Number.isNaN(y[0]) && Number.isNaN(y[4]) && !Number.isNaN(y[2]));
  const lstm = inputsOf({ cell: 'lstm', T: 1, N: 1, I: 1, H: 2, state: false });
  lstm.x = tensor([Infinity], { shape: [1, 1, 1] });
  close(await outputs(recurrence(lstm)).data(), await outputs(unrolled(lstm)).data(), 1e-6, 'saturated gates');
});

test('no rows', async () => {
  const given = inputsOf({ cell: 'lstm', T: 2, N: 0, I: 3, H: 4 });
  const { y, c } = recurrence(given);
  assert.equal(
    [y.shape, c!.shape],
    [
      [2, 0, 4],
      [0, 4],
    ],
  );
  backward(add(sum(y), sum(given.hh)));
  assert.equal(
    [...(await given.ih.grad!.data())].every((g) => g === 0),
    true,
  );
});

test.run();
