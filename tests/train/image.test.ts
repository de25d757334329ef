// Image files become channels-first bytes; what cannot be read is named.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadImage } from '../../examples/shared/image';

const test = suite('image');
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-image-'));
test.after(() => rmSync(folder, { recursive: true }));

/** A picture whose pixel (y, x) is `pixel(y, x)`. */
function picture(height: number, width: number, pixel: (y: number, x: number) => number[]) {
  const rows = Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => pixel(y, x)));
  const channels = rows[0]![0]!.length as 1 | 3 | 4;
  return sharp(Uint8Array.from(rows.flat(2)), { raw: { width, height, channels } });
}

test('a picture of the right size is taken as it is, channels first', async () => {
  const path = join(folder, 'exact.png');
  await picture(32, 32, (y, x) => [y * 8, x * 8, (y * 31 + x * 17) % 256])
    .png()
    .toFile(path);
  const bytes = await loadImage(path);
  assert.is(bytes.length, 3072);
  for (const [y, x] of [
    [0, 0],
    [3, 30],
    [31, 31],
  ] as const) {
    const at = (c: number) => bytes[c * 1024 + y * 32 + x];
    assert.equal([at(0), at(1), at(2)], [y * 8, x * 8, (y * 31 + x * 17) % 256]);
  }
});

test('the shorter side decides the scale, the middle is kept', async () => {
  const path = join(folder, 'wide.png');
  // Red, green and blue thirds: only the green middle is left of a picture three times as wide as high.
  await picture(64, 192, (_, x) => [0, 1, 2].map((c) => (Math.floor(x / 64) === c ? 255 : 0)))
    .png()
    .toFile(path);
  const bytes = await loadImage(path, 16);
  const means = [0, 1, 2].map((c) => bytes.subarray(c * 256, (c + 1) * 256).reduce((sum, v) => sum + v, 0) / 256);
  assert.ok(means[1]! > 240 && means[0]! < 10 && means[2]! < 10, String(means));
});

test('grey, transparent and other formats come out as RGB', async () => {
  const grey = join(folder, 'grey.png');
  await picture(40, 40, () => [77])
    .png()
    .toFile(grey);
  assert.equal(new Set(await loadImage(grey)), new Set([77]));

  const clear = join(folder, 'clear.webp');
  await picture(40, 40, () => [10, 20, 30, 0])
    .webp({ lossless: true })
    .toFile(clear);
  assert.equal(new Set(await loadImage(clear)), new Set([255]));

  const gif = join(folder, 'flat.gif');
  await picture(40, 50, () => [0, 255, 0])
    .gif()
    .toFile(gif);
  const jpeg = join(folder, 'flat.jpg');
  await picture(50, 40, () => [0, 255, 0])
    .jpeg({ quality: 100 })
    .toFile(jpeg);
  for (const path of [gif, jpeg]) {
    const bytes = await loadImage(path);
    assert.ok(Math.max(...bytes.subarray(0, 1024)) < 8 && Math.min(...bytes.subarray(1024, 2048)) > 247, path);
  }
});

async function message(path: string): Promise<string> {
  return loadImage(path).then(
    () => 'no error',
    (error: Error) => error.message,
  );
}

test('a missing and an undecodable file are named', async () => {
  const missing = join(folder, 'missing.png');
  assert.is(await message(missing), `${missing}: no such image`);
  const text = join(folder, 'text.png');
  writeFileSync(text, 'this is text');
  assert.ok((await message(text)).startsWith(`${text}: not an image that can be read (`));
  const half = join(folder, 'half.png');
  const whole = await picture(64, 64, (y, x) => [(y * x * 7) % 256, (y * 13 + x) % 256, (x * 91) % 256])
    .png()
    .toBuffer();
  writeFileSync(half, whole.subarray(0, whole.length / 2));
  assert.ok((await message(half)).startsWith(`${half}: not an image that can be read (`));
});

test.run();
