// The lock of a run's folder: who holds it, who loses it, and what a writer behind a fence can still do then.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { claimFolder, FencedError } from '../../src/files/fence.node.js';
import { RunFolder, readRunConfig } from '../../src/train/run-folder.node.js';
import { runChild } from '../child';

const test = suite('run lock');
const base = mkdtempSync(join(tmpdir(), 'dawnfield-lock-'));
test.after(() => rmSync(base, { recursive: true }));
let count = 0;
const newPath = () => join(base, 'nested', `run-${count++}`);

test('a folder in use is refused, with its process named', () => {
  const run = RunFolder.create(newPath(), {});
  assert.throws(
    () => RunFolder.open(run.path),
    (error: Error) => {
      return error.message.includes(`run folder ${run.path} is in use by process ${process.pid} on ${hostname()}`);
    },
  );
  run.close();
  RunFolder.open(run.path).close();
  assert.not(existsSync(run.file('run.lock')));
});

test('another living process keeps its lock, a dead one or a reused pid loses it', () => {
  const path = newPath();
  RunFolder.create(path, {}).close();
  const lock = join(path, 'run.lock');
  const owner = { pid: process.ppid, host: hostname(), started: '2020-01-01T00:00:00Z', ticks: startOf(process.ppid) };

  writeFileSync(lock, JSON.stringify(owner));
  assert.throws(() => RunFolder.open(path), new RegExp(`in use by process ${process.ppid} `));

  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  writeFileSync(lock, JSON.stringify({ ...owner, pid: dead }));
  RunFolder.open(path).close();

  writeFileSync(lock, JSON.stringify({ ...owner, pid: process.pid }));
  RunFolder.open(path).close();

  if (owner.ticks !== null) {
    writeFileSync(lock, JSON.stringify({ ...owner, ticks: '1' }));
    RunFolder.open(path).close();
  }
});

test('locks of other machines are left alone', () => {
  const path = newPath();
  RunFolder.create(path, {}).close();
  const lock = join(path, 'run.lock');
  writeFileSync(lock, JSON.stringify({ pid: 1, host: 'elsewhere', started: 'yesterday', ticks: null }));
  assert.throws(
    () => RunFolder.open(path),
    /process 1 on elsewhere, started yesterday; if it has ended, delete .*run\.lock/,
  );
  assert.ok(existsSync(lock));
});

test('the end of the process gives the folder back', async () => {
  const path = newPath();
  const { code, output } = await runChild(`
    import { RunFolder } from './src/train/run-folder.node.ts';
    RunFolder.create(${JSON.stringify(path)}, {});
    process.exit(3);`);
  assert.is(code, 3, output);
  assert.ok(existsSync(join(path, 'config.json')));
  assert.not(existsSync(join(path, 'run.lock')));
});

test('behind a fence the newest claim alone writes, whenever an earlier writer wakes up', async () => {
  const path = newPath();
  const first = (await claimFolder(path, 'run.lock', 1))!;
  const sleeper = RunFolder.create(path, {}, first);
  sleeper.appendMetrics({ type: 'summary', of: 'first' });
  sleeper.write('figure.svg', 'first');
  const half = join(first.folder, 'half-written');
  writeFileSync(half, 'late');
  const log = openSync(sleeper.file('metrics.jsonl'), 'a');

  const beating = setInterval(() => first.beat(), 20);
  assert.is(await claimFolder(path, 'run.lock', 0.4), null, 'held as long as it beats');
  clearInterval(beating);
  const second = (await claimFolder(path, 'run.lock', 0.4))!;
  assert.ok(second.number > first.number);
  const writer = RunFolder.create(path, {}, second);
  writer.appendMetrics({ type: 'summary', of: 'second' });
  writer.write('figure.svg', 'second');

  assert.is(first.beat(), false);
  for (const late of [
    () => sleeper.write('figure.svg', 'late'),
    () => sleeper.appendMetrics({ type: 'summary', of: 'late' }),
    () => sleeper.setOptions({ late: true }),
  ])
    assert.throws(late, (error: Error) => error instanceof FencedError && /claim 1 was taken over/.test(error.message));
  // It may wake up after it has looked: in the middle of a write.
  assert.throws(() => renameSync(half, join(path, 'figure.svg')), /ENOENT/);
  writeSync(log, '{"type":"summary","of":"late"}\n');
  closeSync(log);
  first.release();
  sleeper.close();
  assert.ok(existsSync(writer.file('run.lock')), 'the lock is that of the second');
  assert.equal(
    writer.readMetrics().map((line) => 'of' in line && line.of),
    ['second'],
  );
  assert.is(readFileSync(writer.file('figure.svg'), 'utf8'), 'second');
  assert.equal(writer.config.options, readRunConfig(path).options);
  writer.close();
  second.release();
  const third = (await claimFolder(path, 'run.lock', 1))!;
  assert.is(third.number, second.number + 1, 'numbers are never given again');
  third.release();
});

test('of several that claim a folder at once one has it', async () => {
  const path = newPath();
  const claims = await Promise.all(Array.from({ length: 8 }, () => claimFolder(path, 'run.lock', 0.2)));
  const winners = claims.filter((claim) => claim?.beat());
  assert.is(winners.length, 1);
  assert.equal(
    readdirSync(path).filter((name) => name.startsWith('.writer')),
    [`.writer-${winners[0]!.number}`],
  );
});

/** The start of a process, as the lock file states it; null where the system does not say. */
function startOf(pid: number): string | null {
  const path = `/proc/${pid}/stat`;
  return existsSync(path) ? readFileSync(path, 'utf8').split(') ')[1]!.split(' ')[19]! : null;
}

test.run();
