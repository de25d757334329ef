// The lock: one holder at a time, also when several processes find the lock of a dead one; nothing blocks for ever.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acquireLock } from '../../src/files/lock.node.js';

const test = suite('lock');
const base = mkdtempSync(join(tmpdir(), 'dawnfield-lock-'));
test.after(() => rmSync(base, { recursive: true }));

const deadPid = spawnSync(process.execPath, ['-e', '']).pid;
const dead = JSON.stringify({ pid: deadPid, host: hostname(), started: 'yesterday', ticks: '1' });

/** Each round waits for a file `go-<round>`, takes the lock, and marks its time as holder with a file that only one can make. */
const contender = `
import { acquireLock } from './lock.mjs';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
const [base, me, rounds] = process.argv.slice(2);
const cell = new Int32Array(new SharedArrayBuffer(4));
const nap = (ms) => Atomics.wait(cell, 0, 0, ms);
writeFileSync(base + '/ready-' + me, '');
for (let round = 0; round < rounds; round++) {
  while (!existsSync(base + '/go-' + round)) nap(1);
  let outcome = 'refused';
  try {
    const lock = acquireLock(base + '/lock-' + round, 'the round');
    outcome = 'held';
    const mark = base + '/holder-' + round;
    try { writeFileSync(mark, me, { flag: 'wx' }); } catch { outcome = 'SECOND HOLDER'; }
    nap(4);
    rmSync(mark, { force: true });
    if (me % 2) lock.release();
  } catch (error) {
    if (!/in use by process/.test(error.message)) outcome = error.message;
  }
  writeFileSync(base + '/done-' + round + '-' + me, outcome);
}
`;

test('six processes at the lock of a dead one: never two holders', async () => {
  const rounds = 16;
  const entryPoints = [fileURLToPath(new URL('../../src/files/lock.node.ts', import.meta.url))];
  buildSync({ entryPoints, bundle: true, platform: 'node', format: 'esm', outfile: join(base, 'lock.mjs') });
  writeFileSync(join(base, 'contender.mjs'), contender);
  for (let round = 0; round < rounds; round++) writeFileSync(join(base, `lock-${round}`), dead);
  // In some rounds the takeover itself was interrupted, and in some the lock is empty.
  for (let round = 0; round < rounds; round += 4) writeFileSync(join(base, `lock-${round}.takeover`), dead);
  const args = (me: number) => [join(base, 'contender.mjs'), base, String(me), String(rounds)];
  const children: ChildProcess[] = Array.from({ length: 6 }, (_, me) => spawn(process.execPath, args(me)));
  const ends = children.map((child) => new Promise((resolve) => child.on('exit', resolve)));
  const names = (prefix: string) => readdirSync(base).filter((name) => name.startsWith(prefix));
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await until(() => names('ready-').length === 6);
  for (let round = 0; round < rounds; round++) {
    writeFileSync(join(base, `go-${round}`), '');
    await until(() => names(`done-${round}-`).length === 6);
  }
  await Promise.all(ends);
  for (let round = 0; round < rounds; round++) {
    const outcomes = names(`done-${round}-`).map((name) => readFileSync(join(base, name), 'utf8'));
    assert.ok(outcomes.includes('held'), `round ${round}: ${outcomes}`);
    assert.equal(
      outcomes.filter((outcome) => outcome !== 'held' && outcome !== 'refused'),
      [],
      `round ${round}`,
    );
  }
  assert.equal(names('.lock'), [], 'temporary files');
  assert.equal(
    names('lock-').filter((name) => name !== 'lock.mjs'),
    [],
    'locks',
  );
});

test('an empty lock and one that is no JSON are taken over after a moment', () => {
  for (const content of ['', '{"pid": -1, "host": "x"}']) {
    const path = join(base, 'broken.lock');
    writeFileSync(path, content);
    acquireLock(path, 'it').release();
    assert.not(existsSync(path));
  }
});

test('one process does not hold a lock twice, whatever the spelling of its path', () => {
  const path = join(base, 'own.lock');
  const lock = acquireLock(path, 'it');
  assert.throws(() => acquireLock(path, 'it'), /it is in use by process/);
  assert.throws(() => acquireLock(`${base}/./own.lock`, 'it'), /it is in use/);
  lock.release();
  acquireLock(path, 'it').release();
});

if (process.platform === 'linux')
  test('a process that has ended but was not waited for holds nothing', () => {
    // The shell becomes a program that never asks for its child's end.
    const keeper = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    return new Promise<void>((resolve, reject) => {
      keeper.stdout.once('data', async (text) => {
        try {
          const pid = Number(text);
          const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
          while (stat()[0] !== 'Z') await new Promise((wake) => setTimeout(wake, 2));
          const path = join(base, 'zombie.lock');
          writeFileSync(path, JSON.stringify({ pid, host: hostname(), started: 'today', ticks: stat()[19] }));
          acquireLock(path, 'it').release();
          resolve();
        } catch (error) {
          reject(error);
        } finally {
          keeper.kill();
        }
      });
    });
  });

test.run();
