// Lu et al. in float64 (tests/fixtures/lu_*.json, toy f = σ(X θᵀ)): forward, gradients, training with re-sorting.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { MeanField } from '../../src/meanfield/mean-field';
import { Module } from '../../src/nn/module';
import { Parameter } from '../../src/nn/parameter';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';

useGpu();

type Matrix = number[][];
const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));

/** max|got − want| / max|want|, the error that the tolerances are for. */
function error(got: ArrayLike<number>, want: unknown): number {
  const flat = (want as number[]).flat(Infinity) as number[];
  assert.is(got.length, flat.length);
  const scale = Math.max(...flat.map(Math.abs));
  return Math.max(...flat.map((w, i) => Math.abs(w - got[i]))) / scale;
}

class Toy extends Module {
  readonly theta: Parameter;
  constructor(
    theta: Matrix,
    readonly activation: 'tanh' | 'relu',
  ) {
    super();
    this.theta = new Parameter(tensor(theta));
  }
  override forward(x: Tensor): Tensor {
    return x.matmul(this.theta.transpose(0, 1))[this.activation]();
  }
}

const network = (theta: Matrix[], tau: number[], activation: 'tanh' | 'relu') =>
  new MeanField(
    theta.map((matrix) => new Toy(matrix, activation)),
    { times: tau },
  );

/** (1/2B) Σ (⟨w, Xⁿ⟩ − y)² */
function loss(out: Tensor, y: Tensor): Tensor {
  return out.sub(y).square().mean().mul(0.5);
}

for (const [k, c] of fixture('lu_forward_backward').cases.entries()) {
  const run = async (theta: Matrix[], tau: number[]) => {
    const net = network(theta, tau, c.activation);
    const x = tensor(c.X, { requiresGrad: true });
    const out = net.forward(x).matmul(tensor(c.w1));
    const value = loss(out, tensor(c.y));
    value.backward();
    const theta_ = await Promise.all(net.particles.map((p) => (p as Toy).theta.grad!.data()));
    return {
      out: await out.data(),
      loss: await value.item(),
      theta: theta_.flatMap((g) => [...g]),
      tau: await net.tau.grad!.data(),
      x: await x.grad!.data(),
    };
  };

  test(`forward and backward, case ${k} (${c.activation})`, async () => {
    const got = await run(c.theta, c.tau);
    assert.ok(error(got.out, c.out) < 2e-5, 'out');
    assert.ok(Math.abs(got.loss - c.loss) < 2e-5, 'loss');
    assert.ok(error(got.theta, c.grad_theta) < 2e-5, '∂E/∂θ');
    assert.ok(error(got.tau, c.grad_tau) < 2e-5, '∂E/∂τ');
    assert.ok(error(got.x, c.grad_X0) < 2e-5, '∂E/∂X⁰');
  });

  test(`relabelled particles give the same bits, case ${k}`, async () => {
    const plain = await run(c.theta, c.tau);
    const permuted = await run(
      c.permutation.map((i: number) => c.theta[i]),
      c.permutation.map((i: number) => c.tau[i]),
    );
    assert.equal(permuted, plain);
  });
}

for (const c of fixture('lu_train_10steps').runs) {
  test(`ten steps with re-sorting: ${c.name}`, async () => {
    const net = network(c.theta_init, c.tau_init, c.activation);
    const theta = net.particles.map((p) => (p as Toy).theta);
    const optimizer = new SGD(
      [
        { params: theta, lr: c.lr_theta, weightDecay: c.wd },
        { params: [net.tau], lr: c.lr_tau },
      ],
      { lr: 1, momentum: c.mu },
    );
    const w = tensor(c.w1);
    for (let step = 0; step < c.steps; step++) {
      const rows: number[] = c.batches?.[step] ?? c.X.map((_: unknown, i: number) => i);
      const x = tensor(rows.map((i) => c.X[i]));
      const value = loss(net.forward(x).matmul(w), tensor(rows.map((i) => c.y[i])));
      value.backward();
      optimizer.step();
      net.sortParticles();
      assert.ok(Math.abs((await value.item()) - c.losses[step]) < 2e-5, `loss of step ${step}`);
      const { tau, order } = await net.telemetry();
      assert.equal(order, c.ids_history[step], `order after step ${step}`);
      assert.ok(error(tau, c.tau_history[step]) < 3e-5, `τ after step ${step}`);
    }
    const now = async (list: Tensor[]) => (await Promise.all(list.map((t) => t.data()))).flatMap((a) => [...a]);
    assert.ok(error(await now(theta), c.theta_final) < 3e-5, 'θ');
    assert.ok(error(await now([net.tau]), c.tau_final) < 3e-5, 'τ');
    if (c.mu) {
      assert.ok(
        error(await now(theta.map((p) => optimizer.stateOf(p).get('momentum')!)), c.mom_theta_final) < 3e-5,
        'momentum of θ',
      );
      assert.ok(
        error(await now([optimizer.stateOf(net.tau).get('momentum')!]), c.mom_tau_final) < 3e-5,
        'momentum of τ',
      );
    }
  });
}

test.run();
