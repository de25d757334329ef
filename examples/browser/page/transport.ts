// Start, pause, step, reset; the rate while it runs; what the run says in numbers and in a sentence.

import { chosen } from './controls';
import { byId, el } from './dom';
import { send } from './link';
import { onChange, store } from './store';

const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, maximumFractionDigits: 1 });

function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let i = 0;
  for (; bytes >= 1000 && i < units.length - 1; i++) bytes /= 1000;
  return `${number.format(bytes)} ${units[i]}`;
}

export function makeTransport(): void {
  const main = el('button', { type: 'button', class: 'primary', id: 'go', click: go }, 'Start');
  const step = el(
    'button',
    {
      type: 'button',
      id: 'step',
      click: () => send(store.runs.length ? { type: 'step' } : { type: 'start', settings: chosen() }),
    },
    'Step',
  );
  const reset = el('button', { type: 'button', id: 'reset', click: () => send({ type: 'reset' }) }, 'Reset');
  const slider = el('input', { id: 'rate', type: 'range', min: -5, max: 3, step: 0.25, value: 0, input: setRate });
  const rate = el('output', { for: 'rate', id: 'rate-value' });
  byId('buttons').append(
    main,
    step,
    reset,
    el('div', { class: 'rate' }, el('label', { for: 'rate' }, 'Learning rate'), slider, rate),
  );

  const gauges = Object.fromEntries(
    (['Step', 'Epoch', 'Images/s', 'GPU memory', 'Launches a step', 'Parameters'] as const).map((name) => {
      const value = el('dd', {}, '–');
      byId('gauges').append(el('div', {}, el('dt', {}, name), value));
      return [name, value];
    }),
  );

  onChange(['run'], () => {
    const { phase, runs, histories, settings } = store;
    const running = phase === 'running';
    const idle = runs.length ? 'Start again' : 'Start';
    write(main, running ? 'Pause' : runs.length && phase === 'paused' ? 'Resume' : idle);
    main.disabled = phase === 'preparing' || phase === 'missing';
    step.disabled = phase !== 'paused';
    reset.disabled = !runs.length;
    slider.disabled = !runs.length;
    if (document.activeElement !== slider) slider.value = String(Math.log2(store.rate));
    const point = histories[0]?.points.at(-1);
    write(rate, (point?.lr ?? chosen().lr * store.rate).toPrecision(2));
    const { imagesPerSecond, bytes, launches } = store.gauges;
    const show = (name: string, text: string) => write(gauges[name], text);
    show('Step', point ? String(point.step) : '–');
    show('Epoch', point ? `${Math.max(1, point.epoch)} / ${settings.epochs}` : '–');
    show('Images/s', imagesPerSecond ? number.format(imagesPerSecond) : '–');
    show('GPU memory', bytes ? bytesText(bytes) : '–');
    show('Launches a step', launches ? String(launches) : '–');
    show('Parameters', runs.length ? runs.map(({ parameters }) => parameters.toLocaleString('en')).join(' + ') : '–');
    const adapter = phase === 'missing' ? 'no WebGPU' : store.adapter || 'looking for a GPU …';
    write(byId('adapter'), adapter);
    write(byId('status'), store.message || sentence());
    store.saidAt = Math.min(store.saidAt, performance.now());
    byId('status').dataset.phase = phase;
    document.body.dataset.phase = phase;
  });
  summarise();
}

/** Sets a text that has changed; the same one set again would be laid out again, and read aloud again. */
function write(element: HTMLElement | undefined, text: string): void {
  if (element && element.textContent !== text) element.textContent = text;
}

function go(): void {
  if (store.phase === 'running') send({ type: 'pause' });
  else if (store.phase === 'paused' && store.runs.length) send({ type: 'resume' });
  else send({ type: 'start', settings: chosen() });
}

function setRate(event: Event): void {
  store.rate = 2 ** Number((event.target as HTMLInputElement).value);
  send({ type: 'rate', factor: store.rate });
}

function sentence(): string {
  switch (store.phase) {
    case 'idle':
      return 'Choose a preset and press Start.';
    case 'running':
      return store.savedStep ? `Running. Saved in this browser at step ${store.savedStep}.` : 'Running.';
    case 'paused':
      return store.savedStep ? `Paused. Saved at step ${store.savedStep}: you may close this tab.` : 'Paused.';
    case 'finished':
      return 'Finished.';
    default:
      return '';
  }
}

/** A sentence for screen readers every ten seconds, and whenever the phase changes or there is news, such as a file that is refused. */
function summarise(): void {
  let phase = '';
  let news = '';
  let at = 0;
  onChange(['run'], () => {
    const now = performance.now();
    const told = news;
    news = store.news;
    if (news && news !== told) {
      byId('summary').textContent = news;
      return;
    }
    if (store.phase === phase && (store.phase !== 'running' || now < at)) return;
    phase = store.phase;
    at = now + 10_000;
    const parts = store.runs.map(({ label }, i) => {
      const history = store.histories[i];
      const point = history?.points.at(-1);
      const crossed = history?.crossings.length ? `, ${history.crossings.length} crossings` : '';
      return point && point.step > 0 ? `${label}: step ${point.step}, loss ${point.loss.toFixed(2)}${crossed}` : '';
    });
    byId('summary').textContent = [phase, ...parts].filter(Boolean).join('. ');
  });
}
