// Autotune: every variant computes the same, the fastest one is taken, and the choice lives on in the cache and in checkpoints.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Conv2dKind, lowerConv2d } from '../../shaders/conv/lower';
import type { Lowering } from '../../shaders/kernel';
import { lowerMatmul } from '../../shaders/matmul/lower';
import { targetName } from '../../shaders/target';
import { candidates } from '../../shaders/variants';
import { device, init, shutdown, tune } from '../../src/gpu';
import { conv2dShape, convolve } from '../../src/ops/conv';
import { matmul } from '../../src/ops/matmul';
import { tensor } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import { empty } from '../../src/tensor/tensor';
import { close, numbers, onBothTargets } from '../util';

await init();
test.after(() => shutdown());

const cache = mkdtempSync(join(tmpdir(), 'dawnfield-tuning-'));
process.env.XDG_CACHE_HOME = cache;
test.after(() => rmSync(cache, { recursive: true }));
const cacheFile = () => join(cache, 'dawnfield', readdirSync(join(cache, 'dawnfield'))[0]);

const random = (shape: number[], seed: number) =>
  tensor(
    Float32Array.from(
      numbers(
        shape.reduce((a, b) => a * b),
        seed,
      ),
    ),
    { shape },
  );
const [x, w, dy] = [
  [2, 10, 6, 8],
  [12, 10, 1, 2],
  [2, 12, 6, 8],
].map(random);
const shape = conv2dShape('conv2d', x, w, null, { padding: [0, 0, 0, 1] });
const [a, b, tall] = [
  [20, 300],
  [300, 24],
  [100, 300],
].map(random);

/** Launches a lowering, and reads the result. */
async function compute(lowering: Lowering, [p, q]: (typeof x)[], size: number): Promise<Float32Array> {
  const out = empty('result', [size]);
  device().launchLowering(lowering, bind(p), bind(q), bind(out));
  return (await out.data()) as Float32Array;
}

const operands: Record<Conv2dKind, (typeof x)[]> = { forward: [x, w], inputGradient: [dy, w], weightGradient: [x, dy] };
const sizes: Record<Conv2dKind, number> = { forward: dy.size, inputGradient: x.size, weightGradient: w.size };

for (const kind of Object.keys(operands) as Conv2dKind[])
  test(`convolution, ${kind}: all variants compute the same`, () =>
    onBothTargets(async () => {
      const { lowerings: plans } = candidates(device().target, (variant) =>
        lowerConv2d(kind, shape, device().target, variant),
      );
      assert.ok(plans.size > 1, [...plans.keys()].join());
      assert.is(plans.get(''), lowerConv2d(kind, shape, device().target), 'the first one is built in');
      const want = await compute(plans.get('')!, operands[kind], sizes[kind]);
      for (const [name, plan] of plans)
        close(await compute(plan, operands[kind], sizes[kind]), want, 1e-5, `${targetName(device().target)}, ${name}`);
    }));

test('matrix product: all variants compute the same', () =>
  onBothTargets(async () => {
    for (const left of [a, tall]) {
      const s = { batch: 1, m: left.shape[0], n: 24, k: 300, transposeA: false, transposeB: false };
      const { lowerings: plans } = candidates(device().target, (variant) => lowerMatmul(s, device().target, variant));
      assert.ok(plans.size > 1, [...plans.keys()].join());
      const want = await compute(plans.get('')!, [left, b], s.m * s.n);
      for (const [name, plan] of plans)
        close(
          await compute(plan, [left, b], s.m * s.n),
          want,
          1e-5,
          `${targetName(device().target)}, m ${s.m}, ${name}`,
        );
    }
  }));

test('without autotune nothing is noted, nothing changes, and tune() says how to turn it on', async () => {
  matmul(a, b);
  assert.equal(device().tuning.table, {});
  await tune().then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /init\(\{ autotune: true \}\)/),
  );
});

/** A device with tuning on that has run both operations, and a clock that says that `fast` takes `time`, the others 100. */
async function tuned(fast: string, time: number) {
  shutdown();
  const { tuning } = await init({ autotune: true });
  matmul(a, b);
  convolve('weightGradient', x, dy, shape);
  const measured: string[] = [];
  const notices: string[] = [];
  tuning.measure = async (key, runs) => {
    measured.push(key);
    for (const run of runs.values()) run();
    return [...runs.keys()].map((name) => (name === fast ? time : 100));
  };
  const table = await tune({ onNotice: (text) => notices.push(text) });
  return { table, measured, notices, choices: Object.values(table) };
}

test('the fastest variant is taken and launched; a gain below five percent is noise', async () => {
  const { measured, choices, table } = await tuned('splits*2', 94);
  assert.equal(choices, ['splits*2', 'splits*2']);
  assert.equal(Object.keys(table), measured);
  assert.match(measured[0], /^matmul 1,20,24,300,/);
  const { target, tuning } = device();
  const make = () => assert.unreachable() as never;
  const chosen = tuning.lowering('conv2d.weightGradient', shape, [], make);
  assert.is(chosen, lowerConv2d('weightGradient', shape, target, { splits: 2 }));
  rmSync(cacheFile());
  assert.equal((await tuned('splits*2', 96)).choices, []);
});

test('the cache spares the measurement; a damaged or foreign one is ignored, with a notice', async () => {
  rmSync(cacheFile());
  const first = await tuned('splits*2', 50);
  assert.equal(first.notices, ['tuning 2 kernels …']);
  const again = await tuned('splits/2', 50);
  assert.equal([again.table, again.measured, again.notices], [first.table, [], []]);

  const good = readFileSync(cacheFile(), 'utf8');
  const changed = (change: (content: { choices: Record<string, string>; adapter: string }) => void) => {
    const content = JSON.parse(good);
    change(content);
    return JSON.stringify(content);
  };
  const foreign = changed((content) => (content.adapter = 'another'));
  for (const [text, notice] of [
    [good.slice(0, 50), /tuning-.*json: cannot be read \(.*\); it is ignored/],
    ['null', /tuning-.*json: holds no choices of kernels for this adapter/],
    [foreign, /tuning-.*json: holds no choices of kernels for this adapter/],
  ] as const) {
    writeFileSync(cacheFile(), text);
    const { measured, notices, choices } = await tuned('splits/2', 50);
    assert.is(measured.length, 2);
    assert.match(notices[0], notice);
    assert.ok(choices.includes('splits/2'));
  }
  // Kernels that have changed since, or variants that are gone, are tried again; the others are not.
  const [product] = first.measured;
  writeFileSync(
    cacheFile(),
    changed(({ choices }) => (choices[product] = 'gone')),
  );
  const partly = await tuned('splits*2', 50);
  assert.equal([partly.measured, partly.notices], [[product], ['tuning 1 kernels, others are known …']]);
  assert.equal(partly.table, first.table);
});

test('measured on the device, whatever is faster here: every operation is settled', async () => {
  rmSync(cacheFile());
  shutdown();
  await init({ autotune: true });
  const before = await matmul(a, b).data();
  await tune({ onNotice: () => {} });
  close(await matmul(a, b).data(), before, 1e-5);
  const { choices } = JSON.parse(readFileSync(cacheFile(), 'utf8'));
  assert.equal(Object.keys(choices).length, 1);
});

test.run();
