// Initial values: mean, variance and bounds as the papers and PyTorch define them; the same for the same seed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { manualSeed, nn, type Tensor } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();
const { init } = nn;

const shape = [64, 16, 3, 3]; // fan-in 144, fan-out 576, 9,216 numbers

async function moments(t: Tensor) {
  const values = [...(await t.data())];
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance), low: Math.min(...values), high: Math.max(...values) };
}

/** Within four standard errors of what the distribution has. */
async function isNormal(t: Tensor, std: number, mean = 0): Promise<void> {
  const found = await moments(t);
  assert.ok(Math.abs(found.mean - mean) < (4 * std) / 96, `mean ${found.mean}`);
  assert.ok(Math.abs(found.std / std - 1) < 4 / Math.sqrt(2 * 9216), `std ${found.std}, expected ${std}`);
  assert.ok(found.high > mean + 2.5 * std, 'it has tails');
}

async function isUniform(t: Tensor, low: number, high: number): Promise<void> {
  const width = high - low;
  const found = await moments(t);
  assert.ok(found.low >= low && found.low < low + 0.01 * width, `lowest ${found.low}, bound ${low}`);
  assert.ok(found.high <= high && found.high > high - 0.01 * width, `highest ${found.high}, bound ${high}`);
  assert.ok(Math.abs(found.std / (width / Math.sqrt(12)) - 1) < 0.03, `std ${found.std}`);
}

test('normal and uniform', async () => {
  manualSeed(1);
  await isNormal(init.normal(shape, 3, 0.5), 0.5, 3);
  await isUniform(init.uniform(shape, -1, 3), -1, 3);
});

test('kaiming: variance gain² / fan', async () => {
  manualSeed(2);
  await isNormal(init.kaimingNormal(shape), Math.sqrt(2 / 144));
  await isNormal(init.kaimingNormal(shape, { mode: 'fanOut' }), Math.sqrt(2 / 576));
  await isNormal(init.kaimingNormal(shape, { nonlinearity: 'linear' }), 1 / 12);
  const slope = Math.sqrt(5);
  await isUniform(init.kaimingUniform(shape, { nonlinearity: 'leakyRelu', slope }), -1 / 12, 1 / 12);
});

test('xavier: variance 2 gain² / (fanIn + fanOut)', async () => {
  manualSeed(3);
  await isNormal(init.xavierNormal(shape), Math.sqrt(2 / 720));
  const bound = 2 * Math.sqrt(6 / 720);
  await isUniform(init.xavierUniform(shape, 2), -bound, bound);
});

test('truncated normal numbers stay within their bounds', async () => {
  manualSeed(4);
  const { mean, low, high } = await moments(init.truncatedNormal(shape, 1, 1, 0, 2));
  assert.ok(low >= 0 && high <= 2 && low < 0.01 && high > 1.99);
  assert.ok(Math.abs(mean - 1) < 0.03);
  assert.throws(() => init.truncatedNormal(shape, 0, 1, 8, 9), /holds next to nothing/);
});

test('orthogonal: rows or columns of length `factor` at right angles', async () => {
  const wide = init.orthogonal([4, 2, 3], 2).reshape([4, 6]);
  const identity = (n: number, value: number) =>
    Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) ? 0 : value));
  close(await wide.matmul(wide.transpose()).data(), identity(4, 4), 1e-6);
  const tall = init.orthogonal([6, 3]);
  close(await tall.transpose().matmul(tall).data(), identity(3, 1), 1e-6);
});

test('gains and fans', () => {
  close(
    [init.gain('relu'), init.gain('tanh'), init.gain('leakyRelu', 1), init.gain('selu'), init.gain('sigmoid')],
    [Math.SQRT2, 5 / 3, 1, 0.75, 1],
  );
  assert.equal(init.fans([64, 16, 3, 3]), { fanIn: 144, fanOut: 576 });
  assert.throws(() => init.fans([5]), /two dimensions.*\[5\]/s);
});

test('layers start as in PyTorch: uniform in ±1/√fanIn', async () => {
  manualSeed(5);
  const conv = new nn.Conv2d(16, 64, 3);
  await isUniform(conv.weight, -1 / 12, 1 / 12);
  const transposed = new nn.ConvTranspose2d(64, 16, 3);
  await isUniform(transposed.weight, -1 / 12, 1 / 12);
  const linear = new nn.Linear(100, 90);
  await isUniform(linear.weight, -0.1, 0.1);
  assert.ok((await moments(linear.bias!)).high <= 0.1);
  await isNormal(new nn.Embedding(96, 96).weight, 1);
});

test('a seed gives the same weights, whatever is drawn between; another seed gives others', async () => {
  const weights = async (seed: number) => {
    manualSeed(seed);
    const net = new nn.Sequential(new nn.Linear(3, 4), new nn.Linear(4, 2));
    return Promise.all(net.parameters().map(async (p) => [...(await p.data())]));
  };
  const first = await weights(7);
  assert.equal(await weights(7), first);
  assert.not.equal(await weights(8), first);
  assert.not.equal(first[0].slice(0, 8), first[2], 'layers differ');
});

test.run();
