// The worker on this machine: BullMQ hands it jobs, its slots train them.

import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Worker } from 'bullmq';
import { type Claim, claimFolder } from '../../src/files/fence.node.js';
import type { Connection } from '../queue/connect';
import { ATTEMPTS, forgetStatus, PREFIX, type RunJob, tellStatus } from '../queue/jobs';
import { describeProgress } from '../queue/watch';
import { hasEnded } from '../shared/grid';
import { formatDuration } from '../shared/progress';
import { percent, type Report } from '../shared/report';
import { writeFailure } from '../shared/run-state';
import type { Outcome } from './messages';
import type { Given } from './options';
import type { Slot } from './slot';

/** Times that a run may be lost with its worker before it counts as what kills workers. */
const MOST_LOST = 20;
/** Seconds in which Redis takes runs back from a worker that ends. */
const GIVING_BACK = 5;

export class Machine {
  readonly name: string;
  readonly #worker: Worker<RunJob>;
  readonly #stopping = new AbortController();
  /** Why it cannot go on. */
  #problem: Error | null = null;

  constructor(
    readonly given: Given,
    readonly queue: string,
    readonly connection: Connection,
    readonly slots: readonly Slot[],
    readonly report: Report,
  ) {
    this.name = given.name ?? `${hostname()}-${process.pid}`;
    const { lease, concurrency } = given;
    this.#worker = new connection.bullmq.Worker<RunJob>(queue, (job, token) => this.#process(job, token), {
      connection: connection.redis,
      prefix: PREFIX,
      name: this.name,
      concurrency,
      lockDuration: 1000 * lease,
      stalledInterval: 500 * lease,
      maxStalledCount: MOST_LOST,
      drainDelay: Math.min(5, lease),
      runRetryDelay: Math.min(5000, 500 * lease),
    });
    // A lock that Redis has lost is no news: what counts is the claim to the folder.
    this.#worker.on('error', () => undefined);
  }

  /** Takes jobs until the signal stops it, or the queue is done where that is asked for. */
  async work(signal: AbortSignal): Promise<void> {
    const { report, slots, given } = this;
    const adapters = [...new Set(slots.map(({ adapter }) => adapter))].join('; ');
    report.say(`worker ${this.name} on ${adapters}: waiting for runs of ${given.out}`);
    report.emit({ type: 'worker', worker: this.name, adapters });
    const stop = () => this.#stopping.abort();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const timer = setInterval(() => void this.#tell().catch(() => undefined), 250 * Math.min(given.lease, 8));
    let told = performance.now();
    while (!this.#stopping.signal.aborted) {
      await sleep(1000, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (given.untilDone && this.connection.isReady() && (await this.#isDone())) break;
      if (performance.now() - told < 30_000) continue;
      told = performance.now();
      for (const { progress } of slots) if (progress) report.say(`${progress.run}: ${describeProgress(progress)}`);
    }
    for (const slot of slots) slot.stop();
    // Without Redis no run can be released: the silence of this worker says it as well.
    await this.#closed();
    clearInterval(timer);
    await forgetStatus(this.connection, this.queue, this.name).catch(() => undefined);
    if (this.#problem) throw this.#problem;
    if (signal.aborted) {
      report.say('stopped: what was in training is saved, and back in the queue.');
      process.exitCode = 130;
    }
  }

  async #closed(): Promise<void> {
    const closed = this.#worker.close();
    while (this.slots.some(({ run }) => run !== null)) await sleep(50);
    await Promise.race([closed, sleep(1000 * GIVING_BACK)]);
  }

  async #isDone(): Promise<boolean> {
    const { bullmq, redis } = this.connection;
    const queue = new bullmq.Queue(this.queue, { connection: redis, prefix: PREFIX, skipMetasUpdate: true });
    queue.on('error', () => undefined);
    const {
      completed = 0,
      failed = 0,
      ...open
    } = await queue.getJobCounts(...(['completed', 'failed', 'wait', 'active', 'delayed', 'prioritized'] as const));
    await queue.close();
    return completed + failed > 0 && Object.values(open).every((jobs) => jobs === 0);
  }

  /** Heartbeat: what each slot does, for whoever watches. */
  async #tell(): Promise<void> {
    const { slots, connection, given } = this;
    const adapter = [...new Set(slots.map((slot) => slot.adapter))].join('; ');
    const runs = slots.flatMap(({ run, progress }) => (run === null ? [] : [progress ?? { run }]));
    const status = { worker: this.name, adapter, runs };
    this.report.emit({ type: 'status', ...status });
    await tellStatus(connection, this.queue, status, given.lease);
  }

  /** What BullMQ calls with each job. What it throws says what becomes of the job. */
  async #process(job: Job<RunJob>, token: string | undefined): Promise<Outcome | 'ended before'> {
    const { given, connection, report } = this;
    const { DelayedError, WaitingError } = connection.bullmq;
    const { name } = job.data;
    const path = join(given.out, name);
    if (hasEnded(job.data, given.out)) return 'ended before';
    const claim = await claimFolder(path, 'run.lock', given.lease);
    if (!claim) {
      // Redis has lost sight of the worker that trains it: as long as that one lives, it goes on.
      await job.moveToDelayed(Date.now() + 1000 * given.lease, token);
      throw new DelayedError();
    }
    try {
      if (hasEnded(job.data, given.out)) return 'ended before';
      const outcome = await this.#train(job, path, claim);
      if (outcome.kind === 'stopped') {
        claim.release(); // before another worker is told
        await Promise.race([job.moveToWait(token).catch(() => undefined), sleep(1000 * GIVING_BACK)]);
        report.say(`${name}: saved after step ${outcome.step} and back in the queue`);
        throw new WaitingError();
      }
      report.emit({ type: 'end', run: name, ...outcome });
      report.say(`${name}: ${describeOutcome(outcome)}`);
      if (outcome.kind === 'fenced') throw new Error(outcome.message);
      const isLast = job.attemptsMade + 1 >= (job.opts.attempts ?? ATTEMPTS);
      if (outcome.kind === 'finished' || (outcome.kind === 'diverged' && isLast)) return outcome;
      if (isLast && claim.beat()) writeFailure(path, { attempts: ATTEMPTS, message: outcome.message });
      throw new Error(outcome.message);
    } finally {
      claim.release();
    }
  }

  async #train(job: Job<RunJob>, path: string, claim: Claim) {
    const slot = this.slots.find(({ run }) => run === null) as Slot;
    const isLast = job.attemptsMade + 1 >= (job.opts.attempts ?? ATTEMPTS);
    slot.run = job.data.name; // the next job finds another slot
    try {
      await slot.start();
    } catch (error) {
      slot.run = null;
      // The adapter is lost, or was never there: others may have one.
      this.#problem = new Error(`no adapter to train on any more: ${(error as Error).message}`, { cause: error });
      this.#stopping.abort();
      return { kind: 'stopped', step: 0 } satisfies Outcome;
    }
    this.report.say(
      `${job.data.name}: ${job.attemptsMade ? `attempt ${job.attemptsMade + 1} of ${ATTEMPTS}` : 'begins'}`,
    );
    return slot.train(path, job.data, claim, isLast, () => {
      const { progress } = slot;
      if (progress && this.connection.isReady()) job.updateProgress({ ...progress }).catch(() => undefined);
      return claim.beat({ worker: this.name, adapter: slot.adapter, ...progress });
    });
  }
}

const describeOutcome = (outcome: Outcome): string =>
  outcome.kind === 'finished'
    ? `finished${outcome.testError === null ? '' : `, test error ${percent(outcome.testError)}`}, ${formatDuration(outcome.seconds)}`
    : outcome.kind === 'stopped'
      ? `stopped after step ${outcome.step}`
      : outcome.message;
