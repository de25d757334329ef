// sweep: the points of a grid and of a random search, what is refused, and a small sweep in one process.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { completeRecipe } from '../../examples/shared/recipe';
import { drawSweep } from '../../examples/sweep/figure';
import { parsePoint, runsOf } from '../../examples/sweep/points';
import { describeSweep, type PointResult } from '../../examples/sweep/results';
import { programOf } from '../program';

const test = suite('sweep');
const root = fileURLToPath(new URL('../..', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'dawnfield-sweep-'));
test.after(() => rmSync(base, { recursive: true }));

const one = { searchSeed: 0, seeds: 1 };

test('a grid: all combinations of options, a seed after the other', () => {
  const runs = runsOf(
    { ...one, grid: ['lr=0.05,0.1', 'batch=64,128'], seeds: 2 },
    { model: 'resnet8', seed: 3, epochs: 2 },
  );
  assert.equal(
    runs.map(({ name }) => name),
    [3, 4].flatMap((seed) =>
      ['lr0.05-batch64', 'lr0.05-batch128', 'lr0.1-batch64', 'lr0.1-batch128'].map((point) => `${point}-seed${seed}`),
    ),
  );
  const { wanted, row, point } = runs[1]!;
  assert.equal([wanted.lr, wanted.batch, wanted.epochs, wanted.seed, wanted.dataset], [0.05, 128, 2, 3, 'cifar10']);
  assert.equal([row, point], ['resnet8 1', { lr: '0.05', batch: '128' }]);
  assert.equal(completeRecipe(wanted).lr, 0.05);
});

test('options without values are yes or no, lists stand between semicolons', () => {
  assert.equal(parsePoint({ augment: 'no', 'freeze-tau': 'yes', sort: 'yes' }), { augment: false, freezeTau: true });
  assert.equal(parsePoint({ 'tau-weight-decay': '0.5' }), { tauWeightDecay: 0.5 });
  const runs = runsOf({ ...one, grid: ['milestones=2,3;4'] }, {});
  assert.equal(
    runs.map(({ name, wanted }) => [name, wanted.milestones]),
    [
      ['milestones2_3-seed0', [2, 3]],
      ['milestones4-seed0', [4]],
    ],
  );
});

test('random points: the same ones for a seed, within their ranges, none twice', () => {
  const search = { ...one, grid: ['lr=0.01..1', 'batch=16..64', 'schedule=cosine,one-cycle'], random: 20 };
  const runs = runsOf(search, {});
  assert.is(runs.length, 20);
  assert.equal(runsOf(search, {}), runs);
  assert.not.equal(runsOf({ ...search, searchSeed: 1 }, {}), runs);
  for (const { wanted } of runs) {
    const { lr = 0, batch = 0 } = wanted;
    assert.ok(lr >= 0.01 && lr <= 1 && Number.isInteger(batch) && batch >= 16 && batch <= 64, `${lr} ${batch}`);
  }
  const middle = runs.filter(({ wanted: { lr = 0 } }) => lr < 0.1).length;
  assert.ok(middle > 4 && middle < 16, `by their logarithms: ${middle} of 20 below the middle`);
  assert.is(runsOf({ ...one, grid: ['lr=0.1,0.2'], random: 9 }, {}).length, 2, 'there are no more');
});

test('what cannot be varied is refused', () => {
  const refused: [string[], RegExp][] = [
    [[], /what is to be varied/],
    [['lr'], /an option and its values, as lr=0.05,0.1/],
    [['rl=0.1'], /no option --rl. Did you mean lr\?/],
    [['lr=fast'], /--grid lr=fast: .*'fast' is not a number/],
    [['augment=1'], /--grid augment=1: it must be yes or no/],
    [['lr=0.1,0.1'], /'0.1' is named twice/],
    [['lr=0.1', 'lr=0.2'], /lr is given twice/],
    [['lr=0.1..0.2'], /a range needs --random/],
    [['lr=2..1'], /from a lower to a higher/],
    [['seed=1,2'], /--seeds says how many/],
  ];
  for (const [grid, message] of refused) assert.throws(() => runsOf({ ...one, grid }, {}), message);
});

test('the table: best first, adapters where they differ; the figure', () => {
  const run = (seed: number, testError: number, adapter: string) => ({
    ...{ seed, testError, bestError: testError - 1, seconds: 1, folder: '', adapters: [adapter] },
  });
  const common = { asked: 2, diverged: 0, failed: 0, best: null };
  const results: PointResult[] = [
    {
      ...{ ...common, point: { lr: '0.1', schedule: 'cosine' }, last: { mean: 8.5, sd: 0.5 } },
      runs: [run(0, 8, 'a'), run(1, 9, 'b')],
    },
    {
      ...{ ...common, point: { lr: '1', schedule: 'one-cycle' }, last: { mean: 10, sd: null } },
      ...{ runs: [run(0, 10, 'a')], diverged: 1 },
    },
  ];
  const text = describeSweep(results, 'sweep.svg');
  assert.match(text, '| 0.1 | cosine | 8.50 ± 0.50 |  | 2 of 2 |  | a; b |');
  assert.match(text, '| 1 | one-cycle | 10.00 |  | 1 of 2 | 1 diverged | a |');
  assert.match(text, 'unlike adapters');
  const svg = drawSweep(results);
  assert.match(svg, '1 cosine, 2 one-cycle');
  assert.not.match(svg, /NaN|undefined/);
});

/** Runs sweep until it ends. */
function run(args: string): Promise<{ code: number | null; stderr: string; lines: Record<string, unknown>[] }> {
  const program = [...programOf('examples/sweep/main.ts'), ...args.split(' '), '--json'];
  const child = spawn(process.execPath, program, { env: { ...process.env, DAWNFIELD_DATA: '' }, cwd: root });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  return new Promise((resolve) =>
    child.on('close', (code) => {
      const lines = stdout.split('\n').filter(Boolean);
      resolve({ code, stderr, lines: lines.map((line) => JSON.parse(line)) });
    }),
  );
}

test('in one process: two points, and the second time nothing is trained again', async () => {
  const out = join(base, 'small');
  const small = '--model resnet8 --dataset synthetic --subset 40 --test-subset 20 --batch 20 --epochs 1';
  const args = `--grid lr=0.05,1e30 ${small} --out ${out}`;
  const { code, stderr, lines } = await run(args);
  assert.is(code, 0, stderr);
  const { results } = JSON.parse(readFileSync(join(out, 'sweep.json'), 'utf8')) as { results: PointResult[] };
  assert.equal(
    results.map(({ point, runs, diverged }) => [point.lr, runs.length, diverged]),
    [
      ['0.05', 1, 0],
      ['1e30', 0, 1],
    ],
  );
  assert.equal(lines.at(-1)!.results, results);
  for (const file of ['sweep.md', 'sweep.svg', 'sweep.png']) assert.ok(existsSync(join(out, file)), file);
  const again = await run(`${args} --plan`);
  assert.equal(again.lines, [{ type: 'plan', runs: ['lr0.05-seed0', 'lr1e30-seed0'], open: 0 }], again.stderr);
});

test.run();
