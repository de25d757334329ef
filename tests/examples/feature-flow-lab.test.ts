// The laboratory of feature flows at small sizes: its statistics, its experiments' outcomes, its command line.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { collapse, collapseOptions, drawCollapse } from '../../examples/feature-flow-lab/collapse';
import { distance, distanceOptions, drawDistance } from '../../examples/feature-flow-lab/distance';
import { drawGram, gram, gramOptions } from '../../examples/feature-flow-lab/gram';
import { powerLaw, verdict } from '../../examples/feature-flow-lab/statistics';
import { drawTheorem2, theorem2, theorem2Options } from '../../examples/feature-flow-lab/theorem-2';
import { createProgress } from '../../examples/shared/progress';
import { init, shutdown } from '../../src/index.node.js';
import { programOf } from '../program';

const test = suite('feature-flow-lab');
test.before(async () => {
  await init();
});
test.after(() => shutdown());

const quiet = createProgress({ silent: true });

/** Runs an experiment with options as they are typed; `say` collects its sentences. */
function perform<Options, Result>(
  run: (options: Options, say: (line: string) => void, progress: typeof quiet) => Promise<Result>,
  options: (command: Command) => Command,
  typed: string,
  said: string[] = [],
): Promise<Result> {
  const parsed = options(new Command()).parse(typed.split(' '), { from: 'user' }).opts();
  return run(parsed as Options, (line) => said.push(line), quiet);
}

test('powerLaw: an exact law, an interval that holds noise and narrows with seeds, the same every time', () => {
  const law = (seeds: number, noise: number) =>
    [16, 64, 256].map((x) => ({
      x,
      values: Array.from({ length: seeds }, (_, i) => 3 * x ** -0.5 * (1 + noise * Math.sin(7 * i + x))),
    }));
  const exact = powerLaw(law(4, 0));
  assert.ok(Math.abs(exact.slope + 0.5) < 1e-12 && Math.abs(Math.exp(exact.intercept) - 3) < 1e-12);
  const width = ({ interval: [low, high] }: { interval: [number, number] }) => high - low;
  const [few, many] = [powerLaw(law(4, 0.3)), powerLaw(law(64, 0.3))];
  assert.ok(few.interval[0] < few.slope && few.slope < few.interval[1]);
  assert.ok(width(many) < 0.5 * width(few), `${width(many)} of ${width(few)}`);
  assert.equal(powerLaw(law(4, 0.3)), few);
  const nets = [1, 2, 5]; // each an exact law of its own
  const paired = [16, 64].map((x) => ({ x, values: nets.map((factor) => factor / x) }));
  assert.ok(width(powerLaw(paired, 0, true)) < 1e-12 && width(powerLaw(paired)) > 0.1);
  assert.match(verdict(-0.5, -0.6, -0.4), /met/);
  assert.match(verdict(-0.7, -0.6, -0.4), /NOT MET/);
});

test('collapse: the first middle layer as m^(−1/2), flat after Algorithm 2', async () => {
  const result = await perform(collapse, collapseOptions, '--widths 16,64,256 --seeds 2 --steps 10');
  const [layer2] = result.summary.independent;
  assert.ok(layer2 > -0.6 && layer2 < -0.4, `slope ${layer2}`);
  for (const slope of result.summary.algorithm2) assert.ok(Math.abs(slope) < 0.1, `slope ${slope}`);
  assert.match(drawCollapse(result), /slope −0\.5/);
});

test('theorem-2: nets and flow fall, the weights move', async () => {
  const typed = '--width 32 --seeds 2 --time 60 --particles 128 --flow-time 20 --dt 0.25';
  const result = await perform(theorem2, theorem2Options, typed);
  assert.is(result.losses.length, 2);
  assert.ok(result.summary.smallest < 1e-3, `nets ${result.summary.smallest}`);
  assert.ok(result.summary.flowLoss < 0.5 * result.flow[0], `flow ${result.summary.flowLoss}`);
  const [first, last] = [result.movement[0], result.movement.at(-1)!];
  assert.is(last.layers.length, 4);
  last.layers.forEach((rms, l) => assert.ok(rms > first.layers[l], `movement of v${l + 1}`));
  assert.match(drawTheorem2(result), /Movement of the weights/);
});

test('gram: eigenvalues above 0, growing along the layers of the flow', async () => {
  const result = await perform(gram, gramOptions, '--layers 3 --width 64 --seeds 2 --time 1 --particles 1024');
  assert.ok(result.summary.smallest > 1e-3, `${result.summary.smallest}`);
  const [a, b, c] = result.summary.initial;
  assert.ok(a < b && b < c, `${a}, ${b}, ${c}`);
  assert.match(drawGram(result), /Gram matrices/);
});

test('distance: nets come nearer to the ideal process as they widen', async () => {
  const typed = '--widths 16,64 --seeds 2 --time 0.5 --particles 2048';
  const result = await perform(distance, distanceOptions, typed);
  assert.equal(Object.keys(result.summary.rms), ['v1', 'v2', 'v3', 'v4', 'α2', 'α3', 'β1', 'β2', 'β3']);
  for (const [quantity, slope] of Object.entries(result.summary.rms))
    assert.ok(slope < -0.2 && slope > -0.8, `${quantity}: ${slope}`);
  assert.match(drawDistance(result), /Largest deviation/);
});

test('theorem-1 --json twice: the same lines, the last one the slopes; figure, result and report in the folder', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const out = mkdtempSync(join(tmpdir(), 'dawnfield-lab-'));
  const small = '--widths 16,32 --seeds 2 --particles 512 --time 1 --eta 0.25 --etas 0.5,0.25 --eta-width 16';
  const lab = (...args: string[]) =>
    spawnSync(process.execPath, [...programOf('examples/feature-flow-lab/main.ts'), ...args], {
      cwd: root,
      encoding: 'utf8',
    });
  const run = () => lab('theorem-1', ...small.split(' '), '--json', '--out', out);
  const first = run();
  assert.is(first.status, 0, first.stderr);
  const lines = first.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(Object.keys(lines.at(-1)), ['slope', 'interval', 'etaSlope']);
  assert.is(lines[0].gaps.length, 2);
  assert.ok(lines.at(-1).etaSlope > 0.5, `etaSlope ${lines.at(-1).etaSlope}`);
  assert.is(run().stdout, first.stdout);
  assert.ok(existsSync(join(out, 'theorem-1.svg')));
  const report = readFileSync(join(out, 'report.html'), 'utf8');
  assert.match(report, /npm run feature-flow-lab -- theorem-1 --samples 8 .*--widths 16,32 .*--eta-width 16/);
  assert.match(report, /<img alt="theorem-1" src="data:image/);
  rmSync(out, { recursive: true });
  const wrong = lab('theorem-1', '--widths', '16');
  assert.is(wrong.status, 2);
  assert.match(wrong.stderr, /a slope needs at least two widths/);
});

test.run();
