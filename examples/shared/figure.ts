// The figure of a run: loss per step, errors per epoch and, for mean-field models, the times of all particles.

import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { drawChart, type Line, type Panel, type Point, ramp } from './chart';

const trainColor = '#3a6ea5';
const testColor = '#c8502d';

/** Draws the lines of metrics.jsonl as an SVG document, `width` pixels wide. */
export function drawRun(metrics: readonly MetricsLine[], title: string, width = 960): string {
  const epochs = metrics.filter((line) => line.type === 'epoch');
  const rows = [[lossPanel(metrics, epochs), errorPanel(epochs)], stagePanels(epochs)].filter((row) => row.length > 0);
  return drawChart(title, outcome(epochs), rows, width);
}

function lossPanel(metrics: readonly MetricsLine[], epochs: readonly EpochLine[]): Panel {
  const steps = metrics.filter((line) => line.type === 'step');
  const lines = [
    { label: 'step', color: '#a9c0da', points: thin(points(steps, 'step', (line) => line.loss)), width: 1 },
    { label: 'train', color: trainColor, points: points(epochs, 'step', (line) => line.trainLoss) },
    { label: 'test', color: testColor, points: points(epochs, 'step', (line) => line.testLoss) },
  ];
  return { title: 'Loss', xName: 'step', lines: lines.filter(hasPoints), fromZero: true };
}

function errorPanel(epochs: readonly EpochLine[]): Panel {
  const lines = [
    { label: 'train', color: trainColor, points: points(epochs, 'epoch', (line) => line.trainError) },
    { label: 'test', color: testColor, points: points(epochs, 'epoch', (line) => line.testError) },
  ];
  return { title: 'Error (%)', xName: 'epoch', lines: lines.filter(hasPoints), fromZero: true };
}

/** One panel a stage, one line a particle: a particle keeps its color while it moves through the order. */
function stagePanels(epochs: readonly EpochLine[]): Panel[] {
  const names = [...new Set(epochs.flatMap((line) => line.stages?.map(({ stage }) => stage) ?? []))];
  return names.map((name) => {
    const stageOf = (line: EpochLine) => line.stages?.find(({ stage }) => stage === name);
    const ids = [...new Set(epochs.flatMap((line) => stageOf(line)?.order ?? []))].sort((a, b) => a - b);
    const lines = ids.map((id, i) => ({
      label: String(id),
      color: ramp(ids.length < 2 ? 0 : i / (ids.length - 1)),
      points: points(epochs, 'epoch', (line) => {
        const stage = stageOf(line);
        return stage?.tau[stage.order.indexOf(id)];
      }),
      width: 1.5,
    }));
    return {
      title: `Times τ of ${name.replace(/(?<=\D)(?=\d)/, ' ')}`,
      xName: 'epoch',
      lines: lines.filter(hasPoints),
      fromZero: false,
    };
  });
}

/** Values that are absent or not finite (null in JSON) leave a gap. */
function points<Entry, Key extends keyof Entry>(
  entries: readonly Entry[],
  x: Key,
  value: (entry: Entry) => number | null | undefined,
): Point[] {
  return entries
    .map((entry) => [Number(entry[x]), value(entry) ?? Number.NaN] as Point)
    .filter(([, y]) => Number.isFinite(y));
}

function hasPoints(line: Line): boolean {
  return line.points.length > 0;
}

/** Means of neighbours, so that a long run stays a small file. */
function thin(all: Point[], limit = 400): Point[] {
  const size = Math.ceil(all.length / limit);
  if (size <= 1) return all;
  const bins: Point[] = [];
  for (let i = 0; i < all.length; i += size) {
    const bin = all.slice(i, i + size);
    const mean = (k: 0 | 1) => bin.reduce((sum, point) => sum + point[k], 0) / bin.length;
    bins.push([mean(0), mean(1)]);
  }
  return bins;
}

function outcome(epochs: readonly EpochLine[]): string {
  const tested = epochs.filter((line) => Number.isFinite(line.testError));
  if (tested.length === 0) return '';
  const best = tested.reduce((a, b) => (b.testError! < a.testError! ? b : a));
  const last = tested.at(-1)!;
  const swaps = epochs.flatMap((line) => line.stages ?? []).reduce((sum, stage) => sum + stage.swaps, 0);
  const particles = epochs.some((line) => line.stages) ? `   ${swaps.toLocaleString('en')} swaps of particles` : '';
  return (
    `test error ${last.testError!.toFixed(2)} % after epoch ${last.epoch}` +
    `   best ${best.testError!.toFixed(2)} % after epoch ${best.epoch}${particles}`
  );
}
