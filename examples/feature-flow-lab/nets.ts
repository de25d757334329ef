// What the experiments with dense nets share besides the nets: options, progress, panels of slopes.

import type { Command } from 'commander';
import { at } from '../../shaders/checked';
import type { Line, Panel, Point } from '../shared/chart';
import { count, depth, numberFrom, numberList, seedNumber, UsageError } from '../shared/options';
import type { Progress } from '../shared/progress';
import type { NetOptions } from './dense';
import { type Group, mean, type PowerLaw, showSlope } from './statistics';

export const positive = numberFrom(Number.MIN_VALUE);

/** The options of every experiment with dense nets. */
export const addNetOptions = (command: Command, defaults: Omit<NetOptions, 'seed' | 'samples' | 'inputs'>): Command =>
  command
    .option('--samples <N>', 'training samples', count, 8)
    .option('--inputs <d>', 'coordinates of a sample', count, 8)
    .option('--layers <L>', 'hidden layers', depth, defaults.layers)
    .option('--eta <η>', 'step size of scaled gradient descent', positive, defaults.eta)
    .option('--seeds <number>', 'nets of each width', count, defaults.seeds)
    .option('--seed <number>', 'of samples, weights and particles', seedNumber, 0);

export const WIDTHS = [16, 32, 64, 128, 256, 512, 1024];

export const widthList = (text: string): number[] => {
  const widths = numberList()(text);
  if (widths.length < 2 || widths.some((m) => !Number.isInteger(m) || m < 1 || m > 100_000))
    throw new UsageError(
      `--widths ${text}: a slope needs at least two widths, whole numbers up to 100000 separated by commas`,
    );
  return widths;
};

/** Counts steps on the terminal. */
export function counted(progress: Progress, title: string, steps: number): (k: number, loss?: number) => void {
  progress.begin(title, steps);
  return (k, loss) => {
    progress.update(k, { loss });
    if (k === steps) progress.end();
  };
}

/** Means over seeds (with `scatter` the seeds too) with their fit, its slope behind the name, and the slope that the theory predicts through the middle of it, on logarithmic axes. */
export function slopePanel(
  title: string,
  xName: string,
  curves: { name: string; color: string; groups: Group[]; fit: PowerLaw; scatter?: boolean }[],
  predicted: number,
): Panel {
  const xs = at(curves, 0).groups.map(({ x }) => x);
  const ends = [Math.min(...xs), Math.max(...xs)] as const;
  const lines = curves.flatMap(({ name, color, groups, fit, scatter }): Line[] => {
    const seeds = groups.flatMap(({ x, values }) => values.map((v): Point => [x, v]));
    const fitted = (x: number) => Math.exp(fit.intercept + fit.slope * Math.log(x));
    return [
      ...(scatter ? [{ label: '', color: '#c3c9d0', points: seeds, dots: true }] : []),
      { label: '', color, points: groups.map(({ x, values }): Point => [x, mean(values)]), dots: true },
      { label: `${name} ${showSlope(fit.slope)}`, color, points: ends.map((x): Point => [x, fitted(x)]) },
    ];
  });
  const { fit } = at(curves, 0);
  const middle = (Math.log(ends[0]) + Math.log(ends[1])) / 2;
  const through = fit.intercept + fit.slope * middle;
  const predictedAt = (x: number): Point => [x, Math.exp(through + predicted * (Math.log(x) - middle))];
  lines.push({
    label: `slope ${predicted}`.replace('-', '−'),
    color: '#8a919a',
    points: ends.map(predictedAt),
    dashed: true,
  });
  return { title, xName, lines, fromZero: false, freeX: true, log: 'xy' };
}
