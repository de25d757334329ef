// All workers and runs in one view of the terminal, drawn over itself; where output goes to a file, a line now and then.

import { formatDuration, type Say } from '../shared/progress';
import type { Report } from '../shared/report';
import type { RunProgress, WorkerStatus } from './jobs';

/** Seconds between two lines. */
const EVERY = 30;

export interface View {
  /** `open`: names of the runs that have not ended, of `runs` in all. */
  show(workers: readonly WorkerStatus[], open: readonly string[], runs: number): void;
  /** Prints a line; the view is drawn again below it. */
  say: Say;
  end(): void;
}

export function createView(report: Report, watch: boolean): View {
  const { stdout } = process;
  const draws = watch && Boolean(stdout.isTTY);
  let told = 0;
  let lines = 0;
  const erase = () => {
    if (lines) stdout.write(`\x1b[${lines}A\x1b[J`);
    lines = 0;
  };
  return {
    show(workers, open, runs) {
      if (draws) {
        const text = describe(workers, open, runs, stdout.rows - 2);
        erase();
        stdout.write(`${text.map((line) => line.slice(0, stdout.columns - 1)).join('\n')}\n`);
        lines = text.length;
      } else if (performance.now() - told > 1000 * EVERY || told === 0) {
        told = performance.now();
        const [first = '', ...rest] = describe(workers, open, runs, watch ? Infinity : 1);
        for (const line of [first, ...rest]) report.say(line);
        report.emit({ type: 'workers', workers, open });
      }
    },
    say(line) {
      erase();
      report.say(line);
    },
    end: erase,
  };
}

const isRunning = (run: WorkerStatus['runs'][number]): run is RunProgress => 'epoch' in run;

/** The view as lines, at most so many: workers with their runs, then runs that wait. */
export function describe(
  workers: readonly WorkerStatus[],
  open: readonly string[],
  runs: number,
  most: number,
): string[] {
  const training = new Set(workers.flatMap((worker) => worker.runs.map(({ run }) => run)));
  const waiting = open.filter((name) => !training.has(name));
  const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  const head =
    `${runs - open.length} of ${counted(runs, 'run')} ended, ${training.size} in training, ${waiting.length} waiting; ` +
    `${workers.length ? counted(workers.length, 'worker') : 'no worker: start some, dawnfield worker --queue … --out …'}`;
  const rows = workers.flatMap(({ worker, adapter, runs: mine }) => [
    `${worker}  ${adapter}${mine.length ? '' : '  idle'}`,
    ...mine.map((run) => `  ${run.run}  ${isRunning(run) ? describeProgress(run) : 'starting'}`),
  ]);
  return [head, ...rows, ...waiting.map((name) => `waiting: ${name}`)].slice(0, Math.max(1, most));
}

export const describeProgress = ({ epoch, epochs, loss, imagesPerSecond, secondsLeft }: RunProgress): string =>
  `epoch ${epoch}/${epochs}  loss ${loss.toFixed(3)}  ${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 1 : 0)} images/s  ${formatDuration(secondsLeft)} left`;
