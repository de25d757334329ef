// The trainer on a tiny net: it learns, reads back rarely, stays flat in memory, and says where numbers break.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng, Stream } from '../../datasets/random';
import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import { noGrad } from '../../src/autograd/tape';
import type { StoredTensor } from '../../src/formats/safetensors';
import { device } from '../../src/gpu';
import { Module } from '../../src/nn/module';
import { Parameter } from '../../src/nn/parameter';
import { loadWeights, toStored } from '../../src/nn/stored';
import { mul } from '../../src/ops/elementwise';
import { crossEntropy } from '../../src/ops/loss';
import { full, tensor, zeros } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import type { Tensor } from '../../src/tensor/tensor';
import { NonFiniteEvaluationError, NonFiniteLossError } from '../../src/train/diagnose';
import { evaluate } from '../../src/train/evaluate';
import type { MetricsLine } from '../../src/train/metrics';
import { Tally } from '../../src/train/tally';
import { close, numbers, useGpu } from '../util';
import { TinyNet, tinyData, tinyTrainer } from './tiny';

useGpu();

/** A store that remembers. */
function memoryStore() {
  const lines: MetricsLine[] = [];
  const saved: string[] = [];
  return {
    lines,
    saved,
    appendMetrics: (line: MetricsLine) => void lines.push(line),
    saveCheckpoint: (_: unknown, name: string) => void saved.push(name),
  };
}

test('the tally adds losses and right answers, and notes the first loss that is not finite', async () => {
  const tally = new Tally();
  const logits = tensor(Float32Array.from(numbers(70 * 5, 1)), { shape: [70, 5] });
  const values = (await logits.data()) as Float32Array;
  const labels = Int32Array.from({ length: 70 }, (_, i) => i % 5);
  const right = [...labels].filter((label, i) => {
    const row = values.subarray(5 * i, 5 * i + 5);
    return row.indexOf(Math.max(...row)) === label;
  }).length;
  const add = (loss: number) => tally.add(logits, tensor(labels), full([], loss), tally.count(70));
  add(0.5);
  add(0.25);
  assert.equal(await tally.read(), { loss: 70 * 0.75, correct: 2 * right, images: 140, badStep: 0 });
  [1, Infinity, NaN, 1].forEach(add);
  assert.is((await tally.read()).badStep, 2);
  add(1);
  assert.equal(await tally.read(), { loss: 70, correct: right, images: 70, badStep: 0 });
  assert.throws(() => tally.add(logits, tensor(labels.slice(1)), full([], 1), 1), /labels \[69\]/);
});

test('the loss falls, and the weights hold what the particles became', async () => {
  const store = memoryStore();
  const { trainer, model } = tinyTrainer({ epochs: 16, lr: 0.1, augment: false, store });
  const summary = await trainer.run();
  const losses = store.lines.flatMap((line) => (line.type === 'epoch' ? [line.trainLoss] : []));
  assert.is(losses.length, 16);
  assert.ok(losses[15] < 0.92 * losses[0], `from ${losses[0]} to ${losses[15]}`);
  assert.is(summary.step, 96);
  assert.equal(store.saved.filter((name) => name === 'last').length, 17, 'one at the start and one an epoch');
  const { tau } = await model.stage.telemetry();
  assert.equal(
    tau,
    [...tau].sort((a, b) => a - b),
  );
});

test('between two reads of the loss nothing is read back', async () => {
  const reads: number[] = [];
  const { trainer } = tinyTrainer({
    epochs: 1,
    test: undefined,
    readEvery: 2,
    onEpochStart: () => reads.push(device().stats().reads),
    onStep: () => reads.push(device().stats().reads),
  });
  await trainer.run();
  // One read of the losses, and as the epoch is that short also three of the particles: times, order, swaps.
  assert.equal(
    reads.map((n) => n - reads[0]),
    [0, 4, 8, 12],
  );
});

test('memory stays flat over training steps and over evaluation', async () => {
  const live: number[] = [];
  const { trainer, model } = tinyTrainer({
    epochs: 3,
    readEvery: 1,
    onStep: () => live.push(device().stats().liveBytes),
  });
  await trainer.run();
  // The first epoch compiles the steps; the second is the first that only replays them, from its order's upload on.
  assert.ok(Math.max(...live.slice(8)) <= Math.max(...live.slice(0, 8)), `bytes after each step: ${live}`);
  const during: number[] = [];
  const { train } = tinyData();
  await evaluate(model, train, {
    batchSize: 8,
    readEvery: 1,
    onProgress: () => during.push(device().stats().liveBytes),
  });
  assert.is(during.length, 11);
  assert.ok(Math.max(...during.slice(3)) <= Math.max(...during.slice(0, 3)), `bytes after each batch: ${during}`);
});

test('evaluation of weights that are NaN fails and names them', async () => {
  const { model } = tinyTrainer();
  const { test: images } = tinyData();
  copyInto(model.head.bias!, tensor([...new Array(9).fill(0), NaN]));
  const failed = await evaluate(model, images, { batchSize: 16, readEvery: 2 }).catch((error: Error) => error);
  assert.instance(failed, NonFiniteEvaluationError);
  assert.match(String((failed as Error).message), /NaN in batch 1: before it head\.bias \[10\] has 1 of 10/);
  assert.is(model.training, true);
  // A loss that hides NaN does not help, nor does its place in the data: the third batch.
  const { model: other } = tinyTrainer();
  let calls = 0;
  const broken = Object.assign(other, {
    forward: (x: Tensor) =>
      ++calls === 3 ? mul(TinyNet.prototype.forward.call(other, x), NaN) : TinyNet.prototype.forward.call(other, x),
  });
  const hidden = await evaluate(broken, images, { batchSize: 16, readEvery: 1, lossFunction: () => zeros([]) }).catch(
    String,
  );
  assert.match(String(hidden), /NaN in batch 3/);
});

test('evaluation equals the sum over single batches and leaves the mode as it was', async () => {
  const { model } = tinyTrainer();
  const { test: images } = tinyData();
  const result = (await evaluate(model, images, { batchSize: 16, readEvery: 2 }))!;
  assert.is(model.training, true);
  model.eval();
  let loss = 0;
  let wrong = 0;
  for (const batch of images.batches({ batchSize: 16 })) {
    const logits = noGrad(() => model.forward(batch.images));
    loss += batch.size * (await noGrad(() => crossEntropy(logits, batch.labels)).item());
    const [values, labels] = [await logits.data(), await batch.labels.data()];
    for (let i = 0; i < batch.size; i++) {
      const row = values.subarray(10 * i, 10 * i + 10);
      if (row.indexOf(Math.max(...row)) !== labels[i]) wrong++;
    }
  }
  assert.is(result.count, 40);
  assert.is(result.wrong, wrong);
  assert.is(result.error, wrong / 0.4);
  close([result.loss], [loss / 40], 1e-6);
});

async function failure(options: Parameters<typeof tinyTrainer>[0]): Promise<NonFiniteLossError> {
  try {
    await tinyTrainer(options).trainer.run();
  } catch (error) {
    assert.instance(error, NonFiniteLossError);
    return error as NonFiniteLossError;
  }
  return assert.unreachable('the run should have stopped') as never;
}

for (const compile of [false, true])
  test(`a loss that explodes stops the run with its step and the first module that broke${compile ? ', compiled' : ''}`, async () => {
    const store = memoryStore();
    const error = await failure({ lr: 1e30, readEvery: 4, store, compile });
    assert.is(error.step, 2);
    assert.is(error.epoch, 1);
    assert.is(error.lr, 1e30);
    assert.match(
      error.message,
      /not finite at step 2 \(epoch 1, learning rate 1e\+30\): the output of [\w.]+ \(\w+\) \[16/,
    );
    assert.equal(store.saved, ['last'], 'the checkpoint of the start is untouched');
  });

test('a module, a weight and a loss function are named', async () => {
  class Logarithm extends TinyNet {
    override forward(x: Tensor): Tensor {
      return super.forward(x.log());
    }
  }
  // With 25 the steps are read behind the epoch's test, as on a GPU: the search still begins with the first of them.
  for (const readEvery of [1, 25]) {
    const { step, where } = await failure({ model: new Logarithm(), readEvery });
    assert.match(where, /^the output of stem \(Conv2d\) \[16, ?8, ?8, ?8\]/, where);
    assert.is(step, 1);
  }
  const poisoned = new TinyNet();
  copyInto(poisoned.head.bias!, tensor([0, 0, NaN, 0, 0, 0, 0, 0, 0, 0]));
  assert.match((await failure({ model: poisoned })).where, /^before it head\.bias \[10\] has 1 of 10 elements/);
  const lossFunction = (logits: Tensor, labels: Tensor) => crossEntropy(logits, labels).mul(Infinity);
  assert.match((await failure({ lossFunction })).where, /^the loss function/);
});

test('weights of DataParallel load without their prefix; what is missing is listed', async () => {
  const [source, target] = [new TinyNet(), new TinyNet()];
  const stored: Record<string, Awaited<ReturnType<typeof toStored>>> = {};
  for (const [name, x] of source.namedTensors()) stored[`module.${name}`] = await toStored(x);
  loadWeights(target, stored);
  assert.equal(await target.stem.weight.data(), await source.stem.weight.data());
  delete stored['module.stem.weight'];
  assert.throws(() => loadWeights(target, stored), /missing: stem\.weight \[8, 3, 3, 3\]/);
});

test('a tensor named __proto__ is unexpected, and stands for no other', () => {
  const x: StoredTensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) };
  class Odd extends Module {
    shape = new Parameter(full([1], 0));
    override forward(y: Tensor): Tensor {
      return y.mul(this.shape);
    }
  }
  const stored = Object.fromEntries([['__proto__', x]]);
  assert.throws(() => loadWeights(new Odd(), stored), /missing: shape \[1\]\n {2}unexpected: __proto__ \[1\]/);
  assert.equal(loadWeights(new Odd(), stored, { strict: false }), { missing: ['shape'], unexpected: ['__proto__'] });
  const large: StoredTensor = { dtype: 'I64', shape: [1], data: BigInt64Array.of(1n << 40n) };
  assert.throws(
    () => loadWeights(new Odd(), { shape: large }),
    /I64 tensor .* holds 1099511627776, which int32 cannot/,
  );
});

test('options out of range are refused by name', () => {
  assert.throws(() => tinyTrainer({ epochs: 0 }), /Trainer: epochs is 0/);
  assert.throws(() => tinyTrainer({ batchSize: 2.5 }), /Trainer: batchSize is 2.5/);
});

test('resident images: the same batches from several buffers, from any position, every image once', async () => {
  const data = synthetic({ train: 33, test: 0 });
  const one = new ResidentImages(data.train, data);
  const many = new ResidentImages(data.train, { ...data, maxBytes: 10 * 3072 });
  const options = { batchSize: 8, seed: 3, epoch: 2, shuffle: true, augment: true };
  const collect = async (source: ResidentImages, start = 0) => {
    const batches = [];
    for (const { images, labels, size, index } of source.batches({ ...options, start }))
      batches.push({ images: await images.data(), labels: await labels.data(), size, index });
    return batches;
  };
  const whole = await collect(one);
  assert.equal(
    whole.map(({ index, size }) => [index, size]),
    [
      [0, 8],
      [8, 8],
      [16, 8],
      [24, 8],
    ],
    'the last one alone is left out',
  );
  assert.equal(await collect(many), whole);
  assert.equal(await collect(one, 16), whole.slice(2));
  const order = new Rng(3, Stream.shuffle, 2).permutation(33);
  assert.equal(
    whole.flatMap(({ labels }) => [...labels]),
    [...order.subarray(0, 32)].map((i) => data.train.labels[i]),
  );
  const plain = [...one.batches({ batchSize: 16 })].map(({ size }) => size);
  assert.equal(plain, [16, 16, 1], 'without shuffling all images come');
  assert.throws(() => [...one.batches({ batchSize: 0 })], /batchSize 0/);
  assert.throws(() => new ResidentImages({ ...data.test }, data), /no images/);
});

test.run();
