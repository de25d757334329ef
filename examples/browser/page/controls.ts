// The form: presets, and every setting of an experiment. What is chosen stands in the address, which is a link to it.

import {
  DATA,
  fromHash,
  LIMITS,
  NETWORKS,
  PRESETS,
  readSettings,
  SCHEDULES,
  type Settings,
  TIMES,
  toHash,
} from '../settings';
import { byId, el } from './dom';
import { send } from './link';
import { onChange, store } from './store';

interface Field {
  readonly key: keyof Settings;
  readonly label: string;
  readonly words?: Readonly<Record<string, string>>;
  readonly hint?: string;
  /** Networks that have it; all where it is not said. */
  readonly only?: readonly Settings['network'][];
}

const words = (keys: readonly string[], names: readonly string[]) =>
  Object.fromEntries(keys.map((key, i) => [key, names[i] ?? key]));

const GROUPS: readonly { title: string; open: boolean; fields: readonly Field[] }[] = [
  {
    title: 'Network',
    open: true,
    fields: [
      {
        key: 'network',
        label: 'Kind',
        words: words(NETWORKS, ['mean-field', 'vanilla', 'feature flow']),
      },
      { key: 'depth', label: 'Depth', hint: '6n + 2' },
      { key: 'width', label: 'Width', hint: '× 16 … 64' },
      { key: 'compare', label: 'vanilla beside it, same seed', only: ['mean-field', 'feature-flow'] },
    ],
  },
  {
    title: 'Images',
    open: false,
    fields: [
      {
        key: 'data',
        label: 'Data',
        words: words(DATA, ['synthetic, 10', 'synthetic, 100', 'CIFAR-10', 'CIFAR-100', 'my own']),
      },
      { key: 'images', label: 'To train on', hint: '0: all' },
      { key: 'testImages', label: 'To test on', hint: '0: all' },
      { key: 'size', label: 'Pixels', hint: '16, 24, 32' },
      { key: 'augment', label: 'random crops and flips' },
    ],
  },
  {
    title: 'Times τ',
    open: false,
    fields: [
      { key: 'times', label: 'First times', words: words(TIMES, ['1 … n', 'i / n', 'random']), only: ['mean-field'] },
      { key: 'timeRate', label: 'Their rate', hint: '× rate', only: ['mean-field'] },
      { key: 'timeDecay', label: 'weight decay on them', only: ['mean-field'] },
      { key: 'sort', label: 're-sort when times cross', only: ['mean-field'] },
    ],
  },
  {
    title: 'Training',
    open: false,
    fields: [
      { key: 'epochs', label: 'Epochs' },
      { key: 'batch', label: 'Batch' },
      { key: 'lr', label: 'Learning rate' },
      { key: 'schedule', label: 'Schedule', words: words(SCHEDULES, ['÷ 10 at ½ and ¾', 'cosine', 'constant']) },
      { key: 'weightDecay', label: 'Decay', only: ['mean-field', 'vanilla'] },
      { key: 'seed', label: 'Seed' },
    ],
  },
];

let settings: Settings = fromHash(location.hash);

export const chosen = (): Settings => settings;

const inputs = new Map<keyof Settings, HTMLInputElement | HTMLSelectElement>();
const rows = new Map<Field, HTMLElement>();
let presets: HTMLSelectElement;
let about: HTMLElement;

function input({ key, words: choices, label, hint }: Field): HTMLElement {
  const id = `set-${key}`;
  if (choices) {
    const select = el(
      'select',
      { id, change },
      ...Object.entries(choices).map(([value, text]) => el('option', { value }, text)),
    );
    inputs.set(key, select);
    return el('div', { class: 'row' }, el('label', { for: id }, label), select);
  }
  const limits = LIMITS[key as keyof typeof LIMITS];
  if (!limits) {
    const box = el('input', { id, type: 'checkbox', change });
    inputs.set(key, box);
    return el('div', { class: 'row check' }, box, el('label', { for: id }, label));
  }
  const { least: min, most: max, step } = limits;
  const number = el('input', { id, type: 'number', min, max, step, change, inputmode: 'decimal' });
  inputs.set(key, number);
  const name = el('label', { for: id }, label, hint ? el('span', { class: 'unit' }, hint) : null);
  return el('div', { class: 'row' }, name, number);
}

function change(): void {
  const given = Object.fromEntries(
    [...inputs].map(([key, field]) => [
      key,
      field instanceof HTMLInputElement && field.type === 'checkbox' ? field.checked : field.value,
    ]),
  );
  choose(readSettings(given, settings));
}

/** Shows settings in the form and in the address. */
export function choose(next: Settings): void {
  const other = next.data !== settings.data;
  settings = next;
  for (const [key, field] of inputs) {
    if (field instanceof HTMLInputElement && field.type === 'checkbox') field.checked = Boolean(next[key]);
    else field.value = String(next[key]);
  }
  for (const [{ only }, row] of rows) row.hidden = Boolean(only && !only.includes(next.network));
  for (const group of document.querySelectorAll<HTMLElement>('#controls details'))
    group.hidden = [...group.querySelectorAll<HTMLElement>('.row')].every((row) => row.hidden);
  const same = PRESETS.findIndex((preset) => toHash(preset.settings) === toHash(next));
  presets.value = String(same);
  about.textContent = PRESETS[same]?.about ?? 'Settings of your own. The address of this page is a link to them.';
  const hash = toHash(next);
  history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
  if (other) send({ type: 'preview', settings: next });
}

/** Whether there is a run whose settings these are. */
const busy = (): boolean => store.runs.length > 0 && store.phase !== 'finished' && store.phase !== 'failed';

export function makeControls(): void {
  presets = el(
    'select',
    {
      id: 'preset',
      change: () => {
        const preset = PRESETS[Number(presets.value)];
        if (preset) choose({ ...preset.settings });
      },
    },
    ...PRESETS.map(({ name }, i) => el('option', { value: i }, name)),
    el('option', { value: -1, disabled: true }, 'my own settings'),
  );
  about = el('p', { class: 'about' });
  const locked = el('p', { class: 'about', id: 'locked' }, 'Reset to choose another experiment.');
  const groups = GROUPS.map(({ title, open, fields }) => {
    const body = fields.map((field) => {
      const row = input(field);
      rows.set(field, row);
      return row;
    });
    return el('details', { open }, el('summary', {}, title), ...body);
  });
  byId('controls').append(
    el('h2', {}, 'Experiment'),
    el('div', { class: 'row wide' }, el('label', { for: 'preset', class: 'visually-hidden' }, 'Preset'), presets),
    about,
    locked,
    ...groups,
  );
  byId('controls').addEventListener('submit', (event) => event.preventDefault());
  choose(settings);
  // Another link while a run is on: the form and the address stay those of the run.
  addEventListener('hashchange', () => choose(busy() ? settings : fromHash(location.hash)));
  onChange(['run'], () => {
    locked.hidden = !busy();
    for (const field of [...inputs.values(), presets]) field.disabled = busy() || store.phase === 'preparing';
  });
}
