// The side of the queue that plans: puts runs into it and waits until the shared folder shows that they have ended.
//
// The folder is the truth, Redis only says who does what. A run that the queue has forgotten, as Redis was started again without its data, is put
// into it again unless its folder shows its end.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Queue } from 'bullmq';
import { epochsLeft, hasEnded, type Planned, tellProgress, WorkLeft } from '../shared/grid';
import { formatDuration } from '../shared/progress';
import { percent, type Report } from '../shared/report';
import { readFailure, readRun, writeFailure } from '../shared/run-state';
import { connect } from './connect';
import { checkShared } from './guarantees';
import { jobOptions, PREFIX, queueOf, type RunJob, readStatuses } from './jobs';
import { createView } from './watch';

export interface QueuedOptions {
  url: string;
  /** The shared folder. */
  out: string;
  signal: AbortSignal;
  report: Report;
  /** Called after each run that has ended. */
  onEnd: () => Promise<void>;
  detach?: boolean;
  watch?: boolean;
}

/** Seconds between two looks at the queue. */
const INTERVAL = 1;
/** Looks at the queue between two at all folders. */
const ROUNDS = 30;

/** Has the open runs of a plan trained by workers; false when it no longer waits for them: the signal was given, or nobody wants to wait. */
export async function runQueued(plan: readonly Planned[], options: QueuedOptions): Promise<boolean> {
  const { url, out, signal, report, onEnd, detach, watch } = options;
  const open = new Map(plan.filter((run) => epochsLeft(run, out) > 0).map((run) => [run.name, run]));
  if (!open.size) return true;
  checkShared(out);
  const name = queueOf(out);
  const view = createView(report, watch ?? false);
  const connection = await connect(url, view.say);
  const { bullmq } = connection;
  const queue: Queue<RunJob> = new bullmq.Queue(name, { connection: connection.redis, prefix: PREFIX });
  queue.on('error', () => undefined); // the connection tells
  const all = [...open.values()];
  const work = new WorkLeft(all, out);
  try {
    for (const run of all) {
      // Those that have failed get another chance when they are planned again.
      rmSync(join(out, run.name, 'failure.json'), { force: true });
      await enqueue(queue, run, await queue.getJob(run.name), true);
    }
    view.say(`${all.length} of ${plan.length} runs are in the queue`);
    if (detach) return false;
    const aborted = new Promise<'aborted'>((resolve) => {
      if (signal.aborted) resolve('aborted');
      signal.addEventListener('abort', () => resolve('aborted'), { once: true });
    });
    /** One look at the queue: which runs have ended since the last one. */
    const look = async (everything: boolean): Promise<Planned[]> => {
      const ended: Planned[] = [];
      for (const run of open.values()) {
        const job = await queue.getJob(run.name);
        const over = !job || job.finishedOn || everything;
        if (over && (hasEnded(run, out) || (job && (await hasFailed(job, run, out))))) ended.push(run);
        else if (over) await enqueue(queue, run, job, false);
      }
      return ended;
    };
    for (let round = 1; open.size; round++) {
      const ended = await Promise.race([look(round % ROUNDS === 0), aborted]);
      if (ended === 'aborted') return false;
      for (const run of ended) {
        open.delete(run.name);
        view.say(`${run.name}: ${describeEnd(join(out, run.name))}`);
        await onEnd();
        tellProgress(plan, all, work.finished(run), report);
      }
      const statuses = await Promise.race([readStatuses(connection, name), aborted]);
      if (statuses === 'aborted') return false;
      view.show(statuses, [...open.keys()], plan.length);
      if (open.size) await sleep(1000 * INTERVAL, undefined, { signal }).catch(() => undefined);
    }
    return true;
  } finally {
    view.end();
    queue.close().catch(() => undefined);
    connection.close();
  }
}

/** Puts a run into the queue, unless it waits there or is being trained; one that has ended there is put into it again. */
async function enqueue(queue: Queue<RunJob>, run: Planned, job: Job | undefined, isNew: boolean): Promise<void> {
  if (job) {
    const state = await job.getState();
    if (state === 'completed' || (state === 'failed' && isNew)) await job.remove();
    else if (state !== 'unknown') return;
  }
  const { name, row, recipe } = run;
  await queue.add('run', { name, row, recipe }, jobOptions(run));
}

/** Whether all attempts at a run have failed; then its folder says so. */
async function hasFailed(job: Job, { name }: Planned, out: string): Promise<boolean> {
  if ((await job.getState()) !== 'failed') return false;
  const folder = join(out, name);
  // A worker notes it; of one that vanished time and again nothing is noted.
  if (!readFailure(folder)) writeFailure(folder, { attempts: job.attemptsMade, message: job.failedReason });
  return true;
}

function describeEnd(path: string): string {
  const end = readRun(path)?.end;
  if (!end) return `failed: ${readFailure(path)?.message}`;
  if ('divergedAt' in end) return `diverged at step ${end.divergedAt}`;
  return `test error ${percent(end.testError)}, ${formatDuration(end.seconds)}`;
}
