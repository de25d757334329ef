// The neural feature flow: the reference's fixture in both modes, Lemma 2's start, factors against matrices, step control, passengers, refusals.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { noGrad } from '../../src/autograd/tape';
import { FeatureFlow } from '../../src/featureflow/flow';
import type { FlowStart } from '../../src/featureflow/flow-start';
import { cholesky, flowStart, withPassengers } from '../../src/featureflow/flow-start';
import { FlowWeights } from '../../src/featureflow/flow-weights';
import { Matrix } from '../../src/featureflow/matrix';
import { full, ones, tensor } from '../../src/tensor/create';
import { randn } from '../../src/tensor/random';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { sharedPath } from '../shared';
import { close, numbers, onBothTargets, useGpu } from '../util';

useGpu();

const path = sharedPath('reference', 'fixtures', 'fang_feature_flow.json');

/** max|got − want| / max|want|, the error that the tolerances are for. */
async function error(got: Tensor, want: unknown): Promise<number> {
  const flat = (want as number[]).flat(Infinity) as number[];
  const values = await got.data();
  assert.is(values.length, flat.length);
  return Math.max(...flat.map((w, i) => Math.abs(w - values[i]))) / Math.max(...flat.map(Math.abs));
}

/** An array indexed by the paper's l, which begins with `from`. */
const indexed = <T>(from: number, items: T[]): T[] => {
  const array: T[] = [];
  items.forEach((item, i) => (array[from + i] = item));
  return array;
};

(path ? test : test.skip)('Definition 1 in float64: losses, features, weights, both modes', async () => {
  const f = JSON.parse(readFileSync(path!, 'utf8'));
  const start: FlowStart = {
    first: tensor(f.v1),
    residuals: indexed(2, [tensor(f.alpha[2]), tensor(f.alpha[3])]),
    readout: full([f.P], f.C7),
    grams: indexed(1, [f.K[1], f.K[2]]),
  };
  for (const mode of ['flow', 'gd'] as const) {
    const flow = new FeatureFlow(tensor(f.X), tensor(f.y), start, { mode });
    if (mode === 'flow') for (const l of [2, 3]) assert.ok((await error(flow.weights(l), f.flow_v_init[l])) < 2e-5);
    const { losses, steps } = await flow.run(1, { dt: f.dt });
    assert.is(steps, f.steps);
    close(losses, f[mode].losses, 1e-5, `${mode}: losses`);
    assert.ok((await error(flow.features(3), f[mode].beta_L)) < 3e-5, `${mode}: β_L`);
    assert.ok((await error(flow.residuals(3), f[mode].alpha_L)) < 3e-5, `${mode}: α_L`);
    assert.ok((await error(flow.first, f[mode].v1)) < 3e-5, `${mode}: v_1`);
    assert.ok((await error(flow.readout, f[mode].vout)) < 3e-5, `${mode}: v_{L+1}`);
    assert.ok((await error(flow.weights(2).select(0, 0), f[mode].v2_first_row)) < 3e-5, `${mode}: v_2`);
    flow.dispose();
  }
});

test('weights as factors and as a matrix: products, blocks and what is taken back, as in float64', async () => {
  await onBothTargets(async () => {
    for (const [samples, particles] of [
      [3, 32],
      [9, 96],
    ]) {
      const weights = new FlowWeights(samples, particles);
      const v = new Float64Array(particles ** 2);
      const x = numbers(samples * particles, 1);
      const shape = [samples, particles];
      const upload = (values: Float64Array) => tensor(Float32Array.from(values), { shape });
      for (let k = 0; !weights.dense || k % 3; k++) {
        const [a, b] = [numbers(samples * particles, 10 + k), numbers(samples * particles, 90 + k)];
        if (k % 3 === 1) {
          noGrad(() => weights.update(upload(b), upload(a), 2));
          weights.retract();
        }
        noGrad(() => weights.update(upload(a), upload(b), -0.25));
        for (let i = 0; i < particles; i++)
          for (let j = 0; j < particles; j++)
            for (let n = 0; n < samples; n++)
              v[i * particles + j] -= 0.25 * a[n * particles + i] * b[n * particles + j];
        const times = (entry: (i: number, j: number) => number) =>
          Float64Array.from({ length: samples * particles }, (_, at) => {
            let sum = 0;
            for (let i = 0; i < particles; i++)
              sum += x[Math.floor(at / particles) * particles + i] * entry(i, at % particles);
            return sum;
          });
        const what = `${samples}×${particles}, update ${k}`;
        close(
          await noGrad(() => weights.forward(upload(x))).data(),
          times((i, j) => v[i * particles + j]),
          1e-5,
          what,
        );
        close(
          await noGrad(() => weights.backward(upload(x))).data(),
          times((i, j) => v[j * particles + i]),
          1e-5,
          what,
        );
        const block = Float64Array.from(
          { length: 49 },
          (_, at) => v[(20 + Math.floor(at / 7)) * particles + 20 + (at % 7)],
        );
        close(await noGrad(() => weights.block(20, 7).contiguous()).data(), block, 1e-5, `${what}: block`);
      }
      weights.dispose();
    }
  });
});

const samples = numbers(4 * 3, 5, -1.5, 1.5);
const x = () => tensor(Float32Array.from(samples), { shape: [4, 3] });
const y = () => tensor([0.5, -0.4, 0.9, -0.7]);

async function start(particles = 64, seed = 1): Promise<FlowStart> {
  manualSeed(seed);
  return flowStart(x(), { layers: 3, particles });
}

test("Lemma 2's start: the weights carry the residuals, pairs cancel in the output, one seed gives the same bits", async () => {
  const once = await start();
  const flow = new FeatureFlow(x(), y(), once);
  const computed = new FeatureFlow(x(), y(), once, { mode: 'gd' });
  close(await computed.features(3).data(), await flow.features(3).data(), 1e-5, 'the forward pass of the weights');
  const { losses } = await flow.run(0.2, { dt: 0.1 });
  const zero = [...(await y().data())].reduce((sum, t) => sum + t ** 2 / (1 + Math.sqrt(1 + t ** 2)) / 4, 0);
  assert.ok(Math.abs(losses[0] - zero) < 1e-6, 'the loss of the output 0');
  flow.dispose();
  const again = new FeatureFlow(x(), y(), once);
  assert.equal((await again.run(0.2, { dt: 0.1 })).losses, losses);
  assert.not.equal((await new FeatureFlow(x(), y(), await start(64, 2)).run(0.2, { dt: 0.1 })).losses, losses);
  const gram = (await start(4096)).grams[1];
  const k = await again.gram(1).data();
  assert.ok(Math.abs(gram[0][1] - k[1]) < 0.3, 'K_1 of many particles is near that of few');
});

test('step control: halved steps come nearer to the flow, and meet the times that were asked for', async () => {
  const run = async (dt: number, tolerance?: number) =>
    new FeatureFlow(x(), y(), await start(32)).run(2, { dt, tolerance });
  const [coarse, controlled, fine] = [await run(1), await run(1, 2e-3), await run(1 / 32)];
  assert.is(controlled.losses.length, 3);
  assert.ok(controlled.steps > 3 * coarse.steps, `${controlled.steps} steps`);
  const off = (losses: number[]) => Math.abs(losses[2] - fine.losses[64]);
  assert.ok(off(controlled.losses) < 0.3 * off(coarse.losses), `${off(controlled.losses)} of ${off(coarse.losses)}`);
});

test('passengers are carried by the flow and do not act on it', async () => {
  const alone = await start();
  const [from, count] = [5, 7];
  const columns = (t: Tensor) => t.narrow(t.ndim - 1, from, count).clone();
  const crowd = withPassengers(alone, columns(alone.first), alone.residuals.map(columns), columns(alone.readout));
  const flow = new FeatureFlow(x(), y(), alone);
  const carried = new FeatureFlow(x(), y(), crowd);
  const [a, b] = [await flow.run(0.5, { dt: 0.1 }), await carried.run(0.5, { dt: 0.1 })];
  close(b.losses, a.losses, 1e-6, 'losses');
  const same = async (t: Tensor, particle: Tensor, what: string) =>
    close(await t.data(), await particle.data(), 1e-6, what);
  const features = carried.features(3);
  await same(features.narrow(1, 64, count), features.narrow(1, from, count), 'β_L');
  await same(carried.weights(3, 64, count), flow.weights(3, from, count), 'v_3');
});

test('the flow goes on with the h1 and h2 of its start, also through passengers; others are refused', async () => {
  manualSeed(1);
  const given = await flowStart(x(), { layers: 3, particles: 64, h1: 'sigmoid', h2: 'erf', antithetic: false });
  assert.equal([given.h1, given.h2], ['sigmoid', 'erf']);
  // Residuals that the weights give are those that were drawn, if both are made with the same functions.
  const computed = new FeatureFlow(x(), y(), given, { mode: 'gd' });
  for (const l of [2, 3])
    assert.ok((await error(computed.residuals(l), [...(await given.residuals[l].data())])) < 1e-4);
  const few = (t: Tensor) => t.narrow(t.ndim - 1, 0, 3).clone();
  const crowd = withPassengers(given, few(given.first), given.residuals.map(few), few(given.readout));
  assert.equal([crowd.h1, crowd.h2], ['sigmoid', 'erf']);
  assert.throws(
    () => new FeatureFlow(x(), y(), given, { h1: 'tanh' }),
    /h1 is 'tanh', but the start was made with 'sigmoid'/,
  );
  new FeatureFlow(x(), y(), given, { h1: 'sigmoid' }).dispose();
});

test('a run ends at its end, with a shorter last step where Δt does not divide the time', async () => {
  const flow = new FeatureFlow(x(), y(), await start(32));
  const { times, losses, steps } = await flow.run(1, { dt: 0.3 });
  close(times, [0, 0.3, 0.6, 0.9, 1], 1e-12);
  assert.is(losses.length, 5);
  assert.is(steps, 4);
  const parts = new FeatureFlow(x(), y(), await start(32));
  await parts.run(0.9, { dt: 0.3 });
  close([losses[4]], [(await parts.run(0.1, { dt: 0.3 })).losses[1]], 1e-6, 'as three steps and one of 0.1');
  assert.is((await parts.run(0.3, { dt: 0.1 })).steps, 3, '0.3 / 0.1 is 3, whatever floats say');
});

test('refusals say what to do', async () => {
  const refused = async (body: () => unknown, message: RegExp) => {
    let error: Error | undefined;
    try {
      await body();
    } catch (caught) {
      error = caught as Error;
    }
    const said = error?.message ?? 'nothing was thrown';
    assert.match(said, message, said);
  };
  await refused(() => flowStart(x(), { layers: 3, particles: 7 }), /pairs, got 7; take an even number/);
  await refused(
    () => flowStart(ones([4, 3]), { layers: 2, particles: 64 }),
    /K_1 is singular: take samples that are not/,
  );
  // The sums of another adapter leave a unit in the last place of what is zero.
  await refused(() => cholesky(new Matrix(2, 2, [1, 1, 1, 1 + 2 ** -23]), 1), /K_1 is singular/);
  assert.ok(cholesky(new Matrix(2, 2, [1, 1, 1, 1 + 2 ** -18]), 1), 'nearly parallel');
  const given = await start();
  await refused(() => new FeatureFlow(x(), randn([5]), given), /the shapes do not fit.*y \[5\]/s);
  const flow = new FeatureFlow(x(), y(), given);
  await refused(() => flow.run(1, { dt: 0 }), /dt 0 .*must be positive/);
});

test.run();
