// Headless Chromium and Firefox, driven in the same way. CHROMIUM and FIREFOX name them in unusual places; what drives them are packages of
// this folder.
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { hasPackages, packageOf } from '../packages';

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
const placeOf = (name: BrowserName): string | undefined => PLACES[name].find((path) => path && existsSync(path));

/** The folder whose packages drive browsers and look pages over. */
export const FOLDER = 'tests/browser';

/** Whether this browser is on this machine, and what drives it, which is installed first. */
export const isThere = (name: BrowserName): boolean => placeOf(name) !== undefined && hasPackages(FOLDER);

/** Chromium's own Vulkan, which Firefox takes where the system has none: a loader and a software driver. */
const CHROMIUM_VULKAN = '/usr/lib/chromium';

/** The environment in which Firefox finds a software driver, its loader linked into `folder`. */
function vulkanOf(folder: string): Record<string, string> {
  const [loader, driver] = ['libvulkan.so.1', 'vk_swiftshader_icd.json'].map((file) => join(CHROMIUM_VULKAN, file));
  if (!loader || !driver || !existsSync(loader) || !existsSync(driver)) return {};
  const own = join(folder, 'vulkan');
  mkdirSync(own);
  symlinkSync(loader, join(own, 'libvulkan.so.1'));
  return { LD_LIBRARY_PATH: own, VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver };
}

/** What a Firefox without a window and without a GPU needs in order to have WebGPU. */
const FIREFOX_PREFERENCES = {
  'dom.webgpu.enabled': true,
  'dom.webgpu.allow-in-parent': true,
  'gfx.webgpu.ignore-blocklist': true,
  // A panel of downloads would take the keyboard from the page.
  'browser.download.alwaysOpenPanel': false,
  'browser.download.folderList': 2,
};

/** Opens a browser with WebGPU, or without, and a profile of its own, runs `body`, and closes it. */
export async function withBrowser<T>(
  name: BrowserName,
  body: (browser: Browser) => Promise<T>,
  webgpu = true,
): Promise<T> {
  const userDataDir = mkdtempSync(join(tmpdir(), `dawnfield-${name}-`));
  const links = mkdtempSync(join(tmpdir(), 'dawnfield-vulkan-'));
  // The set-up's driver is for Node: its libraries would not load into the browser.
  const { VK_ICD_FILENAMES: _, VK_DRIVER_FILES: __, LD_LIBRARY_PATH: ___, ...env } = process.env;
  const { launch } = await packageOf<typeof import('puppeteer-core')>(FOLDER, 'puppeteer-core');
  const common = { executablePath: placeOf(name), headless: true, userDataDir, protocolTimeout: 600_000 };
  const browser =
    name === 'firefox'
      ? await launch({
          ...{ ...common, browser: 'firefox', env: { ...env, ...vulkanOf(links) } },
          extraPrefsFirefox: {
            ...{ ...FIREFOX_PREFERENCES, 'dom.webgpu.enabled': webgpu },
            'browser.download.dir': userDataDir, // which goes with the profile
          },
        })
      : await launch({
          ...{ ...common, env, downloadBehavior: { policy: 'allow', downloadPath: userDataDir } },
          args: [
            ...['--no-sandbox', '--disable-quic', '--no-first-run'],
            webgpu ? '--enable-unsafe-webgpu' : '--disable-features=WebGPU,WebGPUService',
            ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
          ],
        });
  try {
    return await body(browser);
  } finally {
    await browser.close();
    for (const path of [userDataDir, links]) rmSync(path, { recursive: true, force: true, maxRetries: 5 });
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
