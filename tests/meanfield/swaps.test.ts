// A mean-field ResNet whose particles are forced to change places, against a network that never moves anything: its particles stay where
// they were made, and every step reads their times and visits them in that order. And a checkpoint after every step of such a run.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import { backward } from '../../src/autograd/backward';
import type { PreActBranch } from '../../src/models/blocks';
import type { ResNetOptions } from '../../src/models/resnet';
import { MeanFieldResNet, PreActResNet } from '../../src/models/resnet';
import type { Module } from '../../src/nn/module';
import { Parameter } from '../../src/nn/parameter';
import { crossEntropy } from '../../src/ops/loss';
import { narrow } from '../../src/ops/views';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import type { Checkpoint } from '../../src/train/checkpoint';
import type { RunStore } from '../../src/train/options';
import { Trainer } from '../../src/train/trainer';
import { close, numbers, useGpu } from '../util';

useGpu();

const WIDTHS = { stem: 4, inner: [4, 6, 8], outer: [4, 6, 8] } as const;
const options: ResNetOptions = { blocks: 4, classes: 5, ...WIDTHS };
const PARTICLES = [4, 3, 3];
const RATES = { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 };
const STEPS = 8;
/** Times set before a step, by particle: forced swaps besides those that training makes. */
const FORCED: Record<number, number[][]> = {
  2: [
    [2, 1, 4, 3],
    [0.5, -0.5, 0.25],
    [3, 2, 1],
  ],
  5: [
    [-1, 3, 0.5, 0.5],
    [1, 1, 1],
    [0.1, 0.3, 0.2],
  ],
};

const batch = (step: number): [Tensor, Tensor] => [
  tensor(Float32Array.from(numbers(6 * 3 * 8 * 8, 100 + step)), { shape: [6, 3, 8, 8] }),
  tensor(Int32Array.from({ length: 6 }, (_, i) => (i + step) % 5)),
];

/** Blocks in the order of their numbers for ever, each with a time of its own. */
class Unsorted extends PreActResNet {
  readonly times = PARTICLES.map((n) => Array.from({ length: n }, (_, i) => new Parameter(tensor([0.5 + 1e-3 * i]))));
  /** The order in which the next forward pass visits the blocks of each stage. */
  order = PARTICLES.map((n) => Array.from({ length: n }, (_, i) => i));

  block(s: number, id: number): PreActBranch {
    return this.branches[s][id];
  }

  override stage(s: number, x: Tensor): Tensor {
    let before: Tensor = tensor([0]);
    for (const id of this.order[s]) {
      const time = this.times[s][id];
      x = x.add(this.block(s, id).forward(x).mul(time.sub(before)));
      before = time;
    }
    return x;
  }

  /** Reads the times and sorts, equal times as they stand now. */
  async sort(): Promise<void> {
    for (const [s, times] of this.times.entries()) {
      const values = await Promise.all(times.map((time) => time.item()));
      this.order[s].sort((a, b) => values[a] - values[b]);
    }
  }
}

const momentumOf =
  (optimizer: SGD) =>
  (p: Parameter): Tensor =>
    optimizer.stateOf(p).get('momentum')!;
/** Weights, running statistics and momenta of a block. */
const ownedBy = (block: Module, optimizer: SGD): Tensor[] => [
  ...[...block.namedTensors()].map(([, t]) => t),
  ...block.parameters().map(momentumOf(optimizer)),
];
const flat = async (list: readonly Tensor[]): Promise<number[]> => {
  const values: number[] = [];
  for (const x of list) values.push(...(await x.data()));
  return values;
};

test('in every step the orders are those of a network that moves nothing; all that a particle owns stays its own', async () => {
  manualSeed(31);
  const times = PARTICLES.map((n) => Array.from({ length: n }, (_, i) => 0.5 + 1e-3 * i));
  const net = new MeanFieldResNet(options);
  for (const [s, stage] of net.stages.entries()) copyInto(stage!.tau, tensor(times[s]));
  manualSeed(31);
  const plain = new Unsorted(options);
  const optimizers = [net, plain].map((model) => new SGD(model.parameters(), RATES));
  const seen = new Set<string>();
  let swaps = 0;
  for (let step = 0; step < STEPS; step++) {
    if (FORCED[step]) {
      for (const [s, stage] of net.stages.entries()) {
        const { order } = await stage!.telemetry();
        copyInto(stage!.tau, tensor(order.map((id) => FORCED[step][s][id])));
        stage!.sortParticles();
        for (const [id, time] of plain.times[s].entries()) copyInto(time, tensor([FORCED[step][s][id]]));
      }
      await plain.sort();
    }
    const [x, y] = batch(step);
    const losses: number[] = [];
    for (const [i, model] of [net, plain].entries()) {
      const loss = crossEntropy(model.forward(x), y);
      backward(loss);
      optimizers[i].step();
      if (model === net) net.sortParticles();
      optimizers[i].zeroGrad();
      losses.push(await loss.item());
    }
    await plain.sort();
    close([losses[0]], [losses[1]], 1e-4, `loss of step ${step}`);
    for (const [s, stage] of net.stages.entries()) {
      const telemetry = await stage!.telemetry();
      assert.equal(telemetry.order, plain.order[s], `order of stage ${s + 1} after step ${step}`);
      swaps += telemetry.swaps;
      seen.add(`${s} ${telemetry.order}`);
      for (const [at, id] of telemetry.order.entries()) {
        const what = `stage ${s + 1}, particle ${id} after step ${step}`;
        const time = plain.times[s][id];
        const here = [narrow(stage!.tau, 0, at, 1), narrow(momentumOf(optimizers[0])(stage!.tau), 0, at, 1)];
        close(
          await flat(here),
          await flat([time, momentumOf(optimizers[1])(time)]),
          1e-4,
          `time and its momentum: ${what}`,
        );
        const theirs = await flat(ownedBy(plain.block(s, id), optimizers[1]));
        close(await flat(ownedBy(stage!.particles[at], optimizers[0])), theirs, 1e-4, `what it owns: ${what}`);
      }
    }
  }
  assert.ok(swaps >= 8 && seen.size > 6, `${swaps} swaps, orders ${[...seen].join(' | ')}`);
});

test('checkpoints before, between and after swaps: going on from each in a new network ends in the same bits', async () => {
  const drawn = synthetic({ train: 40, test: 10 });
  const train = new ResidentImages(drawn.train, drawn);
  const run = async (steps: number, from?: Checkpoint) => {
    manualSeed(32);
    const model = new MeanFieldResNet({ ...options, classes: 10, particles: { times: 'fraction' } });
    // Steps so long, without momentum, that particles change places again and again.
    const times = model.stages.map((stage) => stage!.tau);
    const weights = model.parameters().filter((p) => !times.includes(p));
    const groups = [{ params: weights }, { params: times, lr: 10, momentum: 0 }];
    const optimizer = new SGD(groups, { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });
    let saved: Checkpoint | undefined;
    const store: RunStore = { appendMetrics: () => {}, saveCheckpoint: (state) => (saved = state) };
    // No sums are read on the way: each checkpoint holds them as they stand.
    const settings = { epochs: 1, batchSize: 8, seed: 3, readEvery: 10 };
    const trainer = new Trainer({ model, optimizer, train, steps, store, ...settings });
    if (from) trainer.restore(from);
    await trainer.run();
    return saved!;
  };
  const order = ({ tensors }: Checkpoint) => [1, 2, 3].map((s) => String(tensors[`stage${s}.ids`].data)).join(' ');
  const bits = ({ tensors }: Checkpoint) =>
    Object.entries(tensors).map(([name, { data }]) => [name, Buffer.from(data.buffer).toString('base64')]);

  const whole = await run(5);
  const orders: string[] = [];
  let state: Checkpoint | undefined;
  for (let step = 1; step <= 5; step++) {
    state = await run(step, state);
    orders.push(order(state));
  }
  assert.ok(new Set(orders).size >= 4, `orders after each step: ${orders.join(' | ')}`);
  assert.equal(bits(state!), bits(whole));
});

test.run();
