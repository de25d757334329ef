// Makes the site: `npm run site`. Pages of the documents, the API reference, the page that trains; then it looks for dead links.
//   --out FOLDER    default dist/site; what is there is replaced
//   --quick         without reference and page, for a look at a text
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { buildPage } from '../../scripts/setup/page.mjs';
import { front } from './front';
import { page } from './layout';
import { deadLinks } from './links';
import { code, render } from './markdown';
import { addressOf, ENTRIES } from './pages';
import { root } from './places';
import { writeReference } from './reference';
import { type Found, sectionsOf } from './search';

const { values } = parseArgs({
  options: { out: { type: 'string', default: 'dist/site' }, quick: { type: 'boolean' } },
});
const folder = resolve(root, values.out);
const read = (path: string) => readFileSync(join(root, path), 'utf8');

rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, 'figures'), { recursive: true });
const pictures = new Set(['docs/figures/page-light.webp', 'docs/figures/page-dark.webp']);
const places: Found[] = [];
for (const { source, label } of ENTRIES) {
  const document = render(source, read(source));
  for (const picture of document.pictures) pictures.add(picture);
  writeFileSync(join(folder, addressOf(source)), page(source, document));
  places.push(...sectionsOf(label, addressOf(source), document.html));
}
const loop = /```ts\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
writeFileSync(
  join(folder, 'index.html'),
  front({ crossing: read('docs/figures/crossing.svg'), loop: code(loop, 'ts') }),
);
for (const picture of pictures) cpSync(join(root, picture), join(folder, 'figures', basename(picture)));
cpSync(join(root, 'docs/site/icon.svg'), join(folder, 'icon.svg'));
// The palette and what belongs to it are those of the page that trains.
writeFileSync(join(folder, 'style.css'), read('examples/browser/styles/base.css') + read('docs/site/style.css'));

if (!values.quick) {
  buildPage(join(folder, 'page'));
  places.push(...(await writeReference(folder, 'api')));
  const dead = deadLinks(folder);
  if (dead.length) throw new Error(`dead links:\n${dead.join('\n')}`);
}
writeFileSync(join(folder, 'search.json'), JSON.stringify(places));
await build({
  ...{ entryPoints: [join(root, 'docs/site/find.ts')], outfile: join(folder, 'search.js') },
  ...{ bundle: true, minify: true, format: 'esm', target: 'es2022', logLevel: 'warning' },
});
console.log(`site: ${folder}`);
