// `npm run browser`: a page that trains a small network in your browser. Ctrl-C ends it.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { serve } from './server';

// Seen from dist/examples/browser.js, where this program runs.
const root = new URL('../../', import.meta.url);
const library = readFileSync(new URL('dist/browser.js', root), 'utf8');
const server = await serve(library, new URL('examples/browser/', root));
console.log(`open http://localhost:${(server.address() as AddressInfo).port}/ in Chrome, Edge, Safari or Firefox`);
