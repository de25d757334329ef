// Test images and pictures of the user's own, each with what the network takes it for.

import type { Pictures, Predictions } from '../protocol';
import { byId, el } from './dom';
import { send } from './link';
import { onChange, store } from './store';

const SIDE = 32;
const AREA = SIDE * SIDE;

interface Card {
  readonly box: HTMLElement;
  readonly guess: HTMLElement;
  readonly label: number;
}

let cards: { test: Card[]; own: Card[] } = { test: [], own: [] };
let drawn: [Pictures | null, Pictures | null] = [null, null];

export function makePictures(): void {
  const [test, own] = [el('div', { class: 'pictures' }), el('div', { class: 'pictures own' })];
  const picker = el('input', {
    type: 'file',
    accept: 'image/*',
    multiple: true,
    class: 'visually-hidden',
    id: 'look',
    change: () => look(picker.files),
  });
  const drop = el(
    'label',
    { for: 'look', class: 'drop small' },
    picker,
    'Drop pictures of your own here, or choose some',
  );
  drop.addEventListener('dragover', (event) => (event.preventDefault(), event.stopPropagation()));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    look(event.dataTransfer?.files ?? null);
  });
  byId('pictures').append(test, own, drop);
  onChange(['pictures'], () => {
    const { pictures, ownPictures } = store;
    if (drawn[0] !== pictures || drawn[1] !== ownPictures) {
      drawn = [pictures, ownPictures];
      cards = { test: show(test, pictures), own: show(own, ownPictures) };
    }
    const guesses = store.predictions.get(0);
    tell(cards.test, guesses?.pictures);
    tell(cards.own, guesses?.own);
    const right = cards.test.filter(({ label }, i) => guesses?.pictures.classes[i] === label).length;
    byId('score').textContent =
      guesses && pictures
        ? `test images, and what the network takes them for: ${right} of ${pictures.count} right`
        : pictures
          ? 'test images'
          : '';
  });
}

function look(files: FileList | null): void {
  const images = [...(files ?? [])].filter(({ type }) => type.startsWith('image/')).slice(0, 24);
  if (images.length) send({ type: 'look', files: images });
}

function show(box: HTMLElement, pictures: Pictures | null): Card[] {
  if (!pictures) {
    box.replaceChildren();
    return [];
  }
  const made = Array.from({ length: pictures.count }, (_, i): Card => {
    const canvas = el('canvas', { width: SIDE, height: SIDE, 'aria-hidden': 'true' });
    const context = canvas.getContext('2d');
    const image = new ImageData(SIDE, SIDE);
    for (let p = 0; p < AREA; p++) {
      for (let c = 0; c < 3; c++) image.data[4 * p + c] = pictures.bytes[3 * AREA * i + AREA * c + p] ?? 0;
      image.data[4 * p + 3] = 255;
    }
    context?.putImageData(image, 0, 0);
    const label = pictures.labels[i] ?? -1;
    const guess = el('figcaption', {}, label >= 0 ? name(label) : '…');
    return { box: el('figure', { class: 'picture' }, canvas, guess), guess, label };
  });
  box.replaceChildren(...made.map((card) => card.box));
  return made;
}

const name = (label: number): string => (store.classes[label] ?? `class ${label}`).replaceAll('_', ' ');

function tell(list: readonly Card[], guesses: Predictions | null | undefined): void {
  for (const [i, { box, guess, label }] of list.entries()) {
    const found = guesses?.classes[i];
    if (found === undefined) {
      delete box.dataset.right;
      guess.textContent = label >= 0 ? name(label) : '…';
      continue;
    }
    const percent = Math.round(100 * (guesses?.probabilities[i] ?? 0));
    guess.textContent = name(found);
    box.style.setProperty('--sure', `${percent}%`);
    if (label >= 0) box.dataset.right = String(found === label);
    box.title = label >= 0 ? `${name(found)}, ${percent} %. It is: ${name(label)}` : `${name(found)}, ${percent} %`;
  }
}
