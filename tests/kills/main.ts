// `npm run kills`: kills cifar-train at file events and at random times and lets its disk run full, goes on until the run has ended, and
// compares metrics, last and best checkpoint with those of a run that nothing disturbed, bit for bit. Some ten minutes; not part of npm test.
//
//   npm run kills                               40 kills at file events, 40 at random times, ten fill levels of the disk
//   npm run kills -- --kills 4 --levels 2       fewer
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng } from '../../datasets/random';
import { createProgram, integerFrom, printJson, runProgram } from '../../examples/shared/options';
import { ensureBuild } from '../../scripts/setup/build.mjs';
import { bestWeights, checkpointFile, isRun, readCheckpoint, readMetrics } from '../../src/train/run-folder.node.js';

interface Options {
  kills: number;
  levels: number;
  seed: number;
  json?: boolean;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Its best epoch is neither the first nor the last one. */
const run =
  '--model meanfield-resnet8 --dataset synthetic --subset 80 --test-subset 50 --batch 20 --epochs 4 --milestones 3 --lr 0.05 --no-augment';

interface Ended {
  signal: NodeJS.Signals | null;
  code: number | null;
  stderr: string;
  milliseconds: number;
}

/** Begins the run in a folder, or goes on with it; killed after so many milliseconds where that is said. */
function perform(folder: string, faults: NodeJS.ProcessEnv = {}, killAfter?: number): Promise<Ended> {
  // Until config.json is there, nothing says what would be resumed.
  const begun = isRun(folder) || existsSync(join(folder, 'config.json'));
  const args = begun ? ['--resume', folder] : [...run.split(' '), '--out', folder];
  const program = ['--import', join(root, 'tests/kills/faults.mjs'), join(root, 'dist/examples/cifar-train.js')];
  const env = { ...process.env, DAWNFIELD_DATA: '', FAULTS_FOLDER: folder, ...faults };
  const begin = performance.now();
  const child = spawn(process.execPath, [...program, ...args, '--json'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stderr, milliseconds: performance.now() - begin });
    }),
  );
}

const times = new Set(['imagesPerSecond', 'time', 'seconds', 'epochSeconds']);
const withoutTimes = (_: string, value: unknown) =>
  value && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([key]) => !times.has(key)))
    : value;

/** All that a run leaves, times left out, as texts by name. */
function leavings(folder: string): Record<string, string> {
  const found: Record<string, string> = { metrics: JSON.stringify(readMetrics(folder), withoutTimes) };
  for (const name of ['last', 'best'] as const) {
    const { tensors, ...rest } = readCheckpoint(join(folder, checkpointFile(name)));
    found[`${name}: progress`] = JSON.stringify(rest, withoutTimes);
    for (const [tensor, { dtype, shape, data }] of Object.entries(tensors))
      found[`${name}: ${tensor}`] =
        `${dtype} ${shape} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')}`;
  }
  const { created: _, ...config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  found.config = JSON.stringify(config);
  found.files = readdirSync(folder).sort().join();
  return found;
}

const program = createProgram('kills', 'Kills training runs and compares what they leave in the end.')
  .option('--kills <number>', 'at file events, and as many at random times', integerFrom(0, 10_000), 40)
  .option('--levels <number>', 'fill levels of the disk', integerFrom(0, 1000), 10)
  .option('--seed <number>', 'of events and times', integerFrom(0, 0xffffffff), 1);

await runProgram<Options>(program, async ({ kills, levels, seed, json }) => {
  ensureBuild();
  const base = mkdtempSync(join(tmpdir(), 'dawnfield-kills-'));
  const rng = new Rng(seed, 0x6b11);
  const problems: string[] = [];
  const tell = (line: object, text: string) => (json ? printJson(line) : console.log(text));

  const quiet = join(base, 'undisturbed');
  await perform(quiet); // compiles: times and events are those of the second run
  rmSync(quiet, { recursive: true });
  const report = join(base, 'report.json');
  const undisturbed = await perform(quiet, { FAULTS_REPORT: report });
  if (undisturbed.code !== 0) throw new Error(`the undisturbed run failed: ${undisturbed.stderr}`);
  const wanted = leavings(quiet);
  const { events, peak } = JSON.parse(readFileSync(report, 'utf8')) as { events: number; peak: number };
  const { milliseconds } = undisturbed;
  const { bestEpoch } = readCheckpoint(join(quiet, checkpointFile('last'))).progress;
  tell(
    { events, peak, milliseconds, bestEpoch },
    `undisturbed: best epoch ${bestEpoch} of 4, ${events} file events, ${peak} bytes, ${(milliseconds / 1000).toFixed(1)} s`,
  );

  /** Disturbs a run several times, lets it end, and compares. */
  const disturb = async (
    name: string,
    disturbances: ((folder: string) => Promise<Ended>)[],
    wasHit: (end: Ended) => string,
  ) => {
    const folder = join(base, name);
    const hits: string[] = [];
    const found: string[] = [];
    for (const disturbance of disturbances) {
      hits.push(wasHit(await disturbance(folder)));
      try {
        const weights = bestWeights(folder);
        if (weights) readCheckpoint(weights);
      } catch (error) {
        found.push(`best weights: ${(error as Error).message}`);
      }
    }
    const { code, signal, stderr } = await perform(folder);
    if (code !== 0) found.push(`ended with ${signal ?? code}: ${stderr.trim().split('\n').at(-1)}`);
    else {
      const got = leavings(folder);
      const keys = Object.keys({ ...wanted, ...got });
      found.push(...keys.filter((key) => got[key] !== wanted[key]).map((key) => `differs in ${key}`));
    }
    problems.push(...found.map((problem) => `${name}: ${problem}`));
    tell({ name, hits, problems: found }, `${name}: ${hits.join(', ')}: ${found.length ? found.join('; ') : 'equal'}`);
    if (!found.length) rmSync(folder, { recursive: true });
  };
  const killed = ({ signal, code }: Ended) => (signal === 'SIGKILL' ? 'killed' : `ended with ${code} before it`);

  // Two kills a run: the first ones walk through all events; the second ones are among the first events of a resumed run.
  const chains = Math.ceil(kills / 2);
  for (let i = 0; i < chains; i++) {
    const first = 1 + Math.floor(((i + rng.uniform()) * events) / chains);
    const second = 1 + rng.int(25);
    const at = (event: number) => (folder: string) => perform(folder, { FAULTS_KILL: String(event) });
    await disturb(`event ${first}, event ${second}`, [at(first), at(second)].slice(0, kills - 2 * i), killed);
  }
  for (let i = 0; i < chains; i++) {
    const after = () => Math.round(rng.uniform() * milliseconds);
    const times = [after(), after()].slice(0, kills - 2 * i);
    const at = (time: number) => (folder: string) => perform(folder, {}, time);
    await disturb(`after ${times.join(' ms, after ')} ms`, times.map(at), killed);
  }
  // The disk stays full for a second attempt.
  for (let i = 0; i < levels; i++) {
    const disk = Math.floor(((i + 0.5) * peak) / levels);
    const full = (folder: string) => perform(folder, { FAULTS_DISK: String(disk) });
    await disturb(`disk of ${disk} bytes`, [full, full], ({ code, stderr }) => {
      if (code === 0) return 'enough';
      if (!/no space left on the device/.test(stderr) || /\n {4}at /.test(stderr)) problems.push(`unclear: ${stderr}`);
      return 'full';
    });
  }

  tell({ problems }, problems.length ? problems.join('\n') : 'all equal to the undisturbed run');
  if (problems.length) throw new Error(`${problems.length} problems; their runs are in ${base}`);
  rmSync(base, { recursive: true });
});
