// Birth and death: effects are what the loss gains, a copy is its parent in everything, runs repeat and resume exactly.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/autograd/methods';
import { Rng } from '../../datasets/random';
import { noGrad } from '../../src/autograd/tape';
import { birthDeath, chooseTurnover, countEffects } from '../../src/meanfield/birth-death';
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
import type { TrainerOptions } from '../../src/train/trainer';
import { tinyTrainer } from '../train/tiny';
import { numbers, useGpu } from '../util';

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

test('as many go as come; harmful ones go, useful ones come; nobody both goes and comes', () => {
  const rng = new Rng(1, 8);
  for (let round = 0; round < 200; round++) {
    const n = 2 + (round % 9);
    const effects = Array.from({ length: n }, () => rng.uniform() - 0.5);
    const { killed, parents } = chooseTurnover(effects, 4, () => rng.uniform());
    assert.is(killed.length, parents.length);
    assert.is(new Set(killed).size, killed.length, 'nobody dies twice');
    assert.not(parents.some((p) => killed.includes(p)));
    assert.ok(killed.length < n, 'somebody stays');
  }
  const sure = chooseTurnover([5, 1, 1, -3], 1e9, () => 0.5);
  assert.ok(sure.killed.includes(0) && sure.parents.includes(3), JSON.stringify(sure));
  assert.equal(
    chooseTurnover([2, 2, 2], 1e9, () => 0.5),
    { killed: [], parents: [] },
  );
  assert.equal(
    chooseTurnover([1, 2, 3], 0, () => 0.5),
    { killed: [], parents: [] },
  );
});

test('a copy has weights, statistics and momenta of its parent, half its interval, a new id', async () => {
  const all = await trained(3, [1, 2, 3, 4, 5]);
  const { net } = all;
  const before = await Promise.all([0, 1, 2, 3, 4].map((at) => owned(all, at)));
  const { tau, order } = await net.telemetry();
  copyInto(net.effects, tensor([0, 0, 10, 0, -10]));
  const events = await birthDeath(net, { rate: 1e9, rng: new Rng(3, 8), firstId: 5 });
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
    if (!event) assert.is(now.tau[at], tau[order.indexOf(id)]);
  }
  const copy = events.find(({ parent }) => parent === order[4])!;
  const at = now.order.indexOf(copy.child);
  assert.ok(now.tau[at] < tau[4] && now.order.slice(at).includes(order[4]), 'in front of its parent');
  assert.equal([...(await net.effects.data())], [0, 0, 0, 0, 0]);
  assert.equal(
    await birthDeath(net, { rate: 1e9, rng: new Rng(3, 8), firstId: 9 }),
    [],
    'equal effects change nothing',
  );
});

const options = { epochs: 3, birthDeath: { rate: 100 } } satisfies Partial<TrainerOptions>;

/** Runs a tiny trainer; gives its last checkpoint as a file, a digest of all tensors in it, and the epochs' lines. */
async function run(given: Partial<TrainerOptions>, from?: Uint8Array) {
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
