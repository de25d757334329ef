// Fang et al. in float64 (../shared/reference/fixtures/fang_*.json): forward and backward passes, Algorithm 1, both forms of Algorithm 2.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { compile } from '../../src/autograd/compile';
import { FeatureFlowNet, logistic, pseudoHuber, regress, ScaledGradientDescent } from '../../src/featureflow';
import { tensor } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { sharedPath } from '../shared';
import { useGpu } from '../util';

useGpu();

const path = sharedPath('reference', 'fixtures');
const withFixtures = path ? test : test.skip;
const fixture = (name: string) => JSON.parse(path ? readFileSync(`${path}/fang_${name}.json`, 'utf8') : '{}');

/** Fails unless max|got − want| ≤ tolerance · max|want|. */
async function near(got: Tensor, want: unknown, tolerance: number, what: string): Promise<void> {
  const flat = (want as number[]).flat(Infinity) as number[];
  const values = await got.data();
  assert.is(values.length, flat.length, what);
  const scale = Math.max(...flat.map(Math.abs));
  const error = Math.max(...flat.map((w, i) => Math.abs(w - values[i]))) / scale;
  assert.ok(error <= tolerance, `${what}: error ${error}`);
}

interface Case {
  X: number[][];
  y: number[];
  d: number;
  m: number;
  L: number;
  loss_kind: 'pseudo_huber' | 'logistic';
  delta?: number;
}

/** The net with the weights of a fixture, whose vectors stand for one-column matrices. */
function net({ d, m, L }: Pick<Case, 'd' | 'm' | 'L'>, v: unknown[]): FeatureFlowNet {
  const initial = (l: number, shape: Shape) => tensor((v[l - 1] as number[]).flat(Infinity) as number[], { shape });
  return new FeatureFlowNet({ inputs: d, width: m, layers: L, initial });
}

const lossOf = (c: Case, output: Tensor): Tensor =>
  c.loss_kind === 'logistic' ? logistic(output, tensor(c.y)) : pseudoHuber(output, tensor(c.y), { delta: c.delta });

withFixtures('forward and backward: features, residuals, outputs, gradients, scales', async () => {
  for (const c of fixture('forward_backward').cases) {
    const model = net(c, c.v);
    const { features, residuals, output } = model.layers(tensor(c.X));
    for (const x of [...features, ...residuals.filter(Boolean), output]) x.retainGrad();
    const loss = lossOf(c, output);
    loss.backward();
    assert.ok(Math.abs((await loss.item()) - c.loss) < 1e-5, 'loss');
    await near(output, c.out, 1e-4, 'out');
    await near(output.grad!, c.dloss_dout, 1e-4, '∂L/∂out');
    for (const [l, values] of Object.entries(c.beta)) await near(features[Number(l)], values, 2e-5, `β_${l}`);
    for (const [l, values] of Object.entries(c.alpha)) await near(residuals[Number(l)], values, 2e-5, `α_${l}`);
    for (const [l, values] of Object.entries(c.grad_beta))
      await near(features[Number(l)].grad!, values, 1e-4, `∂L/∂β_${l}`);
    for (const [l, values] of Object.entries(c.grad_alpha))
      await near(residuals[Number(l)].grad!, values, 1e-4, `∂L/∂α_${l}`);
    for (const [i, weight] of model.weights.entries()) {
      await near(weight.grad!, c.grad_v[i], 1e-4, `∂L/∂v_${i + 1}`);
      assert.is(weight.scale, c.step_scale[i], `scale of v_${i + 1}`);
    }
  }
});

for (const compiled of [false, true])
  withFixtures(`Algorithm 1, ten steps${compiled ? ', compiled' : ''}`, async () => {
    for (const c of fixture('algorithm1_10steps').runs) {
      const model = net(c, c.v_init);
      const optimizer = new ScaledGradientDescent(model.parameters(), { lr: c.eta });
      const update = (x: Tensor) => {
        const output = model.forward(x);
        const loss = lossOf(c, output);
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return { output, loss };
      };
      const step = compiled ? compile(update) : update;
      const x = tensor(c.X);
      for (let k = 0; k <= c.steps; k++) {
        if (k === 1 && c.v_after_1)
          for (const [i, v] of model.weights.entries()) await near(v, c.v_after_1[i], 2e-5, 'v');
        if (k === 10) for (const [i, v] of model.weights.entries()) await near(v, c.v_after_10[i], 2e-5, `v_${i + 1}`);
        const { output, loss } = step(x);
        assert.ok(Math.abs((await loss.item()) - c.losses[k]) < 1e-5, `loss of step ${k}`);
        await near(output, c.outs[k], 1e-4, `outputs of step ${k}`);
      }
    }
  });

withFixtures('Algorithm 2, hard: weights, condition numbers, mean squares; residuals and outputs stay', async () => {
  const c = fixture('algorithm2_hard');
  const model = net(c, c.v_standard);
  const reports = await regress(model, tensor(c.X), { form: 'hard' });
  for (const [i, weight] of model.weights.entries()) await near(weight, c.v_hard[i], 2e-4, `v_${i + 1}`);
  const { residuals, output } = model.layers(tensor(c.X));
  for (const { layer, condition, meanSquareBefore, meanSquareAfter, residualChange, system } of reports) {
    assert.is(system, 'dual');
    assert.ok(Math.abs(condition / c.khat_cond[layer - 1] - 1) < 1e-3, `κ of layer ${layer}: ${condition}`);
    assert.ok(Math.abs(Math.sqrt(meanSquareBefore) / c.rms_before[layer] - 1) < 1e-5, 'rms before');
    assert.ok(Math.abs(Math.sqrt(meanSquareAfter) / c.rms_after[layer] - 1) < 2e-4, 'rms after');
    assert.ok(residualChange < 1e-5, `residuals of layer ${layer} change by ${residualChange}`);
    await near(residuals[layer], c.alpha_standard[layer], 1e-5, `α_${layer}`);
  }
  assert.is(reports.length, c.L - 1);
  await near(output, c.out_standard, 1e-4, 'outputs');
});

for (const form of ['soft', 'sequential'] as const)
  for (const system of ['dual', 'primal'] as const)
    withFixtures(`Algorithm 2, ${form}, ${system} system`, async () => {
      const c = fixture('algorithm2_soft');
      const prefix = form === 'soft' ? 'soft' : 'soft_sequential';
      const model = net(c, c.v_standard);
      await regress(model, tensor(c.X), { form, system, lambda: c.lam });
      const { residuals, output } = model.layers(tensor(c.X));
      for (let l = 2; l <= c.L; l++) {
        await near(model.weights[l - 1], c[`${prefix}_v`][l], 1e-4, `v_${l}`);
        await near(residuals[l], c[`${prefix}_alpha_after`][l], 3e-5, `α_${l}`);
      }
      await near(output, c[`${prefix}_out`], 1e-4, 'outputs');
    });

test.run();
