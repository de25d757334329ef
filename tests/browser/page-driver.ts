// What the tests of the page do with it: builds and serves it, presses its buttons, waits for what it shows, takes the files that it gives.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ElementHandle, Page } from 'puppeteer-core';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { serve } from '../../examples/browser/server';
import { buildPage } from '../../scripts/setup/page.mjs';
import { root } from '../bundle';
import { BROWSERS, FOLDER, isThere } from './browsers';

/** Builds the page before the first test of the file and serves it until the last one is over. */
export function served() {
  const site = { folder: '', url: '' };
  let stop = () => undefined as unknown;
  test.before(async () => {
    site.folder = mkdtempSync(join(tmpdir(), 'dawnfield-page-'));
    if (!BROWSERS.some(isThere)) return;
    buildPage(site.folder);
    const server = await serve(site.folder);
    site.url = `http://localhost:${(server.address() as AddressInfo).port}/`;
    stop = () => server.close();
  });
  test.after(() => {
    stop();
    rmSync(site.folder, { recursive: true, force: true });
  });
  return { site };
}

/** What `intercept` leaves in the page. */
interface Caught {
  files: Blob[];
  worker: Worker;
  /** Phases and notices that the worker has posted. */
  told: string[];
}

/** Runs in the page before its scripts: keeps what it gives to download, and its worker and what that one says. */
export function intercept(): void {
  const scope = globalThis as unknown as Caught;
  scope.files = [];
  scope.told = [];
  const make = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (blob: Blob) => {
    scope.files.push(blob);
    return make(blob);
  };
  globalThis.Worker = class extends Worker {
    constructor(address: string | URL, options?: WorkerOptions) {
      super(address, options);
      scope.worker = this;
      this.addEventListener('message', ({ data: { type, phase, message, text } }) => {
        if (['phase', 'notice'].includes(type)) scope.told.push([type, phase, message, text].filter(Boolean).join(' '));
      });
    }
  };
}

/** Waits for a condition in the page. Where it does not come, the error says what the page shows instead. */
async function until(wait: Promise<unknown>, page: Page, what: string): Promise<void> {
  try {
    await wait;
  } catch (error) {
    const shown = await page.evaluate(() => ({
      phase: document.body.dataset.phase,
      status: document.querySelector('#status')?.textContent,
      step: document.querySelector('#gauges dd')?.textContent,
      told: (globalThis as unknown as Caught).told?.slice(-12),
    }));
    throw new Error(`waited for ${what}; the page shows ${JSON.stringify(shown)}`, { cause: error });
  }
}

/** Until an element says what is wanted. */
export const waitFor = (page: Page, selector: string, pattern: RegExp) =>
  until(
    page.waitForFunction(
      (where, source) => new RegExp(source).test(document.querySelector(where)?.textContent ?? ''),
      {},
      selector,
      pattern.source,
    ),
    page,
    `${pattern} in ${selector}`,
  );

export const phase = (page: Page, wanted: string) =>
  until(
    page.waitForFunction((name) => document.body.dataset.phase === name, {}, wanted),
    page,
    `the phase ${wanted}`,
  );

/** Presses Pause, and waits until the page stands still and is saved where it stands: the step. */
export async function pause(page: Page): Promise<number> {
  await press(page, '#go');
  await page.waitForFunction(() => {
    const step = document.querySelector('#gauges dd')?.textContent;
    const saved = /^Paused\. Saved at step (\d+)/.exec(document.querySelector('#status')?.textContent ?? '')?.[1];
    return saved !== undefined && saved === step;
  });
  return stepOf(page);
}

/** The step that the page shows. */
export const stepOf = (page: Page): Promise<number> =>
  page.$eval('#gauges dd', (element) => Number(element.textContent));

/** Until the page shows this step or a later one. */
export const steps = (page: Page, least: number) =>
  until(
    page.waitForFunction((n) => Number(document.querySelector('#gauges dd')?.textContent) >= n, {}, least),
    page,
    `step ${least}`,
  );

export const press = (page: Page, selector: string): Promise<void> =>
  page.$eval(selector, (element) => (element as HTMLElement).click());

export async function upload(page: Page, selector: string, ...paths: string[]): Promise<void> {
  const input = (await page.$(selector)) as ElementHandle<HTMLInputElement>;
  await input.uploadFile(...paths);
}

/** Presses a button of the page that gives a file, and returns the file. */
export async function download(page: Page, button: string): Promise<Uint8Array> {
  const before = await page.evaluate(() => (globalThis as unknown as Caught).files.length);
  await press(page, button);
  await page.waitForFunction((n) => (globalThis as unknown as Caught).files.length > n, {}, before);
  const text = await page.evaluate(async () => {
    const reader = new FileReader();
    return new Promise<string>((resolve) => {
      reader.onload = () => resolve(String(reader.result));
      reader.readAsDataURL((globalThis as unknown as Caught).files.at(-1) as Blob);
    });
  });
  return new Uint8Array(Buffer.from(text.slice(text.indexOf(',') + 1), 'base64'));
}

/** What the last lesion measured. */
export const lesion = (page: Page) =>
  page.$eval('#lesion', (element) => {
    const { loss, error } = (element as HTMLElement).dataset;
    return { loss: Number(loss), error: Number(error) };
  });

interface Axe {
  axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
}

/** axe-core finds nothing in the page as it is now. */
export async function accessible(page: Page, when: string): Promise<void> {
  const axe = readFileSync(join(root, FOLDER, 'node_modules/axe-core/axe.min.js'), 'utf8');
  const found = await page.evaluate(async (source) => {
    if (!('axe' in globalThis)) new Function(source)();
    const { violations } = await (globalThis as unknown as Axe).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  }, axe);
  assert.equal(found, [], `axe, ${when}`);
}
