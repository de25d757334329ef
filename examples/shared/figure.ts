// The figure of a run: loss per step, errors per epoch and, for mean-field models, the times of all particles, their steps Δτ at the end,
// swaps per epoch, how far the particles' order is from the first one, and, with telemetry, what the loss did around crossings.

import { at, fromEnd } from '../../shaders/checked';
import type { EpochLine, MetricsLine, StageLine, StepLine } from '../../src/train/metrics';
import { drawChart, type Line, type Panel, type Point, ramp } from './chart';
import type { FollowedLine, GradientsLine, TelemetryLine } from './telemetry';

const trainColor = '#3a6ea5';
const testColor = '#c8502d';

/** Draws the lines of metrics.jsonl as an SVG document, `width` pixels wide. */
export function drawRun(metrics: readonly MetricsLine[], title: string, width = 960): string {
  const epochs = metrics.filter((line) => line.type === 'epoch');
  const times = timePanels(metrics);
  const rows = [[lossPanel(metrics, epochs), errorPanel(epochs)]];
  if (times.length) rows.push(times, orderPanels(epochs));
  const telemetry = metrics.filter((line) => line.type === 'probe') as TelemetryLine[];
  if (telemetry.length) rows.push(telemetryPanels(telemetry));
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

const stageNames = (lines: readonly { stages?: StageLine[] }[]): string[] => [
  ...new Set(lines.flatMap((line) => line.stages?.map(({ stage }) => stage) ?? [])),
];
const stageIn = (line: { stages?: StageLine[] }, name: string) => line.stages?.find(({ stage }) => stage === name);

/** One panel a stage, one line a particle: a particle keeps its color while it moves through the order. */
function timePanels(metrics: readonly MetricsLine[]): Panel[] {
  const lines = metrics.filter((line): line is EpochLine | StepLine => 'stages' in line);
  return stageNames(lines).map((name) => {
    const ids = [...new Set(lines.flatMap((line) => stageIn(line, name)?.order ?? []))].sort((a, b) => a - b);
    const particles = ids.map((id, i) => ({
      label: String(id),
      color: ramp(i, ids.length),
      points: points(lines, 'step', (line) => {
        const stage = stageIn(line, name);
        return stage?.tau[stage.order.indexOf(id)];
      }),
      width: 1.5,
    }));
    return {
      title: `Times τ of ${name.replace(/(?<=\D)(?=\d)/, ' ')}`,
      xName: 'step',
      lines: particles.filter(hasPoints),
      fromZero: false,
    };
  });
}

/** Histogram of the last Δτ, swaps per epoch, and Kendall's distance to the first order, a line for each stage. */
function orderPanels(epochs: readonly EpochLine[]): Panel[] {
  const names = stageNames(epochs);
  const perStage = (pointsOf: (name: string) => Point[]) =>
    names.map((name, i) => ({ label: name, color: ramp(i, names.length), points: pointsOf(name) })).filter(hasPoints);
  const last = epochs.at(-1);
  const gaps = (name: string) => (last && stageIn(last, name)?.tau.map((t, i, all) => t - (all[i - 1] ?? 0))) ?? [];
  const everyGap = names.flatMap(gaps);
  return [
    {
      title: `Steps Δτ after epoch ${last?.epoch}`,
      xName: 'Δτ',
      lines: perStage((name) => histogram(gaps(name), Math.min(...everyGap), Math.max(...everyGap))).map((line) => ({
        ...line,
        stepped: true,
      })),
      fromZero: true,
      freeX: true,
    },
    {
      title: 'Swaps per epoch',
      xName: 'epoch',
      lines: perStage((name) => points(epochs, 'epoch', (line) => stageIn(line, name)?.swaps)),
      fromZero: true,
    },
    {
      title: 'Kendall distance to first order (%)',
      xName: 'epoch',
      lines: perStage((name) =>
        points(epochs, 'epoch', (line) => {
          const order = stageIn(line, name)?.order;
          return order && 100 * kendallDistance(order);
        }),
      ),
      fromZero: true,
    },
  ];
}

/** The jump of the loss at crossings, the loss after crossings and after quiet steps, and the gradients of times and weights. */
function telemetryPanels(lines: readonly TelemetryLine[]): Panel[] {
  const followed = (kind: FollowedLine['kind']) => lines.filter((line): line is FollowedLine => line.kind === kind);
  const crossings = followed('crossing');
  const jumps = crossings.map(({ step, before, after }): Point => [step, after - before]);
  const zero = (last: number): Line => ({
    label: '',
    color: '#8a919a',
    dashed: true,
    width: 1,
    points: [0, last].map((x): Point => [x, 0]),
  });
  const since = (label: string, color: string, events: readonly FollowedLine[]): Line => {
    const changes = events.map(({ before, after, later }) => [after, ...later].map((loss) => loss - before));
    const longest = Math.max(0, ...changes.map((list) => list.length));
    const at = Array.from({ length: longest }, (_, i): Point => {
      const known = changes.flatMap((list) => list[i] ?? []);
      return [i, known.reduce((a, b) => a + b, 0) / known.length];
    });
    return { label, color, points: at };
  };
  const afterwards = [since('crossings', testColor, crossings), since('quiet steps', trainColor, followed('quiet'))];
  const gradients = lines.filter((line): line is GradientsLine => line.kind === 'gradients');
  const names = [...new Set(gradients.flatMap(({ norms }) => norms.map(({ stage }) => stage)))];
  const size = (name: string, of: 'times' | 'weights', count: 'timeCount' | 'weightCount') =>
    gradients.flatMap(({ epoch, norms }): Point[] => {
      const found = norms.find(({ stage }) => stage === name);
      return found && found[of] > 0 ? [[epoch, found[of] / Math.sqrt(found[count])]] : [];
    });
  const sizes = names.flatMap((name, i): Line[] => [
    { label: `τ ${name}`, color: ramp(i, names.length), points: size(name, 'times', 'timeCount') },
    { label: `θ ${name}`, color: ramp(i, names.length), width: 1, points: size(name, 'weights', 'weightCount') },
  ]);
  return [
    {
      title: 'Jump of the loss at crossings',
      xName: 'step',
      lines: [
        { label: '', color: testColor, dots: true, points: jumps },
        zero(Math.max(1, ...lines.map(({ step }) => step))),
      ].filter(hasPoints),
      fromZero: false,
    },
    {
      title: 'Loss since then, minus before',
      xName: 'updates',
      lines: [...afterwards, zero(Math.max(1, ...afterwards.map((line) => line.points.length - 1)))].filter(hasPoints),
      fromZero: false,
    },
    {
      title: 'Root mean square of gradients',
      xName: 'epoch',
      lines: sizes.filter(hasPoints),
      fromZero: false,
      log: 'y',
    },
  ];
}

/** The part of all pairs in `order` that stand the other way round than their numbers, from 0 to 1; 0 for fewer than two. */
export function kendallDistance(order: readonly number[]): number {
  const pairs = (order.length * (order.length - 1)) / 2;
  const inverted = order.flatMap((a, i) => order.slice(i + 1).filter((b) => b < a)).length;
  return pairs && inverted / pairs;
}

/** Counts in 20 bins from `low` to `high` as the corners of steps. */
function histogram(values: readonly number[], low: number, high: number): Point[] {
  if (values.length === 0) return [];
  const [bins, width] = [20, Math.max(high - low, 0.02) / 20];
  const counts = new Array<number>(bins + 1).fill(0);
  for (const value of values) {
    const bin = Math.min(Math.floor((value - low) / width), bins - 1);
    counts[bin] = at(counts, bin) + 1;
  }
  return counts.map((n, i) => [low + i * width, n]);
}

/** A curve over the entry `x`. Values that are absent or not finite (null in JSON) leave a gap. */
export function points<Entry, Key extends keyof Entry>(
  entries: readonly Entry[],
  x: Key,
  value: (entry: Entry) => number | null | undefined,
): Point[] {
  return entries
    .map((entry) => [Number(entry[x]), value(entry) ?? Number.NaN] as Point)
    .filter(([, y]) => Number.isFinite(y));
}

const hasPoints = (line: Line): boolean => line.points.length > 0;

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
  const tested = epochs.flatMap(({ epoch, testError: error }) =>
    error !== undefined && Number.isFinite(error) ? [{ epoch, error }] : [],
  );
  if (tested.length === 0) return '';
  const best = tested.reduce((a, b) => (b.error < a.error ? b : a));
  const last = fromEnd(tested, 1);
  const swaps = epochs.flatMap((line) => line.stages ?? []).reduce((sum, stage) => sum + stage.swaps, 0);
  const particles = epochs.some((line) => line.stages) ? `   ${swaps.toLocaleString('en')} swaps of particles` : '';
  return (
    `test error ${last.error.toFixed(2)} % after epoch ${last.epoch}` +
    `   best ${best.error.toFixed(2)} % after epoch ${best.epoch}${particles}`
  );
}
