// The lock of a run's folder: who holds it, and who loses it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RunFolder } from '../../src/train/run-folder.node.js';
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

/** The start of a process, as the lock file states it; null where the system does not say. */
function startOf(pid: number): string | null {
  const path = `/proc/${pid}/stat`;
  return existsSync(path) ? readFileSync(path, 'utf8').split(') ')[1]!.split(' ')[19]! : null;
}

test.run();
