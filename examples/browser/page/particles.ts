// The particles' times as lines: each particle keeps its colour, a ring marks where two have crossed and were re-sorted.

import uPlot from 'uplot';
import type { Crossing, Point } from '../protocol';
import { axis, DRAWN, FONT, Plot } from './curves';
import { byId, el } from './dom';
import { inks, particleColor } from './palette';
import { onChange, store } from './store';

interface Panel {
  readonly plot: Plot;
  readonly title: HTMLElement;
  readonly box: HTMLElement;
  readonly stage: number;
  crossings: readonly Crossing[];
}

let panels: Panel[] = [];

/** The run whose particles are shown: the first one that has some. */
export const shownRun = (): number =>
  Math.max(
    0,
    store.runs.findIndex(({ particles }) => particles),
  );

/** The time of each particle of a stage, by its number. */
export function timesOf({ stages }: Point, stage: number): number[] {
  const { order = [], tau = [] } = stages[stage] ?? {};
  const times: number[] = [];
  for (const [position, particle] of order.entries()) times[particle] = tau[position] ?? Number.NaN;
  return times;
}

export function makeParticles(theme: () => string): void {
  const box = byId('particles');
  const recorded = [...box.children]; // what the page opens with
  let made = 'none of 0';
  onChange(['particles'], () => {
    const run = shownRun();
    const info = store.runs[run];
    const history = store.histories[run];
    if (!info?.particles || !history) {
      const wanted = `none of ${store.runs.length}`;
      if (made !== wanted)
        box.replaceChildren(...(store.runs.length ? [el('div', { class: 'nothing' }, el('p', {}, NONE))] : recorded));
      [made, panels] = [wanted, []];
      byId('crossings').textContent = '';
      return;
    }
    const wanted = `${theme()} ${info.model} ${info.id}`;
    if (made !== wanted) {
      made = wanted;
      for (const { plot } of panels) plot.clear();
      panels = info.stages.map(({ name, blocks }, stage) => {
        const title = el('h3', {}, `${name}, ${blocks.length} ${blocks.length === 1 ? 'particle' : 'particles'}`);
        const plotBox = el('div', { class: 'plot', role: 'img', 'aria-label': `Times of the particles of ${name}` });
        return { plot: new Plot(plotBox, 250), title, box: plotBox, stage, crossings: [] };
      });
      box.replaceChildren(...panels.map((panel) => el('div', {}, panel.title, panel.box)));
    }
    const { length } = history.crossings;
    byId('crossings').textContent = length
      ? `${length} ${length === 1 ? 'crossing' : 'crossings'}, the last at step ${history.crossings.at(-1)?.step}`
      : 'no crossing yet';
  });
  for (const stage of [0, 1, 2]) onChange(['particles'], () => drawPanel(stage, made));
}

/** The lines of one stage. */
function drawPanel(stage: number, made: string): void {
  const [panel, run] = [panels[stage], shownRun()];
  const [info, history] = [store.runs[run], store.histories[run]];
  if (!panel || !info || !history) return;
  panel.crossings = history.crossings.filter((crossing) => crossing.stage === stage);
  const points = sample(history.points);
  const n = info.stages[stage]?.blocks.length ?? 0;
  const byPoint = points.map((point) => timesOf(point, stage));
  const columns = Array.from({ length: n }, (_, i) => byPoint.map((times) => times[i] ?? null));
  panel.plot.draw(`${made} ${n}`, () => options(panel, n), [points.map(({ step }) => step), ...columns]);
}

const NONE =
  'This network has no particles: its blocks stand where they are. Choose a mean-field ResNet to see them move.';

/** So many points as can be seen, the last one always. */
function sample(points: readonly Point[]): Point[] {
  const every = Math.ceil(points.length / DRAWN);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

function options(panel: Panel, n: number) {
  return {
    scales: { x: { time: false } },
    axes: [
      axis({ label: 'step', labelSize: 18, labelFont: FONT, size: 24 }),
      axis({ label: 'time τ', labelSize: 18, labelFont: FONT, size: 40 }),
    ],
    series: [
      {},
      ...Array.from({ length: n }, (_, i) => ({ stroke: particleColor(i, n), width: 2, points: { show: false } })),
    ],
    hooks: { draw: [(plot: uPlot) => mark(plot, panel, n)] },
  };
}

/** A ring where the lines of two particles meet, half in the colour of each. */
function mark(plot: uPlot, { crossings, stage }: Panel, n: number): void {
  const history = store.histories[shownRun()];
  if (!history || !crossings.length) return;
  const { ctx } = plot;
  const radius = 4.5 * uPlot.pxRatio;
  const at = new Map(history.points.map((point) => [point.step, point]));
  ctx.save();
  ctx.lineWidth = 2 * uPlot.pxRatio;
  for (const { step, a, b } of crossings) {
    const point = at.get(step);
    if (!point) continue;
    const times = timesOf(point, stage);
    const x = plot.valToPos(step, 'x', true);
    const y = plot.valToPos(((times[a] ?? 0) + (times[b] ?? 0)) / 2, 'y', true);
    ctx.fillStyle = `${inks().line}22`;
    for (const [half, particle] of [a, b].entries()) {
      ctx.beginPath();
      ctx.strokeStyle = particleColor(particle, n);
      ctx.arc(x, y, radius, half * Math.PI, (half + 1) * Math.PI);
      ctx.stroke();
    }
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}
