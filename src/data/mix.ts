// Mixup and cutmix: batches whose images are mixed in pairs, with class probabilities to match. One launch a batch; what is drawn belongs to
// (seed, epoch, position of the batch), so that a resumed run goes on with the same numbers.

import { checkSeed, Rng, Stream } from '../../datasets/random';
import { tuple } from '../../shaders/checked';
import { mix } from '../../shaders/mix';
import { device, f32, InputError, requireWhole } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { bind, contiguous } from '../tensor/elementwise';
import { empty, requireFloats, requireTensors, type Tensor } from '../tensor/tensor';
import type { Batch, BatchSource } from './batches';

/** Strengths of mixup and cutmix; at least one is given. */
export interface MixOptions {
  /** Number of classes: the length of each row of `targets`. */
  classes: number;
  /** α of mixup: pairs are blended by λ of Beta(α, α). */
  mixup?: number;
  /** α of cutmix: a box that covers 1 − λ of the image comes from the partner. With both, each batch is one or the other, by a coin. */
  cutmix?: number;
}

/** Where a batch is, for its random numbers: 0 unless given. */
export interface MixPosition {
  /** Seed of λ, partners and boxes (default 0). */
  seed?: number;
  /** Counted from 0, the default; each epoch mixes again. */
  epoch?: number;
  /** Position of its first image in the order of the epoch. */
  index?: number;
}

const OPTIONS: OptionTable<MixOptions> = { classes: is.number, mixup: is.number, cutmix: is.number };
const ALL: OptionTable<MixOptions & MixPosition> = { ...OPTIONS, seed: is.number, epoch: is.number, index: is.number };

const neither = (op: string) => new InputError(`${op}: give { mixup } or { cutmix }, or both`);

function check(op: string, options: MixOptions, table: OptionTable<MixOptions>): void {
  const { classes, mixup, cutmix } = checked(op, options, table);
  requireWhole(`${op}: classes`, classes, 1, 1e6);
  if (mixup === undefined && cutmix === undefined) throw neither(op);
  for (const [name, alpha] of Object.entries({ mixup, cutmix }))
    if (alpha !== undefined && !(alpha > 0 && alpha < Infinity))
      throw new InputError(`${op}: ${name} is ${alpha}, it must be a number above 0, the α of Beta(α, α)`);
}

/** How a batch of images [N, C, height, width] is mixed: `lambda` is the share of an image's own label, float32. */
export interface Mixing {
  readonly lambda: number;
  /** Of cutmix: the columns and rows that come from the partner, the ends exclusive. */
  readonly box?: { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number };
}

/** What (seed, epoch, index) draws. The box of cutmix is cut at the borders, and λ is what is left of the image, as in the paper. */
export function drawMixing(options: MixOptions & MixPosition, height: number, width: number): Mixing {
  const { mixup, cutmix, seed = 0, epoch = 0, index = 0 } = options;
  const rng = new Rng(checkSeed(seed), Stream.mix, epoch, index);
  const cuts = cutmix !== undefined && (mixup === undefined || rng.int(2) === 1);
  const alpha = cuts ? cutmix : mixup;
  if (alpha === undefined) throw neither('drawMixing');
  const lambda = Math.fround(rng.beta(alpha));
  if (!cuts) return { lambda };
  const [x, y] = [rng.int(width), rng.int(height)];
  const half = Math.sqrt(1 - lambda) / 2;
  const [dx, dy] = [Math.trunc(half * width), Math.trunc(half * height)];
  const box = {
    ...{ left: Math.max(0, x - dx), top: Math.max(0, y - dy) },
    ...{ right: Math.min(width, x + dx), bottom: Math.min(height, y + dy) },
  };
  const inside = (box.right - box.left) * (box.bottom - box.top);
  return { lambda: Math.fround(1 - inside / (width * height)), box };
}

/** What `mixImages` makes of a batch. */
export interface Mixed {
  /** float32 [N, C, H, W]. */
  readonly images: Tensor;
  /** int32 [N]: of the image with the larger share. */
  readonly labels: Tensor;
  /** float32 [N, classes]: class probabilities, which `F.crossEntropy` takes. */
  readonly targets: Tensor;
}

/**
 * Mixes each image of a batch, float32 [N, C, H, W] with labels int32 [N], with the one before it, as torchvision's `v2.MixUp` and `v2.CutMix`. Give
 * the batch's `seed`, `epoch` and `index`, so that each has numbers of its own. A label that is no class has no target.
 */
export function mixImages(images: Tensor, labels: Tensor, options: MixOptions & MixPosition): Mixed {
  check('mixImages', options, ALL);
  requireTensors('mixImages', { images, labels });
  requireFloats('mixImages', { images });
  if (images.ndim !== 4 || labels.ndim !== 1 || labels.size !== images.shape[0] || labels.dtype !== 'int32')
    throw inputError('mixImages', 'images are [N, C, H, W], and labels int32 [N]', { images, labels });
  const [size, channels, height, width] = tuple(images.shape, 4);
  const { lambda, box } = drawMixing(options, height, width);
  const { left = 0, top = 0, right = 0, bottom = 0 } = box ?? {};
  const mixed = empty('mixImages', images.shape);
  const targets = empty('mixImages', [size, options.classes]);
  const larger = empty('mixImages', [size], 'int32');
  const bindings = [contiguous(images), contiguous(labels), mixed, targets, larger].map(bind);
  const whole = [size, channels, height, width, options.classes, left, top, right, bottom];
  const extent = images.size + targets.size;
  device().launch(mix, bindings, [...whole, f32(box ? 1 : lambda), f32(lambda)], extent);
  return { images: mixed, labels: larger, targets };
}

/** The batches of a source, mixed wherever they are augmented: for a Trainer's `train`, which then takes its loss from their `targets`. */
export function mixBatches(source: BatchSource, options: MixOptions): BatchSource {
  check('mixBatches', options, OPTIONS);
  return {
    count: source.count,
    *batches(asked) {
      const { augment = false, seed = 0, epoch = 0 } = asked;
      for (const batch of source.batches(asked)) yield augment ? mixedBatch(batch, { ...options, seed, epoch }) : batch;
    },
  };
}

const mixedBatch = (batch: Batch, options: MixOptions & MixPosition): Batch => ({
  ...batch,
  ...mixImages(batch.images, batch.labels, { ...options, index: batch.index }),
});
