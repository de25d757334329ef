// The bench program: what it prints for machines, and that profiling a step leaves a run as it was.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { drawHistory } from '../../bench/history';
import { survey } from '../../bench/net';
import { models } from '../../src/index.node.js';
import { toStored } from '../../src/nn/stored';
import { programOf } from '../program';
import { tinyTrainer } from '../train/tiny';
import { useGpu } from '../util';

useGpu();

const root = fileURLToPath(new URL('../..', import.meta.url));

const bench = (...args: string[]) =>
  spawnSync(process.execPath, [...programOf('bench/main.ts'), ...args], { cwd: root, encoding: 'utf8' });

test('--json prints one number a line with its place', () => {
  const { stdout, status } = bench('matmul-32', '--no-peers', '--json', '--repeat', '1');
  assert.is(status, 0);
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(
    rows.map(({ name, peer, unit }) => [name, peer, unit]),
    [
      ['ceiling/multiply-add', 'dawnfield', 'GFLOP/s'],
      ['ceiling/copy', 'dawnfield', 'GB/s'],
      ['matmul-32', 'dawnfield', 'GFLOP/s'],
    ],
  );
  for (const row of rows) assert.ok(row.value > 0 && row.adapter && row.driver && row.version, JSON.stringify(row));
});

test('an unknown name is refused with the nearest one', () => {
  const { stderr, status } = bench('train-resnt20');
  assert.is(status, 2);
  assert.match(stderr, 'Did you mean train-resnet20?');
});

const git = spawnSync('git', ['rev-parse', '--short=7', 'HEAD'], { cwd: root, encoding: 'utf8' });
const inClone = git.status === 0 ? test : test.skip;

inClone('--against measures another commit in turns', () => {
  const { stdout, stderr, status } = bench('matmul-32', '--against', 'HEAD', '--rounds', '2', '--json');
  assert.is(status, 0, stderr);
  const row = JSON.parse(stdout);
  assert.equal([row.name, row.unit, row.against], ['matmul-32', 'GFLOP/s', git.stdout.trim()]);
  for (const values of [row.here, row.there, row.ratios]) {
    assert.is(values.length, 2);
    assert.ok(values[0] > 0 && values[0] <= values[1]);
  }
  const unknown = bench('matmul-32', '--against', 'no-such-commit');
  assert.is(unknown.status, 2);
  assert.match(unknown.stderr, 'no-such-commit: git knows no such commit');
});

test('the history is drawn: a panel a case, a line a machine', () => {
  const measured = (machine: string, value: number) => ({
    ...{ date: '', commit: 'abcdef0', changed: false, machine, node: '', adapter: 'a', driver: '', load: 0, batch: 32 },
    rates: { 'train-resnet20': { unit: 'images/s', value }, 'train-resnet20/submits': { unit: 'a step', value: 1 } },
  });
  const svg = drawHistory([measured('m1', 100), measured('m2', 50), measured('m1', 120)]);
  assert.match(svg, 'train-resnet20, images/s');
  assert.not.match(svg, 'submits');
  for (const machine of ['m1', 'm2']) assert.match(svg, `a, ${machine}, batch 32`);
});

test('the nets of the peers have the parameters of ours', () => {
  for (const net of [{ blocks: 1 }, { blocks: 2, bottleneck: true, groups: 8, inner: [32, 64, 128] as const }]) {
    const sizes = survey(net).parameters.map(({ shape }) => shape.reduce((a, b) => a * b));
    assert.is(
      sizes.reduce((a, b) => a + b),
      new models.PreActResNet(net).parameterCount,
    );
  }
  // 40.81 M multiply-adds forward, of which the first convolution has 0.44 M and no gradient for its input.
  assert.is((survey({ blocks: 3 }).flops / 1e6).toFixed(1), '244.0');
});

test('profiling finds the launches of a step and leaves the run as it was', async () => {
  const [plain, profiled] = [tinyTrainer({ epochs: 1 }), tinyTrainer({ epochs: 1, compile: true })];
  const before = await profiled.trainer.state();
  const launches = await profiled.trainer.profile(2);
  assert.is(launches.length % 2, 0);
  assert.ok(launches.some(({ kernel, path, flops }) => kernel === 'conv2d.forward' && path === 'stem' && flops > 0));
  const after = await profiled.trainer.state();
  assert.equal(after.tensors, before.tensors);
  assert.equal(after.progress.rng, before.progress.rng);
  await plain.trainer.run();
  await profiled.trainer.run();
  const [a, b] = await Promise.all([plain, profiled].map(({ model }) => toStored(model.head.weight)));
  (b.data as Float32Array).forEach((value, i) => assert.ok(Math.abs(value - Number(a.data[i])) < 1e-4));
});

test.run();
