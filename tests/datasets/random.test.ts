// Philox against the published known answers, and the properties of what is drawn from it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { philox, philox4x32, Rng, Stream } from '../../datasets/random';

test('Philox4x32-10 gives the known answers of its authors', () => {
  const ones = 0xffffffff;
  const cases = [
    { counter: [0, 0, 0, 0], key: [0, 0], out: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    { counter: [ones, ones, ones, ones], key: [ones, ones], out: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      out: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ];
  for (const { counter, key, out } of cases) assert.equal([...philox4x32(counter, key)], out);
});

test('Rng walks the blocks of philox', () => {
  const rng = new Rng(7, Stream.shuffle, 3);
  const drawn = Array.from({ length: 8 }, () => rng.u32());
  assert.equal(drawn, [...philox(7, Stream.shuffle, 0, 3), ...philox(7, Stream.shuffle, 1, 3)]);
});

test('seed, stream and substream give different numbers', () => {
  const first = [new Rng(1, 1, 1), new Rng(2, 1, 1), new Rng(1, 2, 1), new Rng(1, 1, 2)].map((rng) => rng.u32());
  assert.is(new Set(first).size, 4);
});

test('uniform has 24 bits in [0, 1) and the mean of a uniform number', () => {
  const rng = new Rng(0, 0);
  const values = Array.from({ length: 20000 }, () => rng.uniform());
  assert.ok(values.every((u) => u >= 0 && u < 1 && Math.fround(u) === u));
  const mean = values.reduce((sum, u) => sum + u, 0) / values.length;
  assert.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
});

test('int covers its range evenly and refuses an empty one', () => {
  const rng = new Rng(0, 0);
  const counts = new Array(7).fill(0);
  for (let i = 0; i < 70000; i++) counts[rng.int(7)]++;
  assert.ok(
    counts.every((count) => Math.abs(count - 10000) < 500),
    String(counts),
  );
  assert.throws(() => rng.int(0), /expected 1 ≤ n/);
});

test('permutation holds every index once and depends on the epoch', () => {
  const order = new Rng(5, Stream.shuffle, 0).permutation(1000);
  assert.equal(
    [...order].sort((a, b) => a - b),
    Array.from({ length: 1000 }, (_, i) => i),
  );
  assert.not.equal(order, new Rng(5, Stream.shuffle, 1).permutation(1000));
});

test('normal has mean 0, variance 1, normal tails, and fixed bits', () => {
  const rng = new Rng(0, Stream.init);
  const values = Array.from({ length: 50000 }, () => rng.normal());
  const moment = (k: number) => values.reduce((sum, x) => sum + x ** k, 0) / values.length;
  assert.ok(Math.abs(moment(1)) < 0.02 && Math.abs(moment(2) - 1) < 0.03 && Math.abs(moment(4) - 3) < 0.2);
  const beyond2 = values.filter((x) => Math.abs(x) > 2).length / values.length;
  assert.ok(Math.abs(beyond2 - 0.0455) < 0.005, `P(|x| > 2) = ${beyond2}`);
  assert.equal(values.slice(0, 3), [1.675020661404422, -0.8786391670278614, -0.8574261957314913]);
});

test('a seed that is no u32 is refused', () => {
  for (const seed of [-1, 0.5, 2 ** 32, NaN]) assert.throws(() => new Rng(seed, 0), /expected an integer from 0/);
});

test.run();
