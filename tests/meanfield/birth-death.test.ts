// Birth and death: effects are what the loss gains, a copy is its parent in everything, runs repeat and resume exactly.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { Rng } from '../../datasets/random';
import { noGrad } from '../../src/autograd/tape';
import { birthDeath, chooseTurnover, conserveMass, countEffects } from '../../src/meanfield/birth-death';
import { MeanField } from '../../src/meanfield/mean-field';
import { PreActBranch } from '../../src/models/blocks';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import type { Checkpoint } from '../../src/train/checkpoint';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { type TinyOptions, tinyTrainer } from '../train/tiny';
import { close, numbers, useGpu } from '../util';

useGpu();

const image = (seed: number) => tensor(Float32Array.from(numbers(2 * 4 * 36, seed)), { shape: [2, 4, 6, 6] });
const block = () => new PreActBranch({ inChannels: 4, innerChannels: 4, outChannels: 4 });
const lossOf = (net: MeanField, seed = 1) => net.forward(image(seed)).square().mean();

async function trained(steps: number, times: number[]) {
  manualSeed(4);
  const net = new MeanField(times.length, block, { times });
  const optimizer = new SGD(net.parameters(), { lr: 0.02, momentum: 0.9 });
  for (let step = 0; step < steps; step++) {
    lossOf(net, step).backward();
    countEffects(net);
    optimizer.step();
    net.sortParticles();
  }
  return { net, optimizer };
}

/** Everything of the particle at a position, without its time and id. */
async function owned({ net, optimizer }: { net: MeanField; optimizer: SGD }, at: number): Promise<number[][]> {
  const particle = net.particles[at];
  const tensors: Tensor[] = [...particle.namedTensors()].map(([, t]) => t);
  for (const p of particle.parameters()) tensors.push(optimizer.stateOf(p).get('momentum')!);
  return Promise.all(tensors.map(async (t) => [...(await t.data())]));
}

test('an effect is what the loss gains when the particle gets more time', async () => {
  manualSeed(4);
  const net = new MeanField(4, block, { times: [0.3, 0.5, 0.9, 1] });
  lossOf(net).backward();
  countEffects(net);
  const effects = await net.effects.data();
  const eps = 0.02;
  for (let l = 0; l < 4; l++) {
    const at = async (step: number) => {
      copyInto(net.tau, tensor([0.3, 0.5, 0.9, 1].map((t, i) => (i >= l ? t + step : t))));
      return noGrad(() => lossOf(net)).item();
    };
    const numeric = ((await at(eps)) - (await at(-eps))) / (2 * eps);
    assert.ok(
      Math.abs(effects[l] - numeric) < 0.01 * Math.max(...effects.map(Math.abs)),
      `${l}: ${effects[l]}, ${numeric}`,
    );
  }
});

test('as many go as come; harmful ones go, useful ones come; nobody both goes and comes; what is negative stays', () => {
  const rng = new Rng(1, 8);
  for (let round = 0; round < 200; round++) {
    const n = 2 + (round % 9);
    const effects = Array.from({ length: n }, () => rng.uniform() - 0.5);
    const steps = effects.map((_, i) => (i ? rng.uniform() * (rng.uniform() < 0.8 ? 1 : 0) : rng.uniform() - 0.3));
    const { killed, parents } = chooseTurnover(effects, steps, 4, () => rng.uniform());
    assert.is(killed.length, parents.length);
    assert.is(new Set(killed).size, killed.length, 'nobody dies twice');
    assert.not(parents.some((p) => killed.includes(p)));
    assert.not([...parents, ...killed].some((p) => steps[p] < 0));
    assert.ok(killed.length < n, 'somebody stays');
  }
  const ones = [1, 1, 1, 1];
  const sure = chooseTurnover([5, 1, 1, -3], ones, 1e9, () => 0.5);
  assert.ok(sure.killed.includes(0) && sure.parents.includes(3), JSON.stringify(sure));
  const nothing = { killed: [], parents: [] };
  assert.equal(
    chooseTurnover([2, 2, 2], ones, 1e9, () => 0.5),
    nothing,
  );
  assert.equal(
    chooseTurnover([1, 2, 3], ones, 0, () => 0.5),
    nothing,
  );
  // The mean is that of ρ: a particle that holds nearly all of the time is nearly the mean, and does not die for the harm of others.
  assert.is(chooseTurnover([1, 1, -9], [0.5, 0.499, 0.001], 10, () => 0.5).killed.length, 1);
});

/** The rule once more, from its text, in float64: deaths and births at rate |V − V̄|, then all are scaled to the mass of before. */
function reference(steps: number[], effects: number[], rate: number, rng: Rng): { from: number[]; steps: number[] } {
  const n = steps.length;
  let [mass, moment] = [0, 0];
  for (let i = 0; i < n; i++) if (steps[i] > 0) [mass, moment] = [mass + steps[i], moment + steps[i] * effects[i]];
  const copies: number[] = new Array(n).fill(1);
  let excess = 0;
  for (let i = 0; i < n; i++) {
    const excessEffect = effects[i] - moment / mass;
    if (rng.uniform() >= 1 - Math.exp(-rate * Math.abs(excessEffect))) continue;
    copies[i] += excessEffect > 0 ? -1 : 1;
    excess += excessEffect > 0 ? -1 : 1;
  }
  for (; excess < 0; excess++) {
    const alive = copies.flatMap((c, i) => (c > 0 ? [i] : []));
    copies[alive[Math.floor(rng.uniform() * alive.length)]]++;
  }
  for (; excess > 0; excess--) {
    const single = copies.flatMap((c, i) => (c === 1 ? [i] : []));
    if (!single.length) throw new Error('this reference does not take births back');
    copies[single[Math.floor(rng.uniform() * single.length)]]--;
  }
  const from = copies.flatMap((c, i) => new Array(c).fill(i) as number[]);
  const now = from.reduce((sum, i) => sum + steps[i], 0);
  return { from, steps: from.map((i) => (steps[i] * mass) / now) };
}

test('births and deaths conserve the mass, against a second implementation', () => {
  const draw = new Rng(5, 8);
  let events = 0;
  for (let round = 0; round < 300; round++) {
    const n = 3 + (round % 12);
    const steps = Array.from({ length: n }, () => 0.05 + draw.uniform());
    const effects = Array.from({ length: n }, () => 4 * draw.uniform() - 2);
    const [mine, theirs] = [new Rng(round, 9), new Rng(round, 9)];
    let want: ReturnType<typeof reference>;
    try {
      want = reference(steps, effects, 0.3, theirs);
    } catch {
      continue;
    }
    const turnover = chooseTurnover(effects, steps, 0.3, () => mine.uniform());
    events += turnover.killed.length;
    const placed = conserveMass(steps, turnover);
    assert.equal(
      placed.map(({ source }) => source),
      want.from,
    );
    close(
      placed.map(({ step }) => step),
      want.steps,
      1e-12,
    );
    const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum(placed.map(({ step }) => step)) - sum(steps)) < 1e-12, 'the mass is conserved');
  }
  assert.ok(events > 100, `${events} births and deaths`);
  // The last particle's time is not lost.
  const { killed, parents } = { killed: [3], parents: [0] };
  assert.equal(
    conserveMass([0.25, 0.25, 0.25, 0.25], { killed, parents }).map(({ step }) => step),
    [0.25, 0.25, 0.25, 0.25],
  );
  // A negative first step stays; those that inherit from particles which had all of the time share it.
  assert.equal(
    conserveMass([-0.5, 1, 0, 0], { killed: [1], parents: [2] }).map(({ step }) => step),
    [-0.5, 1 / 3, 1 / 3, 1 / 3],
  );
});

test('to first order in the rate the masses move as ∂ρ = −(V − V̄)ρ says, for independent and for smooth effects', () => {
  for (const n of [8, 32])
    for (const smooth of [true, false]) {
      const draw = new Rng(n, 8);
      const effects = Array.from({ length: n }, (_, i) => (smooth ? Math.cos((2 * i) / n) : draw.uniform()));
      const steps = Array.from({ length: n }, () => (0.5 + draw.uniform()) / n);
      const mass = steps.reduce((a, b) => a + b, 0);
      const mean = effects.reduce((sum, v, i) => sum + steps[i] * v, 0) / mass;
      // Each event alone, with every particle that may make up the difference: exact expectations, without chance.
      const drift = new Array(n).fill(0);
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n - 1; j++) {
          let at = 0;
          // Particle i is drawn, and then the j-th of the others.
          const script = () => (at++ < n ? (at - 1 === i ? 0 : 1) : (j + 0.5) / (n - 1));
          const placed = conserveMass(steps, chooseTurnover(effects, steps, 1, script));
          const chance = Math.abs(effects[i] - mean) / (n - 1);
          for (let k = 0; k < n; k++) drift[k] -= chance * steps[k];
          for (const { source, step } of placed) drift[source] += chance * step;
        }
      // What the loss gains at first: Σ V_l dΔ_l, which the process has as −Σ Δ (V − V̄)².
      const gain = drift.reduce((sum, d, l) => sum + d * effects[l], 0);
      const process = -effects.reduce((sum, v, l) => sum + steps[l] * (v - mean) ** 2, 0);
      assert.ok(Math.abs(gain / process - 1) < 2 / n, `${n} ${smooth ? 'smooth' : 'independent'}: ${gain / process}`);
    }
});

test('a copy has weights, statistics and momenta of its parent, a step as long, a new id', async () => {
  const all = await trained(3, [1, 2, 3, 4, 5]);
  const { net } = all;
  const before = await Promise.all([0, 1, 2, 3, 4].map((at) => owned(all, at)));
  const { tau, order } = await net.telemetry();
  copyInto(net.effects, tensor([0, 0, 10, 0, -10]));
  const events = await birthDeath(net, { rate: 0.2, rng: new Rng(3, 8), firstId: 5 });
  const now = await net.telemetry();
  const deaths = events.map(({ killed }) => killed);
  assert.ok(deaths.includes(order[2]) && events.some(({ parent }) => parent === order[4]), JSON.stringify(events));
  assert.is(now.swaps, 0, 'no swaps');
  assert.equal(
    [...now.order].sort((a, b) => a - b),
    [...order.filter((id) => !deaths.includes(id)), ...events.map((e) => e.child)].sort((a, b) => a - b),
  );
  assert.is(now.tau[4], tau[4], 'time ends where it ended');
  for (const [at, id] of now.order.entries()) {
    const event = events.find(({ child }) => child === id);
    assert.equal(await owned(all, at), before[order.indexOf(event?.parent ?? id)], `particle ${id}`);
  }
  const copy = events.find(({ parent }) => parent === order[4])!;
  const at = now.order.indexOf(copy.child);
  assert.is(now.order[at + 1], order[4], 'in front of its parent');
  // Steps of survivors keep their proportions, and the copy has that of its parent.
  const step = (times: number[], l: number) => times[l] - (times[l - 1] ?? 0);
  const shares = now.order.map((id, l) => {
    const parent = events.find(({ child }) => child === id)?.parent ?? id;
    return step(now.tau, l) / step(tau, order.indexOf(parent));
  });
  close(shares, Array(5).fill(shares[0]), 1e-5, 'steps by those of before');
  assert.equal([...(await net.effects.data())], [0, 0, 0, 0, 0]);
  assert.equal(
    await birthDeath(net, { rate: 1e9, rng: new Rng(3, 8), firstId: 9 }),
    [],
    'equal effects change nothing',
  );
});

const options = { epochs: 3, birthDeath: { rate: 100 } } satisfies TinyOptions;

/** Runs a tiny trainer; gives its last checkpoint as a file, a digest of all tensors in it, and the epochs' lines. */
async function run(given: TinyOptions, from?: Uint8Array) {
  let file = new Uint8Array();
  const epochs: EpochLine[] = [];
  const store = {
    appendMetrics: (line: MetricsLine) => void (line.type === 'epoch' && epochs.push(line as EpochLine)),
    saveCheckpoint: (state: Checkpoint) => void (file = encodeCheckpoint(state)),
  };
  const { trainer } = tinyTrainer({ ...given, store });
  if (from) trainer.restore(decodeCheckpoint(from));
  await trainer.run();
  const digest = createHash('sha256');
  for (const [name, { data }] of Object.entries(decodeCheckpoint(file).tensors))
    digest.update(name).update(data as Float32Array);
  return { file, epochs, digest: digest.digest('hex') };
}

test('a run with births and deaths repeats, resumes exactly from any point, and differs from one without', async () => {
  const whole = await run(options);
  assert.is((await run(options)).digest, whole.digest, 'twice the same');
  const [, second, third] = whole.epochs.map(({ stages }) => stages![0].turnover ?? []);
  assert.ok(second.length > 0 && second[0].child === 3, 'the second epoch begins with a birth');
  assert.ok(
    third.every(({ child }, i) => child === 3 + second.length + i),
    'ids go on',
  );
  for (const steps of [4, 6, 8]) {
    const { file } = await run({ ...options, steps });
    assert.is((await run(options, file)).digest, whole.digest, `stopped after ${steps} steps`);
  }
  assert.is.not((await run({ epochs: 3 })).digest, whole.digest);
});

test('frozen times have no effects: refused', () => {
  const net = new MeanField(2, block, { trainTimes: false });
  lossOf(net).backward();
  assert.throws(() => countEffects(net), /train the times/);
  const { model } = tinyTrainer();
  model.stage.tau.requiresGrad = false;
  assert.throws(() => tinyTrainer({ model, birthDeath: { rate: 1 } }), /those of stage are frozen/);
});

test.run();
