// The error curves of a network: every run of every arm, and the means of the arms.

import type { EpochLine } from '../../src/train/metrics';
import { drawChart, type Line, type Panel, type Point } from '../shared/chart';
import { points } from '../shared/figure';
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
  'meanfield-shuffled': '#2b2f36',
};

/** Draws test and training errors by epoch as an SVG document: thin lines for the runs, a thick one for the mean of each arm. */
export function drawErrors(title: string, runs: readonly { arm: Arm; epochs: readonly EpochLine[] }[]): string {
  const arms = [...new Set(runs.map(({ arm }) => arm))].map((arm) => runs.filter((run) => run.arm === arm));
  const panel = (name: string, error: (line: EpochLine) => number | undefined): Panel => {
    const lines = arms.flatMap((mine): Line[] => {
      const [{ arm }] = mine;
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

/** The mean of the curves at the epochs that all of them have. */
function mean(curves: readonly Point[][]): Point[] {
  const at = (curve: Point[], x: number) => curve.find(([epoch]) => epoch === x)?.[1];
  return curves[0]!.flatMap(([x]) => {
    const values = curves.map((curve) => at(curve, x)).filter((y) => y !== undefined);
    return values.length === curves.length ? [[x, values.reduce((a, b) => a + b, 0) / values.length] as Point] : [];
  });
}
