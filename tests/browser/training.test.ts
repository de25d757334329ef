// The page of examples/browser in headless Chromium: ten training steps, with the losses that Node computes, on another adapter.
// Skipped where no Chromium is installed; CHROMIUM names one in an unusual place.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { serve } from '../../examples/browser/server';
import { train } from '../../examples/browser/train.js';
import * as dawnfield from '../../src/index.node.js';
import { close } from '../util';

const root = new URL('../../', import.meta.url);
const browser = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path && existsSync(path));

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL('src/index.ts', root).pathname],
    platform: 'browser',
    bundle: true,
    format: 'esm',
    write: false,
  });
  return outputFiles[0].text;
}

/** Loads the page and waits until it is done; what it says when it failed. */
async function trainInBrowser(url: string): Promise<{ losses?: number[]; failure?: string; text: string }> {
  const profile = mkdtempSync(join(tmpdir(), 'dawnfield-chromium-'));
  // The set-up's driver is for Node: its libraries would not load into the browser.
  const { VK_ICD_FILENAMES: _, VK_DRIVER_FILES: __, LD_LIBRARY_PATH: ___, ...env } = process.env;
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browser,
    headless: true,
    env: env as Record<string, string>,
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(url);
    await page.waitForFunction('globalThis.result || globalThis.failure', null, { timeout: 300_000 });
    assert.equal(problems, []);
    return {
      losses: (await page.evaluate('globalThis.result')) as number[],
      failure: (await page.evaluate('globalThis.failure')) as string,
      text: (await page.evaluate('document.body.innerText')) as string,
    };
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

test('Node: ten training steps of the page, and the loss falls', async () => {
  const losses = await train(dawnfield, () => undefined);
  assert.is(losses.length, 10);
  assert.ok(losses[9] < losses[0] / 2, losses.join());
});

(browser ? test : test.skip)(
  'headless Chromium: the page trains, shows the losses, and they are those of Node',
  async () => {
    const server = await serve(await bundle(), new URL('examples/browser/', root));
    try {
      const { port } = server.address() as AddressInfo;
      const { losses, failure, text } = await trainInBrowser(`http://localhost:${port}/`);
      assert.is(failure, undefined);
      const expected = await train(dawnfield, () => undefined);
      close(losses!, expected, 2e-5, 'losses in the browser against Node');
      assert.match(text, `step 10\t${losses![9].toFixed(4)}`);
      assert.match(text, /done: the loss fell from/);
    } finally {
      server.close();
    }
  },
);

test.run();
