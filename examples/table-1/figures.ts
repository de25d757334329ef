// The error curves of a network: every run of every arm, and the means of the arms.

import { at } from '../../shaders/checked';
import type { EpochLine } from '../../src/train/metrics';
import { drawChart, type Line, type Panel, type Point } from '../shared/chart';
import { points } from '../shared/figure';
import type { Comparison } from './comparisons';
import type { Arm } from './options';

const COLORS: Record<Arm, string> = {
  vanilla: '#3a6ea5',
  meanfield: '#c8502d',
  'meanfield-no-decay': '#d6a028',
  'meanfield-frozen': '#6b7683',
  'meanfield-fraction': '#20948b',
  'meanfield-unsorted': '#8e4a9e',
  'meanfield-fraction-unsorted': '#5f8f3f',
  'meanfield-random': '#a0522d',
  'meanfield-fast': '#d0669d',
  'meanfield-fast-100': '#7a1f4b',
  'meanfield-fast-unsorted': '#e3a3c4',
  'meanfield-shuffled': '#2b2f36',
  'meanfield-fraction-shuffled': '#7f8c1f',
  'meanfield-fraction-frozen': '#8fb8b4',
};

/** Draws test and training errors by epoch as an SVG document: thin lines for the runs, a thick one for the mean of each arm. */
export function drawErrors(title: string, runs: readonly { arm: Arm; epochs: readonly EpochLine[] }[]): string {
  const arms = [...new Set(runs.map(({ arm }) => arm))].map((arm) => runs.filter((run) => run.arm === arm));
  const panel = (name: string, error: (line: EpochLine) => number | undefined): Panel => {
    const lines = arms.flatMap((mine): Line[] => {
      const { arm } = at(mine, 0);
      const curves = mine.map(({ epochs }) => points(epochs, 'epoch', error)).filter((curve) => curve.length > 0);
      if (curves.length === 0) return [];
      const color = COLORS[arm];
      const thin = curves.map((curve) => ({ label: '', color: `${color}80`, points: curve, width: 0.7 }));
      return [...(curves.length > 1 ? thin : []), { label: arm, color, points: mean(curves), width: 2 }];
    });
    return { title: name, xName: 'epoch', lines, fromZero: false };
  };
  const seeds = Math.max(...arms.map((mine) => mine.length));
  const panels = [
    panel('Test error (%)', (line) => line.testError),
    panel('Training error (%)', (line) => line.trainError),
  ];
  const subtitle = seeds > 1 ? `means of up to ${seeds} seeds, thin lines: each run` : 'one run of each arm';
  return drawChart(title, subtitle, [panels]);
}

/** The paired differences of each comparison: a dot for every seed, a line for the interval of the mean. */
export function drawComparisons(title: string, comparisons: readonly Comparison[]): string {
  const right = Math.max(...comparisons.flatMap(({ runs }) => runs.map((run) => run.difference)), 0);
  const all = comparisons.toReversed().flatMap(({ arm, minus, difference, runs }, i): Line[] => {
    const y = i + 1;
    const { mean, interval } = difference;
    const [low, high] = interval ?? [mean, mean];
    const color = COLORS[arm];
    const label = `${shortName(arm)} − ${shortName(minus)}`;
    return [
      { label: '', color: `${color}a0`, dots: true, points: runs.map((run): Point => [run.difference, y]) },
      { label: '', color, width: 3, points: [low, mean, high].map((x): Point => [x, y]) },
      { label, color, width: 0.5, dashed: true, points: [high, right].map((x): Point => [x, y]) },
    ];
  });
  const zero: Line = {
    label: '',
    color: '#8a919a',
    dashed: true,
    width: 1,
    points: [0, comparisons.length + 1].map((y): Point => [0, y]),
  };
  const panel: Panel = {
    title: 'Difference of the test errors after the last epoch (points)',
    xName: 'below 0: the first is better',
    lines: [zero, ...all],
    fromZero: false,
    freeX: true,
  };
  return drawChart(title, 'dots: pairs of runs with the same seed; lines: 95 % BCa intervals of their means', [
    [panel],
  ]);
}

const shortName = (arm: Arm): string => arm.replace('meanfield-', '');

/** The mean of the curves at the epochs that all of them have. */
function mean(curves: readonly Point[][]): Point[] {
  const heightAt = (curve: Point[], x: number) => curve.find(([epoch]) => epoch === x)?.[1];
  return at(curves, 0).flatMap(([x]) => {
    const values = curves.map((curve) => heightAt(curve, x)).filter((y) => y !== undefined);
    return values.length === curves.length ? [[x, values.reduce((a, b) => a + b, 0) / values.length] as Point] : [];
  });
}
