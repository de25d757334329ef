// The order of the blocks: a tile each, in the colour of its particle. Tiles change places as the particles do; a click switches a block off.

import type { Block, RunInfo } from '../protocol';
import { byId, el, reducedMotion } from './dom';
import { send } from './link';
import { particleColor } from './palette';
import { shownRun } from './particles';
import { onChange, store } from './store';

let off: Block[] = [];
let run = 0;
let made = '';
/** The runs whose blocks these are. */
let of: readonly RunInfo[] = [];
const tiles = new Map<string, HTMLButtonElement>();

const keyOf = ({ stage, particle }: Block): string => `${stage}.${particle}`;

export function makeTiles(theme: () => string): void {
  const box = byId('tiles');
  onChange(['particles'], () => {
    run = shownRun();
    const info = store.runs[run];
    const stages = store.histories[run]?.points.at(-1)?.stages;
    const wanted = info && stages ? `${theme()} ${info.id} ${info.model} ${store.histories.length}` : '';
    if (!info || !stages) {
      if (made !== '' || box.childElementCount === 0)
        box.replaceChildren(el('p', { class: 'nothing small' }, 'The blocks of the network will stand here.'));
      made = '';
      return;
    }
    if (made !== wanted) {
      made = wanted;
      if (of !== store.runs) off = []; // in another theme they stay off
      of = store.runs;
      tiles.clear();
      box.replaceChildren(...info.stages.map(({ name, blocks }, stage) => row(name, blocks.length, stage)));
    }
    for (const [stage, { order, tau }] of stages.entries()) arrange(stage, order, tau);
  });
  onChange(['lesion', 'run'], tell);
}

function row(name: string, n: number, stage: number): HTMLElement {
  const list = el('div', { class: 'tiles', role: 'group', 'aria-label': name, id: `tiles-${stage}` });
  for (let particle = 0; particle < n; particle++) {
    const block = { stage, particle };
    const button = el(
      'button',
      {
        type: 'button',
        class: 'tile',
        style: `--ink:${particleColor(particle, n)}`,
        'aria-pressed': String(off.some((other) => keyOf(other) === keyOf(block))),
        click: () => toggle(block),
      },
      el('span', { class: 'visually-hidden' }, 'Block '),
      el('span', { class: 'tile-name' }, String(particle + 1)),
      el('span', { class: 'tile-step' }),
    );
    tiles.set(keyOf(block), button);
    list.append(button);
  }
  return el('div', { class: 'tile-row' }, el('h3', {}, name), list);
}

/** Puts the tiles of a stage into order; each slides from where it was. */
function arrange(stage: number, order: readonly number[], tau: readonly number[]): void {
  const list = document.getElementById(`tiles-${stage}`);
  if (!list) return;
  const wanted = order.flatMap((particle) => tiles.get(keyOf({ stage, particle })) ?? []);
  const moves = wanted.some((tile, i) => list.children[i] !== tile);
  const before = moves && !reducedMotion() ? new Map(wanted.map((tile) => [tile, tile.getBoundingClientRect()])) : null;
  if (moves) {
    const { activeElement } = document;
    list.append(...wanted);
    if (activeElement instanceof HTMLElement && list.contains(activeElement))
      activeElement.focus({ preventScroll: true });
  }
  for (const [position, tile] of wanted.entries()) {
    const step = (tau[position] ?? 0) - (position ? (tau[position - 1] ?? 0) : 0);
    const text = `Δτ ${step.toFixed(3).replace('-', '−')}`;
    const label = tile.querySelector('.tile-step');
    if (label && label.textContent !== text) {
      label.textContent = text;
    }
    const from = before?.get(tile);
    if (!from) continue;
    const to = tile.getBoundingClientRect();
    const [dx, dy] = [from.left - to.left, from.top - to.top];
    if (dx || dy)
      tile.animate(
        [
          { transform: `translate(${dx}px, ${dy}px)`, zIndex: 1 },
          { transform: 'none', zIndex: 1 },
        ],
        { duration: 450, easing: 'cubic-bezier(.2,.8,.2,1)' },
      );
  }
}

function toggle(block: Block): void {
  const key = keyOf(block);
  off = off.some((other) => keyOf(other) === key) ? off.filter((other) => keyOf(other) !== key) : [...off, block];
  for (const [name, tile] of tiles)
    tile.setAttribute('aria-pressed', String(off.some((other) => keyOf(other) === name)));
  byId('lesion').textContent = 'measuring …';
  send({ type: 'lesion', run, blocks: off });
}

function tell(): void {
  const { lesion } = store;
  const hint = byId('lesion');
  if (!lesion) {
    if (!off.length) hint.textContent = 'Click a block to switch it off and see the error move.';
    return;
  }
  Object.assign(hint.dataset, { loss: lesion.loss, error: lesion.error });
  if (!lesion.blocks.length) {
    hint.textContent = `test error ${lesion.error.toFixed(1)} % with every block`;
    return;
  }
  const names = lesion.blocks.map(({ stage, particle }) => `${particle + 1} of stage ${stage + 1}`).join(', ');
  const change = lesion.error - lesion.before;
  hint.replaceChildren(
    `without ${names}: test error ${lesion.before.toFixed(1)} % → `,
    el('strong', {}, `${lesion.error.toFixed(1)} %`),
    ` (${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(1)})`,
  );
}
