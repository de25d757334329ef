// The figure of a run: loss per step, errors per epoch and, for mean-field models, the times of all particles.
// Drawn by echarts without a DOM. Lines are labelled where they end; the labels are placed here, because echarts
// lets end labels overlap.

import { LineChart } from 'echarts/charts';
import { GraphicComponent, GridComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';

use([LineChart, GridComponent, TitleComponent, GraphicComponent, SVGRenderer]);

type Point = [x: number, y: number];

interface Line {
  label: string;
  color: string;
  points: Point[];
  width?: number;
}

interface Panel {
  title: string;
  xName: string;
  lines: Line[];
  /** Whether the vertical axis begins at zero. */
  fromZero: boolean;
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

const font = 'Helvetica, Arial, sans-serif';
const ink = '#22262b';
const faint = '#8a919a';
const trainColor = '#3a6ea5';
const testColor = '#c8502d';
const panelHeight = 250;
const labelHeight = 12;

/** Draws the lines of metrics.jsonl as an SVG document, `width` pixels wide. */
export function drawRun(metrics: readonly MetricsLine[], title: string, width = 960): string {
  const epochs = metrics.filter((line) => line.type === 'epoch');
  const rows = [[lossPanel(metrics, epochs), errorPanel(epochs)], stagePanels(epochs)].filter((row) => row.length > 0);
  const height = 52 + rows.length * panelHeight;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  const parts = rows.flatMap((row, r) =>
    row.map((panel, column) => {
      const cell = (width - 20) / row.length;
      const labels = 12 + 6.2 * Math.max(...panel.lines.map((line) => line.label.length), 0);
      const left = 10 + column * cell + 46;
      const box = { left, top: 88 + r * panelHeight, width: cell - 46 - labels, height: panelHeight - 78 };
      return { panel, box, scale: scaleOf(panel) };
    }),
  );
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: font },
    title: [
      { text: title, left: 14, top: 10, textStyle: { fontSize: 16, fontWeight: 'bold', color: ink } },
      { text: outcome(epochs), left: 14, top: 33, textStyle: { fontSize: 12, fontWeight: 'normal', color: faint } },
      ...parts.map(({ panel, box }) => ({
        text: panel.title,
        left: box.left - 8,
        top: box.top - 30,
        textStyle: { fontSize: 12.5, fontWeight: 'bold', color: ink },
      })),
    ],
    grid: parts.map(({ box }) => ({ ...box })),
    xAxis: parts.map(({ panel, scale }, gridIndex) => ({
      ...axis(scale.x, gridIndex),
      name: panel.xName,
      nameLocation: 'middle',
      nameGap: 24,
      nameTextStyle: { color: faint, fontSize: 11 },
      splitLine: { show: false },
    })),
    yAxis: parts.map(({ scale }, gridIndex) => ({
      ...axis(scale.y, gridIndex),
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: '#e9ecef' } },
    })),
    series: parts.flatMap(({ panel }, index) =>
      panel.lines.map(({ label, color, points, width: lineWidth = 1.8 }) => ({
        type: 'line',
        name: `${panel.title}: ${label}`,
        xAxisIndex: index,
        yAxisIndex: index,
        data: points,
        color,
        lineStyle: { width: lineWidth },
        showSymbol: points.length <= 12,
        symbol: 'circle',
        symbolSize: 5,
        silent: true,
      })),
    ),
    graphic: parts.flatMap(({ panel, box, scale }) => endLabels(panel.lines, box, scale)),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
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

interface Scale {
  min: number;
  max: number;
  ticks: number[];
}

function scaleOf(panel: Panel): { x: Scale; y: Scale } {
  const all = panel.lines.flatMap((line) => line.points);
  if (all.length === 0) return { x: ticked(0, 1, 1), y: ticked(0, 1, 1) };
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const max = Math.max(...xs, 1);
  const x = ticked(0, max, 6, 1);
  const y = ticked(panel.fromZero ? 0 : Math.min(...ys), Math.max(...ys), 5);
  return { x: { ...x, max, ticks: x.ticks.filter((tick) => tick <= max) }, y };
}

/** Ticks at multiples of 1, 2 or 5 times a power of ten that enclose [low, high]. */
function ticked(low: number, high: number, count: number, least = 0): Scale {
  const rough = Math.max((high - low) / count, least, Math.abs(high) * 1e-6, 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough) + 1e-9);
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9))!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  // Rounded, since 3 · 0.1 is not 0.3.
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  return { min: ticks[0]!, max: ticks.at(-1)!, ticks };
}

function axis(scale: Scale, gridIndex: number) {
  return {
    type: 'value',
    gridIndex,
    min: scale.min,
    max: scale.max,
    interval: scale.ticks[1]! - scale.ticks[0]!,
    axisLine: { lineStyle: { color: faint }, onZero: false },
    axisTick: { customValues: scale.ticks, length: 4 },
    axisLabel: {
      customValues: scale.ticks,
      color: faint,
      fontSize: 11,
      formatter: (value: number) => value.toLocaleString('en').replace('-', '−'),
    },
  };
}

/** Labels right of the last points, pushed apart and kept within the panel. */
function endLabels(lines: readonly Line[], box: Box, { x, y }: { x: Scale; y: Scale }) {
  const labels = lines
    .map(({ label, color, points: all }) => {
      const [lastX, lastY] = all.at(-1)!;
      return {
        label,
        color,
        x: box.left + ((lastX - x.min) / (x.max - x.min)) * box.width + 7,
        y: box.top + ((y.max - lastY) / (y.max - y.min)) * box.height,
      };
    })
    .sort((a, b) => a.y - b.y);
  const spacing = Math.min(labelHeight, box.height / Math.max(labels.length - 1, 1));
  for (let i = 1; i < labels.length; i++) labels[i]!.y = Math.max(labels[i]!.y, labels[i - 1]!.y + spacing);
  let limit = box.top + box.height;
  for (const label of labels.reverse()) {
    label.y = Math.min(label.y, limit);
    limit = label.y - spacing;
  }
  return labels.map((label) => ({
    type: 'text',
    silent: true,
    style: {
      text: label.label,
      x: label.x,
      y: label.y,
      fill: label.color,
      font: `11px ${font}`,
      verticalAlign: 'middle',
    },
  }));
}

/** From blue over teal and gold to red: neighbours in the first order have neighbouring colors. */
function ramp(t: number): string {
  const stops = [
    [51, 82, 160],
    [32, 148, 139],
    [214, 160, 40],
    [190, 60, 50],
  ];
  const position = t * (stops.length - 1);
  const i = Math.min(Math.floor(position), stops.length - 2);
  const mixed = stops[i]!.map((from, c) => Math.round(from + (stops[i + 1]![c]! - from) * (position - i)));
  return `rgb(${mixed.join(',')})`;
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
