// The continuous view: solvers against float64 and each other, three ways to the gradient, the adjoint's distance of 1/n (Theorem 3.1).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { grad } from '../../src/autograd/backward';
import { device } from '../../src/gpu';
import { MeanField } from '../../src/meanfield/mean-field';
import { type SolverOptions, solve } from '../../src/meanfield/ode';
import { MeanFieldResNet } from '../../src/models/resnet';
import { Module } from '../../src/nn/module';
import { Parameter } from '../../src/nn/parameter';
import { dropout } from '../../src/ops/dropout';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

const d = 4;
const [A, B] = [numbers(d * d, 1), numbers(d * d, 2)];
/** Weights that change smoothly with time, so that more particles approach one equation. */
const thetaAt = (t: number) => Float32Array.from(A, (a, i) => a * Math.cos(2 * t) + B[i] * Math.sin(3 * t));
const points = numbers(6 * d, 3);
const target = numbers(6, 4);

class Toy extends Module {
  readonly theta: Parameter;
  constructor(t: number) {
    super();
    this.theta = new Parameter(tensor(thetaAt(t), { shape: [d, d] }));
  }
  override forward(x: Tensor): Tensor {
    return x.matmul(this.theta.transpose(0, 1)).tanh();
  }
}

const stage = (n: number, solver?: SolverOptions) =>
  new MeanField(n, (l) => new Toy((l + 0.5) / n), { times: 'fraction', solver });

/** Result, and gradients of x, all θ and τ (times n: densities on the time axis; the last time is the end of it). */
async function gradients(net: MeanField) {
  const n = net.particles.length;
  const x = tensor(Float32Array.from(points), { shape: [6, d], requiresGrad: true });
  const y = net.forward(x);
  y.sum(1)
    .sub(tensor(Float32Array.from(target)))
    .square()
    .mean()
    .backward();
  const theta: number[] = [];
  for (const p of net.particles) theta.push(...Array.from(await (p as Toy).theta.grad!.data(), (g) => n * g));
  const tau = Array.from(await net.tau.grad!.data(), (g, l) => (l < n - 1 ? n * g : g));
  return { y: [...(await y.data())], x: [...(await x.grad!.data())], theta, tau };
}

const largest = (a: number[]) => Math.max(...a.map(Math.abs));
/** max|a − b| / max|b| */
const distance = (a: number[], b: number[]) => largest(a.map((v, i) => v - b[i])) / largest(b);
/** The slope of log y against log x by least squares. */
function slope(x: number[], y: number[]): number {
  const [u, v] = [x.map(Math.log), y.map(Math.log)];
  const mean = (list: number[]) => list.reduce((sum, a) => sum + a, 0) / list.length;
  const [mu, mv] = [mean(u), mean(v)];
  return u.reduce((sum, a, i) => sum + (a - mu) * (v[i] - mv), 0) / u.reduce((sum, a) => sum + (a - mu) ** 2, 0);
}

test('Euler with one step is the residual network', async () => {
  const [plain, solved] = [await gradients(stage(5)), await gradients(stage(5, { method: 'euler' }))];
  for (const key of ['y', 'x', 'theta', 'tau'] as const) close(solved[key], plain[key], 2e-6, key);
});

test('Euler, Heun and RK4 against float64 with many steps: errors of order 1, 2 and 4', async () => {
  const net = stage(3);
  const exact = () => {
    let x = Float64Array.from(points);
    const field = (z: Float64Array, theta: Float32Array) =>
      Float64Array.from(z, (_, i) => {
        let sum = 0;
        for (let k = 0; k < d; k++) sum += theta[(i % d) * d + k] * z[i - (i % d) + k];
        return Math.tanh(sum);
      });
    const plus = (z: Float64Array, h: number, k: Float64Array) => z.map((v, i) => v + h * k[i]);
    for (let l = 0; l < 3; l++)
      for (let s = 0, h = 1 / 3 / 50; s < 50; s++) {
        const theta = thetaAt((l + 0.5) / 3);
        const k1 = field(x, theta);
        const k2 = field(plus(x, h / 2, k1), theta);
        const k3 = field(plus(x, h / 2, k2), theta);
        const k4 = field(plus(x, h, k3), theta);
        x = x.map((v, i) => v + (h / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
      }
    return [...x];
  };
  const want = exact();
  const x = tensor(Float32Array.from(points), { shape: [6, d] });
  const error = async (method: SolverOptions['method'], substeps: number) =>
    distance([...(await net.solve(x, { method, substeps }).data())], want);
  for (const [method, order] of [
    ['euler', 1],
    ['heun', 2],
  ] as const) {
    const steps = [2, 4, 8];
    const errors: number[] = [];
    for (const k of steps) errors.push(await error(method, k));
    const found = -slope(steps, errors);
    assert.ok(Math.abs(found - order) < 0.15, `${method}: order ${found}, errors ${errors}`);
  }
  const [one, two] = [await error('rk4', 1), await error('rk4', 2)];
  assert.ok(one < 1e-3 && two < one / 10, `rk4: errors ${one} and ${two}`);
});

test('checkpointed gradients have the bits of backpropagation, and memory grows with √n', async () => {
  for (const method of ['euler', 'rk4'] as const)
    assert.equal(
      await gradients(stage(7, { method, substeps: 2, gradient: 'checkpoint' })),
      await gradients(stage(7, { method, substeps: 2 })),
    );
  const held = (n: number, gradient: SolverOptions['gradient']) => {
    const net = stage(n, { gradient });
    const x = tensor(Float32Array.from(points), { shape: [6, d] });
    const before = device().stats().liveBytes;
    const y = net.forward(x);
    const bytes = device().stats().liveBytes - before;
    y.sum().backward();
    return bytes;
  };
  const [plain, root, constant] = [held(64, 'backprop'), held(64, 'checkpoint'), held(64, 'adjoint')];
  assert.ok(
    root < plain / 4 && constant < root / 4,
    `backprop ${plain}, checkpoints ${root}, adjoint ${constant} bytes`,
  );
  const growth = root / held(16, 'checkpoint');
  assert.ok(growth > 1.5 && growth < 2.5, `four times the depth, ${growth} times the memory`);
});

test('the adjoint differs from backpropagation by O(1/n): slope within [−1.1, −0.9]', async () => {
  const sizes = [16, 32, 64];
  const errors: Record<'x' | 'theta' | 'tau', number[]> = { x: [], theta: [], tau: [] };
  for (const n of sizes) {
    const [plain, adjoint] = [await gradients(stage(n)), await gradients(stage(n, { gradient: 'adjoint' }))];
    close(adjoint.y, plain.y, 1e-5, 'the forward pass is the same');
    for (const key of ['x', 'theta', 'tau'] as const) errors[key].push(distance(adjoint[key], plain[key]));
  }
  for (const [key, list] of Object.entries(errors)) {
    const found = slope(sizes, list);
    assert.ok(found > -1.1 && found < -0.9, `${key}: slope ${found} of ${list}`);
  }
});

test('Lemma 3.3: the adjoint does not vanish before the loss does, and p(0) is that of a float64 adjoint', async () => {
  const n = 32;
  const net = stage(n);
  const x = tensor(Float32Array.from(points), { shape: [6, d], requiresGrad: true });
  // X at every border, so that each is asked for its gradient.
  const features: Tensor[] = [x];
  for (const [l, f] of net.branches.entries()) features.push(features[l].add(f(features[l]).mul(1 / n)));
  const loss = features[n]
    .sum(1)
    .mul(1 / 2)
    .sub(tensor(Float32Array.from(target)))
    .square()
    .mean()
    .mul(1 / 2);
  const energy = await loss.item();
  // p(x) is the gradient of one sample's loss: six times that of the mean. The readout ½(1, 1, 1, 1) has the norm 1.
  const adjoint = grad(loss, features).map((p) => p!.mul(6));
  const squares: number[] = [];
  for (const p of adjoint) squares.push((await p.square().sum().item()) / 6);
  close([squares[n]], [2 * energy], 1e-5, '‖p(1)‖² = 2E');
  const frobenius = (theta: Float32Array) => Math.hypot(...theta);
  const c = Math.max(...net.particles.map((_, l) => frobenius(thetaAt((l + 0.5) / n))));
  for (const [l, square] of squares.entries()) {
    assert.ok(
      square >= 2 * energy * Math.exp(-2 * c * (1 - l / n)),
      `Gronwall at ${l}: ${square}, E ${energy}, C ${c}`,
    );
    assert.ok(square >= energy * Math.exp(-c), `as printed, at ${l}`);
  }
  // The same in float64: X forward by Euler, then p ← p + Δ·(∂f/∂X)ᵀp.
  const rows = Array.from({ length: 6 }, (_, s) => Array.from(points.slice(s * d, (s + 1) * d)));
  const p0 = rows.flatMap((row, s) => {
    const path = [row];
    const through = (l: number, z: number[]) => {
      const theta = thetaAt((l + 0.5) / n);
      return Array.from({ length: d }, (_, i) => Math.tanh(z.reduce((sum, v, k) => sum + theta[i * d + k] * v, 0)));
    };
    for (let l = 0; l < n; l++) path.push(path[l].map((v, i) => v + through(l, path[l])[i] / n));
    const error = path[n].reduce((sum, v) => sum + v / 2, 0) - target[s];
    let p = Array(d).fill(error / 2) as number[];
    for (let l = n - 1; l >= 0; l--) {
      const [theta, f] = [thetaAt((l + 0.5) / n), through(l, path[l])];
      const weighted = p.map((v, i) => v * (1 - f[i] ** 2));
      p = p.map((v, k) => v + weighted.reduce((sum, w, i) => sum + w * theta[i * d + k], 0) / n);
    }
    return p;
  });
  close(await adjoint[0].data(), p0, 1e-5, 'p(0)');
});

test('with small steps of a high order the adjoint agrees with backpropagation', async () => {
  const solver = { method: 'rk4', substeps: 2 } as const;
  const [plain, adjoint] = [
    await gradients(stage(4, solver)),
    await gradients(stage(4, { ...solver, gradient: 'adjoint' })),
  ];
  for (const key of ['x', 'theta', 'tau'] as const)
    assert.ok(distance(adjoint[key], plain[key]) < 1e-4, `${key}: ${distance(adjoint[key], plain[key])}`);
});

const precise = { method: 'rk4', substeps: 4 } as const;
const times = () => tensor([0.25, 0.5, 0.75, 1], { requiresGrad: true });

test('the adjoint: a parameter that branches share has its gradient once, listed or not, leaf or computed', async () => {
  const w = new Parameter(tensor([0.5]));
  const shared = () =>
    solve(
      tensor([1]),
      Array(4).fill((z: Tensor) => z.mul(w)),
      times(),
      { ...precise, gradient: 'adjoint' },
    );
  shared().sum().backward();
  close(await w.grad!.data(), [Math.exp(0.5)], 1e-5, '∂e^w/∂w at 0.5');
  // Through a tensor computed from it, whose graph serves another loss as well.
  w.grad = null;
  const half = w.mul(0.5);
  const computed = solve(
    tensor([1]),
    [1, 1].map(() => (z: Tensor) => z.mul(half)),
    tensor([1, 2]),
    { ...precise, gradient: 'adjoint' },
  );
  computed.sum().add(half.sum()).backward();
  close(await w.grad!.data(), [Math.exp(0.5) + 0.5], 1e-5, '∂(e^w + w/2)/∂w at 0.5');
});

test('the adjoint: branches that do not depend on x, or on nothing at all, or give x, have the gradient of backpropagation', async () => {
  const [w, x] = [new Parameter(tensor([0.5, -1])), tensor([0.3, 0.2], { requiresGrad: true })];
  const branches = [() => w.tanh(), (z: Tensor) => z.mul(w).sin(), () => tensor([2, 3]), (z: Tensor) => z];
  const run = async (gradient: SolverOptions['gradient']) => {
    const tau = times();
    solve(x, branches, tau, { ...precise, gradient })
      .square()
      .sum()
      .backward();
    const found = [w, x, tau].map(async (t) => [...(await t.grad!.data())]);
    const all = (await Promise.all(found)).flat();
    w.grad = x.grad = null;
    return all;
  };
  close(await run('adjoint'), await run('backprop'), 1e-4);
});

test('the adjoint refuses branches that draw: dropout would be another on the way back', () => {
  const dropping = (z: Tensor) => dropout(z, { p: 0.5 });
  assert.throws(
    () => solve(tensor([1], { requiresGrad: true }), [dropping], tensor([1]), { gradient: 'adjoint' }),
    /adjoint: branch 0 draws random numbers/,
  );
});

test('a ResNet trains through any solver and gradient; running statistics move once', async () => {
  const x = tensor(Float32Array.from(numbers(2 * 3 * 64, 9)), { shape: [2, 3, 8, 8] });
  const run = async (solver?: SolverOptions) => {
    manualSeed(2);
    const net = new MeanFieldResNet({ blocks: 2, classes: 3, particles: { solver } });
    const loss = net.forward(x).square().mean();
    loss.backward();
    const state: number[] = [];
    for (const [name, t] of net.namedTensors()) if (/running/.test(name)) state.push(...(await t.data()));
    return { loss: await loss.item(), state, missing: net.parameters().filter((p) => !p.grad).length };
  };
  const plain = await run();
  for (const gradient of ['backprop', 'checkpoint', 'adjoint'] as const) {
    const { loss, state, missing } = await run({ gradient });
    close([loss], [plain.loss], 1e-5, gradient);
    close(state, plain.state, 1e-5, `${gradient}: running statistics`);
    assert.is(missing, 0, `${gradient}: every parameter has a gradient`);
  }
  assert.throws(
    () => stage(2, { substeps: 0 }).forward(tensor([[1, 2, 3, 4]])),
    /substeps is 0: it must be a whole number from 1/,
  );
});

test.run();
