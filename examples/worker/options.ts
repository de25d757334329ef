// The options of a worker.

import { redisUrl } from '../queue/options';
import { count, createProgram, numberFrom, words } from '../shared/options';

export interface Given {
  queue: string;
  out: string;
  adapter?: string[];
  concurrency: number;
  data?: string;
  name?: string;
  untilDone?: boolean;
  lease: number;
  patience: number;
  autotune?: boolean;
  json?: boolean;
}

export function createOptions() {
  const program = createProgram(
    'worker',
    'Trains runs that `table-1 --queue` or `sweep --queue` has planned, on this machine, until it is stopped: docs/sweeps.md. Ctrl-C finishes the step, saves, and gives the runs back.',
  );
  program.configureHelp({ sortOptions: false });
  return program
    .requiredOption('--queue <url>', 'redis://HOST[:PORT][/DB], the Redis of the planner', redisUrl)
    .requiredOption('--out <folder>', 'the folder that planner and workers share, as this machine sees it')
    .option('--adapter <parts>', 'parts of the names of adapters, a,b: runs take them in turn', words())
    .option('--concurrency <number>', 'runs at once, each in a process of its own', count, 1)
    .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
    .option('--name <name>', 'of this worker (default: host and process)')
    .option('--until-done', 'end when nothing is left in the queue')
    .option(
      '--lease <seconds>',
      'a worker that is silent for so long has lost its runs to others; the same for all workers',
      numberFrom(1, 3600),
      30,
    )
    .option(
      '--patience <minutes>',
      'a run that does not move for so long is ended as hung, and tried again',
      numberFrom(0.01, 1e4),
      20,
    )
    .option('--autotune', 'first try which kernels are fastest here; cached (other last bits)');
}
