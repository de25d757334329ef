// The page of examples/browser in headless Chromium and Firefox: it trains with Node's losses, pauses, shows crossings and lesions, gives
// checkpoints that Node reads, takes them back, and loses nothing by a reload or a lost device. Browsers that are not installed are skipped.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'puppeteer-core';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../../datasets/synthetic';
import type { History } from '../../examples/browser/protocol';
import { fromHash, recipesOf } from '../../examples/browser/settings';
import { checkRecipe, type Recipe } from '../../examples/shared/recipe';
import { createNetwork, createTrainer, residentImages } from '../../examples/shared/training';
import { evaluate, loadWeights } from '../../src/index.node.js';
import { decodeCheckpoint } from '../../src/train/checkpoint';
import { close, useGpu } from '../util';
import { BROWSERS, type BrowserName, isThere, openPage, withBrowser } from './browsers';
import {
  accessible,
  download,
  intercept,
  lesion,
  pause,
  phase,
  press,
  served,
  stepOf,
  steps,
  upload,
  waitFor,
} from './page-driver';

useGpu();
const { site } = served();

/** A network of a few thousand parameters whose particles cross within some steps. */
const HASH =
  '#depth=20&width=0.125&images=96&testImages=32&batch=16&epochs=40&timeRate=12&lr=0.05&schedule=constant&seed=4';
const recipe = recipesOf(fromHash(HASH))[0] as Recipe;
const data = synthetic({ train: 96, test: 32 });

/** The mean losses of the first updates, `stride` at a time, as Node has them. */
async function lossesInNode(count: number, stride: number): Promise<number[]> {
  const losses: number[] = [];
  const trainer = createTrainer(createNetwork(recipe), recipe, data, {
    ...{ steps: count * stride, test: undefined, readEvery: stride },
    onStep: (_, { loss }) => losses.push(loss),
  });
  await trainer.run();
  return losses;
}

/** Loss and error on the test images of a checkpoint of the page. */
async function evaluateInNode(bytes: Uint8Array) {
  const { tensors, options } = decodeCheckpoint(bytes);
  const saved = checkRecipe(options, 'the page');
  const model = createNetwork(saved);
  loadWeights(model, tensors);
  const result = await evaluate(model, residentImages(data, saved).test, { batchSize: saved.batch });
  return { loss: result?.loss ?? Number.NaN, error: result?.error ?? Number.NaN };
}

async function drive(browser: Browser, problems: string[], name: BrowserName): Promise<void> {
  const page = await openPage(browser, problems);
  await page.evaluateOnNewDocument(intercept);
  await page.goto(site.url + HASH);
  await waitFor(page, '#score', /test images/);
  await accessible(page, 'before the start');

  // It trains, with Node's losses, and particles cross.
  await press(page, '#go');
  await waitFor(page, '#crossings', /\d+ crossing/);
  await steps(page, 12);
  const at = await pause(page);
  const { points, crossings } = JSON.parse(new TextDecoder().decode(await download(page, '#metrics'))) as History;
  const stride = points[1]?.step ?? Number.NaN; // updates from one point to the next
  const losses = points.slice(1, 4).map(({ loss }) => loss);
  close(losses, await lossesInNode(3, stride), 1e-3, 'losses in the browser against Node');
  assert.ok(crossings.length > 0);
  const figure = new TextDecoder().decode(await download(page, '#svg'));
  assert.is(figure.match(/a4 4 0 0 1/g)?.length, crossings.length, 'a ring for each crossing');
  assert.ok((await download(page, '#png')).length > 10_000);
  // The tiles stand in the order of the particles.
  const order = await page.$$eval('#tiles-0 .tile-name', (all) => all.map((tile) => Number(tile.textContent) - 1));
  assert.equal(order, points.at(-1)?.stages[0]?.order);

  // Paused it stands still; a step is one step.
  await press(page, '#step');
  await steps(page, at + 1);
  assert.is(await stepOf(page), at + stride);

  // A block is switched off and on again.
  await press(page, '.tile');
  await waitFor(page, '#lesion', /without/);
  const without = await lesion(page);
  await press(page, '.tile');
  await waitFor(page, '#lesion', /with every block/);
  const whole = await lesion(page);
  assert.is.not(without.loss, whole.loss);
  await accessible(page, 'paused');
  await press(page, '#theme');
  await accessible(page, 'in the other theme');

  // Node reads the checkpoint, and evaluates it to the same.
  const bytes = await download(page, '#export');
  const inNode = await evaluateInNode(bytes);
  close([whole.loss], [inNode.loss], 1e-4, 'loss of the checkpoint in Node');
  close([whole.error], [inNode.error], 1e-4, 'error of the checkpoint in Node');

  // A reload loses nothing.
  await press(page, '#go');
  await steps(page, at + 3);
  const saved = await pause(page);
  await page.reload();
  await phase(page, 'paused');
  await waitFor(page, '#status', new RegExp(`back, at step ${saved}`));
  await waitFor(page, '#crossings', /\d+ crossing/);
  await press(page, '#go');
  await steps(page, saved + 2);

  // Nor does a lost device.
  await page.evaluate(() => (globalThis as unknown as { worker: Worker }).worker.postMessage({ type: 'lose-device' }));
  await waitFor(page, '#status', /the run went on/);
  const again = await stepOf(page);
  await steps(page, again + 2);

  // The checkpoint is taken back, after everything was given up.
  await press(page, '#reset');
  await phase(page, 'idle');
  const path = join(site.folder, `${name}.safetensors`);
  writeFileSync(path, bytes);
  await upload(page, '#checkpoint', path);
  await waitFor(page, '#lesion', /with every block/);
  close([(await lesion(page)).loss], [whole.loss], 1e-5, 'loss of the checkpoint, taken back');
  assert.is(await stepOf(page), at + stride);
}

for (const name of BROWSERS)
  (isThere(name) ? test : test.skip)(
    `${name}: training, crossings, lesion, export, reload, lost device, import`,
    async () => {
      const problems: string[] = [];
      await withBrowser(name, (browser) => drive(browser, problems, name));
      assert.equal(problems, []);
    },
  );

/** A folder with a folder of images for each of two classes: red and blue squares. */
async function ownImages(): Promise<string> {
  const root = join(site.folder, 'own-images');
  for (const [name, background] of [
    ['reds', '#c02020'],
    ['blues', '#2020c0'],
  ] as const) {
    mkdirSync(join(root, name), { recursive: true });
    for (let i = 0; i < 10; i++)
      await sharp({ create: { width: 40 + i, height: 48, channels: 3, background } }).toFile(
        join(root, name, `${i}.png`),
      );
  }
  return root;
}

(isThere('chromium') ? test : test.skip)(
  'chromium: own images in folders train a network, stay, and are looked at',
  async () => {
    const problems: string[] = [];
    const folder = await ownImages();
    await withBrowser('chromium', async (browser) => {
      const page = await openPage(browser, problems);
      await page.goto(`${site.url}#depth=8&network=vanilla&width=0.125&batch=8&epochs=100&images=0&testImages=0`);
      await waitFor(page, '#score', /test images/);
      await upload(page, '#data-folder', folder);
      await waitFor(page, '#stored', /your images/);
      assert.match(await page.evaluate(() => location.hash), 'data=own');
      await press(page, '#go');
      await steps(page, 10);
      // Every fifth image of a class is a test image.
      const names = await page.$$eval('.picture figcaption', (all) => all.map(({ textContent }) => textContent));
      assert.is(names.length, 4);
      assert.ok(names.every((name) => name === 'reds' || name === 'blues'));
      await upload(page, '#look', join(folder, 'reds', '0.png'), join(folder, 'blues', '0.png'));
      await page.waitForFunction(() => document.querySelectorAll('.own .picture[title]').length === 2);
      await page.reload();
      await waitFor(page, '#stored', /your images/);
    });
    assert.equal(problems, []);
  },
);

test.run();
