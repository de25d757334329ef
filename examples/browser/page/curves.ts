// The curves of loss and error: both runs in one picture.

import uPlot from 'uplot';
import { byId, el } from './dom';
import { inks, runColor } from './palette';
import { onChange, store } from './store';

type Column = (number | null | undefined)[];

/** A plot that fits its box, with the page's ink. `data` are columns of the same length. */
export class Plot {
  #plot: uPlot | null = null;
  #shape = '';
  readonly #box: HTMLElement;

  constructor(
    box: HTMLElement,
    readonly height: number,
  ) {
    this.#box = box;
    new ResizeObserver(() => {
      if (this.#plot) this.#plot.setSize({ width: this.#width, height: this.height });
    }).observe(box);
  }

  get #width(): number {
    return Math.max(160, this.#box.clientWidth);
  }

  /** Draws; where series or theme differ from before (`shape`), the plot is made again. */
  draw(shape: string, options: () => Partial<uPlot.Options> & { series: uPlot.Series[] }, data: Column[]): void {
    if (this.#plot && shape === this.#shape) {
      this.#plot.setData(data as uPlot.AlignedData);
      return;
    }
    this.clear();
    this.#shape = shape;
    const given = options();
    this.#plot = new uPlot(
      {
        ...{ width: this.#width, height: this.height, legend: { show: false }, ...given },
        cursor: { y: false, points: { size: 6 }, drag: { x: true, y: false }, ...given.cursor },
      },
      data as uPlot.AlignedData,
      this.#box,
    );
  }

  clear(): void {
    this.#plot?.destroy();
    this.#plot = null;
    this.#shape = '';
  }
}

export const FONT = '12px system-ui, sans-serif';

/** An axis in the page's ink. */
export const axis = (more: uPlot.Axis = {}): uPlot.Axis => {
  const { text, grid } = inks();
  return {
    ...{ stroke: text, font: FONT, size: 34, gap: 4, ticks: { show: false }, grid: { stroke: grid, width: 1 } },
    ...more,
  };
};

/** Most points of a line that are drawn: more than there are pixels would only cost time. */
export const DRAWN = 900;

/** Means of neighbours, so that at most `DRAWN` values are left. */
export function thinned(values: readonly number[], most = DRAWN): number[] {
  const every = Math.ceil(values.length / most);
  if (every <= 1) return [...values];
  const means: number[] = [];
  for (let i = 0; i < values.length; i += every) {
    const some = values.slice(i, i + every).filter(Number.isFinite);
    means.push(some.reduce((sum, x) => sum + x, 0) / Math.max(1, some.length));
  }
  return means;
}

/** Exponential means with a weight of 0.9 for the past: what the eye would draw through the noise. */
function smoothed(values: readonly number[]): number[] {
  let [sum, weight] = [0, 0];
  return values.map((x) => {
    if (!Number.isFinite(x)) return Number.NaN;
    [sum, weight] = [0.9 * sum + 0.1 * x, 0.9 * weight + 0.1];
    return sum / weight;
  });
}

const plain = (values: readonly number[]): Column => values.map((x) => (Number.isFinite(x) ? x : null));

export function makeCurves(theme: () => string): void {
  const loss = new Plot(byId('loss'), 210);
  const error = new Plot(byId('error'), 210);
  const began = () => store.histories.some(({ points }) => points.length > 1);
  const shape = () => `${theme()} ${store.runs.map(({ model }) => model).join(' ')}`;
  onChange(['curves'], () => {
    const { runs } = store;
    byId('loss').classList.toggle('empty', !began());
    byId('legend').replaceChildren(
      ...runs.map(({ label, id }) => el('span', { style: `--ink:${runColor(id)}` }, label)),
    );
    if (began()) loss.draw(shape(), lossOptions, lossData());
    else loss.clear();
  });
  onChange(['curves'], () => {
    byId('error').classList.toggle('empty', !began());
    if (began()) error.draw(shape(), errorOptions, errorData());
    else error.clear();
  });
}

const lossOptions = () => ({
  scales: { x: { time: false } },
  axes: [axis({ label: 'step', labelSize: 18, labelFont: FONT, size: 24 }), axis()],
  series: [
    {},
    ...store.runs.flatMap(({ id }) => [
      { stroke: `${runColor(id)}40`, width: 1, points: { show: false } },
      { stroke: runColor(id), width: 2, points: { show: false } },
    ]),
  ],
});

function lossData(): Column[] {
  const tables = store.histories.map(({ points }) => {
    const losses = points.map((point) => point.loss);
    const steps = thinned(points.map(({ step }) => step));
    return [steps, plain(thinned(losses)), plain(thinned(smoothed(losses)))] as uPlot.AlignedData;
  });
  return joined(tables);
}

const errorOptions = () => ({
  scales: {
    x: { time: false },
    y: { range: (_: uPlot, __: number, most: number): uPlot.Range.MinMax => [0, Math.min(100, Math.max(20, most))] },
  },
  axes: [axis({ label: 'step', labelSize: 18, labelFont: FONT, size: 24 }), axis()],
  series: [
    {},
    ...store.runs.flatMap(({ id }) => [
      { stroke: runColor(id), width: 1.5, points: { show: false } },
      { stroke: runColor(id), paths: () => null, points: { show: true, size: 7, fill: runColor(id) } },
    ]),
  ],
});

function errorData(): Column[] {
  const tables = store.histories.flatMap(({ points, epochs }) => {
    const training: uPlot.AlignedData = [
      thinned(points.map(({ step }) => step)),
      plain(thinned(points.map((point) => point.error))),
    ];
    const tested = epochs.filter(({ testError }) => testError !== undefined);
    const test: uPlot.AlignedData = [tested.map(({ step }) => step), tested.map(({ testError }) => testError ?? null)];
    return [training, test];
  });
  return joined(tables);
}

/** Tables with steps of their own as one: a gap belongs to another table, so lines pass over it. */
function joined(tables: uPlot.AlignedData[]): Column[] {
  if (tables.length === 1 && tables[0]) return [...tables[0]] as Column[];
  const modes = tables.map((table) => table.map(() => 2));
  return uPlot
    .join(tables, modes as uPlot.JoinNullMode[][])
    .map((column) => [...(column as Column)].map((x) => (x === null ? undefined : x)));
}
