// table-1: the grid, its statistics and its table; and a small grid that is killed twice on the way and ends as one that was not.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { completeRecipe } from '../../examples/shared/recipe';
import { drawErrors } from '../../examples/table-1/figures';
import { createOptions, type Given, gridOf, withPreset } from '../../examples/table-1/options';
import { pairedDifference, spread } from '../../examples/table-1/statistics';
import { describeTable, type Entry } from '../../examples/table-1/table';
import { TABLE_1 } from '../../src/models/catalog';
import type { EpochLine } from '../../src/train/metrics';
import { checkpointFile } from '../../src/train/run-folder.node.js';
import { programOf } from '../program';

const test = suite('table-1');
const root = fileURLToPath(new URL('../..', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'dawnfield-table-'));
test.after(() => rmSync(base, { recursive: true }));

const parse = (line: string): Given => {
  const program = createOptions();
  program.parse(['node', 'table-1', ...line.split(' ').filter(Boolean)]);
  return program.opts() as Given;
};

test('without options all of the networks, both arms, pairs first', () => {
  const cells = gridOf(parse(''));
  assert.equal([...new Set(cells.map(({ row }) => row))], [...TABLE_1]);
  assert.equal(
    cells.slice(0, 3).map(({ name }) => name),
    ['resnet20-vanilla-seed0', 'resnet20-meanfield-seed0', 'resnet32-vanilla-seed0'],
  );
  assert.equal([...new Set(cells.map(({ row, wanted }) => `${row} ${wanted.dataset}`))].slice(-3), [
    'resnet164 cifar10',
    'resnext29-8x64d cifar100',
    'resnext29-16x64d cifar100',
  ]);
  assert.is(cells.length, 8 * 2 * 3);
});

test('rows by depth, further arms, seeds from a first one', () => {
  const cells = gridOf(
    parse('--rows 20,resnet8 --arms meanfield-no-decay,meanfield-frozen --seeds 2 --first-seed 5 --epochs 4'),
  );
  assert.is(cells.length, 8);
  const { row, arm, seed, wanted } = cells.at(-1)!;
  assert.equal(
    [row, arm, seed, wanted.model, wanted.epochs],
    ['resnet8', 'meanfield-frozen', 6, 'meanfield-resnet8', 4],
  );
  assert.equal([wanted.freezeTau, cells[0].wanted.tauWeightDecay], [true, false]);
  assert.throws(() => gridOf(parse('--rows 20,resnet20')), /'resnet20' is named twice/);
});

test('presets: a grid with a name, and what is typed goes before it', () => {
  const preset = (line: string) => {
    const program = createOptions();
    program.parse(['node', 'table-1', ...line.split(' ')]);
    return withPreset(program);
  };
  const given = preset('--preset re-sorting');
  const cells = gridOf(given);
  assert.is(cells.length, 7 * 9);
  assert.is(given.out, 'runs/re-sorting');
  assert.equal(
    cells.slice(0, 9).map(({ arm }) => arm.replace('meanfield-', '')),
    [
      ...['vanilla', 'meanfield', 'fraction', 'fraction-unsorted', 'fraction-shuffled', 'fraction-frozen'],
      ...['fast', 'fast-unsorted', 'random'],
    ],
    'a seed after the other, each with all arms',
  );
  const recipes = cells.map(({ wanted }) => completeRecipe(wanted));
  const { epochs, batch, lr, weightDecay, milestones, width, size, subset, testSubset, telemetry } = recipes[0];
  assert.equal([epochs, batch, lr, weightDecay, milestones], [8, 128, 0.1, 1e-4, [4, 6]]);
  assert.equal([width, size, subset, testSubset, telemetry], [0.5, 16, 10_000, undefined, true]);
  const fast = recipes.find(({ tauLr, sort }) => tauLr === 1 && sort === false)!;
  assert.equal([fast.tauTimes, fast.shuffle], ['ordinal', undefined]);
  const frozen = recipes[5];
  assert.equal([frozen.tauTimes, frozen.freezeTau], ['fraction', true]);
  // Arms differ in nothing but the network's form and its particles.
  const own = ['model', 'tauTimes', 'tauLr', 'freezeTau', 'sort', 'shuffle'];
  const shared = recipes.slice(0, 9).map((recipe) => Object.entries(recipe).filter(([key]) => !own.includes(key)));
  for (const recipe of shared) assert.equal(recipe, shared[0]);
  const typed = gridOf(preset('--preset re-sorting-full --rows 20 --epochs 3 --seeds 1 --arms vanilla --width 2'));
  assert.equal(
    typed.map(({ name, wanted }) => [name, wanted.epochs, wanted.width, wanted.subset]),
    [['resnet20-vanilla-seed3', 3, 2, undefined]],
  );
});

test('means, deviations, and an interval that covers what it should', () => {
  assert.equal(spread([]), null);
  assert.equal(spread([3]), { mean: 3, sd: null });
  assert.equal(spread([1, 2, 6]), { mean: 3, sd: Math.sqrt(7) });
  assert.equal(pairedDifference([]), null);
  assert.equal(pairedDifference([-0.5]), { mean: -0.5, interval: null, pairs: 1 });
  const differences = [-0.6, -0.2, -0.4, 0.1, -0.5, -0.3, -0.2];
  const { mean, interval } = pairedDifference(differences)!;
  assert.ok(Math.abs(mean + 0.3) < 1e-12);
  // Half the width is near 1.96 standard errors, somewhat less for so few pairs; the skewness of these shifts it.
  const error = spread(differences)!.sd! / Math.sqrt(7);
  const [low, high] = interval!;
  for (const half of [mean - low, high - mean]) assert.ok(half > 1.5 * error && half < 2.2 * error, `${half} ${error}`);
  assert.equal(pairedDifference(differences)!.interval, interval, 'the same each time');
});

test('the table says what was run, beside what the paper printed', () => {
  const common = {
    dataset: 'cifar10',
    epochs: 3,
    batch: 128,
    subset: 5000,
    testSubset: null,
    asked: 2,
    diverged: 0,
    failed: 0,
  };
  const run = (seed: number, testError: number) => ({
    seed,
    testError,
    bestError: 7,
    bestEpoch: 2,
    seconds: 1800,
    folder: '',
    adapters: ['some adapter'],
  });
  const entries: Entry[] = [
    {
      ...{ ...common, row: 'resnet20', arm: 'vanilla', difference: null, paper: 8.75, publicRuns: '8.1–8.3' },
      ...{ last: spread([8, 9]), best: spread([7, 7]), runs: [run(0, 8), run(1, 9)] },
    },
    {
      ...{ ...common, row: 'resnet20', arm: 'meanfield', difference: pairedDifference([-0.25]), paper: 8.19 },
      ...{ publicRuns: null, diverged: 1, last: spread([7.75]), best: spread([7]), runs: [run(0, 7.75)] },
    },
  ];
  const text = describeTable(entries, 'some adapter', ['errors.svg']);
  const ran = 'cifar10, 5,000 images, 3 epochs, batch 128, seeds';
  assert.match(text, `| resnet20 | vanilla | 8.50 ± 0.71 | 7.00 ± 0.00 |  | 8.75 | 8.1–8.3 | ${ran} 0, 1 |`);
  assert.match(
    text,
    `| resnet20 | meanfield | 7.75 | 7.00 | −0.25, 1 pair | 8.19 |  | ${ran} 0 (1 of 2, 1 diverged) |`,
  );
  assert.match(text, 'Took 1:30:00 of training');
  assert.match(text, '- Ran on some adapter.\n');

  // Runs of unlike adapters are marked.
  const [vanilla, meanfield] = entries as [Entry, Entry];
  const moved = { ...run(0, 7.75), adapters: ['another', 'some adapter'] };
  const mixed = describeTable([vanilla, { ...meanfield, failed: 1, runs: [moved] }], 'both', []);
  assert.match(mixed, `${ran} 0 (a), 1 (a) |`);
  assert.match(mixed, `${ran} 0 (b a) (1 of 2, 1 diverged, 1 failed) |`);
  assert.match(mixed, '- Ran on (a) some adapter, (b) another: ');
  assert.match(mixed, '| resnet20 meanfield | 7.75 (b a) |  | 1 |');
  assert.match(text, '![errors](errors.svg)');
});

test('error curves: each run, and the mean of an arm where all its runs have a value', () => {
  const epochs = (...errors: number[]) =>
    errors.map((testError, i) => ({ type: 'epoch', epoch: i + 1, testError, trainError: testError }) as EpochLine);
  const svg = drawErrors('resnet20', [
    { arm: 'vanilla', epochs: epochs(50, 40) },
    { arm: 'vanilla', epochs: epochs(60) },
    { arm: 'meanfield', epochs: [] },
  ]);
  assert.match(svg, '>vanilla<');
  assert.not.match(svg, /NaN|undefined|>meanfield</);
});

/** Runs table-1 from its source until it ends, or until `kill` says so of a line of its JSON. */
function run(args: string[], kill?: (line: Record<string, unknown>) => boolean) {
  const child = spawn(process.execPath, [...programOf('examples/table-1/main.ts'), ...args, '--json'], {
    env: { ...process.env, DAWNFIELD_DATA: '' },
    cwd: root,
  });
  const lines: Record<string, unknown>[] = [];
  let rest = '';
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const complete = (rest + text).split('\n');
    rest = complete.pop()!;
    for (const line of complete.map((text) => JSON.parse(text))) {
      lines.push(line);
      if (kill?.(line)) child.kill('SIGKILL');
    }
  });
  return new Promise<{ code: number | null; signal: string | null; stderr: string; lines: typeof lines }>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stderr, lines })),
  );
}

const size = '--rows 8 --seeds 1 --epochs 2 --subset 40 --test-subset 20 --batch 20 --dataset synthetic'.split(' ');
const tiny = [...size, '--no-estimate'];

/** What table.json and table.md say, times left out. */
function tableIn(out: string) {
  const json = readFileSync(join(out, 'table.json'), 'utf8').replaceAll(/"seconds": [\d.]+/g, '');
  return [json, readFileSync(join(out, 'table.md'), 'utf8').replace(/^- Took .*$/m, '')];
}

test('killed before its first checkpoint, and killed within the second epoch of the second run, it ends in the same table', async () => {
  const [whole, killed] = [join(base, 'whole'), join(base, 'killed')];
  const undisturbed = await run([...tiny, '--out', whole]);
  assert.is(undisturbed.code, 0, undisturbed.stderr);
  const entries = undisturbed.lines.at(-1)!.entries as Entry[];
  assert.equal(
    entries.map(({ arm, runs }) => `${arm} ${runs.length}`),
    ['vanilla 1', 'meanfield 1'],
  );

  const first = await run([...tiny, '--out', killed], (line) => line.type === 'step');
  assert.is(first.signal, 'SIGKILL', first.stderr);
  rmSync(join(killed, 'resnet8-vanilla-seed0', checkpointFile('last'))); // as if killed a moment earlier
  const second = await run([...tiny, '--out', killed], (line) =>
    Boolean(line.type === 'step' && line.epoch === 2 && String(line.run).includes('meanfield')),
  );
  assert.is(second.signal, 'SIGKILL', second.stderr);
  const last = await run([...tiny, '--out', killed]);
  assert.is(last.code, 0, last.stderr);
  const steps = last.lines.filter(({ type }) => type === 'step').map(({ run, step }) => `${run} ${step}`);
  assert.equal(steps, ['resnet8-meanfield-seed0 3', 'resnet8-meanfield-seed0 4'], 'what was saved is not run again');
  assert.match(last.stderr, '[2/2] resnet8-meanfield-seed0: going on after step 2');
  assert.equal(tableIn(killed), tableIn(whole));
  for (const file of ['errors-resnet8.svg', 'errors-resnet8.png', 'resnet8-meanfield-seed0/figure.svg'])
    assert.ok(existsSync(join(killed, file)), file);

  const plan = await run([...size, '--out', killed, '--plan']);
  assert.equal(plan.lines, [{ type: 'plan', row: 'resnet8', runs: 2, finished: 2, epochs: 2 }]);
  const other = await run([...tiny, '--out', killed, '--lr', '0.2']);
  assert.is(other.code, 1);
  assert.match(
    other.stderr,
    /resnet8-vanilla-seed0: .*\n {2}lr: the run has 0.1, given is 0.2\n.*--out names another folder/s,
  );
});

test.run();
