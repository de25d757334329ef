// What planners and workers agree on: the queue of a shared folder, its jobs, and what workers tell of themselves.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { JobsOptions } from 'bullmq';
import { readJson, writeNew } from '../../src/files/files.node.js';
import type { Recipe } from '../shared/recipe';
import type { Connection } from './connect';

/** Keys of all queues in Redis begin with this. */
export const PREFIX = 'dawnfield';

/** A run as workers get it. Its name is its folder below the shared one, and the id of its job: a run is in the queue once. */
export interface RunJob {
  readonly name: string;
  readonly row: string;
  readonly recipe: Recipe;
}

/** Tries of a run that throws or diverges: one, and two more. */
export const ATTEMPTS = 3;

export const jobOptions = ({ name }: RunJob): JobsOptions => ({
  jobId: name,
  attempts: ATTEMPTS,
  backoff: { type: 'fixed', delay: 1000 },
});

/** How far a run is. */
export interface RunProgress {
  readonly run: string;
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly loss: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

/** What a worker says of itself every few seconds. */
export interface WorkerStatus {
  readonly worker: string;
  readonly adapter: string;
  readonly runs: readonly (RunProgress | { readonly run: string })[];
}

/**
 * The queue that belongs to a shared folder: workers of one folder never get runs of another, though all use one Redis. Whoever comes first,
 * planner or worker, gives the folder its name.
 */
export function queueOf(out: string): string {
  mkdirSync(out, { recursive: true });
  const file = join(out, 'queue.json');
  try {
    if (!existsSync(file)) writeNew(file, `${JSON.stringify({ queue: randomUUID() })}\n`, { flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const { queue } = readJson(file) as { queue?: unknown };
  if (typeof queue !== 'string') throw new Error(`${file}: names no queue; delete it while no worker runs`);
  return queue;
}

const statusKey = (queue: string, worker: string): string => `${PREFIX}:${queue}:workers:${worker}`;

/** Tells of a worker until it is silent for `lease` seconds. */
export async function tellStatus(connection: Connection, queue: string, status: WorkerStatus, lease: number) {
  if (connection.isReady())
    await connection.redis.set(statusKey(queue, status.worker), JSON.stringify(status), 'PX', Math.ceil(1000 * lease));
}

export async function forgetStatus({ redis, isReady }: Connection, queue: string, worker: string): Promise<void> {
  if (isReady()) await redis.del(statusKey(queue, worker));
}

/** All workers that have told of themselves, by name. */
export async function readStatuses({ redis }: Connection, queue: string): Promise<WorkerStatus[]> {
  const keys: string[] = [];
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(cursor, 'MATCH', statusKey(queue, '*'), 'COUNT', 1000);
    keys.push(...found);
    cursor = next;
  } while (cursor !== '0');
  const texts = keys.length ? await redis.mget(keys) : [];
  const statuses = texts.flatMap((text) => (text ? [JSON.parse(text) as WorkerStatus] : []));
  return statuses.sort((a, b) => a.worker.localeCompare(b.worker));
}
