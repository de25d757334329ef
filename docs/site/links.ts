// Looks for dead links inside of a folder of pages: files that are not there, and anchors that no page has.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** All files below a folder. */
export const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());

const decoded = (text: string): string => text.replaceAll('&amp;', '&').replaceAll('&quot;', '"');

/** Each dead link as `page: target`. */
export function deadLinks(folder: string): string[] {
  const pages = new Map(
    filesOf(folder)
      .filter((path) => path.endsWith('.html'))
      .map((path) => [path, readFileSync(path, 'utf8')]),
  );
  const anchors = new Map<string, Set<string>>();
  const anchorsOf = (path: string): Set<string> => {
    const known = anchors.get(path);
    if (known) return known;
    const found = new Set([...(pages.get(path) ?? '').matchAll(/ id="([^"]+)"/g)].map(([, id = '']) => decoded(id)));
    anchors.set(path, found);
    return found;
  };
  const dead = new Set<string>();
  for (const [path, html] of pages)
    for (const [, found = ''] of html.matchAll(/ (?:href|src|srcset)="([^"]*)"/g)) {
      const target = decoded(found);
      if (/^[a-z]+:|^\/\//i.test(target) || (target === '#' && path.includes('/api/'))) continue;
      const [file = '', anchor] = target.split('#');
      const place = file ? join(dirname(path), decodeURIComponent(file.replace(/\?.*/, ''))) : path;
      const there = existsSync(place) && statSync(place).isFile();
      if (!there || (anchor && pages.has(place) && !anchorsOf(place).has(decodeURIComponent(anchor))))
        dead.add(`${relative(folder, path)}: ${target}`);
    }
  return [...dead];
}
