// Kernels that compile aside: side by side, while the program goes on. What is launched, written and copied meanwhile keeps its order, and every
// number is what it is without.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import {
  compile,
  DeviceLostError,
  defineKernel,
  device,
  init,
  shutdown,
  type Tensor,
  tensor,
} from '../../src/index.node.js';
import { tinyTrainer } from '../train/tiny';

const data = synthetic({ train: 40, test: 16 });

test.after.each(() => shutdown());

/** Opens a device that compiles aside. Its compiler answers when `open()` was called, if `gated`; `most` is how many it had at once. */
async function openAside(gated = false) {
  const { gpu } = await init({ asyncPipelines: true });
  const { createComputePipelineAsync } = gpu;
  const compiler = { atLaunch: 0, asked: 0, running: 0, most: 0, open: () => {} };
  const gate = new Promise<void>((resolve) => (compiler.open = resolve));
  if (!gated) compiler.open();
  gpu.createComputePipeline = () => {
    compiler.atLaunch++;
    throw new Error('compiled at its launch');
  };
  gpu.createComputePipelineAsync = async (descriptor) => {
    compiler.asked++;
    compiler.most = Math.max(compiler.most, ++compiler.running);
    try {
      const made = createComputePipelineAsync.call(gpu, descriptor);
      await gate;
      return await made;
    } finally {
      compiler.running--;
    }
  };
  return compiler;
}

/** Losses, times and weights of a small mean-field network that was trained for two epochs, and the counts of the device. */
async function trained() {
  const resident = { train: new ResidentImages(data.train, data), test: new ResidentImages(data.test, data) };
  const losses: number[] = [];
  const { trainer } = tinyTrainer({ ...resident, readEvery: 1, onStep: (_, { loss }) => losses.push(loss) });
  const summary = await trainer.run();
  const weights: number[] = [];
  for (const t of Object.values(trainer.model.stateDict())) weights.push(...(await t.data()));
  const { dispatches, pipelinesCreated } = device().stats();
  return {
    numbers: [...losses, summary.testError, ...weights],
    counts: { dispatches, pipelinesCreated },
  };
}

test('a run of the Trainer has the same bits and the same counts, and no kernel is compiled at its launch', async () => {
  await init();
  const plain = await trained();
  shutdown();
  const compiler = await openAside();
  const aside = await trained();
  assert.equal(aside, plain);
  assert.is(compiler.asked, plain.counts.pipelinesCreated);
  assert.ok(compiler.most > 5, `${compiler.most} at once`);
});

test('the program goes on while kernels compile: what it writes, copies and launches keeps its order', async () => {
  const compiler = await openAside(true);
  const x = tensor([1, 2, 3]).keep();
  const y = x.mul(2);
  device().write(x.storage, new Float32Array([10, 20, 30])); // y is of the old numbers
  const z = x.add(y);
  const copied = z.clone();
  const read = copied.data();
  const idle = device().sync();
  let over = false;
  void Promise.all([read, idle]).then(() => (over = true));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.not(over, 'reads and sync() wait');
  assert.ok(compiler.running > 1);
  compiler.open();
  assert.equal([...(await read)], [12, 24, 36]);
  await idle;
  assert.equal([...(await y.data())], [2, 4, 6]);
});

test('compiled steps: another shape meanwhile, numbers that change, memory that goes', async () => {
  const compiler = await openAside(true);
  const step = compile((x: Tensor, factor: number) => x.mul(factor).exp().sum());
  const results: [number, Tensor][] = [];
  for (const n of [3, 3, 5, 5, 3, 3])
    for (const factor of [0.5, 0.25]) {
      const x = tensor(new Float32Array(n).fill(1));
      results.push([n * Math.exp(factor), step(x, factor)]);
      x.dispose();
    }
  device().pool.trim(); // what waits still uses what is free
  step.release();
  compiler.open();
  for (const [wanted, result] of results) assert.ok(Math.abs((await result.item()) - wanted) < 1e-5);
  assert.is(compiler.atLaunch, 0);
});

const broken = defineKernel({
  name: 'broken',
  bindings: { x: 'read float32', y: 'write float32' },
  code: `let twice = 2.0 * x[i];
    y[i] = twice + nonsense;`,
});

/** What is told of `broken` when a result of it is read. */
async function told(): Promise<string> {
  const step = compile((x: Tensor) => x.add(1).mul(2));
  const failing = compile((x: Tensor) => broken({ x: step(x), y: x.shape }).y);
  const x = tensor([1, 2]).keep();
  try {
    for (let i = 0; i < 2; i++) await failing(x).data();
  } catch (error) {
    assert.equal([...(await step(x).data())], [4, 6], 'all else goes on');
    return (error as Error).message;
  }
  return 'nothing';
}

test("a kernel of the user's own that does not compile is told with its line, in the same words", async () => {
  await init();
  const plain = await told();
  assert.match(plain, /compiling the kernel 'broken': WGSL does not compile\n {2}line 2 of your code: .*nonsense/);
  shutdown();
  await openAside();
  const aside = await told();
  assert.ok(aside.endsWith(plain), aside);
});

test('a device that is lost meanwhile is told, and the next one works', async () => {
  await openAside(true);
  const read = tensor([1]).add(1).data();
  device().gpu.destroy();
  const error = await read.then(
    () => null,
    (error: unknown) => error,
  );
  assert.instance(error, DeviceLostError);
  await openAside();
  assert.equal([...(await tensor([1]).add(1).data())], [2]);
});

test('shutdown() while kernels compile', async () => {
  const compiler = await openAside(true);
  const read = tensor([1]).add(1).data();
  shutdown();
  compiler.open();
  assert.match(await read.then(String, String), /^DeviceLostError/);
});

test('launches that are timed wait for the kernels before them, and compile their own at once', async () => {
  const { features, gpu } = await init({ asyncPipelines: true });
  if (!features.has('timestamp-query')) return;
  const { createComputePipeline } = gpu;
  let atLaunch = 0;
  gpu.createComputePipeline = (descriptor) => {
    atLaunch++;
    return createComputePipeline.call(gpu, descriptor);
  };
  const x = tensor([1, 2, 3]).add(1);
  const timed = await device().timed(() => x.mul(x));
  assert.is(timed.length, 1);
  assert.is(atLaunch, 1);
});

test.run();
