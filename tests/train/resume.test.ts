// A run that is interrupted anywhere and resumed equals an uninterrupted one bit for bit: weights, optimizer, metrics.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device } from '../../src/gpu';
import { Tuning } from '../../src/gpu/tuning';
import { multiStep } from '../../src/optim/schedule';
import { full } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import type { Checkpoint } from '../../src/train/checkpoint';
import { NonFiniteLossError } from '../../src/train/diagnose';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import type { TrainerOptions } from '../../src/train/options';
import { RunFolder, readMetrics } from '../../src/train/run-folder.node.js';
import { close, useGpu } from '../util';
import { tinyData, tinyTrainer } from './tiny';

useGpu();

const base = mkdtempSync(join(tmpdir(), 'dawnfield-resume-'));
test.after(() => rmSync(base, { recursive: true }));
const schedule = multiStep([1]);
// Seven steps to a read: sums wait on the GPU wherever the run is interrupted.
const settings = { schedule, readEvery: 4 };

const times = ['imagesPerSecond', 'time', 'seconds'];
const withoutTimes = (lines: readonly MetricsLine[]) =>
  lines.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !times.includes(key))));

/** Tensors and progress of a checkpoint, in a form that compares bit for bit. */
function bits({ tensors, progress }: Checkpoint) {
  const rows = Object.entries(tensors).map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
  ]);
  const { seconds: _, epochSeconds: __, ...rest } = progress as Record<string, unknown>;
  return { tensors: Object.fromEntries(rows), progress: rest };
}

/** Runs in a folder, from its checkpoint where it has one, and returns what it left there. */
async function runIn(name: string, options: Partial<TrainerOptions> = {}) {
  const path = join(base, name);
  let folder: RunFolder;
  let checkpoint: ReturnType<RunFolder['loadCheckpoint']> | null = null;
  try {
    folder = RunFolder.open(path);
    checkpoint = folder.loadCheckpoint();
  } catch {
    folder = RunFolder.create(path, {});
  }
  const { trainer } = tinyTrainer({ ...settings, store: folder, ...options });
  if (checkpoint) {
    trainer.restore(checkpoint);
    folder.truncateMetrics(checkpoint);
  }
  const summary = await trainer.run();
  folder.close();
  const reopened = RunFolder.open(path);
  const [metrics, last] = [reopened.readMetrics(), reopened.loadCheckpoint()];
  const best = reopened.hasCheckpoint('best') ? reopened.loadCheckpoint('best') : null;
  reopened.close();
  return { summary, metrics, last, best, path };
}

/** Data that interrupt the run when batch number `after` of the training set, or the first test batch, is asked for. */
function interrupting(after: number | 'test') {
  const controller = new AbortController();
  const { train, test } = tinyData();
  let asked = 0;
  const wrap = (source: typeof train, stop: () => boolean) => ({
    count: source.count,
    *batches(options: Parameters<typeof train.batches>[0]) {
      for (const batch of source.batches(options)) {
        if (stop()) controller.abort();
        yield batch;
      }
    },
  });
  return {
    train: wrap(train, () => ++asked === after),
    test: wrap(test, () => after === 'test'),
    signal: controller.signal,
  };
}

let whole: Awaited<ReturnType<typeof runIn>>;

const trainLosses = (lines: readonly MetricsLine[]) =>
  lines.flatMap((line) => (line.type === 'epoch' ? [line.trainLoss] : []));
const wholes: number[][] = [];

for (const compile of [true, false]) {
  const mode = compile ? 'compiled' : 'eager';

  test(`${mode}: an uninterrupted run: two epochs of six steps, particles change places`, async () => {
    whole = await runIn(`${mode}-whole`, { compile });
    wholes.push(trainLosses(whole.metrics));
    assert.is(whole.summary.step, 12);
    assert.is(whole.summary.finished, true);
    assert.equal(
      whole.metrics.map((line) => `${line.type} ${line.step}`),
      ['step 4', 'step 6', 'epoch 6', 'step 10', 'step 12', 'epoch 12', 'summary 12'],
    );
    const epochs = whole.metrics.filter((line): line is EpochLine => line.type === 'epoch');
    assert.equal(
      epochs.map((line) => Number(line.lr.toFixed(6))),
      [0.05, 0.005],
    );
    assert.ok(
      epochs.some((line) => line.stages![0].swaps > 0),
      'some particles changed places',
    );
  });

  test(`${mode}: the same run again has the same bits`, async () => {
    const again = await runIn(`${mode}-again`, { compile });
    assert.equal(bits(again.last), bits(whole.last));
    assert.equal(withoutTimes(again.metrics), withoutTimes(whole.metrics));
  });

  for (const after of [3, 6, 9, 'test'] as const)
    test(`${mode}: interrupted at ${after === 'test' ? 'an evaluation' : `step ${after}`} and resumed`, async () => {
      const name = `${mode}-interrupted-${after}`;
      const first = await runIn(name, { compile, ...interrupting(after) });
      assert.is(first.summary.finished, false);
      assert.is(first.summary.step, after === 'test' ? 6 : after - 1);
      const second = await runIn(name, { compile });
      assert.is(second.summary.finished, true);
      assert.equal(bits(second.last), bits(whole.last));
      assert.equal(bits(second.best!), bits(whole.best!));
      assert.equal(withoutTimes(second.metrics), withoutTimes(whole.metrics));
    });

  test(`${mode}: a limit on steps ends within an epoch; with a higher limit the run goes on as if there had been none`, async () => {
    const first = await runIn(`${mode}-limited`, { compile, steps: 8 });
    assert.equal(
      first.metrics.slice(-3).map((line) => `${line.type} ${line.step}`),
      ['step 8', 'epoch 8', 'summary 8'],
    );
    assert.is(first.best!.progress.epoch, 1, 'a part of an epoch is no candidate');
    const second = await runIn(`${mode}-limited`, { compile });
    assert.equal(bits(second.last), bits(whole.last));
    assert.equal(bits(second.best!), bits(whole.best!));
    assert.equal(withoutTimes(second.metrics), withoutTimes(whole.metrics));
  });
}

test('a limit on steps at the end of an epoch: evaluated and saved as ever', async () => {
  const first = await runIn('limited-at-end', { steps: 6, compile: false });
  assert.is(first.best!.progress.epoch, 1);
  assert.equal(bits(first.best!), bits(first.last));
  // Without an evaluation of that epoch, the run still ends with a test error, and leaves no best checkpoint that a longer run would not have.
  const other = await runIn('limited-untested', { steps: 6, evalEvery: 2, compile: false });
  assert.ok(other.summary.testError! > 0);
  assert.equal([other.summary.bestError, other.best], [null, null]);
  const [second, straight] = [
    await runIn('limited-untested', { evalEvery: 2, compile: false }),
    await runIn('untested', { evalEvery: 2, compile: false }),
  ];
  assert.equal(bits(second.last), bits(straight.last));
  assert.equal(bits(second.best!), bits(straight.best!));
  assert.equal(withoutTimes(second.metrics), withoutTimes(straight.metrics));
});

test('compiled and eager steps compute the same', () => {
  const [compiled, eager] = wholes;
  close(compiled, eager, 1e-6, 'losses');
});

test('tuned kernels: a resumed run keeps those of its checkpoint, whatever was tuned meanwhile', async () => {
  process.env.XDG_CACHE_HOME = join(base, 'cache');
  const plain = device().tuning;
  const untuned = await runIn('untuned');
  let measured = 0;
  /** As after init({ autotune: true }), with a clock by which `favourite` is the fastest variant. */
  const tune = (favourite: string) => {
    const tuning = new Tuning(device(), true);
    tuning.measure = async (_, runs) => [...runs.keys()].map((name) => (measured++, name === favourite ? 1 : 2));
    Object.assign(device(), { tuning });
  };
  const notices: string[] = [];
  const options = { onNotice: (text: string) => notices.push(text) };
  tune('splits*2');
  const tuned = await runIn('tuned-whole', options);
  assert.match(notices.join(), /^a trial step, .* …,tuning \d+ kernels …$/);
  const { kernels } = tuned.last.engine as { kernels: Record<string, string> };
  assert.ok(Object.keys(kernels).some((key) => key.startsWith('conv2d.weightGradient ')));
  assert.not.equal(bits(tuned.last), bits(untuned.last), 'other parts add up to other bits');

  const before = measured;
  tune('splits/2');
  const first = await runIn('tuned-interrupted', { ...interrupting(3), ...options });
  assert.equal([measured, first.last.engine.kernels], [before, kernels], 'those of the cache');
  rmSync(process.env.XDG_CACHE_HOME, { recursive: true });
  tune('splits/2');
  const other = await runIn('tuned-otherwise', options);
  assert.not.equal(other.last.engine.kernels, kernels);
  tune('splits/2');
  const second = await runIn('tuned-interrupted', options);
  assert.equal(second.last.engine.kernels, kernels);
  assert.equal(bits(second.last), bits(tuned.last));
  assert.equal(withoutTimes(second.metrics), withoutTimes(tuned.metrics));

  tune('splits/2');
  notices.length = 0;
  tinyTrainer(options).trainer.restore(untuned.last);
  assert.equal([device().tuning.on, device().tuning.table], [false, {}], 'a run without choices gets none');
  assert.equal(notices, [], 'other kernels are no other adapter');
  Object.assign(device(), { tuning: plain });
});

test('a crash without warning costs the steps since the last checkpoint and doubles no line', async () => {
  class Crash extends Error {}
  const onStep = ({ step }: { step: number }) => {
    if (step === 10) throw new Crash();
  };
  try {
    await runIn('crash', { onStep });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, Crash);
  }
  // The folder of a process that died stays locked only while the process lives: this one still does.
  rmSync(join(base, 'crash', 'run.lock'));
  const logged = readMetrics(join(base, 'crash'));
  assert.equal([logged.at(-1)!.type, logged.at(-1)!.step], ['step', 10], 'lines are ahead of the checkpoint');
  const second = await runIn('crash');
  assert.equal(bits(second.last), bits(whole.last));
  assert.equal(withoutTimes(second.metrics), withoutTimes(whole.metrics));
});

test('a checkpoint of another net is refused with what does not fit, and nothing is loaded', async () => {
  const { trainer, model } = tinyTrainer();
  const before = await model.head.weight.data();
  const tensors = { ...whole.last.tensors };
  const { data } = tensors['head.weight'];
  tensors['head.weight'] = { dtype: 'F32', shape: [8, 10], data };
  delete tensors['stem.bias'];
  assert.throws(
    () => trainer.restore({ ...whole.last, tensors }),
    (error: Error) =>
      /missing: stem\.bias \[8\]/.test(error.message) &&
      /shape of head\.weight: \[8, 10\].*\[10, 8\]/.test(error.message),
  );
  assert.equal(await model.head.weight.data(), before);
  assert.throws(() => trainer.restore({ ...whole.last, tensors: {} }), /was not saved by a Trainer/);
});

test('a checkpoint with anything that cannot be is refused with the file and the field, and nothing is loaded', async () => {
  const { trainer, model } = tinyTrainer();
  const before = await model.head.weight.data();
  const good = whole.last;
  const progress = (change: Record<string, unknown>) =>
    ({ ...good, progress: { ...good.progress, ...change } }) as Checkpoint;
  const tensor = (name: string, value: number) => {
    const stored = good.tensors[name];
    const data = Float32Array.from(stored.data as Float32Array).fill(value, 0, 1);
    return { ...good, tensors: { ...good.tensors, [name]: { ...stored, data } } };
  };
  const without = (name: string) => {
    const { [name]: _, ...tensors } = good.tensors;
    return { ...good, tensors };
  };
  const statistics = Object.keys(good.tensors).find((name) => name.endsWith('running_mean'))!;
  const variances = Object.keys(good.tensors).find((name) => name.endsWith('running_var'))!;
  const buffer = Object.keys(good.tensors).find((name) => name.startsWith('optimizer/'))!;
  const cases: [Checkpoint, string][] = [
    [progress({ step: '2' }), 'progress.step is "2", it must be a whole number of at least 0'],
    [progress({ epoch: 1e300 }), 'progress.epoch is 1e+300, it must be a whole number of at least 0'],
    [progress({ epoch: undefined }), 'progress.epoch is undefined'],
    [progress({ optimizerSteps: -1 }), 'progress.optimizerSteps is -1'],
    [progress({ loss: null }), 'progress.loss is null, it must be a finite number'],
    [progress({ seconds: -3 }), 'progress.seconds is -3'],
    [progress({ bestError: 140 }), 'progress.bestError is 140, it must be a number from 0 to 100, or null'],
    [progress({ rng: { seed: 2 ** 32, draws: 0 } }), 'progress.rng is {"seed":4294967296,"draws":0}'],
    [progress({ rng: 7 }), 'progress.rng is 7'],
    [progress({ swaps: { stage: 0.5 } }), 'progress.swaps is {"stage":0.5}'],
    [progress({ turnover: { stage: [{ killed: 1 }] } }), 'progress.turnover is '],
    [progress({ position: 16 }), 'progress.position is 16, but images + pendingImages are 0'],
    [progress({ position: 960, images: 960 }), 'progress.position is 960, but there are 88 training images'],
    [progress({ step: 1 }), 'progress.step is 1, but epoch 2 and position 0'],
    [progress({ bestEpoch: 3 }), 'progress.bestEpoch is 3, but epoch 2'],
    [progress({ buffers: 'x' }), 'progress.buffers is no list of names'],
    [without(buffer), `lacks the optimizer's buffer '${buffer}'`],
    [tensor(statistics, NaN), `${statistics} [8] has 1 of 8 elements that are NaN or infinite; a run cannot go on`],
    [tensor(variances, -1), `${variances} [8] has 1 of 8 elements that are NaN, infinite or negative`],
    [tensor('head.weight', Infinity), 'head.weight [10,8] has 1 of 80 elements that are NaN or infinite'],
    [tensor(buffer, NaN), `${buffer} `],
    [{ ...good, engine: { ...good.engine, kernels: { conv: 3 } } }, 'engine.kernels is no object of names'],
  ];
  for (const [checkpoint, message] of cases)
    assert.throws(
      () => trainer.restore(checkpoint, 'last.st'),
      (error: Error) => error.message.startsWith(`last.st: ${message}`) || assert.is(error.message, message),
    );
  assert.equal(await model.head.weight.data(), before);
  const { buffers: _, turnoverEpoch: __, turnover: ___, births: ____, ...older } = good.progress;
  trainer.restore({ ...good, progress: older });
  assert.is(trainer.step, 12, 'a checkpoint from before buffers were listed, and before there were births and deaths');
});

test('a step that leaves weights that are not finite ends the run instead of being saved', async () => {
  const saved: string[] = [];
  const store = { appendMetrics: () => undefined, saveCheckpoint: (_: unknown, name: string) => saved.push(name) };
  const { trainer, model } = tinyTrainer({
    ...{ epochs: 1, test: undefined, store, compile: false },
    onStep: ({ step }) => {
      if (step === 6) copyInto(model.head.bias!, full([10], Number.NaN));
    },
  });
  try {
    await trainer.run();
    assert.unreachable();
  } catch (error) {
    assert.instance(error, NonFiniteLossError);
    assert.match(
      (error as Error).message,
      /the model is not finite at step 6 \(epoch 1, .*\): after it head\.bias \[10\] has 10 of 10 elements/,
    );
  }
  assert.equal(saved, ['last'], 'that of the start');
});

test('the best checkpoint holds the weights of its epoch', async () => {
  const folder = RunFolder.open(whole.path);
  const best = folder.loadCheckpoint('best');
  folder.close();
  assert.is(best.progress.epoch, whole.summary.bestEpoch);
  assert.is(best.progress.bestError, whole.summary.bestError);
  const { trainer } = tinyTrainer();
  trainer.restore(best);
  assert.is(trainer.step, 6 * (whole.summary.bestEpoch ?? 0));
});

test.run();
