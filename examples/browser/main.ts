// `npm run browser`: the page that trains networks in your browser, built where it is not yet, and served. Ctrl-C ends it.
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { buildPage } from '../../scripts/setup/page.mjs';
import { createProgram, integerFrom, printJson, runProgram, UsageError } from '../shared/options';
import { serve } from './server';

const program = createProgram(
  'browser',
  'Serves a page that trains networks in your browser and shows their blocks change places. Ctrl-C ends it.',
).option('--port <number>', 'where to listen (default: any free port)', integerFrom(0, 65_535));

await runProgram<{ json?: boolean; port?: number }>(program, async ({ json, port }) => {
  // Seen from dist/examples/browser.js, where this program runs.
  const root = new URL('../../', import.meta.url);
  const page = fileURLToPath(new URL('dist/page', root));
  if (!existsSync(`${page}/index.html`)) build(root, page, json ?? false);
  const server = await serve(page, port);
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  if (json) printJson({ url });
  else console.log(`open ${url} in Chrome, Edge, Safari 26 or Firefox`);
});

/** Builds the page; `quiet` keeps stdout for machines. */
function build(root: URL, page: string, quiet: boolean): void {
  const config = fileURLToPath(new URL('examples/browser/vite.config.ts', root));
  if (!existsSync(config))
    throw new UsageError('the page is not built: dist/page is missing, and so are its sources. Run it in a clone.');
  if (!quiet) console.log('building the page …');
  buildPage(page);
}
