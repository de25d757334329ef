// `npm run browser`: a page that trains a small network in your browser. Ctrl-C ends it.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createProgram, printJson, runProgram } from '../shared/options';
import { serve } from './server';

const program = createProgram('browser', 'Serves a page that trains a small network in your browser. Ctrl-C ends it.');

await runProgram<{ json?: boolean }>(program, async ({ json }) => {
  // Seen from dist/examples/browser.js, where this program runs.
  const root = new URL('../../', import.meta.url);
  const library = readFileSync(new URL('dist/browser.js', root), 'utf8');
  const server = await serve(library, new URL('examples/browser/', root));
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  if (json) printJson({ url });
  else console.log(`open ${url} in Chrome, Edge, Safari or Firefox`);
});
