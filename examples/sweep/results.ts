// What a sweep has found: its points with their errors, best first, as JSON and as Markdown.

import { join } from 'node:path';
import { readFailure, readRun } from '../shared/run-state';
import { type Spread, spread } from '../table-1/statistics';
import type { PointValues, SweepRun } from './points';

export interface PointResult {
  point: PointValues;
  asked: number;
  diverged: number;
  failed: number;
  /** Test error in percent over the finished seeds. The best epoch is chosen by the test set. */
  last: Spread | null;
  best: Spread | null;
  runs: {
    seed: number;
    testError: number;
    bestError: number;
    seconds: number;
    folder: string;
    adapters: readonly string[];
  }[];
}

/** A result for each point, the least mean error first, those without one last. */
export function gather(runs: readonly SweepRun[], out: string): PointResult[] {
  const results = new Map<string, PointResult>();
  for (const { name, point, seed } of runs) {
    const key = JSON.stringify(point);
    const result = results.get(key) ?? { point, asked: 0, diverged: 0, failed: 0, last: null, best: null, runs: [] };
    results.set(key, result);
    result.asked++;
    const { end, adapters = [] } = readRun(join(out, name)) ?? {};
    if (end && 'divergedAt' in end) result.diverged++;
    else if (end) {
      const { testError, bestError, seconds } = end;
      result.runs.push({ seed, testError, bestError, seconds, folder: name, adapters });
    } else if (readFailure(join(out, name))) result.failed++;
  }
  for (const result of results.values()) {
    result.last = spread(result.runs.map((run) => run.testError));
    result.best = spread(result.runs.map((run) => run.bestError));
  }
  const error = ({ last }: PointResult) => last?.mean ?? Infinity;
  return [...results.values()].sort((a, b) => (error(a) === error(b) ? 0 : error(a) - error(b)));
}

/** The table for people. */
export function describeSweep(results: readonly PointResult[], figure: string): string {
  const names = Object.keys(results[0]?.point ?? {});
  const adapters = [...new Set(results.flatMap(({ runs }) => runs.flatMap((run) => run.adapters)))];
  const mixed = adapters.length > 1;
  const show = (x: Spread | null) => (x ? `${x.mean.toFixed(2)}${x.sd === null ? '' : ` ± ${x.sd.toFixed(2)}`}` : '');
  const rows = results.map(({ point, last, best, runs, asked, diverged, failed }) => [
    ...names.map((name) => point[name]),
    ...[show(last), show(best), `${runs.length} of ${asked}`],
    [diverged && `${diverged} diverged`, failed && `${failed} failed`].filter(Boolean).join(', '),
    ...(mixed ? [[...new Set(runs.flatMap((run) => run.adapters))].join('; ')] : []),
  ]);
  const head = [...names, 'last epoch', 'best epoch', 'runs', '', ...(mixed ? ['adapters'] : [])];
  return `# Sweep

Test error in percent, mean ± standard deviation over the seeds, least first. The best epoch is chosen by the test set itself and therefore too good; so is
the best of many points: train it again with other seeds before you believe it.

${[head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')}

- Ran on ${adapters.join('; ') || 'nothing yet'}.${mixed ? ' Runs of unlike adapters differ in their last bits.' : ''}

![test error by option](${figure})
`;
}
