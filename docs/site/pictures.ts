// Makes the pictures of docs/figures that no program of examples/ writes.
//   node --import tsx docs/site/pictures.ts crossing RUN [stage]   docs/figures/crossing.svg and tiles.svg, of a run folder of cifar-train
//   node --import tsx docs/site/pictures.ts page                   docs/figures/page-{light,dark}.webp: the page in Chromium, once particles have crossed
//   node --import tsx docs/site/pictures.ts ported                 docs/figures/ported.svg: losses of examples/ported beside PyTorch's
//   node --import tsx docs/site/pictures.ts look FOLDER            pages of dist/site at 1280 and 390 px, light and dark, to look at
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'puppeteer-core';
import sharp from 'sharp';
import { serve } from '../../examples/browser/server';
import { buildPage } from '../../scripts/setup/page.mjs';
import { openPage, withBrowser } from '../../tests/browser/browsers';
import { drawCrossing, drawTiles, momentsOf } from './crossing';
import { root } from './places';
import { drawPorted } from './ported';

const [what, place = '', stage = 'stage1'] = process.argv.slice(2);
const figures = join(root, 'docs/figures');
const THEMES = ['light', 'dark'] as const;

const paint = (page: Page, theme: (typeof THEMES)[number]) =>
  page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);

/** Serves a folder and opens it in Chromium. */
async function inChromium(folder: string, body: (page: Page, url: string) => Promise<void>): Promise<void> {
  const server = await serve(folder);
  try {
    await withBrowser('chromium', async (browser) => {
      await body(await openPage(browser, []), `http://localhost:${(server.address() as AddressInfo).port}/`);
    });
  } finally {
    server.close();
  }
}

async function photographPage(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-page-'));
  try {
    buildPage(folder);
    await inChromium(folder, async (page, url) => {
      await page.setViewport({ width: 1280, height: 800 });
      await page.goto(url);
      await page.waitForFunction(() => /test images/.test(document.querySelector('#score')?.textContent ?? ''));
      await page.$eval('#go', (button) => (button as HTMLElement).click());
      await page.waitForFunction(
        () => Number.parseInt(document.querySelector('#crossings')?.textContent ?? '', 10) >= 5,
      );
      for (const theme of THEMES) {
        await paint(page, theme);
        await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 3000)));
        await sharp(await page.screenshot())
          .webp({ quality: 82 })
          .toFile(join(figures, `page-${theme}.webp`));
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whole pages as PNG files, to see how they look. */
async function lookAt(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await inChromium(join(root, 'dist/site'), async (page, url) => {
    for (const name of ['index', 'training', 'mean-field', 'from-pytorch', 'architecture', 'api/modules/dawnfield_nn'])
      for (const width of [1280, 390])
        for (const theme of THEMES) {
          await page.setViewport({ width, height: 900 });
          await paint(page, theme);
          await page.goto(`${url}${name}.html`);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          if (wide > width) console.log(`${name} at ${width} px is ${wide} px wide`);
          const clip = { x: 0, y: 0, width, height: 2400 };
          await page.screenshot({
            path: join(folder, `${name.replace('/', '-')}-${width}-${theme}.png`) as `${string}.png`,
            clip,
          });
        }
  });
}

if (what === 'crossing') {
  const moments = momentsOf(readFileSync(join(place, 'metrics.jsonl'), 'utf8'), stage);
  writeFileSync(join(figures, 'crossing.svg'), drawCrossing(moments));
  writeFileSync(join(figures, 'tiles.svg'), drawTiles(moments));
} else if (what === 'ported') writeFileSync(join(figures, 'ported.svg'), await drawPorted());
else if (what === 'page') await photographPage();
else if (what === 'look') await lookAt(place);
else throw new Error(`pictures: crossing, ported, page or look, not '${what}'`);
