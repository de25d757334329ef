// The augmentation's reference on the CPU: what a crop and a flip must and must not do.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { augmentImage, drawAugmentation } from '../../datasets/augment';
import { IMAGE_BYTES } from '../../datasets/cifar';
import { Rng } from '../../datasets/random';

const bytes = new Rng(0, 77);
const image = Uint8Array.from({ length: IMAGE_BYTES }, () => 1 + bytes.int(255));
const zero = [0, 0, 0];
const raw = [1 / 255, 1 / 255, 1 / 255];
const pixel = (out: Float32Array, c: number, y: number, x: number) => Math.round(out[c * 1024 + y * 32 + x]);

test('without a draw it only normalises: (x / 255 − mean) / std', () => {
  const out = augmentImage(image, [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);
  for (const i of [0, 1500, 3071]) {
    const c = Math.floor(i / 1024);
    assert.is(out[i], Math.fround((image[i] / 255 - [0.5, 0.4, 0.3][c]) / [0.2, 0.25, 0.3][c]));
  }
});

test('a crop moves the window; what comes in is black before the normalisation', () => {
  const out = augmentImage(image, zero, raw, { dy: 0, dx: 8, flip: false });
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < 32; y++) {
      for (let x = 0; x < 32; x++) {
        const expected = y >= 4 && x < 28 ? image[c * 1024 + (y - 4) * 32 + x + 4] : 0;
        assert.is(pixel(out, c, y, x), expected);
      }
    }
  }
  const normalised = augmentImage(image, [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], { dy: 0, dx: 4, flip: false });
  assert.is(normalised[0], -2);
});

test('a flip mirrors the crop', () => {
  const plain = augmentImage(image, zero, raw, { dy: 6, dx: 1, flip: false });
  const mirrored = augmentImage(image, zero, raw, { dy: 6, dx: 1, flip: true });
  for (const [y, x] of [
    [0, 0],
    [5, 31],
    [31, 12],
  ])
    assert.is(pixel(mirrored, 2, y, x), pixel(plain, 2, y, 31 - x));
});

test('draws cover all 81 windows evenly, half of them flipped, again in every epoch', () => {
  const counts = new Array(81).fill(0);
  let flips = 0;
  for (let i = 0; i < 16200; i++) {
    const { dy, dx, flip } = drawAugmentation(11, 2, i);
    counts[dy * 9 + dx]++;
    flips += Number(flip);
  }
  assert.ok(Math.min(...counts) > 140 && Math.max(...counts) < 260, String(counts));
  assert.ok(Math.abs(flips / 16200 - 0.5) < 0.02);
  const epoch = (n: number) => Array.from({ length: 50 }, (_, i) => drawAugmentation(11, n, i));
  assert.equal(epoch(2), epoch(2));
  assert.not.equal(epoch(2), epoch(3));
});

test.run();
