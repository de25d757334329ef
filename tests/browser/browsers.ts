// Headless Chromium and Firefox, driven in the same way. CHROMIUM and FIREFOX name them in unusual places.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, launch, type Page } from 'puppeteer-core';

const PLACES = {
  chromium: [
    process.env.CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ],
  firefox: [
    process.env.FIREFOX,
    '/usr/bin/firefox-esr',
    '/usr/bin/firefox',
    '/Applications/Firefox.app/Contents/MacOS/firefox',
  ],
};

export type BrowserName = keyof typeof PLACES;
export const BROWSERS = Object.keys(PLACES) as BrowserName[];

/** Where this browser lies on this machine, if it is there. */
export const placeOf = (name: BrowserName): string | undefined => PLACES[name].find((path) => path && existsSync(path));

/** Opens a browser with WebGPU and a profile of its own, runs `body`, and closes it. */
export async function withBrowser<T>(name: BrowserName, body: (browser: Browser) => Promise<T>): Promise<T> {
  const userDataDir = mkdtempSync(join(tmpdir(), `dawnfield-${name}-`));
  // The set-up's driver is for Node: its libraries would not load into the browser.
  const { VK_ICD_FILENAMES: _, VK_DRIVER_FILES: __, LD_LIBRARY_PATH: ___, ...env } = process.env;
  const common = { executablePath: placeOf(name), headless: true, userDataDir, env, protocolTimeout: 600_000 };
  const browser =
    name === 'firefox'
      ? await launch({ ...common, browser: 'firefox', extraPrefsFirefox: { 'dom.webgpu.enabled': true } })
      : await launch({
          ...common,
          args: [
            ...['--no-sandbox', '--enable-unsafe-webgpu', '--disable-quic', '--no-first-run'],
            ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
          ],
        });
  try {
    return await body(browser);
  } finally {
    await browser.close();
    rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A page whose errors and warnings, console lines included, come to be in `problems`. */
export async function openPage(browser: Browser, problems: string[]): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(300_000);
  page.on('pageerror', (error) => problems.push(error instanceof Error ? error.message : String(error)));
  page.on('console', (line) => {
    if (['error', 'warn'].includes(line.type())) problems.push(`${line.type()}: ${line.text()}`);
  });
  return page;
}
