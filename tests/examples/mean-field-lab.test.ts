// The mean-field laboratory on the toy and on a checkpoint: the numbers that must come out whatever was trained.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { adjointBound } from '../../examples/mean-field-lab/adjoint';
import { birthDeathOfNetwork, birthDeathOfToy } from '../../examples/mean-field-lab/birth-death';
import { depthTransfer } from '../../examples/mean-field-lab/depth-transfer';
import { discretisation } from '../../examples/mean-field-lab/discretisation';
import { expansion } from '../../examples/mean-field-lab/expansion';
import { gradients } from '../../examples/mean-field-lab/gradients';
import { chooseOrders, lesion } from '../../examples/mean-field-lab/lesion';
import { networkSubject } from '../../examples/mean-field-lab/network';
import { asTrained, type Subject } from '../../examples/mean-field-lab/subject';
import { toySubject } from '../../examples/mean-field-lab/toy';
import { drawChart } from '../../examples/shared/chart';
import { loadDataset } from '../../examples/shared/datasets';
import { completeRecipe } from '../../examples/shared/recipe';
import { createNetwork, createTrainer } from '../../examples/shared/training';
import { init, shutdown } from '../../src/index.node.js';
import { RunFolder } from '../../src/train/run-folder.node.js';
import { programOf } from '../program';

const test = suite('mean-field lab');
const base = mkdtempSync(join(tmpdir(), 'dawnfield-lab-'));
const toy = { particles: 3, steps: 20, seed: 1 };
const network = { checkpoint: 'last', images: 20, batch: 10 } as const;
let subjects: Subject[] = [];

test.before(async () => {
  await init();
  const recipe = completeRecipe({
    model: 'meanfield-resnet14',
    dataset: 'synthetic',
    subset: 20,
    testSubset: 20,
    batch: 10,
  });
  const data = await loadDataset({ dataset: 'synthetic', train: 20, test: 20 });
  for (const model of ['meanfield-resnet14', 'resnet14']) {
    const store = RunFolder.create(join(base, model), { ...recipe, model });
    const given = { ...recipe, model, epochs: 1 };
    await createTrainer(createNetwork(given), given, data, { store, test: undefined }).run();
    store.close();
  }
  const nets = await Promise.all(['resnet14', 'meanfield-resnet14'].map((m) => networkSubject(join(base, m), network)));
  subjects = [await toySubject(toy, true), ...nets];
});
test.after(() => {
  shutdown();
  rmSync(base, { recursive: true });
});

const ignore = () => undefined;
const near = (a: number, b: number, tolerance = 1e-5) =>
  assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a}, ${b}`);

test('a network read as it was trained has its own outputs', async () => {
  const { F, loadWeights, noGrad } = await import('../../src/index.node.js');
  const { readCheckpoint } = await import('../../src/train/run-folder.node.js');
  for (const [i, name] of ['resnet14', 'meanfield-resnet14'].entries()) {
    const subject = subjects[1 + i];
    const model = createNetwork(completeRecipe({ model: name, dataset: 'synthetic' }));
    loadWeights(model, readCheckpoint(join(base, name, 'checkpoint-last.safetensors')).tensors);
    const { x, y } = subject.batch;
    const own = await noGrad(() => F.crossEntropy(model.eval().forward(x), y)).item();
    near(await noGrad(() => subject.lossOf(subject.forward(x, asTrained), y)).item(), own);
  }
});

test('orders have the distance that was asked for', () => {
  const inversions = (order: number[]) =>
    order.reduce((sum, a, i) => sum + order.slice(i).filter((b) => b < a).length, 0);
  for (let distance = 0; distance <= 13; distance++) {
    const orders = chooseOrders([5, 3], distance, new Rng(distance, 1));
    assert.is(
      orders.reduce((sum, order) => sum + inversions(order), 0),
      distance,
    );
    assert.equal(
      orders.map((order) => [...order].sort()),
      [
        [0, 1, 2, 3, 4],
        [0, 1, 2],
      ],
    );
  }
});

test('lesions: nothing deleted and nothing shuffled is the network; everything deleted is no branch at all', async () => {
  const { rows, panels } = await lesion(subjects, { delete: 4, samples: 2, seed: 0 }, ignore);
  for (const subject of subjects) {
    const { loss, error } = await subject.measure(asTrained);
    const at = (study: string, amount: number) =>
      rows.find((row) => row.study === study && row.subject === subject.name && row.amount === amount)!;
    near(at('delete', 0).mean, error ?? loss);
    near(at('shuffle', 0).mean, error ?? loss);
    const blocks = subject.stages.reduce((n, stage) => n + stage.branches.length, 0);
    const bare = await subject.measure((_, x) => x);
    near(at('delete', blocks).mean, bare.error ?? bare.loss);
    assert.is(
      rows.filter((row) => row.study === 'swap' && row.subject === subject.name).length,
      blocks - subject.stages.length,
    );
  }
  const svg = drawChart('lesion', '', panels);
  assert.ok(svg.startsWith('<svg') && !/NaN/.test(svg));
});

test('expansion: the second order is nearer than the first for weak branches, and errors fall as ε² and ε³ for the smooth toy', async () => {
  const { rows, panels } = await expansion(subjects.slice(0, 1), ignore);
  const curve = rows.flatMap((row) => ('strength' in row ? [row] : []));
  const [, half, quarter] = curve;
  assert.ok(half.second < half.first);
  assert.ok(half.first / quarter.first > 3.4 && half.second / quarter.second > 6, JSON.stringify([half, quarter]));
  const orders = rows.flatMap((row) => ('order' in row ? [row] : []));
  assert.equal(
    orders.map(({ order }) => order),
    [0, 1, 2, null],
  );
  assert.match(drawChart('expansion', '', panels), '2nd');
  const net = await expansion(subjects.slice(2), ignore);
  assert.ok(net.rows.every((row) => Object.values(row).every((v) => typeof v !== 'number' || Number.isFinite(v))));
});

test('gradients: the last particle of a stage of one block has equal gradients; the toy has ratios near 1', async () => {
  const { rows, losses } = await gradients(subjects, ignore);
  assert.is(losses.length, 3);
  for (const row of rows)
    if (row.subject.startsWith('toy')) assert.ok(row.ratio > 0.5 && row.ratio < 2, JSON.stringify(row));
  for (const { ratio, cosine } of rows) assert.ok(ratio > 0 && Math.abs(cosine) <= 1.0001);
});

test('discretisation: one Euler step is the network; better methods agree with each other on the smooth toy', async () => {
  const { rows, steps } = await discretisation(subjects.slice(0, 2), 4, ignore);
  for (const row of rows) if (row.method === 'euler' && row.substeps === 1) assert.is(row.moved, 0);
  const moved = (method: string, substeps: number) =>
    rows.find((row) => row.subject.startsWith('toy') && row.method === method && row.substeps === substeps)!.moved;
  assert.ok(
    Math.abs(moved('rk4', 4) - moved('heun', 4)) < 0.1 * moved('rk4', 4),
    `${moved('rk4', 4)} ${moved('heun', 4)}`,
  );
  assert.ok(moved('euler', 2) > 0 && moved('euler', 2) < moved('euler', 4));
  assert.equal((steps[1] as { steps: number[] }).steps, [1, 1], 'a vanilla network has steps of 1');
});

test('births and deaths: the toy repeats itself; one round in a checkpoint; a vanilla network is refused', async () => {
  const options = { rate: 1000, every: 5, seeds: 1 };
  const { rows } = await birthDeathOfToy(toy, options, ignore);
  assert.equal((await birthDeathOfToy(toy, options, ignore)).rows, rows);
  assert.ok(rows[0].births > 0 && rows[0].with !== rows[0].without);
  const { rows: stages, before, after } = await birthDeathOfNetwork(subjects[2], { rate: 1e9, seed: 0 });
  assert.equal(
    stages.map(({ effects }) => effects.length),
    [2, 1, 1],
  );
  assert.is(stages[0].turnover.length, 1);
  assert.equal(stages[1].turnover, [], 'a particle alone stays');
  assert.ok(Number.isFinite(before.loss) && Number.isFinite(after.loss));
  let message = '';
  await birthDeathOfNetwork(subjects[1], { rate: 1, seed: 0 }).catch((error: Error) => (message = error.message));
  assert.match(message, /resnet14 has no particles/);
});

test('the command prints JSON and writes a figure; without a run it says what to do', async () => {
  const { spawnSync } = await import('node:child_process');
  const root = new URL('../..', import.meta.url);
  const lab = (...args: string[]) =>
    spawnSync(process.execPath, [...programOf('examples/mean-field-lab/main.ts'), ...args], {
      cwd: root,
      encoding: 'utf8',
    });
  const out = join(base, 'figure.svg');
  const { status, stdout, stderr } = lab(
    'gradients',
    '--toy',
    '--steps',
    '3',
    '--particles',
    '2',
    '--json',
    '--out',
    out,
  );
  assert.is(status, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.is(lines.length, 7);
  assert.equal(lines.at(-1), { study: 'gradients', figure: out });
  assert.match(readFileSync(out, 'utf8'), 'toy, mean-field');
  const lost = lab('lesion', '--run', join(base, 'nowhere'));
  assert.is(lost.status, 1);
  assert.match(lost.stderr, /error: .*nowhere/);
  assert.match(lab('lesions').stderr, /unknown command 'lesions'/);
});

test('depth transfer: a scaled rate is the unscaled one times n; the adjoint keeps its bound', async () => {
  const o = { depths: [2, 4], rates: [0.25, 0.5], steps: 4, seed: 1, seeds: 1, timeRate: 0.01 };
  const { rows, best, panels } = await depthTransfer(o, ignore);
  assert.is(best.length, 4);
  assert.is(panels.length, 2);
  const loss = (gradients: string, n: number, rate: number) =>
    rows.find((row) => row.gradients === gradients && row.particles === n && row.rate === rate)!.loss;
  for (const rate of [0.25, 0.5]) near(loss('scaled', 2, rate), loss('unscaled', 2, 2 * rate), 1e-4);
  for (const { start, least, end, c, gronwall } of (await adjointBound(toy, ignore)).rows) {
    near(end, 2, 1e-4);
    assert.ok(least <= start && least >= gronwall && c > 0, `${least} ${gronwall}`);
  }
});

test.run();
