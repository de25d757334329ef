// The page of docs/bundles.md that needs no bundler: its block of HTML as it stands there, with a file of ours in place of the CDN's.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { serve } from '../../examples/browser/server';
import { root } from '../bundle';
import { isThere, openPage, withBrowser } from './browsers';

(isThere('chromium') ? test : test.skip)('a page without a bundler adds two numbers', async () => {
  const block = /```html\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs/bundles.md'), 'utf8'))?.[1] ?? '';
  const address = 'https://cdn.jsdelivr.net/npm/dawnfield';
  assert.ok(block.includes(address));
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-html-'));
  const server = await serve(folder);
  try {
    const outfile = join(folder, 'dawnfield.js');
    await build({ entryPoints: [join(root, 'src/index.ts')], bundle: true, format: 'esm', minify: true, outfile });
    const html = `<!doctype html><title>A page</title><link rel="icon" href="data:,">${block.replace(address, './dawnfield.js')}`;
    writeFileSync(join(folder, 'index.html'), html);
    await withBrowser('chromium', async (browser) => {
      const problems: string[] = [];
      const page = await openPage(browser, problems);
      const logged = new Promise<unknown[]>((resolve) =>
        page.on('console', (line) => {
          if (line.type() === 'log')
            resolve(Promise.all(line.args().map((arg) => arg.evaluate((x) => Object.values(Object(x))))));
        }),
      );
      await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
      assert.equal(await logged, [[2, 3]]);
      assert.equal(problems, []);
    });
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
