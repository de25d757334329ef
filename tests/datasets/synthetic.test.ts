// The synthetic set: the same bytes everywhere, balanced classes, learnable but not by pixels alone.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { IMAGE_BYTES, type Split } from '../../datasets/cifar';
import { synthetic } from '../../datasets/synthetic';

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

test('the same seed draws the same bytes, fixed for all platforms', () => {
  assert.is(md5(synthetic({ train: 200, test: 0 }).train.images), '6fad4224d8f1a16986bdc9bb4d668d96');
  assert.is(
    md5(synthetic({ classes: 100, train: 200, test: 0, seed: 9 }).train.images),
    '8e19d7467d1fffd5d082ad8c53810243',
  );
});

test('an image depends on seed, split and index, not on how many are drawn', () => {
  const { train, test: held } = synthetic({ train: 40, test: 40 });
  assert.equal(synthetic({ train: 10, test: 0 }).train.images, train.images.slice(0, 10 * IMAGE_BYTES));
  assert.not.equal(held.images, train.images);
  assert.not.equal(synthetic({ train: 40, test: 0, seed: 1 }).train.images, train.images);
});

test('classes are balanced and named', () => {
  for (const classes of [10, 100] as const) {
    const data = synthetic({ classes, train: 300, test: 0 });
    const counts = new Array(classes).fill(0);
    for (const label of data.train.labels) counts[label]++;
    assert.ok(counts.every((count) => count === 300 / classes));
    assert.is(new Set(data.classes).size, classes);
    assert.ok(data.synthetic);
  }
});

test('mean and std describe the pixels', () => {
  const data = synthetic({ train: 500, test: 0 });
  for (let c = 0; c < 3; c++) {
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < 500; i++) {
      for (let p = 0; p < 1024; p++) {
        const x = data.train.images[i * IMAGE_BYTES + c * 1024 + p] / 255;
        sum += x;
        squares += x * x;
      }
    }
    const mean = sum / (500 * 1024);
    assert.ok(Math.abs(mean - data.mean[c]) < 0.02, `mean ${mean}`);
    assert.ok(Math.abs(Math.sqrt(squares / (500 * 1024) - mean * mean) - data.std[c]) < 0.02);
  }
});

/** Error rate of the nearest class centroid of `features`. */
function centroidError(train: Split, held: Split, features: (image: Uint8Array) => number[]): number {
  const at = (split: Split, i: number) => features(split.images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES));
  const centroids: number[][] = Array.from({ length: 10 }, () => []);
  for (let i = 0; i < train.count; i++) {
    const centroid = centroids[train.labels[i]];
    at(train, i).forEach((f, j) => {
      centroid[j] = (centroid[j] ?? 0) + (10 * f) / train.count;
    });
  }
  let wrong = 0;
  for (let i = 0; i < held.count; i++) {
    const x = at(held, i);
    const distances = centroids.map((centroid) => centroid.reduce((sum, m, j) => sum + (m - x[j]) ** 2, 0));
    if (distances.indexOf(Math.min(...distances)) !== held.labels[i]) wrong++;
  }
  return wrong / held.count;
}

/** How much neighbours differ, across and down, in 4 × 4 cells of 8 × 8 pixels, relative to the image's mean. */
function edges(image: Uint8Array): number[] {
  const cells = new Array(32).fill(0);
  for (let y = 0; y < 31; y++) {
    for (let x = 0; x < 31; x++) {
      const cell = (y >> 3) * 4 + (x >> 3);
      for (let c = 0; c < 3; c++) {
        const p = c * 1024 + y * 32 + x;
        cells[cell] += Math.abs(image[p + 1] - image[p]);
        cells[16 + cell] += Math.abs(image[p + 32] - image[p]);
      }
    }
  }
  const mean = cells.reduce((sum, value) => sum + value, 0) / 32;
  return cells.map((value) => value / mean);
}

test('edges tell something about the class, raw pixels almost nothing', () => {
  const { train, test: held } = synthetic({ train: 2000, test: 1000 });
  const byEdges = centroidError(train, held, edges);
  const byPixels = centroidError(train, held, (image) => [...image]);
  assert.ok(byEdges > 0.3 && byEdges < 0.75, `error by edges ${byEdges}`);
  assert.ok(byPixels > 0.75, `error by pixels ${byPixels}`);
});

test.run();
