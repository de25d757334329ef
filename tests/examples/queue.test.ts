// Sweeps over machines, with a real redis-server: workers that are killed, a Redis that forgets, runs that cannot be trained, Ctrl-C; and what
// is said where something is missing.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { connect } from '../../examples/queue/connect';
import { checkShared } from '../../examples/queue/guarantees';
import { PREFIX, queueOf } from '../../examples/queue/jobs';
import { checkQueueOptions, redisUrl } from '../../examples/queue/options';
import { runQueued } from '../../examples/queue/planner';
import { describe } from '../../examples/queue/watch';
import type { Planned } from '../../examples/shared/grid';
import { completeRecipe, type Wanted } from '../../examples/shared/recipe';
import type { Report } from '../../examples/shared/report';
import { readFailure, readRun } from '../../examples/shared/run-state';
import { programOf } from '../program';
import { freePort, hasRedis, TestRedis } from './redis';

const test = suite('queue');
const withRedis = hasRedis ? test : test.skip;
const root = fileURLToPath(new URL('../..', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'dawnfield-queue-'));
const started = new Set<ChildProcess>();
test.after(() => {
  for (const child of started) end(child);
  rmSync(base, { recursive: true, force: true, maxRetries: 10 });
});

/** Ends a program with the processes that it has started. */
function end(child: ChildProcess): void {
  try {
    process.kill(-(child.pid as number), 'SIGKILL');
  } catch {}
}

interface Program {
  child: ChildProcess;
  /** What it printed, line by line. */
  lines: string[];
  stderr(): string;
  /** Waits for a line. */
  says(pattern: RegExp): Promise<string>;
  ended: Promise<number | null>;
}

/** Starts a program in a process group of its own. */
function start(name: string, args: string[], env: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(process.execPath, [...programOf(`examples/${name}/main.ts`), ...args], {
    env: { ...process.env, DAWNFIELD_DATA: '', XDG_CACHE_HOME: join(base, 'cache'), ...env },
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  const lines: string[] = [];
  let [rest, stderr] = ['', ''];
  const waiting = new Set<() => void>();
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const complete = (rest + text).split('\n');
    rest = complete.pop() ?? '';
    lines.push(...complete);
    for (const look of waiting) look();
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const says = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const found = lines.find((line) => pattern.test(line));
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
      ended.then(() => reject(new Error(`${name} ended without ${pattern}:\n${lines.join('\n')}\n${stderr}`)));
    });
  return { child, lines, stderr: () => stderr, says, ended };
}

const worker = (redis: TestRedis, out: string, ...more: string[]): Program =>
  start('worker', ['--queue', redis.url, '--out', out, '--lease', '3', ...more]);

/** What a table and its runs say, times left out. */
function resultsIn(out: string): string[] {
  const runs = readdirSync(out).filter((name) => existsSync(join(out, name, 'metrics.jsonl')));
  const files = ['table.json', 'table.md', ...runs.sort().map((name) => join(name, 'metrics.jsonl'))];
  return files.map((file) =>
    readFileSync(join(out, file), 'utf8')
      .replaceAll(/"(seconds|time|imagesPerSecond)": ?[\d.e+-]+/g, '')
      .replace(/^- Took .*$/m, ''),
  );
}

withRedis('3 workers, 12 runs, 2 kills, a Redis that forgets all: the table of one process', async () => {
  const random = new Rng(17, 0, 0);
  const grid =
    '--rows 8 --seeds 6 --epochs 2 --subset 40 --test-subset 20 --batch 20 --dataset synthetic --no-estimate';
  const [one, many] = [join(base, 'one'), join(base, 'many')];
  const alone = start('table-1', [...grid.split(' '), '--out', one]);
  assert.is(await alone.ended, 0, alone.stderr());

  const redis = new TestRedis(await freePort());
  await redis.start();
  try {
    const planner = start('table-1', [...grid.split(' '), '--out', many, '--queue', redis.url, '--json']);
    const workers = Array.from({ length: 3 }, () => worker(redis, many));
    const [first, second] = workers as [Program, Program, Program];
    const ended = (runs: number) => planner.says(new RegExp(`"finished":${runs},`));
    // The machine with all its processes; and the worker alone, whose process for training saves what it has.
    await first.says(/begins/);
    await sleep(1000 * random.uniform());
    end(first.child);
    await ended(3);
    await redis.stop();
    await sleep(1000 * random.uniform());
    await redis.start();
    await ended(6);
    await second.says(/begins/);
    await sleep(500 * random.uniform());
    second.child.kill('SIGKILL');
    assert.is(await planner.ended, 0, planner.stderr());
    assert.match(planner.stderr(), /is away: runs go on/);
    assert.equal(resultsIn(many), resultsIn(one));
    for (const { child } of workers) end(child);
  } finally {
    await redis.end();
  }
});

const silent: Report = {
  say: () => undefined,
  emit: () => undefined,
  events: () => {
    throw new Error('trained here');
  },
  end: () => undefined,
};

/** A run of a tiny network on drawn images. */
function planned(name: string, wanted: Wanted): Planned {
  const small = { model: 'resnet8', dataset: 'synthetic', subset: 40, testSubset: 20, batch: 20, epochs: 1 } as const;
  const recipe = completeRecipe({ ...small, ...wanted });
  return { name, row: 'resnet8', wanted: { ...wanted, dataset: 'synthetic' }, recipe, trainImages: 40, testImages: 20 };
}

withRedis(
  'a run that throws and one that diverges are tried three times, recorded, and stop nothing; Ctrl-C gives a run back',
  async () => {
    const redis = new TestRedis(await freePort());
    await redis.start();
    const out = join(base, 'poisoned');
    try {
      const { says, child, lines, ended, stderr } = worker(redis, out);
      const plan = [
        { ...planned('throws', {}), recipe: { ...planned('throws', {}).recipe, model: 'resnet9' } },
        planned('diverges', { lr: 1e30 }),
        planned('trains', {}),
      ];
      const { signal } = new AbortController();
      const options = { url: redis.url, out, report: silent, onEnd: async () => undefined };
      assert.is(await runQueued(plan, { ...options, signal }), true);
      assert.is(readFailure(join(out, 'throws'))?.attempts, 3);
      assert.match(String(readFailure(join(out, 'throws'))?.message), 'resnet9');
      for (const name of ['throws', 'diverges'])
        assert.is(lines.filter((line) => line.startsWith(`${name}: attempt`)).length, 2, lines.join('\n'));
      assert.ok('divergedAt' in (readRun(join(out, 'diverges'))?.end ?? {}), 'as in one process');
      assert.ok('testError' in (readRun(join(out, 'trains'))?.end ?? {}));
      // Planned again, what has failed is tried again, and nothing else is.
      assert.is(await runQueued(plan, { ...options, signal }), true);
      assert.is(lines.filter((line) => line.startsWith('trains: begins')).length, 1);
      assert.is(lines.filter((line) => line.startsWith('throws: attempt')).length, 4);

      const waiting = new AbortController();
      const long = runQueued([planned('long', { epochs: 1000 })], { ...options, signal: waiting.signal });
      await says(/^long: epoch 2/);
      child.kill('SIGINT');
      assert.is(await ended, 130, stderr());
      assert.match(lines.join('\n'), /long: saved after step \d+ and back in the queue/);
      const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
      const queue = new Queue(queueOf(out), { connection, prefix: PREFIX });
      assert.is(await (await queue.getJob('long'))?.getState(), 'waiting');
      await queue.close();
      connection.disconnect();
      waiting.abort();
      assert.is(await long, false);
      assert.equal(
        readdirSync(join(out, 'long')).filter((name) => /lock|writer-\d+$/.test(name)),
        [],
      );
      assert.ok((readRun(join(out, 'long'))?.epochs.length ?? 0) > 0);
    } finally {
      await redis.end();
    }
  },
);

test('addresses that are none, and options that need a queue, are refused', () => {
  for (const url of ['localhost:6379', 'http://host', 'redis://', 'redis://host/name', ''])
    assert.throws(() => redisUrl(url), /it must be redis:\/\/HOST\[:PORT\]\[\/DB\]/);
  assert.is(redisUrl('redis://:word@host:6379/2'), 'redis://:word@host:6379/2');
  assert.throws(() => checkQueueOptions({ watch: true }), /--watch belongs to --queue/);
});

test('where no Redis answers that is said at once, without the password', async () => {
  const port = await freePort();
  try {
    await connect(`redis://:secret@127.0.0.1:${port}`, () => undefined);
    assert.unreachable();
  } catch (error) {
    const { message } = error as Error;
    assert.match(message, new RegExp(`no Redis answers at redis://127.0.0.1:${port} \\(.*ECONNREFUSED`));
    assert.not.match(message, 'secret');
  }
});

test('without BullMQ the error says how to get it', async () => {
  const hook = `export const resolve = (name, context, next) => {
    if (name === 'bullmq') throw Object.assign(new Error("Cannot find package 'bullmq'"), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  };`;
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const register = url(`import { register } from 'node:module'; register(${JSON.stringify(url(hook))});`);
  const { ended, stderr } = start('worker', ['--queue', 'redis://127.0.0.1:1', '--out', join(base, 'none')], {
    NODE_OPTIONS: `--import=${register}`,
  });
  assert.is(await ended, 1);
  assert.match(stderr(), /--queue needs BullMQ, which is not installed here .*\n {2}npm install bullmq ioredis/);
});

test('a shared folder that cannot be written is refused', () => {
  writeFileSync(join(base, 'file'), '');
  assert.throws(() => checkShared(join(base, 'file', 'below')), /cannot be written \(part of the path is a file\)/);
  checkShared(join(base, 'shared'));
  assert.equal(readdirSync(join(base, 'shared')), []);
});

test('the view shows workers, their runs, and what waits', () => {
  const progress = { epoch: 2, epochs: 3, step: 5, loss: 1.5, imagesPerSecond: 812.4, secondsLeft: 75 };
  const workers = [
    { worker: 'a-1', adapter: 'some GPU', runs: [{ run: 'one', ...progress }, { run: 'two' }] },
    { worker: 'b-2', adapter: 'another', runs: [] },
  ];
  assert.equal(describe(workers, ['one', 'two', 'three'], 5, 99), [
    '2 of 5 runs ended, 2 in training, 1 waiting; 2 workers',
    'a-1  some GPU',
    '  one  epoch 2/3  loss 1.500  812 images/s  1:15 left',
    '  two  starting',
    'b-2  another  idle',
    'waiting: three',
  ]);
  assert.match(describe([], ['one'], 1, 1).join(), 'no worker: start some');
});

test.run();
