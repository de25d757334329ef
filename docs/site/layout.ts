// What stands around the text of each page: head, navigation, contents, the pages before and after.
import type { Document } from './markdown';
import { addressOf, ENTRIES, SECTIONS } from './pages';
import { REPOSITORY } from './places';
import { escaped, plain } from './text';

const MARK =
  '<svg viewBox="0 0 32 32" aria-hidden="true"><path class="a" d="M3 22C12 22 20 10 29 10"/><path class="b" d="M3 10c9 0 17 12 26 12"/></svg>';
/** What was chosen holds on every page; set before anything is drawn. */
const THEME = `const t = localStorage.getItem('theme'); if (t) document.documentElement.dataset.theme = t;`;
const SWITCH = `document.querySelector('#theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  localStorage.setItem('theme', (root.dataset.theme = dark ? 'light' : 'dark'));
});`;

/** The search is loaded when it is first asked for: by its button, by / or by Ctrl-K. */
const SEARCH = `const find = async () => (await import('./search.js')).open();
document.querySelector('#find').addEventListener('click', find);
addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, textarea, select, dialog');
  if (!(event.key === '/' && !typing) && !(event.key === 'k' && (event.ctrlKey || event.metaKey))) return;
  event.preventDefault();
  find();
});`;

export interface Frame {
  readonly title: string;
  readonly description: string;
  readonly body: string;
  /** A class of `<body>`. */
  readonly kind: 'front' | 'document';
}

/** A whole page. */
export const frame = ({ title, description, body, kind }: Frame): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escaped(description)}">
<title>${escaped(title)}</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="style.css">
<script>${THEME}</script>
</head>
<body class="${kind}">
<a class="skip" href="#main">Skip to the text</a>
<header class="bar">
<a class="brand" href="index.html">${MARK}<span>Dawnfield</span></a>
<nav aria-label="Site"><a href="training.html">Guides</a><a href="api/index.html">API</a><a href="page/index.html">Try it</a><a href="${REPOSITORY}">GitHub</a></nav>
<button type="button" id="find" aria-keyshortcuts="/">Search</button>
<button type="button" id="theme" aria-label="Switch between light and dark">◐</button>
</header>
${body}
<script>${SWITCH}
${SEARCH}</script>
</body>
</html>
`;

/** The list of all pages, of which `source` is shown. */
function navigation(source: string): string {
  const sections = SECTIONS.map(({ title, entries }) => {
    const items = entries.map(
      (entry) =>
        `<li><a href="${addressOf(entry.source)}"${entry.source === source ? ' aria-current="page"' : ''}>${escaped(entry.label)}</a></li>`,
    );
    return `<p class="group">${title}</p><ul>${items.join('')}</ul>`;
  });
  const reference = '<p class="group">Reference</p><ul><li><a href="api/index.html">API</a></li></ul>';
  return sections.join('') + reference;
}

function neighbours(source: string): string {
  const i = ENTRIES.findIndex((entry) => entry.source === source);
  const [before, after] = [ENTRIES[i - 1], ENTRIES[i + 1]];
  const link = (entry: (typeof ENTRIES)[number] | undefined, words: string, rel: string) =>
    entry ? `<a rel="${rel}" href="${addressOf(entry.source)}"><span>${words}</span> ${escaped(entry.label)}</a>` : '';
  return `<nav class="neighbours" aria-label="Pages before and after">${link(before, 'Before', 'prev')}${link(after, 'Next', 'next')}</nav>`;
}

/** A document with the navigation on its left and its headings on its right. */
export function page(source: string, { title, html, headings }: Document): string {
  const list = headings.filter(({ level }) => level === 2);
  const contents = list.map(({ id, title: words }) => `<li><a href="#${id}">${escaped(words)}</a></li>`).join('');
  const all = navigation(source);
  const edit = `<p class="edit"><a href="${REPOSITORY}/blob/main/${source}">The source of this page</a></p>`;
  const body = `<div class="columns">
<nav class="side" aria-label="Pages">${all}</nav>
<details class="small-side"><summary>All pages</summary><nav aria-label="All pages">${all}</nav></details>
<main id="main" class="prose" tabindex="-1">
${html}
${edit}${neighbours(source)}
</main>
${list.length > 1 ? `<nav class="contents" aria-label="On this page"><p class="group">On this page</p><ul>${contents}</ul></nav>` : ''}
</div>`;
  return frame({ title: `${title} · Dawnfield`, description: firstSentence(html), body, kind: 'document' });
}

function firstSentence(html: string): string {
  const paragraph = /<p>([\s\S]*?)<\/p>/.exec(html)?.[1] ?? '';
  const words = plain(paragraph);
  return /^.*?[.?:](?= |$)/.exec(words)?.[0] ?? words;
}
