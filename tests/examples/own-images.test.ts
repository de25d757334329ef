// Networks that the page trained on images of the user's own, in Node: their checkpoint says no more than `own`, and --data FOLDER stands in.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromHash, recipesOf } from '../../examples/browser/settings';
import { loadImage } from '../../examples/shared/image';
import { ownDataset } from '../../examples/shared/own-images';
import { F, manualSeed, models, noGrad, type StoredTensor, tensor, toStored } from '../../src/index.node.js';
import { encodeCheckpoint } from '../../src/train/checkpoint';
import { programOf } from '../program';
import { close, useGpu } from '../util';

useGpu();
const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-own-'));
test.after(() => rmSync(folder, { recursive: true }));
const weights = join(folder, 'page.safetensors');
const images = join(folder, 'images');

const [recipe] = recipesOf(fromHash('#network=vanilla&depth=8&width=0.125&size=32&data=own'));
if (!recipe) throw new Error('no recipe');
let model: models.PreActResNet;

test.before(async () => {
  manualSeed(3);
  model = models.createModel(recipe.model, { classes: 2, width: 0.125 }) as models.PreActResNet;
  // 'none' holds no images: it is no class.
  for (const name of ['blues', 'none', 'reds']) mkdirSync(join(images, name), { recursive: true });
  for (const [c, name] of ['blues', 'reds'].entries())
    for (let i = 0; i < 10; i++) {
      const background = { r: 20 * i * c, g: 90, b: 25 * i * (1 - c) };
      const square = sharp({ create: { width: 40 + i, height: 48, channels: 3, background } });
      await square.toFile(join(images, name, `${i}.png`));
    }
  const tensors: Record<string, StoredTensor> = {};
  for (const [name, x] of Object.entries(model.stateDict())) tensors[name] = await toStored(x);
  writeFileSync(weights, encodeCheckpoint({ tensors, options: recipe, progress: {}, engine: {} }));
});

function run(name: 'evaluate' | 'predict', ...args: string[]) {
  const program = [...programOf(`examples/${name}/main.ts`), '--weights', weights, '--json', ...args];
  return spawnSync(process.execPath, program, { cwd: root, encoding: 'utf8' });
}

test('every fifth image of a class is for testing', () => {
  const labels = [0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1];
  const pixels = Uint8Array.from({ length: labels.length * 3072 }, (_, i) => Math.floor(i / 3072));
  const { train, test: held } = ownDataset(['a', 'b'], labels, pixels);
  assert.equal([...held.labels], [0, 1]);
  assert.equal([held.images[0], held.images[3072]], [6, 9]);
  assert.equal([...train.labels], [0, 1, 1, 0, 0, 0, 1, 1, 1]);
  assert.is(held.count + train.count, labels.length);
});

test('evaluate and predict say what to pass', () => {
  for (const { status, stderr } of [run('evaluate'), run('predict', join(images, 'reds/0.png'))]) {
    assert.is(status, 2, stderr);
    assert.match(stderr, /page\.safetensors was trained on images of your own, .* pass --data FOLDER/);
  }
});

test('evaluate: the error on the images that the page held out', async () => {
  const { status, stdout, stderr } = run('evaluate', '--data', images);
  assert.is(status, 0, stderr);
  const found = JSON.parse(stdout);
  const held = ['blues/4.png', 'blues/9.png', 'reds/4.png', 'reds/9.png'];
  const pixels = await Promise.all(held.map((name) => loadImage(join(images, name))));
  const x = tensor(Float32Array.from(pixels.flatMap((bytes) => [...bytes].map((v) => (v / 255 - 0.5) / 0.25))), {
    shape: [4, 3, 32, 32],
  });
  const loss = noGrad(() => F.crossEntropy(model.eval().forward(x), tensor([0, 0, 1, 1], { dtype: 'int32' })));
  close([found.loss], [await loss.item()], 1e-4, 'loss');
  assert.is(found.count, 4);
  assert.is(found.dataset, 'own');
});

test('predict: the folders name the classes; data sets that are known want no folder', () => {
  const image = join(images, 'reds/0.png');
  const { status, stdout, stderr } = run('predict', '--data', images, image);
  assert.is(status, 0, stderr);
  const names = JSON.parse(stdout).top.map((x: { class: string }) => x.class);
  assert.equal(names.sort(), ['blues', 'reds']);
  const known = run('predict', '--dataset', 'cifar10', '--data', images, image);
  assert.is(known.status, 2, known.stderr);
  assert.match(known.stderr, /--data is for networks trained on own images/);
});

test.run();
