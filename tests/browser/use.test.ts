// The page as people use it: with the keyboard alone, two runs in one picture, another rate on the way, a link, the panel of the feature flow; what it
// says without WebGPU. In Chromium: how long its thread is busy, and what those who want less motion see.
import type { Browser, Page } from 'puppeteer-core';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { History } from '../../examples/browser/protocol';
import { BROWSERS, isThere, openPage, withBrowser } from './browsers';
import { accessible, download, intercept, pause, phase, press, served, stepOf, steps, waitFor } from './page-driver';

const { site } = served();

const HASH =
  '#compare=true&depth=14&width=0.125&images=96&testImages=32&batch=16&epochs=400&timeRate=12&lr=0.05&schedule=constant&seed=4';

/** Presses Tab until the focus is on what `selector` names. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let i = 0; i < 80; i++) {
    if (await page.evaluate((where) => document.activeElement?.matches(where) ?? false, selector)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}

const text = (page: Page, selector: string) => page.$eval(selector, (element) => element.textContent ?? '');

async function use(browser: Browser, problems: string[]): Promise<void> {
  const page = await openPage(browser, problems);
  await page.evaluateOnNewDocument(intercept);
  await page.goto(`${site.url}?small${HASH}`);
  await waitFor(page, '#score', /test images/);

  // Started, slowed down and stopped without a mouse; a screen reader hears of both runs.
  await tabTo(page, '#go');
  await page.keyboard.press('Enter');
  await phase(page, 'running');
  await waitFor(page, '#summary', /running.*mean-field: step \d+, loss \d.*vanilla: step \d+, loss \d/);
  assert.equal(await page.$$eval('#legend span', (all) => all.map(({ textContent }) => textContent)), [
    'mean-field',
    'vanilla',
  ]);
  const before = Number(await text(page, '#rate-value'));
  await tabTo(page, '#rate');
  for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowLeft');
  await waitFor(page, '#rate-value', new RegExp(`^${before / 2}$`));
  await steps(page, (await stepOf(page)) + 2);
  await pause(page);
  const { points } = JSON.parse(new TextDecoder().decode(await download(page, '#metrics'))) as History;
  assert.ok(Math.abs((points.at(-1)?.lr ?? 0) - before / 2) < 1e-9, 'the rate that was chosen');
  assert.ok(Math.abs((points[1]?.lr ?? 0) - before) < 1e-9, 'the rate before');
  await tabTo(page, '.tile');
  await page.keyboard.press('Enter');
  await waitFor(page, '#lesion', /without/);

  // Both runs are in the curves and in the figure, each in its colour.
  const figure = new TextDecoder().decode(await download(page, '#svg'));
  assert.match(figure, /vanilla/);
  await accessible(page, 'two runs');

  // Another link, opened in this tab, does not touch the run.
  await page.evaluate(() => {
    location.hash = '#depth=20&seed=9';
  });
  await page.waitForFunction(() => location.hash.includes('seed=4'));
  assert.is(await page.$eval('#set-depth', (input) => (input as HTMLInputElement).value), '14');

  // The panel of the feature flow computes its slope.
  await press(page, '#flow-run');
  await waitFor(page, '#flow-status', /slope −?\d\.\d\d.*predicted −0\.50/);
  await page.waitForFunction(() => document.querySelector('#flow-run')?.textContent === 'Compute');
  assert.is(await page.$$eval('#flow-gap canvas, #flow-coordinates canvas', (all) => all.length), 2);

  // The address is a link to the experiment: for another visitor it is the same one.
  await page.focus('#link');
  await page.keyboard.press('Enter'); // not `press`: browsers give the clipboard to people
  await waitFor(page, '#link', /Copied/);
  const address = await page.evaluate(() => location.href);
  const other = await (await browser.createBrowserContext()).newPage();
  await other.goto(address);
  await other.waitForSelector('#set-depth');
  const form = await other.evaluate(() =>
    ['depth', 'width', 'batch', 'seed', 'compare'].map((key) => {
      const field = document.getElementById(`set-${key}`) as HTMLInputElement;
      return field.type === 'checkbox' ? field.checked : Number(field.value);
    }),
  );
  assert.equal(form, [14, 0.125, 16, 4, true]);
}

for (const name of BROWSERS) {
  (isThere(name) ? test : test.skip)(`${name}: by keyboard, two runs, another rate, a link, feature flow`, async () => {
    const problems: string[] = [];
    await withBrowser(name, (browser) => use(browser, problems));
    assert.equal(problems, []);
  });

  (isThere(name) ? test : test.skip)(`${name}: without WebGPU it says what to do`, async () => {
    await withBrowser(
      name,
      async (browser) => {
        const page = await openPage(browser, []);
        await page.goto(site.url);
        await phase(page, 'missing');
        assert.match(await text(page, '#missing'), /no GPU.*(chrome:\/\/|about:config|Update|settings)/);
        assert.is(await text(page, '#adapter'), 'no WebGPU');
        assert.ok(await page.$eval('#go', (button) => (button as HTMLButtonElement).disabled));
        await accessible(page, 'without WebGPU');
      },
      false,
    );
  });
}

(isThere('chromium') ? test : test.skip)(
  'chromium: of two tabs the first one keeps its run in the browser',
  async () => {
    const problems: string[] = [];
    await withBrowser('chromium', async (browser) => {
      const open = async () => {
        const page = await openPage(browser, problems);
        await page.goto(site.url + HASH);
        await waitFor(page, '#score', /test images/);
        return page;
      };
      const first = await open();
      await press(first, '#go');
      await steps(first, 2);
      const saved = await pause(first);
      const second = await open();
      await phase(second, 'idle');
      await press(second, '#go');
      await steps(second, 1);
      await press(second, '#go');
      await waitFor(second, '#summary', /Not saved: another tab keeps its run/);
      await second.close();
      await first.reload();
      await waitFor(first, '#status', new RegExp(`back, at step ${saved}`));
    });
    assert.equal(problems, []);
  },
);

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds that the thread has run: what the machine does meanwhile does not count. */
  readonly tdur?: number;
  readonly args: { readonly name?: string };
}

(isThere('chromium') ? test : test.skip)(
  'chromium: in steady training no task of the page takes its thread for 50 ms; less motion where that is wanted',
  async () => {
    const problems: string[] = [];
    await withBrowser('chromium', async (browser) => {
      const page = await openPage(browser, problems);
      await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }]);
      await page.goto(site.url + HASH);
      await waitFor(page, '#score', /test images/);
      await press(page, '#go');
      await steps(page, 8);
      const begun = await stepOf(page);
      await page.tracing.start({ categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] });
      await steps(page, begun + 25);
      const motions = await page.evaluate(() => document.getAnimations().length);
      const trace = await page.tracing.stop();
      assert.is(motions, 0, 'tiles change places at once');
      const { traceEvents } = JSON.parse(new TextDecoder().decode(trace)) as { traceEvents: TraceEvent[] };
      const threads = traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain');
      const ours = traceEvents.filter(
        ({ name, pid, tid }) =>
          name === 'RunTask' && threads.some((thread) => thread.pid === pid && thread.tid === tid),
      );
      const times = ours.flatMap(({ tdur }) => (tdur === undefined ? [] : [tdur / 1000]));
      assert.ok(times.length > 100, `${times.length} tasks were timed`);
      const longest = Math.max(...times);
      assert.ok(longest < 50, `a task of ${longest} ms`);
    });
    assert.equal(problems, []);
  },
);

test.run();
