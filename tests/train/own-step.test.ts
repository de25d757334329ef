// The Trainer on other people's programs: a regression with a loss and a metric of its own, on batches of an async DataLoader, with hooks.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { DataLoader } from '../../src/data';
import { device, InputError } from '../../src/gpu';
import { ReLU } from '../../src/nn/activations';
import { Sequential } from '../../src/nn/containers';
import { Linear } from '../../src/nn/linear';
import { l1Loss, mseLoss } from '../../src/ops/loss';
import { Adam } from '../../src/optim/adam';
import { tensor, zeros } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint';
import { NonFiniteLossError } from '../../src/train/diagnose';
import { evaluate } from '../../src/train/evaluate';
import type { TrainerHook } from '../../src/train/hooks';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import type { OwnTrainerOptions, StepReport } from '../../src/train/options';
import { Trainer } from '../../src/train/trainer';
import { close, numbers, useGpu } from '../util';
import { TinyNet, tinyTrainer } from './tiny';

useGpu();

type Sample = { x: Float32Array; y: Float32Array };
type Samples = { x: Tensor; y: Tensor };

/** y = x₀ − 2 x₁ + ½, read one sample after the other as from files. */
function samples(count: number, seed: number) {
  const values = numbers(2 * count, seed);
  return {
    length: count,
    async get(i: number): Promise<Sample> {
      await Promise.resolve();
      const [a, b] = [values[2 * i], values[2 * i + 1]];
      return { x: Float32Array.of(a, b), y: Float32Array.of(a - 2 * b + 0.5) };
    },
  };
}

/** Six steps an epoch, the last one smaller. Sums of up to four steps wait on the GPU wherever a run is interrupted. */
function regression(options: Partial<OwnTrainerOptions<Samples>> = {}, hooksOf?: (model: Sequential) => TrainerHook[]) {
  manualSeed(5);
  const model = new Sequential(new Linear(2, 8), new ReLU(), new Linear(8, 1));
  const loader = new DataLoader(samples(44, 1), { batchSize: 8, shuffle: true, seed: 3 });
  const lines: MetricsLine[] = [];
  let file = new Uint8Array();
  const trainer = new Trainer({
    model,
    optimizer: new Adam(model.parameters(), { lr: 0.05 }),
    train: loader,
    test: new DataLoader(samples(12, 2), { batchSize: 8 }),
    epochs: 3,
    readEvery: 4,
    step: ({ x, y }) => {
      const prediction = model.forward(x) as Tensor;
      return { loss: mseLoss(prediction, y), absolute: l1Loss(prediction, y) };
    },
    store: {
      appendMetrics: (line) => void lines.push(line),
      saveCheckpoint: (state) => void (file = encodeCheckpoint(state)),
    },
    hooks: hooksOf?.(model),
    ...options,
  });
  return {
    trainer,
    model,
    lines,
    saved: () => file,
    epochs: () => lines.filter((l): l is EpochLine => l.type === 'epoch'),
  };
}

/** All of a checkpoint but how long it took, for comparison bit for bit. */
function bits(file: Uint8Array) {
  const { tensors, progress } = decodeCheckpoint(file);
  const { seconds: _, epochSeconds: __, ...rest } = progress;
  return {
    rest,
    tensors: Object.entries(tensors).map(([name, { data }]) => [
      name,
      Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
    ]),
  };
}
const withoutTimes = (lines: readonly MetricsLine[]) =>
  lines.map((line) => ({ ...line, time: 0, seconds: 0, imagesPerSecond: 0 }));

/** An average of the weights, in the compiled step, by a factor that changes with the epoch; and the number of epochs. */
function averaging(model: Sequential): TrainerHook {
  const { weight } = model.at(0) as Linear;
  const average = zeros(weight.shape).keep();
  const share = tensor([0.5]).keep();
  let epochs = 0;
  return {
    name: 'averaging',
    beforeEpoch: ({ epoch }) => void share.assign_(1 / (epoch + 2)),
    afterStep: () => void average.add_(weight.detach().sub(average).mul(share)),
    afterEpoch: () => void epochs++,
    log: () => ({ averagedEpochs: epochs }),
    stateDict: () => ({ 'averaging/weight': average, 'averaging/epochs': epochs }),
    loadStateDict(state) {
      average.assign_((state['averaging/weight'] as Tensor) ?? 0);
      epochs = Number(state['averaging/epochs'] ?? 0);
    },
  };
}

let whole: ReturnType<typeof regression>;

test('a regression with its own loss and metric learns; lines, reports and the best epoch are of these', async () => {
  const reports: StepReport[] = [];
  whole = regression({ onStep: (report) => reports.push(report) });
  const summary = await whole.trainer.run();
  const epochs = whole.epochs();
  assert.equal(
    whole.lines.map(({ type, step }) => `${type} ${step}`),
    ['step 4', 'step 6', 'epoch 6', 'step 10', 'step 12', 'epoch 12', 'step 16', 'step 18', 'epoch 18', 'summary 18'],
  );
  assert.ok(epochs[2].trainLoss < epochs[0].trainLoss / 2, `${epochs.map(({ trainLoss }) => trainLoss)}`);
  assert.ok(epochs.every((line) => line.trainAbsolute! > 0 && line.testAbsolute! > 0 && !('trainError' in line)));
  assert.equal(reports.map(({ done, total }) => [done, total]).slice(0, 2), [
    [32, 44],
    [44, 44],
  ]);
  assert.is(reports[1].metrics.absolute, epochs[0].trainAbsolute);
  const losses = epochs.map(({ testLoss }) => testLoss!);
  assert.equal([summary.bestLoss, summary.testLoss, summary.bestError], [Math.min(...losses), losses[2], null]);
  // The last line tells the means over all samples, by their batches' sizes.
  const { model } = whole;
  const step = ({ x, y }: Samples) => ({ loss: mseLoss(model.forward(x) as Tensor, y), one: tensor(1) });
  const means = await evaluate(model, new DataLoader(samples(12, 2), { batchSize: 5 }), { step });
  close([means!.loss, means!.one], [losses[2], 1], 1e-6);
});

test('eager it has the same bits, and one read a read-back', async () => {
  let reads = 0;
  const eager = regression({
    compile: false,
    test: undefined,
    onEpochStart: () => void (reads = device().stats().reads),
    onEpoch: () => assert.is(device().stats().reads - reads, 2),
  });
  await eager.trainer.run();
  const compiled = regression({ test: undefined });
  await compiled.trainer.run();
  assert.equal(bits(eager.saved()), bits(compiled.saved()));
  assert.equal(withoutTimes(eager.lines), withoutTimes(compiled.lines));
});

/** Stops a run when batch number `after` is asked for. */
function interrupting(after: number) {
  const controller = new AbortController();
  let asked = 0;
  const data = samples(44, 1);
  const collate = (batch: Sample[]): Samples => {
    if (++asked === after) controller.abort();
    const flat = (part: Float32Array[]) => Float32Array.from(part.flatMap((v) => [...v]));
    return {
      x: tensor(flat(batch.map(({ x }) => x)), { shape: [batch.length, 2] }),
      y: tensor(flat(batch.map(({ y }) => y)), { shape: [batch.length, 1] }),
    };
  };
  return {
    train: new DataLoader(data, { batchSize: 8, shuffle: true, seed: 3, collate }),
    signal: controller.signal,
  };
}

for (const compile of [true, false])
  test(`interrupted and resumed bit for bit, with the state of a hook, ${compile ? 'compiled' : 'eager'}`, async () => {
    const hooksOf = (model: Sequential) => [averaging(model)];
    const straight = regression({ compile }, hooksOf);
    await straight.trainer.run();
    assert.equal(
      straight.epochs().map((line) => (line as unknown as Record<string, unknown>).averagedEpochs),
      [0, 1, 2],
    );
    for (const after of compile ? [3, 7] : [11]) {
      const first = regression({ compile, ...interrupting(after) }, hooksOf);
      assert.is((await first.trainer.run()).finished, false);
      assert.is(first.trainer.step, after - 1);
      const second = regression({ compile }, hooksOf);
      second.trainer.restore(decodeCheckpoint(first.saved()));
      await second.trainer.run();
      assert.equal(bits(second.saved()), bits(straight.saved()), `after batch ${after}`);
      assert.equal(withoutTimes([...first.lines, ...second.lines]), withoutTimes(straight.lines));
    }
    const average = decodeCheckpoint(straight.saved()).tensors['trainer/averaging/weight'].data as Float32Array;
    assert.ok(average.some((x) => x !== 0));
  });

test('any iterable is a loader: a resumed run passes over what it has seen; a generator that has run is refused', async () => {
  const batches = async () => {
    const all: Samples[] = [];
    for await (const batch of new DataLoader(samples(44, 1), { batchSize: 8 }))
      all.push({ x: batch.x.keep(), y: batch.y.keep() });
    return all;
  };
  const list = await batches();
  const straight = regression({ train: list, epochs: 2 });
  await straight.trainer.run();
  const first = regression({ train: list, epochs: 2, steps: 8 });
  await first.trainer.run();
  const second = regression({ train: list, epochs: 2 });
  second.trainer.restore(decodeCheckpoint(first.saved()));
  await second.trainer.run();
  assert.equal(bits(second.saved()), bits(straight.saved()));
  const once = regression({ train: list.values(), epochs: 2 });
  assert.match(String(await once.trainer.run().catch(String)), /no batches in epoch 2.*not a generator that has run/);
});

test('hooks are called in the documented order, with the epoch and the step', async () => {
  const calls: string[] = [];
  const note = (name: string) => (run?: { epoch: number; step: number }) =>
    void calls.push(run ? `${name} ${run.epoch} ${run.step}` : name);
  const log = (run: { epoch: number; step: number }) => {
    note('log')(run);
    return {};
  };
  const stateDict = () => {
    calls.push('stateDict');
    return {};
  };
  const hook: TrainerHook = { beforeEpoch: note('beforeEpoch'), log, afterEpoch: note('afterEpoch'), stateDict };
  const both = { ...hook, afterBackward: () => note('afterBackward')(), afterStep: () => note('afterStep')() };
  const two = [new DataLoader(samples(16, 1), { batchSize: 8 }), 2, 1000] as const;
  const [train, epochs, readEvery] = two;
  await regression({ train, epochs, readEvery, compile: false, hooks: [both] }).trainer.run();
  const steps = ['afterBackward', 'afterStep', 'afterBackward', 'afterStep'];
  assert.equal(calls, [
    'stateDict',
    ...['beforeEpoch 0 0', ...steps, 'log 0 2', 'log 0 2', 'afterEpoch 0 2', 'stateDict'],
    ...['beforeEpoch 1 2', ...steps, 'log 1 4', 'log 1 4', 'afterEpoch 1 4', 'stateDict'],
  ]);
  // Compiled, those of the step are called while it is made: its first call and its trace.
  calls.length = 0;
  await regression({ train, epochs: 4, readEvery, hooks: [both] }).trainer.run();
  assert.is(calls.filter((call) => call === 'afterStep').length, 2);
  assert.is(calls.filter((call) => call.startsWith('afterEpoch')).length, 4);
});

test('a hook sees gradients, changes weights and ends the run', async () => {
  let gradient: Tensor | null = null;
  const hooksOf = (model: Sequential): TrainerHook[] => {
    const { bias } = model.at(2) as Linear;
    return [
      {
        afterBackward: () => void (gradient = bias!.grad!.clone()),
        afterStep: () => void bias!.detach().assign_(7),
        afterEpoch: (run, { testLoss }) => {
          if (testLoss! > 0) run.stop();
        },
      },
    ];
  };
  const { trainer, model, epochs } = regression({ compile: false }, hooksOf);
  const summary = await trainer.run();
  assert.equal([summary.finished, summary.epoch, epochs().length], [true, 1, 1]);
  assert.equal([...(await (model.at(2) as Linear).bias!.data())], [7]);
  assert.is(gradient!.size, 1);
});

test('a hook that throws ends the run, which can be resumed to the same bits', async () => {
  const straight = regression();
  await straight.trainer.run();
  const calls = [
    ['afterBackward', true],
    ['afterStep', true],
    ['beforeEpoch', false],
    ['afterEpoch', false],
    ['log', false],
    ['stateDict', false],
  ] as const;
  for (const [call, compile] of calls) {
    let left = 2;
    const fail = () => {
      if (--left === 0) throw new RangeError(call);
      return {};
    };
    const first = regression({ compile, hooks: [{ [call]: fail }] });
    assert.instance(await first.trainer.run().catch((caught: Error) => caught), RangeError, call);
    const second = regression({ compile });
    second.trainer.restore(decodeCheckpoint(first.saved()));
    await second.trainer.run();
    assert.equal(bits(second.saved()), bits(straight.saved()), call);
  }
});

test('what hooks and steps may not do is refused, by name', async () => {
  const failing = async (options: Partial<OwnTrainerOptions<Samples>>, message: RegExp) => {
    const error = await Promise.resolve()
      .then(() => regression(options).trainer.run())
      .catch((caught: Error) => caught);
    assert.instance(error, InputError);
    assert.match((error as Error).message, message);
  };
  const hook = (hooks: object) => ({ hooks: [hooks as TrainerHook] });
  await failing(
    hook({ afterSteps: () => {} }),
    /hooks\[0\]: there is no option 'afterSteps': did you mean afterStep\?/,
  );
  await failing(hook({ name: 'empty' }), /hooks\[0\] has none of the functions of a hook: beforeEpoch/);
  await failing(
    { hooks: [hook({ name: 'a', log: Object }).hooks[0], { name: 'a', afterStep() {} }] },
    /two hooks are called 'a'/,
  );
  await failing(hook({ afterStep: async () => {} }), /afterStep of hook is async, but belongs to the step/);
  await failing(hook({ stateDict: () => ({ epoch: 1 }) }), /a hook saves 'epoch', a name that is taken/);
  await failing({ step: () => 3 as never }, /must return the loss, a tensor, or .* its loss is undefined/);
  await failing({ step: (async () => zeros([])) as never }, /its loss is a promise|a step cannot wait/);
  await failing({ step: ({ x }) => x }, /'loss' of a step must be one float32 number|backward/);
  await failing({ batchSize: 4 }, /batchSize belongs to the loader/);
  await failing({ train: 3 as never }, /train 3 must be an object/);
  await failing(
    { train: [{ x: zeros([2, 2]), y: zeros([2, 1]), weight: 3 } as Samples] },
    /holds 3 at weight, which a compiled/,
  );
  await failing({ lossFunction: mseLoss } as object, /leave lossFunction out/);
  // A read inside of the step.
  await failing(
    hook({ afterStep: () => zeros([1]).add(1).data() }),
    /is async, but belongs to the step, which cannot wait/,
  );
});

test('a metric that is NaN ends the run with its name and step', async () => {
  const model = new Linear(2, 1);
  const { trainer } = regression({
    model,
    optimizer: new Adam(model.parameters(), { lr: 0.01 }),
    step: ({ x, y }) => ({ loss: mseLoss(model.forward(x), y), odd: x.sum().mul(0).log().add(1).mul(0) }),
  });
  const error = await trainer.run().catch((caught: Error) => caught);
  assert.instance(error, NonFiniteLossError);
  assert.match((error as Error).message, /not finite at step 1 .*the odd has 1 of 1/);
});

test('particles that cannot change places are refused before anything is trained', () => {
  const model = new TinyNet();
  model.stage.particles[1].parameters()[0].requiresGrad = false;
  assert.throws(() => tinyTrainer({ model }), /MeanField: particles cannot change places/);
});

test.run();
