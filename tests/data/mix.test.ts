// Mixup and cutmix: what is drawn, the mixed images and targets against the host, and the loss of targets in float64.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng, Stream } from '../../datasets/random';
import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import { backward } from '../../src/autograd/backward';
import { mixBatches, mixImages } from '../../src/data';
import { drawMixing } from '../../src/data/mix';
import { crossEntropy } from '../../src/ops/loss';
import { tensor } from '../../src/tensor/create';
import { randn } from '../../src/tensor/random';
import { useGpu } from '../util';

useGpu();

/** λ of so many batches, in order. */
const drawn = (alpha: number, n = 20000): number[] =>
  Array.from({ length: n }, (_, i) => new Rng(5, Stream.mix, 2, i).beta(alpha)).sort((a, b) => a - b);

/** P(λ ≤ x) of Beta(α, α): the density over (0, 1) after t = u^p, which takes the poles of small α away, by the midpoint rule. */
function share(alpha: number, x: number): number {
  const p = 1 / alpha;
  const half = (upTo: number) => {
    let sum = 0;
    const end = upTo ** (1 / p);
    for (let i = 0; i < 4000; i++) sum += (1 - (((i + 0.5) / 4000) * end) ** p) ** (alpha - 1);
    return (sum * end) / 4000;
  };
  const total = 2 * half(0.5);
  return x <= 0.5 ? half(x) / total : 1 - half(1 - x) / total;
}

test('λ is of Beta(α, α): its distribution function, mean and variance', () => {
  for (const alpha of [0.1, 0.2, 0.5, 1, 2, 8]) {
    const values = drawn(alpha);
    const n = values.length;
    assert.ok(values[0]! >= 0 && values[n - 1]! <= 1);
    const mean = values.reduce((a, b) => a + b) / n;
    const variance = values.reduce((sum, x) => sum + (x - 0.5) ** 2, 0) / n;
    const exact = 1 / (4 * (2 * alpha + 1));
    assert.ok(Math.abs(mean - 0.5) < 5 * Math.sqrt(exact / n), `α ${alpha}: mean ${mean}`);
    assert.ok(Math.abs(variance / exact - 1) < 0.05, `α ${alpha}: variance ${variance} for ${exact}`);
    let apart = 0; // Kolmogorov's distance: below 1.63 / √n in 99 of 100 cases
    for (let i = 0; i < n; i += 97) apart = Math.max(apart, Math.abs((i + 0.5) / n - share(alpha, values[i]!)));
    assert.ok(apart < 1.63 / Math.sqrt(n), `α ${alpha}: ${apart}`);
  }
});

test('the numbers of a seed are these, on every engine', () => {
  const options = { classes: 10, seed: 7, epoch: 3 };
  const at = (index: number, o: object) => drawMixing({ ...options, ...o, index }, 32, 32);
  assert.equal(
    [0, 128, 256].map((index) => at(index, { mixup: 0.2 }).lambda),
    [0.431123822927475, 0.15607014298439026, 0.8282851576805115],
  );
  assert.equal(at(128, { cutmix: 1 }), { lambda: 0.609375, box: { left: 12, top: 0, right: 32, bottom: 20 } });
  assert.not.equal(at(0, { mixup: 1 }), drawMixing({ ...options, mixup: 1, epoch: 4 }, 32, 32));
});

test('with both, about every second batch is cut', () => {
  const cuts = Array.from({ length: 1000 }, (_, index) => drawMixing({ classes: 2, mixup: 1, cutmix: 1, index }, 8, 8));
  const n = cuts.filter(({ box }) => box).length;
  assert.ok(Math.abs(n - 500) < 80, `${n}`);
});

test('the box of cutmix lies in the image, and λ is the share that it leaves', () => {
  const areas = [];
  for (let index = 0; index < 3000; index++) {
    const { lambda, box } = drawMixing({ classes: 2, cutmix: 1, seed: 1, index }, 24, 40);
    const { left, top, right, bottom } = box!;
    assert.ok(left >= 0 && top >= 0 && right <= 40 && bottom <= 24 && left <= right && top <= bottom);
    assert.is(lambda, Math.fround(1 - ((right - left) * (bottom - top)) / 960));
    areas.push(1 - lambda);
  }
  assert.ok(Math.min(...areas) < 0.01 && Math.max(...areas) > 0.8);
});

for (const kind of ['mixup', 'cutmix'] as const)
  test(`${kind}: images, targets and labels as on the host`, async () => {
    for (const [size, height, width] of [
      [1, 4, 4],
      [2, 5, 3],
      [7, 6, 9],
    ] as const)
      for (let index = 0; index < 4; index++) {
        const x = randn([size, 3, height, width]);
        const classes = Array.from({ length: size }, (_, i) => (i * 3 + index) % 4);
        const options = { classes: 4, [kind]: 1, seed: 9, index };
        const { images, labels, targets } = mixImages(x, tensor(Int32Array.from(classes)), options);
        const { lambda, box } = drawMixing(options, height, width);
        const given = await x.data();
        const plane = height * width;
        const want = Array.from(given, (value, i) => {
          const [row, other] = [Math.floor(i / (3 * plane)), (Math.floor(i / (3 * plane)) + size - 1) % size];
          const partner = given[other * 3 * plane + (i % (3 * plane))]!;
          const [y, column] = [Math.floor(i / width) % height, i % width];
          assert.ok(row < size);
          if (!box) return lambda * value + (1 - lambda) * partner;
          return column >= box.left && column < box.right && y >= box.top && y < box.bottom ? partner : value;
        });
        const got = await images.data();
        want.forEach((value, i) => assert.ok(Math.abs(value - got[i]!) < 1e-6, `${value} ${got[i]} at ${i}`));
        const probabilities = await targets.data();
        for (let b = 0; b < size; b++) {
          const [own, partner] = [classes[b], classes[(b + size - 1) % size]];
          for (let c = 0; c < 4; c++) {
            const expected = lambda * Number(c === own) + (1 - lambda) * Number(c === partner);
            assert.ok(Math.abs(expected - probabilities[4 * b + c]!) < 1e-6);
          }
          assert.is((await labels.data())[b], lambda >= 0.5 ? own : partner);
        }
      }
  });

test('the loss is λ of the one label and 1 − λ of the other, smoothed: float64', async () => {
  const [size, classes, smoothing] = [5, 6, 0.1];
  const scores = randn([size, classes]).requiresGrad_();
  const labels = Int32Array.from({ length: size }, (_, i) => (5 * i + 1) % classes);
  const options = { classes, mixup: 1, seed: 4, index: 3 };
  const { targets } = mixImages(randn([size, 1, 2, 2]), tensor(labels), options);
  const loss = crossEntropy(scores, targets, { labelSmoothing: smoothing });
  backward(loss);
  const { lambda } = drawMixing(options, 2, 2);
  const x = Array.from(await scores.data());
  const gradient = await scores.grad!.data();
  let sum = 0;
  for (let b = 0; b < size; b++) {
    const row = x.slice(b * classes, (b + 1) * classes);
    const total = Math.log(row.reduce((s, v) => s + Math.exp(v), 0));
    row.forEach((v, c) => {
      const [own, partner] = [labels[b], labels[(b + size - 1) % size]];
      const share = lambda * Number(c === own) + (1 - lambda) * Number(c === partner);
      const target = (1 - smoothing) * share + smoothing / classes;
      sum += target * (total - v);
      assert.ok(Math.abs(gradient[b * classes + c]! - (Math.exp(v - total) - target) / size) < 1e-6);
    });
  }
  assert.ok(Math.abs((await loss.item()) - sum / size) < 1e-5);
});

test('the batches of a source are mixed where they are augmented, the same ones wherever an epoch is entered', async () => {
  const data = synthetic({ train: 40, test: 0 });
  const source = mixBatches(new ResidentImages(data.train, data), { classes: 10, mixup: 0.4, cutmix: 1 });
  const bits = async (start: number, augment = true) => {
    const found = [];
    for (const { images, targets, index, size } of source.batches({ batchSize: 16, seed: 3, epoch: 1, augment, start }))
      found.push([index, size, [...(await images.data())], targets && [...(await targets.data())]]);
    return found;
  };
  const whole = await bits(0);
  assert.equal(
    whole.map(([index, size]) => [index, size]),
    [
      [0, 16],
      [16, 16],
      [32, 8],
    ],
  );
  assert.equal(await bits(16), whole.slice(1));
  assert.ok((await bits(0, false)).every(([, , , targets]) => targets === undefined));
});

test('wrong calls are refused', () => {
  const [x, labels] = [randn([2, 3, 4, 4]), tensor(new Int32Array(2))];
  const wrong =
    (options: object, images = x, given = labels) =>
    () =>
      mixImages(images, given, { classes: 3, mixup: 1, ...options });
  assert.throws(wrong({ mixup: undefined }), /mixImages: give \{ mixup \} or \{ cutmix \}, or both/);
  assert.throws(wrong({ mixup: 0 }), /mixup is 0, it must be a number above 0/);
  assert.throws(wrong({ cutmix: Infinity }), /cutmix is Infinity/);
  assert.throws(wrong({ classes: 0 }), /mixImages: classes/);
  assert.throws(wrong({ mixUp: 1 }), /no option 'mixUp': did you mean mixup/);
  assert.throws(wrong({}, randn([3, 4, 4])), /images are \[N, C, H, W\], and labels int32 \[N\]/);
  assert.throws(wrong({}, x, tensor([0, 1])), /labels int32/);
  assert.throws(wrong({ seed: -1 }), /seed -1/);
});

test.run();
