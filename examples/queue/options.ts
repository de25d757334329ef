// What programs that plan runs say of a queue on the command line.

import type { Command } from 'commander';
import { UsageError } from '../shared/usage-error';

export interface QueueGiven {
  queue?: string;
  detach?: boolean;
  watch?: boolean;
}

export const addQueueOptions = (program: Command): Command =>
  program
    .optionsGroup('On many machines, see docs/sweeps.md:')
    .option(
      '--queue <url>',
      'have `dawnfield worker` train the runs: redis://HOST[:PORT][/DB], a Redis that all machines reach; --out is a folder that they share',
      redisUrl,
    )
    .option('--detach', 'only put the runs into the queue, and do not wait for them')
    .option('--watch', 'show all workers and runs while waiting');

/** Whatever follows `--queue` must name a Redis. */
export function redisUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const database = url?.pathname.slice(1) ?? '';
  if (!url || !['redis:', 'rediss:'].includes(url.protocol) || !url.hostname || !/^\d*$/.test(database))
    throw new UsageError(`--queue ${text}: it must be redis://HOST[:PORT][/DB], or rediss://… for TLS`);
  return text;
}

/** Options that mean nothing without a queue are refused. */
export function checkQueueOptions({ queue, detach, watch }: QueueGiven): void {
  for (const [name, given] of Object.entries({ detach, watch }))
    if (given && !queue) throw new UsageError(`--${name} belongs to --queue redis://HOST, which is not given`);
}
