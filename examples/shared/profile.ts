// Where the GPU's time of a training step goes: tables by kernel and by module.

import type { ProfiledLaunch } from '../../src/gpu/profiler';
import { summarize } from '../../src/gpu/profiler';

const MOST = 24; // rows of a table; what remains is one more

/** Two tables of the launches of `steps` steps. Numbers are those of one step. */
export function* describeProfile(launches: readonly ProfiledLaunch[], steps: number): Iterable<string> {
  const total = launches.reduce((sum, { duration }) => sum + duration, 0);
  const bytes = launches.reduce((sum, launch) => sum + launch.bytes, 0);
  yield `${launches.length / steps} launches, ${milliseconds(total / steps)} ms on the GPU and ${(bytes / steps / 1e6).toFixed(1)} MB bound per step (mean of ${steps}; each launch in a pass of its own)`;
  yield* table('kernel', launches, steps, ({ kernel }) => kernel);
  yield* table('module', launches, steps, ({ path }) => path || '(outside of modules)');
}

function* table(
  title: string,
  launches: readonly ProfiledLaunch[],
  steps: number,
  key: (launch: ProfiledLaunch) => string,
): Iterable<string> {
  const rows = summarize(launches, key);
  const shown = new Set(rows.slice(0, MOST).map(({ name }) => name));
  const few = summarize(launches, (launch) => (shown.has(key(launch)) ? key(launch) : `${rows.length - MOST} more`));
  yield '';
  yield line([title, 'calls', 'ms', 'share', 'GFLOP/s', 'GB/s']);
  for (const { name, calls, microseconds, share, gflops, gigabytesPerSecond } of few) {
    const rates = [gflops ? gflops.toFixed(1) : '', gigabytesPerSecond.toFixed(1)];
    const often = String(Number((calls / steps).toFixed(1)));
    yield line([name, often, milliseconds(microseconds / steps), `${(100 * share).toFixed(1)} %`, ...rates]);
  }
}

const milliseconds = (microseconds: number): string => (microseconds / 1000).toFixed(3);

const line = ([name = '', ...cells]: readonly string[]): string =>
  `  ${name.padEnd(36)}${cells.map((cell) => cell.padStart(10)).join('')}`;
