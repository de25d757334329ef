// The operations of RandAugment in integers against torchvision's formulas in float64, and what is drawn.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { IMAGE_BYTES } from '../../datasets/cifar';
import { drawOperations, randAugment } from '../../datasets/rand-augment';
import { Rng } from '../../datasets/random';
import { synthetic } from '../../datasets/synthetic';
import { magnitudes, OPERATIONS } from '../../shaders/rand-augment';

const SIDE = 32;
const random = new Rng(0, 3);
const noise = Uint8Array.from({ length: IMAGE_BYTES }, () => random.int(256));
const drawn = synthetic({ train: 4, test: 0 }).train.images;
/** Noise, noise of a narrow range, and drawn shapes. */
const IMAGES = [noise, noise.map((value) => 80 + (value >> 2)), drawn.slice(0, IMAGE_BYTES)];

type Pixel = (c: number, y: number, x: number) => number;
/** The image after one operation, in floats: torchvision's `_apply_op` on a uint8 tensor, with f = 1 ± magnitude. */
type Formula = (pixel: Pixel, c: number, y: number, x: number, s: number, part: number) => number;

const nearest =
  (source: (x: number, y: number, s: number, part: number) => [x: number, y: number]): Formula =>
  (pixel, c, y, x, s, part) => {
    const [u, v] = source(x + 0.5, y + 0.5, s, part).map(Math.floor);
    return Math.min(u!, v!) < 0 || Math.max(u!, v!) >= SIDE ? 0 : pixel(c, v!, u!);
  };
const luma = (pixel: Pixel, y: number, x: number): number =>
  0.299 * pixel(0, y, x) + 0.587 * pixel(1, y, x) + 0.114 * pixel(2, y, x);
const blended =
  (other: (pixel: Pixel, c: number, y: number, x: number) => number): Formula =>
  (pixel, c, y, x, s, part) => {
    const f = 1 + s * 0.9 * part;
    return Math.min(Math.max(f * pixel(c, y, x) + (1 - f) * other(pixel, c, y, x), 0), 255);
  };
const all = Array.from({ length: SIDE * SIDE }, (_, i) => [i >> 5, i % SIDE] as const);

const FORMULAS: Record<(typeof OPERATIONS)[number], Formula> = {
  identity: (pixel, c, y, x) => pixel(c, y, x),
  shearX: nearest((x, y, s, part) => [x + s * 0.3 * part * y, y]),
  shearY: nearest((x, y, s, part) => [x, y + s * 0.3 * part * x]),
  translateX: nearest((x, y, s, part) => [x - s * Math.trunc((150 / 331) * SIDE * part), y]),
  translateY: nearest((x, y, s, part) => [x, y - s * Math.trunc((150 / 331) * SIDE * part)]),
  rotate: nearest((x, y, s, part) => {
    const [cos, sin] = [Math.cos((s * Math.PI * part) / 6), Math.sin((s * Math.PI * part) / 6)];
    return [cos * (x - 16) + sin * (y - 16) + 16, cos * (y - 16) - sin * (x - 16) + 16];
  }),
  brightness: blended(() => 0),
  color: blended((pixel, _, y, x) => luma(pixel, y, x)),
  contrast: blended((pixel) => all.reduce((sum, [y, x]) => sum + luma(pixel, y, x), 0) / all.length),
  sharpness: blended((pixel, c, y, x) => {
    if (Math.min(x, y) < 1 || Math.max(x, y) > SIDE - 2) return pixel(c, y, x);
    let sum = 4 * pixel(c, y, x);
    for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) sum += pixel(c, y + dy, x + dx);
    return sum / 13;
  }),
  posterize: (pixel, c, y, x, _, part) => {
    const step = 2 ** Math.round(4 * part);
    return Math.floor(pixel(c, y, x) / step) * step;
  },
  solarize: (pixel, c, y, x, _, part) => (pixel(c, y, x) >= 255 - 255 * part ? 255 - pixel(c, y, x) : pixel(c, y, x)),
  autocontrast: (pixel, c, y, x) => {
    const values = all.map(([v, u]) => pixel(c, v, u));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low === high ? pixel(c, y, x) : ((pixel(c, y, x) - low) * 255) / (high - low);
  },
  equalize: (pixel, c, y, x) => {
    const values = all.map(([v, u]) => pixel(c, v, u));
    const most = Math.max(...values);
    const step = Math.floor(values.filter((value) => value !== most).length / 255);
    if (step === 0) return pixel(c, y, x);
    const below = values.filter((value) => value < pixel(c, y, x)).length;
    return Math.min(255, Math.floor((below + Math.floor(step / 2)) / step));
  },
};
/** Those that move pixels are exact but where a coordinate is within a rounding of an edge; blends are cut off, so one value apart at most. */
const EXACT = ['identity', 'translateX', 'translateY', 'posterize', 'solarize', 'equalize'];
const MOVING = ['shearX', 'shearY', 'rotate'];

for (const [operation, name] of OPERATIONS.entries())
  test(`${name} is torchvision's, at every magnitude and of both signs`, () => {
    for (const image of IMAGES)
      for (const magnitude of [0, 1, 9, 14, 30])
        for (const negative of [false, true]) {
          const got = randAugment(image, [{ operation, negative }], magnitude);
          const pixel: Pixel = (c, y, x) => image[c * 1024 + y * SIDE + x]!;
          let apart = 0;
          // Means and ranges of a whole image are slow: a few pixels of each row do.
          for (let i = 0; i < IMAGE_BYTES; i += 101) {
            const [c, y, x] = [i >> 10, (i >> 5) & 31, i & 31];
            const want = FORMULAS[name](pixel, c, y, x, negative ? -1 : 1, magnitude / 30);
            if (MOVING.includes(name)) apart += Number(got[i] !== want);
            else if (EXACT.includes(name)) assert.is(got[i], want);
            else assert.ok(Math.abs(got[i]! - want) <= 1.6, `${magnitude} ${negative}: ${got[i]} for ${want} at ${i}`);
          }
          assert.ok(apart <= 1, `${apart} pixels come from elsewhere`);
        }
  });

test('magnitude 0 changes nothing but by autocontrast and equalize; a strong one does, and its two signs differ', () => {
  for (const [operation, name] of OPERATIONS.entries()) {
    const at = (magnitude: number, negative = false) => randAugment(noise, [{ operation, negative }], magnitude);
    if (!['autocontrast', 'equalize'].includes(name) && name !== 'solarize') assert.equal([...at(0)], [...noise], name);
    if (name !== 'identity' && name !== 'autocontrast') assert.not.equal([...at(20)], [...noise], name);
    const signed = magnitudes(20) && operation >= 1 && operation <= 9;
    assert.is(String(at(20)) === String(at(20, true)), !signed, name);
  }
});

test('operations come one after the other', () => {
  const [turn, flat] = [5, 13].map((operation) => ({ operation, negative: true }));
  const both = randAugment(noise, [turn!, flat!], 12);
  assert.equal([...both], [...randAugment(randAugment(noise, [turn!], 12), [flat!], 12)]);
  assert.not.equal([...both], [...randAugment(noise, [flat!, turn!], 12)]);
});

test('each operation and sign is drawn alike often, again for each image and epoch', () => {
  const counts = new Map<string, number>();
  for (let image = 0; image < 7000; image++)
    for (const { operation, negative } of drawOperations(3, 1, image, 2))
      counts.set(`${operation} ${negative}`, (counts.get(`${operation} ${negative}`) ?? 0) + 1);
  assert.is(counts.size, 2 * OPERATIONS.length);
  for (const [what, n] of counts) assert.ok(Math.abs(n - 500) < 110, `${what}: ${n}`); // five standard deviations
  assert.equal(drawOperations(3, 1, 5, 2), drawOperations(3, 1, 5, 3).slice(0, 2));
  assert.not.equal(drawOperations(3, 1, 5, 4), drawOperations(3, 2, 5, 4));
});

test.run();
