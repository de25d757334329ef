// The feature-flow panel: Theorem 1's gap against width with its fitted slope beside −½, and the coordinate check, drawn as they are computed.

import type uPlot from 'uplot';
import type { CoordinateSizes, ToPage } from '../protocol';
import { axis, Plot } from './curves';
import { byId, el } from './dom';
import { listen, send } from './link';
import { inks, particleColor, runColor } from './palette';

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

let gaps: Extract<ToPage, { type: 'flow-gap' }>[] = [];
let coordinates: CoordinateSizes[] = [];
let running = false;

export function makeFlowPanel(theme: () => string): () => void {
  const [gap, check] = [new Plot(byId('flow-gap'), 230), new Plot(byId('flow-coordinates'), 230)];
  const button = byId('flow-run');
  const draw = () => {
    byId('flow-gap').classList.toggle('empty', !gaps.length);
    byId('flow-coordinates').classList.toggle('empty', !coordinates.length);
    if (gaps.length) drawGaps(gap, theme());
    else gap.clear();
    if (coordinates.length) drawCoordinates(check, theme());
    else check.clear();
  };
  button.addEventListener('click', () => {
    if (!running) [gaps, coordinates] = [[], []];
    draw();
    send({ type: 'flow', run: !running, small: new URLSearchParams(location.search).has('small') });
  });
  listen((message) => {
    if (message.type === 'flow-gap') gaps.push(message);
    else if (message.type === 'flow-coordinates')
      coordinates = [...coordinates.filter(({ arm }) => arm !== message.sizes.arm), message.sizes];
    else if (message.type === 'flow-status') {
      running = message.running;
      button.textContent = running ? 'Stop' : 'Compute';
      const last = gaps.findLast(({ slope }) => slope !== null);
      const slope = last?.slope?.toFixed(2).replace('-', '−');
      const interval = last?.interval?.map((x) => x.toFixed(2).replace('-', '−')).join(' … ');
      byId('flow-status').replaceChildren(
        message.running ? message.text : '',
        slope ? el('strong', {}, ` slope ${slope}`) : '',
        slope ? ` (95 %: ${interval}), predicted −0.50` : '',
      );
      return;
    } else return;
    draw();
  });
  draw();
  return draw;
}

function drawGaps(plot: Plot, theme: string): void {
  const widths = gaps.map(({ width }) => width);
  const means = gaps.map(({ values }) => mean(values));
  const [least, most] = [gaps.map(({ values }) => Math.min(...values)), gaps.map(({ values }) => Math.max(...values))];
  // The predicted slope through the middle of what was measured.
  const middle = mean(means.map(Math.log)) + 0.5 * mean(widths.map(Math.log));
  const predicted = widths.map((width) => Math.exp(middle - 0.5 * Math.log(width)));
  const options = () => ({
    scales: { x: { time: false, distr: 3 as const, log: 2 as const }, y: { distr: 3 as const } },
    axes: [
      axis({ size: 24, values: (_: uPlot, all: number[]) => all.map((v) => (widths.includes(v) ? String(v) : '')) }),
      axis({
        size: 50,
        values: (_: uPlot, all: number[]) => all.map((v) => (v === null ? '' : Number(v.toPrecision(2)).toString())),
      }),
    ],
    series: [
      {},
      { stroke: `${runColor(0)}55`, width: 1, points: { show: false } },
      { stroke: `${runColor(0)}55`, width: 1, points: { show: false } },
      { stroke: inks().text, width: 1.5, dash: [6, 5], points: { show: false } },
      { stroke: runColor(0), width: 2.5, points: { show: true, size: 8, fill: runColor(0) } },
    ],
    bands: [{ series: [2, 1] as [number, number], fill: `${runColor(0)}22` }],
  });
  plot.draw(`${theme} ${gaps.length}`, options, [widths, least, most, predicted, means]);
}

function drawCoordinates(plot: Plot, theme: string): void {
  const longest = coordinates.reduce((a, b) => (b.widths.length > a.widths.length ? b : a));
  const layers = longest.updates[0]?.length ?? 0;
  const columns = coordinates.flatMap(({ updates }) =>
    Array.from({ length: layers }, (_, l) =>
      longest.widths.map((__, w) => {
        const [now, first] = [updates[w]?.[l], updates[0]?.[l]];
        return now !== undefined && first ? now / first : null;
      }),
    ),
  );
  const options = () => ({
    scales: {
      x: { time: false, distr: 3 as const, log: 2 as const },
      y: { range: (_: uPlot, __: number, most: number): uPlot.Range.MinMax => [0, Math.max(2, most * 1.1)] },
    },
    axes: [
      axis({
        size: 24,
        values: (_: uPlot, all: number[]) => all.map((v) => (longest.widths.includes(v) ? `×${v}` : '')),
      }),
      axis({ size: 34 }),
    ],
    series: [
      {},
      ...coordinates.flatMap(({ arm }) =>
        Array.from({ length: layers }, (_, l) => ({
          stroke: arm === 'mean-field' ? particleColor(l, layers) : inks().text,
          ...(arm === 'standard' && { dash: [4, 4] }),
          ...{ width: arm === 'mean-field' ? 2 : 1, points: { show: arm === 'mean-field', size: 6 } },
        })),
      ),
    ],
  });
  plot.draw(`${theme} ${coordinates.map(({ arm, widths }) => arm + widths.length)}`, options, [
    longest.widths,
    ...columns,
  ]);
}
