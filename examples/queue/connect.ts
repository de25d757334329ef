// BullMQ and Redis, loaded when a queue is asked for: whoever trains in one process needs neither.

import type { Redis } from 'ioredis';
import type { Say } from '../shared/progress';

export interface Connection {
  bullmq: typeof import('bullmq');
  redis: Redis;
  /** Whether Redis can be reached at the moment: commands wait while it cannot. */
  isReady(): boolean;
  close(): void;
}

/** Seconds that a first answer may take. */
const PATIENCE = 10;

/** Connects to a Redis that must be there now. Later it may be away for as long as it likes: commands wait for it, and `say` tells of it. */
export async function connect(url: string, say: Say): Promise<Connection> {
  const [bullmq, { Redis }] = await load();
  const place = new URL(url);
  const shown = `${place.protocol}//${place.host}${place.pathname.replace(/^\/$/, '')}`; // without the password
  let reached = false;
  let closing = false;
  let away = false;
  let last: Error | null = null;
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: null, // as BullMQ wants it: commands wait
    connectTimeout: 1000 * PATIENCE,
    retryStrategy: (times) => (reached && !closing ? Math.min(100 * times, 1000) : null),
  });
  redis.on('error', (error: Error) => (last = error));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} seconds`)), 1000 * PATIENCE);
  });
  try {
    await Promise.race([redis.connect().then(() => redis.ping()), late]);
  } catch (error) {
    redis.disconnect();
    throw new Error(
      `--queue: no Redis answers at ${shown} (${reasonOf(last ?? (error as Error))}). Is redis-server running there, and does it listen to this machine?`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
  reached = true;
  redis.on('close', () => {
    if (!closing && !away) say(`Redis at ${shown} is away: runs go on, and it is looked for`);
    away = true;
  });
  redis.on('ready', () => {
    if (away) say(`Redis at ${shown} is back`);
    away = false;
  });
  return {
    bullmq,
    redis,
    isReady: () => redis.status === 'ready',
    close() {
      closing = true;
      redis.disconnect();
    },
  };
}

/** Both packages, or an error that says how to get them. */
async function load(): Promise<[typeof import('bullmq'), typeof import('ioredis')]> {
  try {
    return await Promise.all([import('bullmq'), import('ioredis')]);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new Error(
      `--queue needs BullMQ, which is not installed here (${message}):\n  npm install bullmq ioredis\nWithout --queue everything runs in one process.`,
      { cause: error },
    );
  }
}

/** ECONNREFUSED and the like say more than an empty message. */
const reasonOf = (error: Error): string => {
  const { code, message, errors } = error as NodeJS.ErrnoException & { errors?: Error[] };
  return message || code || errors?.[0]?.message || 'no connection';
};
