// Markdown of the documents as HTML that reads as on GitHub: the same anchors of headings, code in colours for light and dark, links between
// documents as links between pages, links to files of the project as links to its repository.
import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import MarkdownIt from 'markdown-it';
import type Token from 'markdown-it/lib/token.mjs';
import { createHighlighter } from 'shiki';
import { stack } from './diagram';
import { addressOf, ENTRIES } from './pages';
import { REPOSITORY, root } from './places';

export interface Heading {
  readonly level: number;
  readonly id: string;
  readonly title: string;
}

export interface Document {
  readonly title: string;
  readonly html: string;
  readonly headings: readonly Heading[];
  /** Pictures that it shows, below the root. */
  readonly pictures: readonly string[];
}

const LANGUAGES = ['ts', 'html', 'bash', 'json', 'wgsl'] as const;
const highlighter = await createHighlighter({
  themes: ['github-light-default', 'github-dark-default'],
  langs: [...LANGUAGES],
});

/** Code in colours; a scrolling block is reached by the keyboard. */
export function code(text: string, language: string): string {
  const lang = LANGUAGES.find((name) => name === language) ?? 'text';
  const html = highlighter.codeToHtml(text.trimEnd(), {
    lang,
    themes: { light: 'github-light-default', dark: 'github-dark-default' },
    defaultColor: 'light-dark()',
  });
  return html.replace(/ style="[^"]*"/, ''); // the paper is the page's
}

/** GitHub's anchor of a heading. */
export const slug = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
    .replaceAll(' ', '-');

/** Renders a document that lies at `source`. */
export function render(source: string, text: string): Document {
  const headings: Heading[] = [];
  const pictures: string[] = [];
  const markdown = new MarkdownIt({ html: true, linkify: false, highlight: code });

  const link = (target: string): string => {
    if (/^[a-z]+:|^#/.test(target)) return target;
    const [path = '', anchor] = target.split('#');
    const place = posix.join(posix.dirname(source), path);
    const hash = anchor ? `#${anchor}` : '';
    // The front page has README's substance in other words.
    if (place === 'README.md' && hash) return `${REPOSITORY}${hash}`;
    if (place === 'README.md' || ENTRIES.some((entry) => entry.source === place)) return addressOf(place) + hash;
    if (!existsSync(join(root, place))) throw new Error(`${source} links to ${target}, which is not there`);
    return `${REPOSITORY}/blob/main/${place}${hash}`;
  };
  const picture = (target: string): string => {
    const place = posix.join(posix.dirname(source), target);
    if (!existsSync(join(root, place))) throw new Error(`${source} shows ${target}, which is not there`);
    pictures.push(place);
    return `figures/${posix.basename(place)}`;
  };
  const set = (token: Token, name: string, to: (value: string) => string) => {
    const value = token.attrGet(name);
    if (value !== null) token.attrSet(name, to(String(value)));
  };

  const tokens = markdown.parse(text, {});
  for (const [i, token] of tokens.entries()) {
    if (token.type === 'heading_open') {
      const title = (tokens[i + 1]?.children ?? []).map(({ content }) => content).join('');
      const base = slug(title);
      const before = headings.filter(({ id }) => id === base || id.startsWith(`${base}-`)).length;
      const id = before && headings.some((heading) => heading.id === base) ? `${base}-${before}` : base;
      headings.push({ level: Number(token.tag.slice(1)), id, title });
      token.attrSet('id', id);
    }
    for (const child of token.children ?? []) {
      if (child.type === 'link_open') set(child, 'href', link);
      if (child.type === 'image') set(child, 'src', picture);
      if (child.type === 'html_inline') child.content = inHtml(child.content, link, picture);
    }
    if (token.type === 'fence' && token.info === 'mermaid')
      Object.assign(token, { type: 'html_block', content: stack(token.content) });
    else if (token.type === 'html_block') token.content = inHtml(token.content, link, picture);
  }
  const html = markdown.renderer
    .render(tokens, markdown.options, {})
    .replaceAll('<pre><code>', '<pre tabindex="0"><code>')
    .replaceAll('<table>', '<div class="table" tabindex="0" role="group" aria-label="Table"><table>')
    .replaceAll('</table>', '</table></div>')
    .replaceAll('<th></th>', '<td></td>');
  const title = headings.find(({ level }) => level === 1)?.title;
  if (!title) throw new Error(`${source} has no title`);
  return { title, html, headings, pictures };
}

/** Links and pictures in pieces of HTML, such as `<picture>`. */
const inHtml = (html: string, link: (target: string) => string, picture: (target: string) => string): string =>
  html
    .replace(/ href="([^"]+)"/g, (_, target) => ` href="${link(target)}"`)
    .replace(/ (src|srcset)="([^"]+)"/g, (_, name, target) => ` ${name}="${picture(target)}"`);
