// Random tensors: the numbers of the host generator, their distributions, state, dropout.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng, Stream } from '../../datasets/random';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { noGrad } from '../../src/autograd/tape';
import { dropout } from '../../src/ops/dropout';
import { full, tensor } from '../../src/tensor/create';
import { endStep } from '../../src/tensor/memory';
import { bernoulli, rand, randint, randn, randperm, TENSOR_STREAM } from '../../src/tensor/random';
import { getRngState, manualSeed, setRngState } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';

useGpu();

const moments = (x: ArrayLike<number>) => {
  const list = Array.from(x);
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  return { mean, variance: list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length };
};

test('uniforms and integers are those of the host generator', async () => {
  manualSeed(3_000_000_001);
  const [first, second, third] = [rand([3, 5]), randint(-5, 20, [7]), rand([6])];
  const host = (draw: number) => new Rng(3_000_000_001, TENSOR_STREAM, draw);
  const uniforms = (rng: Rng, n: number) => Float32Array.from({ length: n }, () => rng.uniform());
  assert.equal(await first.data(), uniforms(host(0), 15));
  const integers = host(1);
  assert.equal(
    [...(await second.data())],
    Array.from({ length: 7 }, () => -5 + Math.floor((integers.u32() * 25) / 2 ** 32)),
  );
  assert.equal(await third.data(), uniforms(host(2), 6));
  assert.not.ok((Object.values(Stream) as number[]).includes(TENSOR_STREAM));
});

test('moments, ranges and finiteness', async () => {
  manualSeed(1);
  const u = await rand([100_000]).data();
  assert.ok(u.every((v) => v >= 0 && v < 1));
  const z = await randn([100_001]).data();
  assert.ok(z.every(Number.isFinite));
  const [mu, mz] = [moments(u), moments(z)];
  assert.ok(Math.abs(mu.mean - 0.5) < 0.005 && Math.abs(mu.variance - 1 / 12) < 0.002, JSON.stringify(mu));
  assert.ok(Math.abs(mz.mean) < 0.015 && Math.abs(mz.variance - 1) < 0.02, JSON.stringify(mz));
  const beyond = z.filter((v) => Math.abs(v) > 2).length / z.length;
  assert.ok(Math.abs(beyond - 0.0455) < 0.004, String(beyond));
  const k = await randint(0, 4, [40_000]).data();
  for (const value of [0, 1, 2, 3]) assert.ok(Math.abs(k.filter((v) => v === value).length / 10_000 - 1) < 0.05);
  const b = moments(await bernoulli(full([50_000], 0.3)).data());
  assert.ok(Math.abs(b.mean - 0.3) < 0.01);
  assert.equal(
    [...(await randperm(50).data())].sort((a, c) => a - c),
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test('state can be saved and restored, and memory made again holds the same numbers', async () => {
  manualSeed(9);
  rand([3]);
  const state = getRngState();
  const [a, p] = [randn([8]), randperm(9)];
  const [values, order] = [await a.data(), await p.data()];
  setRngState(state);
  assert.equal(await randn([8]).data(), values);
  assert.equal(await randperm(9).data(), order);
  for (let i = 0; i < 4; i++) endStep();
  rand([64]);
  assert.equal(await a.data(), values);
  assert.throws(() => manualSeed(-1), /seed/);
});

test('dropout keeps the expectation, and its gradient has the same mask', async () => {
  manualSeed(4);
  const x = full([4, 25_003], 2, { requiresGrad: true });
  const y = dropout(x, { p: 0.25 });
  const values = await y.data();
  const kept = values.filter((v) => v !== 0);
  close(
    kept,
    kept.map(() => 2 / 0.75),
    1e-6,
  );
  assert.ok(Math.abs(kept.length / values.length - 0.75) < 0.01);
  manualSeed(5); // what is drawn later does not matter
  backward(y, { gradient: full([4, 25_003], 1) });
  close(
    await x.grad!.data(),
    values.map((v) => v / 2),
    1e-6,
  );
  assert.is(dropout(x, { training: false }), x);
  assert.ok((await dropout(x, { p: 1 }).data()).every((v) => v === 0));
  assert.throws(() => dropout(x, { p: 1.5 }), /dropout: p is 1.5/);
  assert.throws(() => dropout(tensor(Int32Array.from([1]))), /int32/);
});

test('a compiled step draws what an eager loop draws', async () => {
  const x = full([40], 1);
  const body = (input: Tensor) => noGrad(() => [dropout(input), rand([3])]);
  const four = async (step: typeof body) => {
    manualSeed(6);
    const all: number[] = [];
    for (let i = 0; i < 4; i++) for (const t of step(x)) all.push(...(await t.data()));
    return all;
  };
  const eager = await four(body);
  assert.is(new Set(eager.filter((v) => v !== 0 && v !== 2)).size, 12);
  assert.equal(await four(compile(body)), eager);
  assert.throws(() => {
    const step = compile(() => randperm(3));
    step();
    step();
  }, /randperm: a compiled step/);
});

test('refused input', () => {
  assert.throws(() => randint(3, 3, [2]), /low < high/);
  assert.throws(() => rand([2, -1]), /non-negative/);
});

test.run();
