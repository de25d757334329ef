// What newer recipes add to a run of cifar-train: mixed and transformed images, averaged weights, one cycle of the rate. A step is still one submit, and a
// resumed run has the bits of an uninterrupted one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../../datasets/synthetic';
import { completeRecipe, type Wanted } from '../../examples/shared/recipe';
import { createNetwork, createTrainer } from '../../examples/shared/training';
import { device } from '../../src/gpu';
import '../../src/ops/methods';
import { AveragedModel, OneCycleLR, SGD } from '../../src/optim';
import type { Checkpoint } from '../../src/train/checkpoint';
import type { EpochLine, StepLine } from '../../src/train/metrics';
import type { TrainerOptions } from '../../src/train/options';
import { averageWeights, scheduleSteps } from '../../src/train/recipe-hooks';
import { useGpu } from '../util';
import { TinyNet, tinyTrainer } from './tiny';

useGpu();

const data = synthetic({ train: 81, test: 20 });
const base: Wanted = { model: 'meanfield-resnet8', width: 0.25, dataset: 'synthetic', batch: 16, epochs: 2, seed: 5 };

/** Six batches an epoch: five of 16, and none of the one image that is left. */
async function run(given: Wanted, options: Omit<Partial<TrainerOptions>, 'train'> = {}, from?: Checkpoint) {
  const recipe = completeRecipe({ ...base, ...given });
  const lines: (StepLine | EpochLine)[] = [];
  const trainer = createTrainer(createNetwork(recipe), recipe, data, {
    readEvery: 1,
    onStep: (_, line) => void lines.push(line),
    onEpoch: (line) => void lines.push(line),
    ...options,
  });
  if (from) trainer.restore(from);
  const summary = await trainer.run();
  return { lines, summary, state: await trainer.state(), trainer };
}

const bits = ({ tensors, progress }: Checkpoint) => [
  Object.entries(tensors).map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
  ]),
  { ...progress, seconds: 0, epochSeconds: 0 },
];

const ALL: Wanted = {
  ...{ mixup: 0.2, cutmix: 1, randAugment: [2, 9], cutout: 8, labelSmoothing: 0.1 },
  ...{ ema: 0.9, schedule: 'one-cycle', lr: 0.2 },
};

for (const [title, given] of Object.entries({
  mixup: { mixup: 0.4 },
  'cutmix of small images': { cutmix: 1, size: 16 },
  'everything at once': ALL,
  'everything, eager': { ...ALL, eager: true },
} satisfies Record<string, Wanted>))
  test(`${title}: a resumed run has the bits of an uninterrupted one`, async () => {
    const whole = await run(given);
    assert.is(whole.summary.step, 10);
    for (const at of [3, 5, 8]) {
      const controller = new AbortController();
      const stopAt = (_: unknown, { step }: StepLine) => step === at && controller.abort();
      const part = await run(given, { signal: controller.signal, onStep: stopAt });
      assert.is(part.summary.finished, false);
      const rest = await run(given, {}, part.state);
      assert.equal(bits(rest.state), bits(whole.state), `resumed after step ${at}`);
    }
  });

test('a compiled step submits as often as a plain one', async () => {
  const submits = async (given: Wanted) => {
    const counts: number[] = [];
    await run(given, { onStep: () => void counts.push(device().stats().submits) });
    return counts.slice(3, 5).map((n, i) => n - counts[i + 2]!);
  };
  const { schedule: _, ...rest } = ALL;
  assert.equal(await submits(rest), await submits({}));
  assert.equal(await submits(ALL), await submits({}));
});

test('the averages are tested beside the weights, and saved', async () => {
  const { lines, state } = await run({ ema: 0.9 });
  const [epoch] = lines.filter((line): line is EpochLine => line.type === 'epoch').slice(-1);
  const { testLoss, testError, testAveragedLoss, testAveragedError } = epoch!;
  assert.ok(Number.isFinite(testAveragedLoss) && Number.isFinite(testAveragedError));
  assert.not.equal(testAveragedLoss, testLoss);
  assert.ok(Number.isFinite(testError));
  assert.equal([...state.tensors['trainer/averaged.n_averaged']!.data], [10]);
  const weights = await run({ ema: 0 });
  const last = weights.lines.at(-1) as EpochLine;
  assert.is(last.testAveragedLoss, last.testLoss, 'with decay 0 the average is the weights');
});

test('one cycle: the rates and momenta of OneCycleLR, a step after another', async () => {
  const { lines, trainer } = await run({ schedule: 'one-cycle', lr: 0.2 });
  const reference = new SGD(new TinyNet().parameters(), { lr: 0.2, momentum: 0.9 });
  const scheduler = new OneCycleLR(reference, 0.2, { totalSteps: 10 });
  // A line says with which rate the next step goes.
  for (const line of lines.filter(({ type }) => type === 'step')) {
    scheduler.step();
    assert.is(line.lr, reference.groups[0]!.lr);
  }
  const { lr, momentum } = reference.groups[0]!;
  const [own] = trainer.optimizer.groups as unknown as { lr: number; momentum: number }[];
  assert.equal([own!.lr, own!.momentum], [lr, momentum]);
  const rates = lines.map(({ lr }) => lr);
  assert.ok(Math.max(...rates) > 0.15 && rates.at(-1)! < 0.01);
});

test('with --steps the cycle ends there', async () => {
  const { lines } = await run({ schedule: 'one-cycle', lr: 0.2, steps: 4 });
  const rates = lines.filter(({ type }) => type === 'step').map(({ lr }) => lr);
  assert.ok(rates.length === 4 && rates[2]! < 1e-5, String(rates));
});

test('hooks of one’s own: a checkpoint without their state begins, or is refused', async () => {
  const { trainer } = tinyTrainer({ epochs: 1 });
  await trainer.run();
  const plain = await trainer.state();
  const model = new TinyNet();
  const averaged = new AveragedModel(model, { decay: 0.5 });
  const more = tinyTrainer({ epochs: 2, model, hooks: [averageWeights(averaged)] });
  more.trainer.restore(plain);
  await more.trainer.run();
  assert.is(averaged.nAveraged, 6);
  const net = new TinyNet();
  const optimizer = new SGD(net.parameters(), { lr: 0.1, momentum: 0.9 });
  const scheduler = new OneCycleLR(optimizer, 0.1, { totalSteps: 12 });
  const cycled = tinyTrainer({ model: net, hooks: [scheduleSteps(scheduler)] });
  assert.throws(() => cycled.trainer.restore(plain), /progress.schedule is missing/);
});

test.run();
