// What cifar-train tells: bars and lines for people, JSON lines for machines.

import type { EpochLine } from '../../src/train/metrics';
import type { RunSummary, TrainerOptions } from '../../src/train/trainer';
import { printJson } from '../shared/options';
import { createProgress, formatDuration } from '../shared/progress';

type Events = Required<Pick<TrainerOptions, 'onEpochStart' | 'onStep' | 'onEvaluate' | 'onEpoch' | 'onNotice'>>;

export interface Report {
  /** Prints a line for people: to stdout, or to stderr where stdout is for machines. */
  say(line: string): void;
  readonly events: (epochs: number) => Events;
  finish(summary: RunSummary, folder: string, figure: string): void;
}

export function createReport(json: boolean): Report {
  const progress = createProgress({ stream: json ? process.stderr : process.stdout });
  let bar = '';
  const begin = (title: string, total: number, done = 0) => {
    if (bar === title) return;
    if (bar) progress.end();
    bar = title;
    if (title) progress.begin(title, total, done);
  };
  const emit = (line: unknown) => void (json && printJson(line));

  return {
    say: progress.log,
    events: (epochs) => ({
      onEpochStart: (epoch, done, total) => begin(`epoch ${epoch}/${epochs}`, total, done),
      onStep({ done, loss, accuracy }, line) {
        progress.update(done, { loss, accuracy });
        emit(line);
      },
      onEvaluate(done, total) {
        begin('test', total);
        progress.update(done);
      },
      onEpoch(line) {
        begin('', 0);
        for (const text of describeEpoch(line, epochs)) progress.log(text);
        emit(line);
      },
      onNotice: progress.log,
    }),
    finish(summary, folder, figure) {
      begin('', 0);
      const { finished, step, testError, bestError, bestEpoch, seconds } = summary;
      const resume = `npm run cifar-train -- --resume ${folder}`;
      if (finished) {
        const errors =
          testError === null
            ? ''
            : `test error ${percent(testError)}, best ${percent(bestError!)} in epoch ${bestEpoch}; `;
        progress.log(`done: ${errors}${formatDuration(seconds)}`);
        progress.log(`figure: ${figure}`);
      } else progress.log(`stopped and saved after step ${step.toLocaleString('en')}. Go on with:\n  ${resume}`);
      emit({ ...summary, folder, figure, ...(!finished && { resume }) });
    },
  };
}

const percent = (x: number): string => `${x.toFixed(2)} %`;

/** One line of numbers, and one for each stage of particles. */
function* describeEpoch(line: EpochLine, epochs: number): Iterable<string> {
  const { epoch, trainLoss, trainError, testLoss, testError, lr, imagesPerSecond, seconds } = line;
  const test = testError === undefined ? '' : `   test loss ${testLoss?.toFixed(3)}, error ${percent(testError)}`;
  yield `epoch ${epoch}/${epochs}   train loss ${trainLoss.toFixed(3)}, error ${percent(trainError)}${test}` +
    `   lr ${Number(lr.toPrecision(3))}   ${imagesPerSecond.toFixed(1)} images/s   ${formatDuration(seconds)}`;
  for (const { stage, order, swaps, tau } of line.stages ?? [])
    yield `  ${stage}   order ${order.join(' ')}   swaps ${swaps}   τ ${tau.map((t) => t.toFixed(4)).join(' ')}`;
}
