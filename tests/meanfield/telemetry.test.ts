// Telemetry: it leaves the bits of a run alone, and what it says of a re-sort is what a run shows that was stopped right before it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type FollowedLine,
  type GradientsLine,
  type TelemetryLine,
  withTelemetry,
} from '../../examples/shared/telemetry';
import { summariseParticles } from '../../examples/table-1/particles';
import { MeanField } from '../../src/meanfield/mean-field';
import { SGD } from '../../src/optim/sgd';
import { manualSeed } from '../../src/tensor/seed';
import type { Checkpoint } from '../../src/train/checkpoint';
import { encodeCheckpoint } from '../../src/train/checkpoint';
import { evaluate } from '../../src/train/evaluate';
import type { MetricsLine } from '../../src/train/metrics';
import type { TrainerOptions } from '../../src/train/options';
import { Trainer } from '../../src/train/trainer';
import { TinyNet, tinyData } from '../train/tiny';
import { close, useGpu } from '../util';

useGpu();

/** Trains a tiny net; its lines, its last checkpoint, and the model. */
async function run({
  telemetry = true,
  sort = true,
  ...options
}: Partial<TrainerOptions> & { telemetry?: boolean; sort?: boolean } = {}) {
  manualSeed(1);
  const model = new TinyNet();
  // So close that particles cross within a few steps, though not in the first one.
  model.stage = new MeanField([...model.stage.particles], { times: [0.5, 0.501, 0.502], sort });
  const lines: MetricsLine[] = [];
  let last = '';
  const store = {
    appendMetrics: (line: MetricsLine) => void lines.push(line),
    saveCheckpoint: ({ tensors }: Checkpoint) =>
      void (last = Buffer.from(encodeCheckpoint({ tensors, progress: {}, options: {}, engine: {} })).toString(
        'base64',
      )),
  };
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });
  const { train } = tinyData();
  const given = { model, optimizer, epochs: 2, batchSize: 4, seed: 7, store, ...options, train };
  await new Trainer(telemetry ? withTelemetry(given) : given).run();
  const told = lines.filter((line) => line.type === 'probe') as TelemetryLine[];
  return { model, lines, last, told };
}

test('a run with telemetry has the bits of one without', async () => {
  const [told, silent] = [await run(), await run({ telemetry: false })];
  assert.is(told.last, silent.last);
  assert.is(silent.told.length, 0);
  const plain = told.lines
    .filter((line) => line.type === 'epoch')
    .map(({ trainLoss, stages }) => ({ trainLoss, stages }));
  const others = silent.lines
    .filter((line) => line.type === 'epoch')
    .map(({ trainLoss, stages }) => ({ trainLoss, stages }));
  assert.equal(plain, others);
});

test('the losses around a crossing are those of the network before the re-sort and after it', async () => {
  const { told, lines } = await run();
  const crossing = told.find((line): line is FollowedLine => line.kind === 'crossing')!;
  assert.ok(crossing, 'particles cross');
  const { step, before, after, later, exchanged } = crossing;
  assert.ok(exchanged.stage! > 0);
  const [probe] = tinyData().train.batches({ batchSize: 100, shuffle: true, seed: 7 });
  const { images, labels, size } = probe!;
  for (const x of [images, labels]) x.keep();
  const lossAfter = async (steps: number, sort: boolean) => {
    const { model } = await run({ telemetry: false, steps, sort });
    return (await evaluate(
      model,
      { count: size, batches: () => [{ images, labels, size, index: 0 }] },
      { batchSize: size },
    ))!.loss;
  };
  // Until something crosses both have the same bits, and one step later the unsorted one is what the other was before the re-sort.
  close([await lossAfter(step, false), await lossAfter(step, true)], [before, after], 1e-6);
  assert.is.not(before, after);
  close([await lossAfter(step + 1, true)], [later[0]!], 1e-6);
  assert.ok(lines.some((line) => line.type === 'epoch'));
});

test('gradient norms are told at the end of each epoch, quiet steps of particles that never change places too; summaries count it all', async () => {
  const { told, lines } = await run({ sort: false });
  assert.not(told.some(({ kind }) => kind === 'crossing'));
  const gradients = told.filter((line): line is GradientsLine => line.kind === 'gradients');
  assert.equal(
    gradients.map(({ epoch, step }) => [epoch, step]),
    [
      [1, 22],
      [2, 44],
    ],
  );
  const [{ stage, times, weights, timeCount, weightCount }] = gradients[0]!.norms as [GradientsLine['norms'][0]];
  assert.equal([stage, timeCount, weightCount], ['stage', 3, 3 * (2 * 8 * 8 * 9 + 4 * 8)]);
  assert.ok(times > 0 && weights > 0);
  const epochs = lines.filter((line) => line.type === 'epoch');
  const quiet = summariseParticles([{ metrics: lines, epochs }])!;
  assert.equal([quiet.runs, quiet.crossings, quiet.crossed], [1, 0, null]);
  assert.ok(quiet.quiet!.events > 0 && quiet.quiet!.jump === null);
  const line = (before: number, after: number, ...later: number[]): FollowedLine => ({
    type: 'probe',
    kind: 'crossing',
    step: 1,
    epoch: 1,
    before,
    after,
    later,
    disturbed: 0,
    exchanged: {},
  });
  const stages = [{ stage: 'a', tau: [-1, 1, 4], order: [2, 0, 1], swaps: 2 }];
  const ended = { ...epochs[0]!, stages };
  const made = summariseParticles([
    { metrics: [line(1, 1.5, 1.2, 0.9), line(1, 1.1, 1.2, 1.1)], epochs: [ended, ended] },
    { metrics: [line(2, 1.5, 2.2, 0.5)], epochs: [{ ...ended, stages: [{ ...stages[0]!, swaps: 0 }] }] },
  ])!;
  assert.equal([made.crossings, made.crossingsByEpoch], [3, [1, 2]]);
  close([made.kendall], [(100 * 2) / 3], 1e-12);
  assert.equal(made.stages[0]!.steps, [-1, 2, 3]);
  close([made.stages[0]!.negative, made.stages[0]!.end], [100 / 3, 4], 1e-12);
  const { jump, later, healed, events } = made.crossed!;
  assert.equal([events, healed], [3, 2]);
  close([jump!.mean, jump!.median, jump!.rose, ...later], [0.1 / 3, 0.1, 2 / 3, 0.2, (-0.1 + 0.1 - 1.5) / 3], 1e-12);
});

test.run();
