// Muon and L-BFGS, whose steps are more than a rule for each number; what new rules do with options, NaN and saved state.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, F, optim, tensor } from '../../src';
import { Parameter } from '../../src/nn/parameter';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

const matrix = (rows: number, columns: number, seed: number) =>
  tensor(Float32Array.from(numbers(rows * columns, seed)), { shape: [rows, columns] });

/** Newton–Schulz's iteration on rows of numbers, as the definition has it. */
function orthogonal(g: number[][], [a, b, c]: number[], steps: number): number[][] {
  const t = (x: number[][]) => x[0].map((_, j) => x.map((row) => row[j]));
  const product = (x: number[][], y: number[][]) =>
    x.map((row) => y[0].map((_, j) => row.reduce((sum, v, k) => sum + v * y[k][j], 0)));
  if (g.length > g[0].length) return t(orthogonal(t(g), [a, b, c], steps));
  const norm = Math.hypot(...g.flat());
  let x = g.map((row) => row.map((v) => v / norm));
  for (let i = 0; i < steps; i++) {
    const gram = product(x, t(x));
    const square = product(gram, gram);
    const both = gram.map((row, r) => row.map((v, k) => b * v + c * square[r][k]));
    const more = product(both, x);
    x = x.map((row, r) => row.map((v, k) => a * v + more[r][k]));
  }
  return x;
}

test('Muon follows its definition, on wide and tall matrices, eager and compiled', async () => {
  for (const [rows, columns] of [
    [2, 5],
    [5, 2],
  ])
    for (const nesterov of [true, false]) {
      const run = async (compiled: boolean) => {
        const p = new Parameter(matrix(rows, columns, 1));
        const optimizer = new optim.Muon([p], { lr: 0.1, momentum: 0.8, nesterov });
        const body = (g: Tensor) => {
          F.sum(F.mul(p, g)).backward();
          optimizer.step();
          optimizer.zeroGrad();
        };
        const step = compiled ? compile(body) : body;
        for (let k = 0; k < 3; k++) step(matrix(rows, columns, 2 + k));
        return [...(await p.data())];
      };
      const rowsOf = (x: ArrayLike<number>) =>
        Array.from({ length: rows }, (_, i) => Array.from(x).slice(i * columns, (i + 1) * columns));
      let w = rowsOf(numbers(rows * columns, 1));
      let m = w.map((row) => row.map(() => 0));
      for (let k = 0; k < 3; k++) {
        const g = rowsOf(numbers(rows * columns, 2 + k));
        const mix = () => m.map((row, i) => row.map((v, j) => 0.8 * v + 0.2 * g[i][j]));
        m = mix();
        const update = orthogonal(nesterov ? mix() : m, [3.4445, -4.775, 2.0315], 5);
        const rate = 0.1 * Math.sqrt(Math.max(1, rows / columns));
        w = w.map((row, i) => row.map((v, j) => v * (1 - 0.1 * 0.1) - rate * update[i][j]));
      }
      const got = await run(false);
      close(got, w.flat(), 2e-5);
      assert.equal(await run(true), got);
    }
  assert.throws(() => new optim.Muon([new Parameter(tensor([1, 2]))]), /shape \[2\] is no matrix/);
  assert.throws(
    () => new optim.Muon([new Parameter(matrix(2, 2, 1))], { adjustLrFn: 'rms' as never }),
    /adjustLrFn 'rms'/,
  );
});

test('options that are words are saved and loaded', () => {
  const make = (adjustLrFn: 'match_rms_adamw' | null) => {
    const p = new Parameter(matrix(2, 2, 1));
    p.grad = matrix(2, 2, 2);
    const muon = new optim.Muon([p], { adjustLrFn });
    muon.step();
    return muon;
  };
  const [a, b] = [make('match_rms_adamw'), make(null)];
  b.loadStateDict(a.stateDict());
  assert.is(b.groups[0].adjustLrFn, 'match_rms_adamw');
  a.loadStateDict(make(null).stateDict());
  assert.is(a.groups[0].adjustLrFn, null);
});

/** Rosenbrock's valley: (1 − x)² + 100(y − x²)². */
const rosenbrock = (p: Parameter) => {
  const [x, y] = [p.select(0, 0), p.select(0, 1)];
  return x.neg().add(1).square().add(y.sub(x.square()).square().mul(100));
};

test('L-BFGS with a line search finds the end of a curved valley, and goes on from saved state', async () => {
  const start = (at: ArrayLike<number>) => {
    const p = new Parameter(tensor(Float32Array.from(at)));
    const optimizer = new optim.LBFGS([p], { lineSearchFn: 'strong_wolfe', maxIter: 5 });
    const step = () =>
      optimizer.step(() => {
        optimizer.zeroGrad();
        const loss = rosenbrock(p);
        loss.backward();
        return loss;
      });
    return { p, optimizer, step };
  };
  const run = start([0.4, 0.3]);
  const losses: number[] = [];
  for (let i = 0; i < 2; i++) losses.push(await (await run.step()).item());
  const again = start(await run.p.data());
  again.optimizer.loadStateDict(run.optimizer.stateDict());
  assert.is(again.optimizer.steps, run.optimizer.steps);
  for (let i = 0; i < 3; i++) {
    losses.push(await (await run.step()).item());
    await again.step();
    assert.equal([...(await again.p.data())], [...(await run.p.data())]);
  }
  close([losses[0]], [0.6 ** 2 + 100 * 0.14 ** 2], 1e-5);
  close(await run.p.data(), [1, 1], 1e-3);
  assert.ok(run.optimizer.evaluations >= run.optimizer.iterations);
  assert.match(String(await run.optimizer.step().catch((e: Error) => e)), /takes a closure/);
  assert.throws(() => run.optimizer.loadStateDict({ '0.d': tensor([1]) }), /nothing was loaded/);
});

test('L-BFGS without a line search solves a quadratic in as many steps as it has dimensions', async () => {
  const p = new Parameter(tensor([3, -2, 1]));
  const optimizer = new optim.LBFGS([p], { maxIter: 30 });
  await optimizer.step(() => {
    optimizer.zeroGrad();
    const loss = p
      .square()
      .mul(tensor([1, 2, 3]))
      .sum();
    loss.backward();
    return loss;
  });
  close(await p.data(), [0, 0, 0], 1e-4);
});

test('a gradient of NaN becomes a weight of NaN where only signs count; maximize goes up', async () => {
  for (const make of [
    (p: Parameter[]) => new optim.Lion(p, { lr: 0.1 }),
    (p: Parameter[]) => new optim.Rprop(p, { lr: 0.1 }),
  ]) {
    const p = new Parameter(tensor([1, 1]));
    p.grad = tensor([Number.NaN, 1]);
    make([p]).step();
    const [bad, good] = await p.data();
    assert.ok(Number.isNaN(bad));
    close([good], [0.9], 1e-6);
  }
  const p = new Parameter(tensor([1]));
  p.grad = tensor([1]);
  new optim.SGD([p], { lr: 0.1, maximize: true, weightDecay: 1 }).step();
  close(await p.data(), [1 - 0.1 * (1 - 1)], 1e-6);
  for (const option of ['capturable', 'foreach', 'fused', 'differentiable'])
    assert.throws(() => new optim.Adam([p], { [option]: true }), new RegExp(`no option '${option}'`));
});

test.run();
