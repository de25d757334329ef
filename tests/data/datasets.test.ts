// Data sets of tensors and of others, samplers, and the loader with them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BatchSampler,
  ConcatDataset,
  DataLoader,
  F,
  nn,
  RandomSampler,
  randomSplit,
  SequentialSampler,
  Subset,
  SubsetRandomSampler,
  type Tensor,
  TensorDataset,
  tensor,
  WeightedRandomSampler,
} from '../../src';
import { useGpu } from '../util';

useGpu();

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const sorted = (list: Iterable<number>) => [...list].sort((a, b) => a - b);
const pairs = () => new TensorDataset(tensor(range(8).map((i) => [i, -i])), tensor(Int32Array.from(range(8))));

test('a loader of tensors gives typed batches, rows taken in one launch', async () => {
  const model = new nn.Linear(2, 8);
  const loader = new DataLoader(pairs(), { batchSize: 3 });
  const seen: number[][] = [];
  for await (const [x, y] of loader) {
    const loss: Tensor = F.crossEntropy(model.forward(x), y);
    assert.ok(Number.isFinite(await loss.item()));
    assert.is(y.dtype, 'int32');
    assert.equal(x.shape, [y.size, 2]);
    seen.push([...(await y.data())]);
  }
  assert.equal(seen, [
    [0, 1, 2],
    [3, 4, 5],
    [6, 7],
  ]);
  const samples: DataLoader<[Tensor, Tensor]> = new DataLoader(pairs(), { batchSize: 8, collate: (list) => list[3] });
  for await (const [x, y] of samples) assert.equal([...(await x.data()), await y.item()], [3, -3, 3]);
});

test('subsets, joined data sets and splits', async () => {
  const data = pairs();
  const labels = async (set: ConstructorParameters<typeof DataLoader<[Tensor, Tensor]>>[0]) => {
    const all: number[] = [];
    for await (const [, y] of new DataLoader<[Tensor, Tensor]>(set, { batchSize: 2 })) all.push(...(await y.data()));
    return all;
  };
  assert.equal(await labels(new Subset(data, [5, 1, 1])), [5, 1, 1]);
  assert.equal(await labels(new ConcatDataset([new Subset(data, [2]), data])), [2, ...range(8)]);
  const parts = randomSplit(range(10), [0.75, 0.25], { seed: 1 });
  assert.equal(
    parts.map((p) => p.length),
    [8, 2],
  );
  assert.equal(sorted(parts.flatMap((p) => range(p.length).map((i) => p.get(i) as number))), range(10));
  assert.equal([...(randomSplit(range(10), [7, 3], { seed: 1 })[0].indices as Uint32Array)].length, 7);
  assert.throws(() => randomSplit(range(10), [7, 2]), /no parts of 10 samples/);
  assert.throws(() => new Subset(range(3), [3]), /3 is no position among 3/);
  assert.throws(() => new TensorDataset(tensor([1, 2]), tensor([1])), /one first dimension.*\[2\], \[1\]/);
});

test('samplers: orders of an epoch, the same for the same seed', () => {
  const data = range(20);
  const random = (epoch: number, options = {}) => [...new RandomSampler(data, { seed: 3, ...options }).order(epoch)];
  assert.equal(sorted(random(0)), data);
  assert.equal(random(0), random(0));
  assert.not.equal(random(0), random(1));
  assert.is(random(0, { numSamples: 50 }).length, 50);
  assert.ok(new Set(random(0, { replacement: true, numSamples: 200 })).size === 20);
  assert.equal(sorted(new SubsetRandomSampler([4, 7, 9], { seed: 1 })), [4, 7, 9]);
  const weighted = new WeightedRandomSampler([0, 1, 3], 4000, { seed: 1 });
  const counts = [0, 0, 0];
  for (const i of weighted) counts[i]++;
  assert.is(counts[0], 0);
  assert.ok(Math.abs(counts[2] / counts[1] - 3) < 0.4, String(counts));
  assert.equal(sorted(new WeightedRandomSampler([1, 0, 5], 2, { replacement: false })), [0, 2]);
  const batches = new BatchSampler(new SequentialSampler(range(5)), 2);
  assert.equal([...batches], [[0, 1], [2, 3], [4]]);
  assert.is(batches.length, 3);
  assert.throws(() => new WeightedRandomSampler([0, 0], 1), /one of them is more than 0/);
  assert.throws(() => new WeightedRandomSampler([1, 0], 2, { replacement: false }), /2 different samples/);
});

test('the loader goes by samplers, and on within an epoch', async () => {
  const pass = async (loader: DataLoader<number>) => {
    const all: number[][] = [];
    for await (const x of loader) all.push([...(await x.data())]);
    return all;
  };
  assert.equal(await pass(new DataLoader(range(9), { sampler: [4, 2, 0], batchSize: 2 })), [[4, 2], [0]]);
  const batchSampler = new BatchSampler(new RandomSampler(range(6), { seed: 2 }), 4);
  const loader = new DataLoader(range(6), { batchSampler });
  const first = await pass(loader);
  assert.equal(sorted(first.flat()), range(6));
  assert.is(loader.length, 2);
  assert.not.equal(await pass(loader), first);
  loader.epoch = 0;
  loader.start = 4;
  assert.equal(await pass(loader), first.slice(1));
  assert.throws(
    () => new DataLoader(range(6), { batchSampler, shuffle: true }),
    /batchSampler decides what shuffle would/,
  );
  assert.throws(() => new DataLoader(range(6), { sampler: [1], shuffle: true }), /sampler decides what shuffle would/);
});

test.run();
