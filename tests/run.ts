// The test runner: every tests/**/*.test.ts in a process of its own, so that a crash of the driver costs one file.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundlePrograms, FOLDER, root } from './bundle';
import { programOf } from './program';
import { readSummary } from './summary';

const minutes = 15; // the most that one file may take

const usage = `npm test [-- [PART_OF_A_PATH] [--jobs N]]

Runs the files of tests/ whose path contains PART_OF_A_PATH, N at a time: 2, or as many as there are processors if fewer.`;

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { jobs: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    const jobs = Number(values.jobs ?? Math.min(2, availableParallelism()));
    if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
      throw new Error(`--jobs is '${values.jobs}': it must be a whole number from 1 to 64`);
    if (positionals.length > 1) throw new Error(`one part of a path, not ${positionals.length}`);
    return { part: positionals[0] ?? '', jobs, help: values.help };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}
const { part, jobs, help } = options();
if (help) {
  console.log(usage);
  process.exit();
}

interface Result {
  output: string;
  exit: string | null; // null: by itself with code 0
  seconds: number;
}

function runFile(file: string): Promise<Result> {
  const { FORCE_COLOR: _, ...env } = process.env; // the summary is read from the output: no colours in it
  // Where several files run, lavapipe's threads only get in each other's way: without them the memory tests take 28 % less processor time.
  if (jobs > 1) env.LP_NUM_THREADS ??= '0';
  const begin = performance.now();
  const child = spawn(process.execPath, programOf(file), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, minutes * 60_000);
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const ending = code === 0 ? null : `ended with ${signal ?? `exit code ${code}`}`;
      const exit = late ? `stopped after ${minutes} minutes` : ending;
      resolve({ output, exit, seconds: (performance.now() - begin) / 1000 });
    }),
  );
}

const total = { passed: 0, failed: 0, skipped: 0 };

async function report(file: string): Promise<void> {
  const { output, exit, seconds } = await runFile(file);
  const { passed, failed, skipped, problem } = readSummary(output, exit);
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  if (failed) console.log(output.trimEnd());
  const notes = [skipped && `${skipped} skipped`, problem].filter(Boolean).join(', ');
  const name = file.replace('tests/', '').padEnd(44);
  console.log(
    `${failed ? 'FAIL' : ' ok '} ${name} ${passed}/${passed + failed}  ${seconds.toFixed(1)} s  ${notes}`.trimEnd(),
  );
}

/** Files below a folder of the project, without those of packages. */
const filesIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((name) => !name.includes('/node_modules/'))
    .sort();

const files = filesIn('tests').filter(
  (name) => name.endsWith('.test.ts') && name.slice('tests/'.length).includes(part),
);
if (!files.length) console.log(`no test file's path contains '${part}'`);

const programs = filesIn('examples').filter((name) => name.endsWith('/main.ts'));
const bundles = mkdtempSync(join(root, 'tests/.bundles-'));
process.on('exit', () => rmSync(bundles, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
const others = ['scripts/doctor.ts', 'bench/main.ts', 'bench/child.ts', 'tests/ops/backs.test.ts'];
if (await bundlePrograms(bundles, [...files, ...programs, ...others])) process.env[FOLDER] = bundles;

const queue = [...files];
async function work(): Promise<void> {
  for (let file = queue.shift(); file; file = queue.shift()) await report(file);
}
await Promise.all(Array.from({ length: jobs }, work));

const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed || !files.length ? 1 : 0;
