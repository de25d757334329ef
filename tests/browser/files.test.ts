// Files that come to the page: CIFAR-10 dropped and picked, kept over a reload and trained on; wrong and damaged ones, and a full storage, which are
// told and leave what there is as it is.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'puppeteer-core';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { serializeSafetensors } from '../../src/formats/safetensors';
import { BROWSERS, isThere, openPage, withBrowser } from './browsers';
import { intercept, pause, phase, press, served, stepOf, steps, upload, waitFor } from './page-driver';

const { site } = served();

const HASH =
  '#network=vanilla&depth=8&width=0.125&images=64&testImages=32&batch=16&epochs=100&lr=0.05&schedule=constant';

/** A record of a tar archive. */
function record(name: string, content: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(512);
  const write = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
  write(name, 0);
  write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  write('0ustar', 156);
  return [header, content, new Uint8Array((512 - (content.length % 512)) % 512)];
}

/** An archive like that of CIFAR-10, of images in one colour for each class: small once it is packed. */
function cifar10(): string {
  const size = 3073;
  const batch = new Uint8Array(10_000 * size);
  for (let i = 0; i < 10_000; i++)
    batch.fill(25 * (i % 10), i * size, (i + 1) * size).fill(i % 10, i * size, i * size + 1);
  const names = [...[1, 2, 3, 4, 5].map((n) => `data_batch_${n}`), 'test_batch'];
  const parts = names.flatMap((name) => record(`cifar-10-batches-bin/${name}.bin`, batch));
  const path = join(site.folder, 'cifar-10-binary.tar.gz');
  writeFileSync(path, gzipSync(Buffer.concat([...parts, new Uint8Array(1024)]), { level: 1 }));
  return path;
}

/** Runs `body` while the worker's garbage is collected over and over, which must not lose what it waits for. */
async function collecting(page: Page, body: () => Promise<unknown>): Promise<void> {
  let isOver = false;
  const collect = async () => {
    const client = page.workers()[0]?.client;
    while (client && !isOver) await client.send('HeapProfiler.collectGarbage');
  };
  await Promise.all([collect(), body().finally(() => (isOver = true))]);
}

/** Drops a file on the page: the event with which a mouse would end. */
async function drop(page: Page, path: string): Promise<void> {
  await page.evaluate(() => {
    const input = Object.assign(document.createElement('input'), { type: 'file', id: 'dragged', ariaLabel: 'dragged' });
    document.body.append(input);
  });
  await upload(page, '#dragged', path);
  await page.evaluate(() => {
    const input = document.querySelector<HTMLInputElement>('#dragged');
    const dataTransfer = new DataTransfer();
    for (const file of input?.files ?? []) dataTransfer.items.add(file);
    input?.remove();
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  });
}

for (const name of BROWSERS)
  (isThere(name) ? test : test.skip)(`${name}: CIFAR-10 is ${name === 'chromium' ? 'dropped' : 'picked'}`, async () => {
    const problems: string[] = [];
    const path = cifar10();
    await withBrowser(name, async (browser) => {
      const page = await openPage(browser, problems);
      await page.goto(site.url + HASH);
      await waitFor(page, '#score', /test images/);
      const isStored = () => waitFor(page, '#stored', /In this browser: CIFAR-10/);
      if (name === 'chromium') await drop(page, path).then(() => collecting(page, isStored));
      else await upload(page, '#data-files', path).then(isStored);
      assert.match(await page.evaluate(() => location.hash), 'data=cifar10');
      await waitFor(page, '#pictures', /airplane/);
      // It stays: after a reload it is trained on.
      await page.reload();
      await isStored();
      await press(page, '#go');
      await steps(page, 2);
      await waitFor(page, '#score', /of 32 right/);
    });
    assert.equal(problems, []);
  });

(isThere('chromium') ? test : test.skip)(
  'chromium: files of another kind are refused in a sentence, and a run goes on; a full storage is told',
  async () => {
    const problems: string[] = [];
    await withBrowser('chromium', async (browser) => {
      const page = await openPage(browser, problems);
      await page.evaluateOnNewDocument(intercept);
      await page.goto(site.url + HASH);
      await waitFor(page, '#score', /test images/);
      await press(page, '#go');
      await steps(page, 2);
      const file = (name: string, content: Uint8Array | string) => {
        const path = join(site.folder, name);
        writeFileSync(path, content);
        return path;
      };
      const refused = async (input: string, path: string, pattern: RegExp) => {
        await upload(page, input, path);
        await waitFor(page, '#summary', pattern);
        assert.is(await page.evaluate(() => document.body.dataset.phase), 'running');
        await steps(page, (await stepOf(page)) + 1);
      };
      await refused('#data-files', file('notes.txt', 'nothing'), /CIFAR|folders/);
      await refused(
        '#data-files',
        file('test_batch.bin', new Uint8Array(100)),
        /test_batch\.bin: expected 30730000 bytes/,
      );
      await refused('#checkpoint', file('broken.safetensors', new Uint8Array(100)), /broken\.safetensors/);
      const weights = serializeSafetensors({ a: { dtype: 'F32', shape: [1], data: new Float32Array(1) } });
      await refused('#checkpoint', file('weights.safetensors', weights), /weights\.safetensors/);

      // Storage of 1 MB takes no CIFAR: nothing of it is left, the run goes on, and what was saved before stays.
      await pause(page);
      await press(page, '#go');
      const client = await page.createCDPSession();
      await client.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, quotaSize: 1e6 });
      await upload(page, '#data-files', cifar10());
      await waitFor(page, '#summary', /storage .*is full: 30\.7 MB did not fit/);
      await steps(page, (await stepOf(page)) + 1);
      await page.reload();
      await phase(page, 'paused');
      assert.is(await page.$eval('#stored', (element) => element.textContent), '');
    });
    assert.equal(problems, []);
  },
);

test.run();
