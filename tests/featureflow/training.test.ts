// FeatureFlowResNet in the trainer: a resumed run equals an uninterrupted one; the experiments with it give the same numbers twice.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { coordinates } from '../../examples/feature-flow-lab/coordinates';
import { transfer } from '../../examples/feature-flow-lab/transfer';
import { ScaledGradientDescent } from '../../src/featureflow';
import { FeatureFlowResNet } from '../../src/models/feature-flow';
import { multiStep } from '../../src/optim/schedule';
import { manualSeed } from '../../src/tensor/seed';
import type { Checkpoint } from '../../src/train/checkpoint';
import { Trainer } from '../../src/train/trainer';
import { tinyData } from '../train/tiny';
import { useGpu } from '../util';

useGpu();

/** A trainer of the net of seed 2, with momentum and a rate that falls after an epoch. */
function trainerFor(epochs: number): Trainer {
  manualSeed(2);
  const model = new FeatureFlowResNet({ blocks: 1, width: 1 / 8 });
  const optimizer = new ScaledGradientDescent(model.parameters(), { lr: 1, momentum: 0.9 });
  return new Trainer({ model, optimizer, schedule: multiStep([1]), epochs, batchSize: 16, ...tinyData() });
}

const weights = ({ tensors }: Checkpoint) =>
  Object.entries(tensors).map(([name, { data }]) => [name, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);

test('a resumed run goes on bit for bit', async () => {
  const whole = trainerFor(2);
  await whole.run();
  const first = trainerFor(1);
  await first.run();
  const second = trainerFor(2);
  second.restore(await first.state());
  const { trainLoss } = await second.run();
  assert.equal(weights(await second.state()), weights(await whole.state()));
  assert.ok(trainLoss! < 2.5, `${trainLoss}`);
});

const small = { depth: 8, batch: 8, steps: 2, seed: 1, dataset: 'synthetic' as const, images: 32, pool: 4 };
const silent = () => undefined;

test('coordinates: the same numbers twice; sizes and updates of both arms by width and layer', async () => {
  const options = { ...small, widths: [0.125], seeds: 1, rate: 1, standardRate: 0.1 };
  const [one, two] = [await coordinates(options, silent), await coordinates(options, silent)];
  assert.equal(one, two);
  assert.equal(
    one.arms.map(({ arm, updates }) => [arm, updates.length, updates[0].length]),
    [
      ['mean-field', 1, 8],
      ['standard', 1, 8],
    ],
  );
  assert.ok(one.arms.every(({ updates }) => updates.flat().every((x) => x > 0)));
});

test('transfer: the same numbers twice, whatever rates came before; a rate that diverges has no loss', async () => {
  const options = { ...small, steps: 4, widths: [0.125], rates: [1, 2], standardRates: [0.1, 1e39] };
  const one = await transfer(options, silent);
  const { curves } = await transfer({ ...options, rates: [2] }, silent);
  assert.is(one.curves[0].losses[1], curves[0].losses[0]);
  assert.equal(one.curves[1], curves[1]);
  assert.equal([one.curves[1].best, one.curves[1].losses[1]], [0.1, null]);
});

test.run();
