// The Trainer on a regression: a step with its own loss and metric, batches of an async data set, hooks; interrupted and resumed bit for bit.
import assert from 'node:assert/strict';
import {
  type Checkpoint,
  DataLoader,
  type EpochLine,
  F,
  init,
  manualSeed,
  nn,
  optim,
  shutdown,
  Tensor,
  Trainer,
  type TrainerHook,
  zerosLike,
} from 'dawnfield';

interface Sample {
  at: Float32Array;
  value: Float32Array;
}

/** Points of sin(3x), as if each came from a file. */
const curve = {
  length: 40,
  async get(i: number): Promise<Sample> {
    await Promise.resolve();
    const x = i / 20 - 1;
    return { at: Float32Array.of(x), value: Float32Array.of(Math.sin(3 * x)) };
  },
};

/** An average of a weight over the steps, as a hook: part of the compiled step and of checkpoints. */
function averageOf(weight: Tensor): TrainerHook {
  const average = zerosLike(weight).keep();
  return {
    name: 'average',
    afterStep: () => void average.mul_(0.9).add_(weight.detach().mul(0.1)),
    stateDict: () => ({ 'average/weight': average }),
    loadStateDict({ 'average/weight': saved }) {
      average.assign_(saved instanceof Tensor ? saved : 0);
    },
  };
}

/** Ends the run when the test loss has not fallen for two epochs. */
function earlyStopping(patience: number): TrainerHook {
  let [best, since] = [1e9, 0];
  return {
    afterEpoch(run, { testLoss = best }) {
      since = testLoss < best ? 0 : since + 1;
      best = Math.min(best, testLoss);
      if (since > patience) run.stop();
    },
    stateDict: () => ({ 'earlyStopping/best': best, 'earlyStopping/since': since }),
    loadStateDict(state) {
      best = Number(state['earlyStopping/best'] ?? 1e9);
      since = Number(state['earlyStopping/since'] ?? 0);
    },
  };
}

/** Trains, from a checkpoint where there is one; the last checkpoint and the lines of the epochs. */
async function train(options: { epochs: number; compile: boolean; steps?: number }, from?: Checkpoint) {
  manualSeed(0);
  const inner = new nn.Linear(1, 16);
  const model = new nn.Sequential(inner, new nn.Tanh(), new nn.Linear(16, 1));
  const lines: EpochLine[] = [];
  const states: Checkpoint[] = [];
  const trainer = new Trainer({
    model,
    optimizer: new optim.Adam(model.parameters(), { lr: 0.02 }),
    train: new DataLoader(curve, { batchSize: 8, shuffle: true, seed: 1 }),
    test: new DataLoader(curve, { batchSize: 40 }),
    step: ({ at, value }) => {
      const found = model.forward(at);
      return { loss: F.mseLoss(found, value), absolute: F.l1Loss(found, value) };
    },
    hooks: [averageOf(inner.weight), earlyStopping(2)],
    store: { appendMetrics: () => undefined, saveCheckpoint: (state) => states.push(state) },
    onEpoch: (line) => lines.push(line),
    ...options,
  });
  if (from) trainer.restore(from);
  const { step } = await trainer.run();
  const [last] = states.slice(-1);
  assert.ok(last);
  return { step, lines, last };
}

const numbers = ({ tensors }: Checkpoint) => Object.entries(tensors).map(([name, { data }]) => [name, [...data]]);

await init();
const whole = await train({ epochs: 4, compile: true });
const [first, , , fourth] = whole.lines;
assert.ok(first && fourth && fourth.trainLoss < first.trainLoss, 'the loss falls');
assert.ok((fourth.testAbsolute ?? 0) > 0 && (fourth.trainAbsolute ?? 0) > 0, 'the metric is logged');
assert.equal(whole.step, 20);
assert.ok('trainer/average/weight' in whole.last.tensors);
const eager = await train({ epochs: 4, compile: false });
assert.deepEqual(numbers(eager.last), numbers(whole.last));
const part = await train({ epochs: 4, compile: true, steps: 8 });
const resumed = await train({ epochs: 4, compile: true }, part.last);
assert.deepEqual(numbers(resumed.last), numbers(whole.last));
shutdown();
