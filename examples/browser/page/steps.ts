// A histogram of the steps Δτ of all blocks: how far each moves the image.

import { byId, el, svg } from './dom';
import { particleColor } from './palette';
import { shownRun } from './particles';
import { onChange, store } from './store';

const [WIDTH, HEIGHT, FLOOR, BINS] = [420, 190, 164, 14];

export function makeSteps(): void {
  const box = byId('steps');
  onChange(['particles'], () => {
    const run = shownRun();
    const stages = store.histories[run]?.points.at(-1)?.stages;
    if (!stages || !store.runs[run]?.particles) {
      const why = stages
        ? 'Only particles have times, and steps between them.'
        : 'The steps from one time to the next will stand here.';
      box.replaceChildren(el('p', { class: 'nothing small' }, why));
      return;
    }
    const steps = stages.flatMap(({ order, tau }) =>
      tau.map((t, i) => ({ step: t - (i ? (tau[i - 1] ?? 0) : 0), particle: order[i] ?? i, n: order.length })),
    );
    const values = steps.map(({ step }) => step);
    const [least, most] = [Math.min(0, ...values), Math.max(...values)];
    const width = (most - least || 1) / BINS;
    const bins = Array.from({ length: BINS }, () => [] as typeof steps);
    for (const one of steps) bins[Math.min(BINS - 1, Math.floor((one.step - least) / width))]?.push(one);
    const tallest = Math.max(...bins.map(({ length }) => length), 4);
    const unit = (FLOOR - 12) / tallest;
    const x = (value: number) => 10 + ((value - least) / (most - least || 1)) * (WIDTH - 20);
    const blocks = bins.flatMap((bin, i) =>
      bin
        .sort((a, b) => a.particle - b.particle)
        .map(({ particle, n }, k) =>
          svg('rect', {
            ...{ x: x(least + i * width) + 1.5, width: (WIDTH - 20) / BINS - 3, rx: 2.5 },
            ...{ y: FLOOR - (k + 1) * unit + 1, height: unit - 2, fill: particleColor(particle, n) },
          }),
        ),
    );
    const label = (value: number, anchor: string) =>
      svg('text', { x: x(value), y: HEIGHT - 6, 'text-anchor': anchor }, value.toFixed(2).replace('-', '−'));
    const negative = values.filter((step) => step < 0).length;
    const show = (value: number) => value.toFixed(3).replace('-', '−');
    const about = `${values.length} blocks, Δτ from ${show(Math.min(...values))} to ${show(most)}`;
    box.replaceChildren(
      svg(
        'svg',
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'histogram', role: 'img', 'aria-label': about },
        svg('line', { x1: 10, x2: WIDTH - 10, y1: FLOOR, y2: FLOOR, class: 'floor' }),
        ...blocks,
        least < 0 ? svg('line', { x1: x(0), x2: x(0), y1: 8, y2: FLOOR, class: 'zero' }) : null,
        label(least, 'start'),
        label(most, 'end'),
      ),
      el('p', { class: 'hint' }, negative ? `${about}; ${negative} negative` : about),
    );
  });
}
