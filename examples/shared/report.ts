// What a training program tells: bars and lines for people, JSON lines for machines.

import type { EpochLine } from '../../src/train/metrics';
import type { TrainerOptions } from '../../src/train/options';
import { printJson } from './options';
import { createProgress, formatDuration, type Say } from './progress';

type Events = Required<Pick<TrainerOptions, 'onEpochStart' | 'onStep' | 'onEvaluate' | 'onEpoch' | 'onNotice'>>;

export interface Report {
  /** To stdout, or to stderr where stdout is for machines. */
  say: Say;
  /** Prints an object for machines, where they are asked for. */
  emit(line: object): void;
  /** Tells of a run of so many epochs; its name `run` is in its objects, `title` stands before its lines. */
  events(epochs: number, run?: string, title?: string): Events;
  /** Ends the bar of a run that has ended or was stopped. */
  end(): void;
}

export function createReport(json: boolean): Report {
  const progress = createProgress({ stream: json ? process.stderr : process.stdout });
  let bar = '';
  let started = false;
  const begin = (title: string, total: number, done = 0) => {
    if (bar === title) return;
    if (bar) progress.end();
    bar = title;
    if (title) progress.begin(title, total, done);
  };
  const emit = (line: object) => void (json && printJson(line));

  return {
    say: progress.log,
    emit,
    end: () => begin('', 0),
    events(epochs, run, title = run) {
      const [prefix, tag] = run ? [`${title}  `, { run }] : ['', {}];
      return {
        onEpochStart(epoch, done, total) {
          begin(`${prefix}epoch ${epoch}/${epochs}`, total, done);
          // The driver keeps what it has compiled: the first run on a machine waits longest.
          if (!started) progress.log('The first step compiles its kernels …');
          started = true;
        },
        onStep({ done, loss, accuracy }, line) {
          progress.update(done, { loss, accuracy });
          emit({ ...tag, ...line });
        },
        onEvaluate(done, total) {
          begin(`${prefix}test`, total);
          progress.update(done);
        },
        onEpoch(line) {
          begin('', 0);
          for (const text of describeEpoch(line, epochs)) progress.log(`${prefix}${text}`);
          emit({ ...tag, ...line });
        },
        onNotice: progress.log,
      };
    },
  };
}

export const percent = (x: number): string => `${x.toFixed(2)} %`;

/** One line of numbers, and one for each stage of particles. */
function* describeEpoch(line: EpochLine, epochs: number): Iterable<string> {
  const { epoch, trainLoss, trainError, testLoss, testError, lr, imagesPerSecond, seconds } = line;
  const test = testError === undefined ? '' : `   test loss ${testLoss?.toFixed(3)}, error ${percent(testError)}`;
  const { testAveragedLoss, testAveragedError } = line;
  const averaged =
    testAveragedError === undefined
      ? ''
      : `   averaged weights: loss ${testAveragedLoss?.toFixed(3)}, error ${percent(testAveragedError)}`;
  yield `epoch ${epoch}/${epochs}   train loss ${trainLoss.toFixed(3)}, error ${percent(trainError ?? Number.NaN)}${test}${averaged}` +
    `   lr ${Number(lr.toPrecision(3))}   ${imagesPerSecond.toFixed(1)} images/s   ${formatDuration(seconds)}`;
  for (const { stage, order, swaps, tau, turnover = [] } of line.stages ?? []) {
    const births = turnover.map(({ killed, parent, child }) => `   ${killed} died for ${child}, copied from ${parent}`);
    yield `  ${stage}   order ${order.join(' ')}   swaps ${swaps}   τ ${tau.map((t) => t.toFixed(4)).join(' ')}${births.join('')}`;
  }
}
