// Ten training steps in headless Chromium. Skipped where no Chromium is installed; CHROMIUM names one in an unusual place.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { test } from 'uvu';
import { checkLosses, tenSteps } from './ten-steps';

const root = new URL('../..', import.meta.url).pathname;
const browser = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path && existsSync(path));

async function bundle(): Promise<string> {
  const contents = `import * as dawnfield from './src/index';\n${tenSteps}\nglobalThis.tenSteps = tenSteps;`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root },
    platform: 'browser',
    bundle: true,
    format: 'esm',
    write: false,
  });
  return outputFiles[0].text;
}

(browser ? test : test.skip)('ten training steps in headless Chromium', async () => {
  const script = await bundle();
  const server = createServer((request, response) => {
    const isScript = request.url === '/main.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><script type="module" src="/main.js"></script>');
  }).listen(0, 'localhost');
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
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.tenSteps');
    checkLosses((await page.evaluate('tenSteps()')) as number[]);
  } finally {
    await context.close();
    server.close();
    rmSync(profile, { recursive: true, force: true });
  }
});

test.run();
