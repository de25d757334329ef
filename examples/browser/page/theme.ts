// Light and dark: as the system has it, until the button says otherwise.

import { byId } from './dom';
import { isDark } from './palette';
import { everything } from './store';

const KEY = 'dawnfield-theme';

/** What drawings in one theme have in common. */
export const theme = (): string => (isDark() ? 'dark' : 'light');

export function makeTheme(redraw: () => void): void {
  const saved = localStorage.getItem(KEY);
  if (saved) document.documentElement.dataset.theme = saved;
  const update = () => {
    everything();
    redraw();
  };
  byId('theme').addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    localStorage.setItem(KEY, next);
    update();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', update);
}
