// DataLoader: order, batches, sources, prefetching, errors, memory.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  DataLoader,
  type DataLoaderOptions,
  device,
  F,
  getRngState,
  InputError,
  manualSeed,
  nn,
  noGrad,
  optim,
  type Tensor,
  tensor,
} from '../../src/index.node.js';
import { numbers, useGpu } from '../util';

useGpu();

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** The numbers of each batch of one pass. */
async function pass(loader: DataLoader<number>): Promise<number[][]> {
  const batches: number[][] = [];
  for await (const batch of loader) batches.push([...(await batch.data())]);
  return batches;
}

const load = (n: number, options?: DataLoaderOptions<number, Tensor>) => pass(new DataLoader(range(n), options));

test('batches in order, the last one smaller or left out', async () => {
  assert.equal(await load(5, { batchSize: 2 }), [[0, 1], [2, 3], [4]]);
  assert.equal(await load(5, { batchSize: 2, dropLast: true }), [
    [0, 1],
    [2, 3],
  ]);
  assert.equal(await load(2), [[0], [1]]);
  assert.equal(await load(0), []);
  assert.equal(await load(1, { batchSize: 2, dropLast: true }), []);
  assert.is(new DataLoader(range(5), { batchSize: 2 }).length, 3);
  assert.is(new DataLoader(range(5), { batchSize: 2, dropLast: true }).length, 2);
});

test('shuffling: every sample once, another order every epoch, the same for the same seed', async () => {
  const loader = (seed: number) => new DataLoader(range(40), { batchSize: 7, shuffle: true, seed });
  const a = loader(1);
  const epochs = [await pass(a), await pass(a)].map((batches) => batches.flat());
  for (const order of epochs)
    assert.equal(
      [...order].sort((x, y) => x - y),
      range(40),
    );
  assert.not.equal(epochs[0], epochs[1]);
  const b = loader(1);
  b.epoch = 1;
  assert.equal((await pass(b)).flat(), epochs[1]);
  assert.not.equal((await pass(loader(2))).flat(), epochs[0]);
});

test('the element type of a field is decided once for the data set', async () => {
  const types = async (loader: AsyncIterable<unknown>) => {
    const seen: string[] = [];
    for await (const batch of loader)
      seen.push(
        [batch]
          .flat()
          .map((t) => `${(t as Tensor).dtype} ${(t as Tensor).shape}`)
          .join(' | '),
      );
    return seen;
  };
  const same = (list: string[]) => [...new Set(list)];
  assert.equal(same(await types(new DataLoader([1, 0.5, 1.5, 2], { batchSize: 1 }))), ['float32 1']);
  assert.equal(
    same(await types(new DataLoader([1, 2, 3, 4], { batchSize: 2 }))),
    ['float32 2'],
    'numbers alone are no labels',
  );
  const image = Float32Array.of(1);
  const labelled = [0, 1, 2].map((label) => [image, label]);
  assert.equal(same(await types(new DataLoader(labelled))), ['float32 1,1 | int32 1']);
  const targets = [0, 1, 0.5].map((y) => [image, y]);
  assert.equal(same(await types(new DataLoader(targets))), ['float32 1,1 | float32 1'], 'all of an array is looked at');
  assert.equal(same(await types(new DataLoader(labelled, { dtype: ['float32', 'float32'] }))), [
    'float32 1,1 | float32 1',
  ]);
  assert.equal(same(await types(new DataLoader([1, 2], { dtype: 'int32' }))), ['int32 1']);
  const records = [
    { x: 1.5, y: 1 },
    { x: 2, y: 3e9 },
  ];
  for await (const { x, y } of new DataLoader(records)) assert.equal([x.dtype, y.dtype], ['float32', 'float32']);
  for await (const { x, y } of new DataLoader(records, { dtype: { y: 'uint32' }, batchSize: 2 }))
    assert.equal([x.dtype, y.dtype, ...(await y.data())], ['float32', 'uint32', 1, 3e9]);
});

test('data that cannot be looked at: the first batch decides, and what does not fit is refused', async () => {
  const data = { length: 3, get: (i: number): [Float32Array, number] => [Float32Array.of(i), i / 2] };
  const loader = new DataLoader(data);
  const run = async () => {
    for await (const [, y] of loader) assert.is(y.dtype, 'int32');
  };
  assert.match(
    String(await run().catch((e: Error) => e)),
    /sample 0 of a batch has the number 0.5 .*int32.*dtype: 'float32'/s,
  );
  const stated: number[] = [];
  for await (const [, y] of new DataLoader(data, { dtype: 'float32' })) stated.push(await y.item());
  assert.equal(stated, [0, 0.5, 1]);
});

test('manualSeed decides the order unless a seed is given', async () => {
  const order = async (seed?: number) =>
    (await pass(new DataLoader(range(20), { batchSize: 20, shuffle: true, seed }))).flat();
  const { seed } = getRngState();
  const orders = [];
  for (const s of [1, 2, 1]) {
    manualSeed(s);
    orders.push([await order(), await order(7)]);
  }
  manualSeed(seed);
  assert.equal(orders[0], orders[2]);
  assert.not.equal(orders[0][0], orders[1][0]);
  assert.equal(orders[0][1], orders[1][1]);
});

test('iterables and async iterables, whose length is not known', async () => {
  function* some() {
    yield* [1, 2, 3];
  }
  async function* later() {
    yield* [4, 5, 6];
  }
  const loader = new DataLoader<number>(some(), { batchSize: 2 });
  assert.is(loader.length, null);
  assert.equal(await pass(loader), [[1, 2], [3]]);
  assert.equal(await pass(new DataLoader<number>(later(), { batchSize: 2, dropLast: true })), [[4, 5]]);
  assert.equal(await pass(new DataLoader(new Set([7, 8]))), [[7], [8]]);
});

test('the samples of a batch and the batches in advance are fetched side by side', async () => {
  let asked = 0;
  let release: (() => void)[] = [];
  const data = {
    length: 12,
    get: (i: number) => {
      asked++;
      return new Promise<number>((resolve) => release.push(() => resolve(i)));
    },
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
  const batches = new DataLoader(data, { batchSize: 3, prefetch: 1 })[Symbol.asyncIterator]();
  const first = batches.next();
  await settle();
  assert.is(asked, 6, 'a batch and one in advance');
  for (const go of release.splice(0).reverse()) go();
  assert.equal([...(await (await first).value.data())], [0, 1, 2], 'in order, whatever came first');
  const second = batches.next();
  await settle();
  assert.is(asked, 9);
  assert.equal([...(await (await second).value.data())], [3, 4, 5], 'was there already');
  release = [];
  await batches.return(undefined);
});

test('a loader with a collate function of its own', async () => {
  const loader = new DataLoader(['a', 'bb', 'ccc'], {
    batchSize: 2,
    collate: (words) => tensor(Int32Array.from(words, (w) => w.length)),
  });
  const lengths: number[][] = [];
  for await (const batch of loader) lengths.push([...(await batch.data())]);
  assert.equal(lengths, [[1, 2], [3]]);
});

test('an error of a sample is thrown when its batch is due, not before', async () => {
  const data = {
    length: 6,
    get: async (i: number) => {
      if (i === 4) throw new Error('sample 4 is broken');
      return i;
    },
  };
  const seen: number[] = [];
  try {
    for await (const batch of new DataLoader(data, { batchSize: 2, prefetch: 2 })) {
      await new Promise((resolve) => setTimeout(resolve, 5)); // the broken batch is ready by now
      seen.push(...(await batch.data()));
    }
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).message, 'sample 4 is broken');
  }
  assert.equal(seen, [0, 1, 2, 3]);
});

test('leaving a loop closes the iterable', async () => {
  let closed = false;
  function* forever() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      closed = true;
    }
  }
  for await (const batch of new DataLoader(forever(), { batchSize: 4 })) if ((await batch.data())[0] === 4) break;
  assert.ok(closed);
});

test('options that make no sense are refused', () => {
  for (const options of [{ batchSize: 0 }, { batchSize: 1.5 }, { prefetch: -1 }])
    assert.throws(
      () => new DataLoader([1], options),
      (error: Error) => error instanceof InputError,
    );
  assert.throws(() => new DataLoader(new Set([1]), { shuffle: true }), /shuffle needs data with a length/);
  assert.throws(() => new DataLoader(7 as never), /DataLoader.*iterable/s);
});

const samples = (n: number) => range(n).map((i): [Float32Array, number] => [Float32Array.from(numbers(6, i)), i % 3]);

test('a loss can be read after the loop that made it, as without a loader', async () => {
  const net = new nn.Linear(6, 3);
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
  let last: Tensor | null = null;
  for await (const [x, y] of new DataLoader(samples(8), { batchSize: 2 })) {
    last = F.crossEntropy(net.forward(x), y);
    optimizer.zeroGrad();
    last.backward();
    optimizer.step();
  }
  assert.ok(Number.isFinite(await last!.item()));
});

test('an evaluation loop keeps the bytes in use flat, with what it computes inside and outside of noGrad', async () => {
  const net = new nn.Linear(6, 3).eval();
  const bytes: number[] = [];
  let right = 0;
  for await (const [x, y] of new DataLoader(samples(400), { batchSize: 2 })) {
    const logits = noGrad(() => net.forward(x));
    const hits = logits.argmax(1).eq(y).to('int32').sum();
    if (bytes.length % 20 === 0) right += await hits.item();
    bytes.push(device().stats().liveBytes);
  }
  assert.is(bytes.length, 200);
  assert.ok(right >= 0 && right <= 20);
  assert.ok(Math.max(...bytes.slice(150)) <= Math.max(...bytes.slice(30, 60)), `${bytes[40]} → ${bytes[199]}`);
});

test('a pass begins where it is told, in the order of its epoch; the next one is whole', async () => {
  const options = { batchSize: 4, shuffle: true, seed: 3, dropLast: true };
  const whole = await load(18, options);
  const loader = new DataLoader(range(18), options);
  loader.start = 8;
  assert.equal(await pass(loader), whole.slice(2));
  assert.is((await pass(loader)).length, 4);
  const stream = new DataLoader(new Set(range(10)), { batchSize: 4 });
  assert.is(stream.count, null);
  stream.start = 4;
  assert.equal(await pass(stream), [
    [4, 5, 6, 7],
    [8, 9],
  ]);
  stream.start = -1;
  assert.match(String(await pass(stream).catch(String)), /InputError: DataLoader: start -1/);
});

test.run();
