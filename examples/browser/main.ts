// `npm run browser`: the page that trains networks in your browser, built where it is not yet, and served. Ctrl-C ends it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
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
  if (!existsSync(`${page}/index.html`)) build(root, json ?? false);
  const server = await serve(page, port);
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  if (json) printJson({ url });
  else console.log(`open ${url} in Chrome, Edge, Safari 26 or Firefox`);
});

/** Builds the page; `quiet` keeps stdout for machines. */
function build(root: URL, quiet: boolean): void {
  const config = fileURLToPath(new URL('examples/browser/vite.config.ts', root));
  if (!existsSync(config))
    throw new UsageError('the page is not built: dist/page is missing, and so are its sources. Run it in a clone.');
  if (!quiet) console.log('building the page …');
  const vite = fileURLToPath(new URL('node_modules/vite/bin/vite.js', root));
  const { status } = spawnSync(process.execPath, [vite, 'build', '--config', config], { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('the page could not be built (the message is above)');
}
