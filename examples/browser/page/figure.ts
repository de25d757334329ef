// The figure to take away: loss, error and the particles' times of the experiment as one SVG document, and as PNG.

import type { History, RunInfo } from '../protocol';
import { thinned } from './curves';
import { inks, particleColor, runColor } from './palette';
import { shownRun, timesOf } from './particles';
import { store } from './store';

type Points = readonly (readonly [x: number, y: number])[];

interface Line {
  readonly color: string;
  readonly points: Points;
  readonly dots?: boolean;
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
  /** Where particles crossed, in the colours of both. */
  readonly rings?: readonly { readonly at: readonly [number, number]; readonly colors: readonly [string, string] }[];
}

const [WIDTH, HEIGHT, LEFT, TOP] = [420, 240, 44, 34];
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** The experiment so far, in the colours of the light theme. */
export function drawFigure(): string {
  const { runs, histories, settings } = store;
  const panels = [
    { title: 'Training loss', lines: runs.map((run) => lossOf(run, histories[run.id])) },
    { title: 'Test error, %', lines: runs.flatMap((run) => errorOf(run, histories[run.id])) },
    ...particlePanels(),
  ].filter(({ lines }) => lines.some(({ points }) => points.length));
  const columns = Math.min(2, Math.max(1, panels.length));
  const rows = Math.ceil(panels.length / columns);
  const [width, height] = [columns * WIDTH + 24, rows * HEIGHT + 56];
  const title = `${runs.map(({ model }) => model).join(' and ')} on ${settings.data}, seed ${settings.seed}`;
  const body = panels.map((panel, i) => draw(panel, 12 + (i % columns) * WIDTH, 44 + Math.floor(i / columns) * HEIGHT));
  const names = runs.map(
    ({ label, id }) => `<tspan fill="${runColor(id, false)}" font-weight="600">${escaped(label)}</tspan>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/><text x="16" y="28" font-size="15" fill="#22262b">${escaped(title)}  ${names.join('  ')}</text>${body.join('')}</svg>`;
}

const finite = (points: [number, number][]): [number, number][] => points.filter(([, y]) => Number.isFinite(y));

function lossOf({ id }: RunInfo, history: History | undefined): Line {
  const points = history?.points ?? [];
  const [steps, losses] = [
    thinned(
      points.map(({ step }) => step),
      400,
    ),
    thinned(
      points.map(({ loss }) => loss),
      400,
    ),
  ];
  return { color: runColor(id, false), points: finite(steps.map((step, i) => [step, losses[i] ?? Number.NaN])) };
}

function errorOf({ id }: RunInfo, history: History | undefined): Line[] {
  const points = finite((history?.epochs ?? []).map(({ step, testError }) => [step, testError ?? Number.NaN]));
  const color = runColor(id, false);
  return [
    { color, points },
    { color, points, dots: true },
  ];
}

function particlePanels(): Panel[] {
  const run = shownRun();
  const [info, history] = [store.runs[run], store.histories[run]];
  if (!info?.particles || !history) return [];
  const every = Math.ceil(history.points.length / 400);
  const points = history.points.filter((_, i) => i % every === 0 || i === history.points.length - 1);
  const at = new Map(history.points.map((point) => [point.step, point]));
  return info.stages.map(({ name, blocks }, stage) => {
    const n = blocks.length;
    const times = points.map((point) => timesOf(point, stage));
    const lines = blocks.map((_, i) => ({
      color: particleColor(i, n, false),
      points: finite(points.map(({ step }, k) => [step, times[k]?.[i] ?? Number.NaN])),
    }));
    const rings = history.crossings
      .filter((crossing) => crossing.stage === stage)
      .flatMap(({ step, a, b }) => {
        const point = at.get(step);
        if (!point) return [];
        const now = timesOf(point, stage);
        const colors = [particleColor(a, n, false), particleColor(b, n, false)] as const;
        return [{ at: [step, ((now[a] ?? 0) + (now[b] ?? 0)) / 2] as const, colors }];
      });
    return { title: `Times τ of ${name}`, lines, rings };
  });
}

/** Four round numbers or so between two. */
function ticks(least: number, most: number): number[] {
  const rough = (most - least) / 4 || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * size).find((s) => s >= rough) ?? rough;
  const found: number[] = [];
  for (let t = Math.ceil(least / step) * step; t <= most + 1e-9; t += step) found.push(Number(t.toPrecision(6)));
  return found;
}

function draw({ title, lines, rings = [] }: Panel, x0: number, y0: number): string {
  const { text, grid, line: ink } = inks(false);
  const all = lines.flatMap(({ points }) => points);
  const range = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
  const [[x1, x2], [y1, y2]] = [range(all.map(([x]) => x)), range(all.map(([, y]) => y))];
  const [width, height] = [WIDTH - LEFT - 16, HEIGHT - TOP - 30];
  const x = (v: number) => (x0 + LEFT + ((v - x1) / (x2 - x1 || 1)) * width).toFixed(1);
  const y = (v: number) => (y0 + TOP + height - ((v - y1) / (y2 - y1 || 1)) * height).toFixed(1);
  const gridLines = ticks(y1, y2).map(
    (t) =>
      `<path d="M${x0 + LEFT} ${y(t)}h${width}" stroke="${grid}"/><text x="${x0 + LEFT - 6}" y="${y(t)}" dy="4" text-anchor="end" fill="${text}">${String(t).replace('-', '−')}</text>`,
  );
  const bottom = ticks(x1, x2).map(
    (t) => `<text x="${x(t)}" y="${y0 + HEIGHT - 12}" text-anchor="middle" fill="${text}">${t}</text>`,
  );
  const drawn = lines.map(({ color, points, dots }) =>
    dots
      ? points.map(([a, b]) => `<circle cx="${x(a)}" cy="${y(b)}" r="3" fill="${color}"/>`).join('')
      : `<polyline points="${points.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}" fill="none" stroke="${color}" stroke-width="1.8" stroke-linejoin="round"/>`,
  );
  const marks = rings.map(({ at: [a, b], colors: [one, other] }) => {
    const [cx, cy] = [Number(x(a)), Number(y(b))];
    const half = (color: string, way: 0 | 1) =>
      `<path d="M${cx - 4} ${cy}a4 4 0 0 ${way} 8 0" fill="none" stroke="${color}" stroke-width="1.8"/>`;
    return half(one, 1) + half(other, 0);
  });
  return `<g><text x="${x0 + 4}" y="${y0 + 18}" fill="${ink}" font-weight="600">${escaped(title)}</text>${[...gridLines, ...bottom, ...drawn, ...marks].join('')}</g>`;
}

/** An SVG document at twice its size. */
export async function toPng(text: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('this browser makes no PNG of it'))), 'image/png'),
  );
}
