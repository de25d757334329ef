// The search, loaded when it is first asked for: a dialog with a field, and what is found as links. Runs in the browser.
import MiniSearch, { type SearchResult } from 'minisearch';
import type { Found } from './search';

const MOST = 30;

/** The words of a text; a name such as `crossEntropy` is also its parts, so that PyTorch's `cross_entropy` finds it. */
function words(text: string): string[] {
  const whole = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  return whole.flatMap((word) => {
    const parts = word.split(/(?<=[\p{Ll}\p{N}])(?=\p{Lu})/u);
    return parts.length > 1 ? [word, ...parts] : [word];
  });
}

const index = new MiniSearch<Found>({
  idField: 'url',
  fields: ['title', 'where', 'text'],
  storeFields: ['title', 'where', 'text', 'url'],
  tokenize: words,
  searchOptions: {
    ...{ boost: { title: 6, where: 2 }, combineWith: 'AND', prefix: true },
    fuzzy: (term) => (term.length > 4 ? 0.15 : false),
    // The name itself before those that contain it.
    boostDocument: (_, term, stored) => (String(stored?.title).toLowerCase() === term ? 3 : 1),
  },
});

const field = Object.assign(document.createElement('input'), {
  type: 'search',
  autocomplete: 'off',
  id: 'search-field',
});
field.setAttribute('aria-label', 'Search guides and reference');
field.placeholder = 'Search guides and reference';
const list = Object.assign(document.createElement('ol'), { className: 'found' });
const told = document.createElement('p');
told.setAttribute('role', 'status');
const dialog = Object.assign(document.createElement('dialog'), { id: 'search', ariaLabel: 'Search' });
dialog.append(field, told, list);
document.body.append(dialog);

/** Shows the dialog. */
export function open(): void {
  if (!dialog.open) dialog.showModal();
  field.select();
}

const element = (tag: string, text: string) => Object.assign(document.createElement(tag), { textContent: text });

/** Some words of a text around the first that was looked for. */
function around(text: string, terms: readonly string[]): string {
  const at = Math.max(0, ...terms.map((term) => text.toLowerCase().indexOf(term)).filter((place) => place > 0));
  const from = at > 60 ? text.indexOf(' ', at - 60) + 1 : 0;
  return `${from ? '… ' : ''}${text.slice(from, from + 150)}${text.length > from + 150 ? ' …' : ''}`;
}

function item(found: SearchResult): HTMLElement {
  const { title, where, text, url, terms } = found as SearchResult & Found;
  const link = Object.assign(document.createElement('a'), { href: url });
  link.append(element('strong', title), element('small', where), element('span', around(text, terms)));
  const row = document.createElement('li');
  row.append(link);
  return row;
}

function search(): void {
  const found = index.search(field.value);
  list.replaceChildren(...found.slice(0, MOST).map(item));
  const more = found.length > MOST ? `, the first ${MOST} of them here` : '';
  told.textContent = field.value.trim() ? `${found.length || 'nothing'} found${more}` : '';
}

field.addEventListener('input', search);
dialog.addEventListener('click', ({ target }) => {
  // Beside the dialog, or on a link, which may lead to this very page.
  if (target === dialog || (target as Element).closest('a')) dialog.close();
});
dialog.addEventListener('keydown', (event) => {
  const links = [...list.querySelectorAll('a')];
  const at = links.indexOf(document.activeElement as HTMLAnchorElement);
  if (event.key === 'Enter' && at < 0) links[0]?.click();
  else if (event.key === 'ArrowDown') (links[at + 1] ?? links[at])?.focus();
  else if (event.key === 'ArrowUp') (links[at - 1] ?? field).focus();
  else return;
  event.preventDefault();
});

told.textContent = 'loading …';
const places = (await (await fetch('search.json')).json()) as Found[];
index.addAll(places);
search();
