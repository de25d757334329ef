// Charts: rows of panels with lines, as one SVG document, drawn by echarts without a DOM. Lines are labelled where they end;
// the labels are placed here, because echarts lets end labels overlap.

import { LineChart } from 'echarts/charts';
import { GraphicComponent, GridComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { at, fromEnd } from '../../shaders/checked';

use([LineChart, GridComponent, TitleComponent, GraphicComponent, SVGRenderer]);

export type Point = [x: number, y: number];

export interface Line {
  label: string;
  color: string;
  points: Point[];
  width?: number;
  /** Of a line that nobody measured: a fit, a prediction. */
  dashed?: boolean;
  /** Dots alone, without a line or a label beside them. */
  dots?: boolean;
  /** Drawn as steps that hold each value until the next point, filled below: the outline of a histogram. */
  stepped?: boolean;
}

export interface Panel {
  title: string;
  xName: string;
  lines: Line[];
  /** Whether the vertical axis begins at zero. */
  fromZero: boolean;
  /** Whether the horizontal axis spans the points; by default it begins at zero and has whole numbers, as steps and epochs do. */
  freeX?: boolean;
  /** Axes with logarithmic scales; their points must be positive. */
  log?: 'x' | 'y' | 'xy';
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
const panelHeight = 250;
const labelHeight = 12;

/** Draws rows of panels under a title as an SVG document, `width` pixels wide. Points must be finite numbers. */
export function drawChart(title: string, subtitle: string, rows: readonly (readonly Panel[])[], width = 960): string {
  const height = 52 + rows.length * panelHeight;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  const parts = rows.flatMap((row, r) =>
    row.map(onLogAxes).map((panel, column) => {
      const cell = (width - 20) / row.length;
      const labels = 12 + 6.2 * Math.max(...panel.lines.map((line) => (line.dots ? 0 : line.label.length)), 0);
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
      { text: subtitle, left: 14, top: 33, textStyle: { fontSize: 12, fontWeight: 'normal', color: faint } },
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
      panel.lines.map(({ label, color, points, width: lineWidth = 1.8, dashed, dots, stepped = false }) => ({
        type: 'line',
        name: `${panel.title}: ${label}`,
        xAxisIndex: index,
        yAxisIndex: index,
        data: points,
        color,
        lineStyle: { width: dots ? 0 : lineWidth, type: dashed ? 'dashed' : 'solid' },
        showSymbol: dots || (points.length <= 12 && !stepped && !dashed),
        symbol: 'circle',
        symbolSize: 5,
        ...(stepped && { step: 'end', areaStyle: { opacity: 0.25 } }),
        silent: true,
      })),
    ),
    graphic: parts.flatMap(({ panel, box, scale }) => endLabels(panel, box, scale)),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

interface Scale {
  min: number;
  max: number;
  ticks: number[];
  /** Ticks are logarithms to the base 10. */
  log?: boolean;
}

/** The panel with the logarithms of its points where an axis is logarithmic. */
function onLogAxes(panel: Panel): Panel {
  const { log = '' } = panel;
  const at = (axis: string, value: number) => (log.includes(axis) ? Math.log10(value) : value);
  const lines = panel.lines.map((line) => ({
    ...line,
    points: line.points.map(([x, y]): Point => [at('x', x), at('y', y)]),
  }));
  return { ...panel, lines };
}

function scaleOf(panel: Panel): { x: Scale; y: Scale } {
  const all = panel.lines.flatMap((line) => line.points);
  if (all.length === 0) return { x: ticked(0, 1, 1), y: ticked(0, 1, 1) };
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const { log = '' } = panel;
  const y = log.includes('y')
    ? decades(Math.min(...ys), Math.max(...ys), 5)
    : ticked(panel.fromZero ? 0 : Math.min(...ys), Math.max(...ys) || (panel.fromZero ? 1 : 0), 5);
  if (log.includes('x')) return { x: decades(Math.min(...xs), Math.max(...xs), 6), y };
  if (panel.freeX) return { x: ticked(Math.min(...xs), Math.max(...xs), 6), y };
  const max = Math.max(...xs, 1);
  const x = ticked(0, max, 6, 1);
  return { x: { ...x, max, ticks: x.ticks.filter((tick) => tick <= max) }, y };
}

/** Ticks at multiples of 1, 2 or 5 times a power of ten that enclose [low, high]. */
function ticked(low: number, high: number, count: number, least = 0): Scale {
  const rough = Math.max((high - low) / count, least, Math.abs(high) * 1e-6, 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough) + 1e-9);
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  // Rounded, since 3 · 0.1 is not 0.3.
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  return { min: at(ticks, 0), max: fromEnd(ticks, 1), ticks };
}

/** Ticks of a logarithmic axis: powers of 10, every k-th where there are many, with 2 and 5 between where there are few. */
function decades(low: number, high: number, count: number): Scale {
  const [first, last] = [Math.floor(low), Math.ceil(high)];
  const step = Math.max(1, Math.ceil((last - first) / count));
  const factors = last - first <= 2 ? [1, 2, 5] : [1];
  const all = Array.from({ length: Math.ceil((last - first) / step) + 1 }, (_, i) =>
    factors.map((factor) => first + i * step + Math.log10(factor)),
  ).flat();
  // The nearest ticks outside of the points, and those between.
  const min = Math.max(...all.filter((tick) => tick <= low + 1e-9));
  const max = Math.min(...all.filter((tick) => tick >= high - 1e-9 && tick > min));
  return { min, max, ticks: all.filter((tick) => tick >= min && tick <= max), log: true };
}

function axis(scale: Scale, gridIndex: number) {
  return {
    type: 'value',
    gridIndex,
    min: scale.min,
    max: scale.max,
    interval: scale.log ? scale.max - scale.min : at(scale.ticks, 1) - at(scale.ticks, 0),
    axisLine: { lineStyle: { color: faint }, onZero: false },
    axisTick: { customValues: scale.ticks, length: 4 },
    axisLabel: {
      customValues: scale.ticks,
      color: faint,
      fontSize: 11,
      formatter: (value: number) =>
        scale.log ? power(value) : value.toLocaleString('en', { maximumFractionDigits: 6 }).replace('-', '−'),
    },
  };
}

/** 10 to the power: 0.05, 200, 10⁻⁷. */
function power(exponent: number): string {
  const value = Number((10 ** exponent).toPrecision(3));
  if (value >= 1e-3 && value < 1e5) return value.toLocaleString('en', { maximumSignificantDigits: 3 });
  const digits = [...String(Math.floor(exponent + 1e-9))].map((c) => (c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)]));
  const factor = Math.round(value / 10 ** Math.floor(exponent + 1e-9));
  return `${factor === 1 ? '' : `${factor}·`}10${digits.join('')}`;
}

/** Labels right of the last points, pushed apart and kept within the panel. */
function endLabels({ lines }: Panel, box: Box, { x, y }: { x: Scale; y: Scale }) {
  const labels = lines
    .filter((line) => !line.dots)
    .map(({ label: text, color: fill, points: all }) => {
      const [lastX, lastY] = fromEnd(all, 1);
      return {
        ...{ text, fill, font: `11px ${font}`, verticalAlign: 'middle' },
        x: box.left + ((lastX - x.min) / (x.max - x.min)) * box.width + 7,
        y: box.top + ((y.max - lastY) / (y.max - y.min)) * box.height,
      };
    })
    .sort((a, b) => a.y - b.y);
  const spacing = Math.min(labelHeight, box.height / Math.max(labels.length - 1, 1));
  let least = -Infinity;
  for (const label of labels) {
    label.y = Math.max(label.y, least);
    least = label.y + spacing;
  }
  let limit = box.top + box.height;
  for (const label of labels.reverse()) {
    label.y = Math.min(label.y, limit);
    limit = label.y - spacing;
  }
  return labels.map((style) => ({ type: 'text', silent: true, style }));
}

/** The color of the i-th of n, from blue over teal and gold to red: neighbours have neighbouring colors. */
export function ramp(i: number, n: number): string {
  const stops = [
    [51, 82, 160],
    [32, 148, 139],
    [214, 160, 40],
    [190, 60, 50],
  ] as const;
  const position = n < 2 ? 0 : (i / (n - 1)) * (stops.length - 1);
  const low = Math.min(Math.floor(position), stops.length - 2);
  const mixed = at(stops, low).map((from, c) =>
    Math.round(from + (at(at(stops, low + 1), c) - from) * (position - low)),
  );
  return `rgb(${mixed.join(',')})`;
}
