// ImageFolder: images that the test writes, decoded by sharp or by a decoder of one's own.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DataLoader, ImageFolder } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

const root = mkdtempSync(join(tmpdir(), 'dawnfield-images-'));
test.after(() => rmSync(root, { recursive: true }));

const save = (path: string, width: number, height: number, color: [number, number, number]) => {
  const [r, g, b] = color;
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } }).toFile(join(root, path));
};

test.before(async () => {
  for (const name of ['dogs', 'cats', 'empty']) mkdirSync(join(root, name));
  await save('cats/b.png', 8, 8, [255, 0, 0]);
  await save('cats/a.png', 4, 9, [0, 255, 0]);
  await save('dogs/c.jpg', 16, 8, [0, 0, 255]);
  writeFileSync(join(root, 'dogs', 'notes.txt'), 'no image');
});

test('classes and files in alphabetical order, what is no image left out', () => {
  const folder = new ImageFolder(root);
  assert.equal(folder.classes, ['cats', 'dogs', 'empty']);
  assert.equal(
    folder.files.map(({ path, label }) => [path.slice(root.length + 1).replaceAll('\\', '/'), label]),
    [
      ['cats/a.png', 0],
      ['cats/b.png', 0],
      ['dogs/c.jpg', 1],
    ],
  );
});

test('a loader over it gives images [N, 3, size, size] in 0 … 1 and labels', async () => {
  for await (const [images, labels] of new DataLoader(new ImageFolder(root, { size: 4 }), { batchSize: 3 })) {
    assert.equal([...images.shape], [3, 3, 4, 4]);
    assert.equal([...(await labels.data())], [0, 0, 1]);
    const means = await images.mean([2, 3]).data();
    close(means.slice(0, 6), [0, 1, 0, 1, 0, 0], 1e-6);
    close(means.slice(6), [0, 0, 1], 0.02, 'JPEG is not exact');
  }
});

test('a decoder of one’s own', async () => {
  const decode = async (path: string, size: number) => ({ data: Float32Array.of(path.length, size), shape: [2] });
  const [image] = await new ImageFolder(root, { size: 5, decode }).get(0);
  assert.equal([...image.data], [join(root, 'cats', 'a.png').length, 5]);
});

test('no folder, no images and a broken file are errors that name the path', async () => {
  assert.throws(() => new ImageFolder(join(root, 'nowhere')), /no folder .*nowhere/);
  assert.throws(() => new ImageFolder(join(root, 'cats')), /no folders with images/);
  writeFileSync(join(root, 'empty', 'broken.png'), 'not a PNG');
  const folder = new ImageFolder(root);
  const error = await folder.get(folder.length - 1).catch((e: Error) => e);
  assert.match((error as Error).message, /broken\.png cannot be decoded/);
});

test.run();
