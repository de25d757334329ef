// Images that lie on the GPU as bytes and leave it as batches: shuffled, cropped, flipped and normalised by the batch kernel.

import { augment as augmentKernel, augmentWorkgroups } from '../shaders/augment';
import { there } from '../shaders/checked';
import type { Kernel, Workgroups } from '../shaders/kernel';
import { randAugment as randAugmentKernel } from '../shaders/rand-augment';
import type { Batch, BatchOptions, BatchSource } from '../src/data/batches';
import type { Storage, TypedBinding } from '../src/gpu';
import { device, InputError, ReleasedError, requireWhole } from '../src/gpu';
import { factory, tensor } from '../src/tensor/create';
import { bind } from '../src/tensor/elementwise';
import { endStep, stepsEnded } from '../src/tensor/memory';
import type { Tensor } from '../src/tensor/tensor';
import type { Split } from './cifar';
import { IMAGE_BYTES } from './cifar';
import { checkSeed, Rng, Stream } from './random';

export interface ResidentOptions {
  /** Normalisation per channel, of pixel values scaled to [0, 1]. */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
  /** Augmented images lose a square of so many pixels a side, at a random place (cutout); 0, the default, for none. */
  cutout?: number;
  /** Augmented images go through RandAugment: so many operations, of a magnitude of 0 … 30, torchvision's (2 and 9 are its defaults). */
  randAugment?: readonly [operations: number, magnitude: number];
  /** Bytes of one buffer of images, at most what the adapter binds (the default). */
  maxBytes?: number;
}

/** One buffer of images: `count` of them from number `first` on. */
interface Part {
  readonly storage: Storage;
  readonly first: number;
  readonly count: number;
}

/** The images of a split in GPU memory, 3,072 bytes each, in as many buffers as the adapter's limit on one asks for. */
export class ResidentImages implements BatchSource {
  readonly count: number;
  readonly #parts: readonly Part[];
  readonly #labels: Tensor;
  readonly #kernel: Kernel;
  readonly #workgroups: (batch: number) => Workgroups;

  constructor({ images, labels, count }: Split, options: ResidentOptions) {
    const { mean, std, cutout = 0, randAugment, maxBytes = Infinity } = options;
    if (count < 1) throw new InputError('ResidentImages: the split holds no images; was it loaded?');
    if (std.some((s) => !(s > 0))) throw new InputError(`ResidentImages: std ${std.join(', ')} must be positive`);
    if (!(Number.isInteger(cutout) && cutout >= 0 && cutout <= 32))
      throw new InputError(`ResidentImages: cutout is ${cutout}, it must be a whole number of 0 … 32 pixels`);
    if (randAugment) checkRandAugment(randAugment);
    this.count = count;
    const limit = Math.min(maxBytes, device().limits.maxStorageBufferBindingSize);
    const perPart = Math.floor(limit / IMAGE_BYTES);
    if (perPart < 1) throw new InputError(`ResidentImages: a buffer of ${limit} bytes holds no image`);
    const parts: Part[] = [];
    for (let first = 0; first < count; first += perPart) {
      const n = Math.min(perPart, count - first);
      const storage = device().allocate(n * IMAGE_BYTES, 'images');
      device().write(storage, images.subarray(first * IMAGE_BYTES, (first + n) * IMAGE_BYTES));
      parts.push({ storage, first, count: n });
    }
    this.#parts = parts;
    this.#labels = tensor(Int32Array.from(labels)).keep();
    this.#kernel = randAugment
      ? randAugmentKernel({ mean, std, cutout, randAugment })
      : augmentKernel({ mean, std, cutout });
    this.#workgroups = randAugment ? (batch) => [1, batch, 1] : augmentWorkgroups;
  }

  /**
   * The batches of one epoch. A batch that is used again later is drawn again: the same images, bit for bit.
   * A last batch of a single image is left out when shuffling: batch norm has no variance of one value.
   */
  *batches(options: BatchOptions): Iterable<Batch> {
    const { batchSize, seed = 0, epoch = 0, shuffle = false, augment = false, start = 0 } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new InputError(`batches: batchSize ${batchSize} must be a whole number of at least 1`);
    checkSeed(seed);
    const indices = shuffle
      ? new Rng(seed, Stream.shuffle, epoch).permutation(this.count)
      : Uint32Array.from({ length: this.count }, (_, i) => i);
    const order = tensor(indices);
    for (let index = start; index < this.count; index += batchSize) {
      const size = Math.min(batchSize, this.count - index);
      if (size === 1 && batchSize > 1 && shuffle) break;
      const draw = (images: TypedBinding, labels: TypedBinding) => {
        if (this.#parts.some(({ storage }) => storage.released))
          throw new ReleasedError(
            'this batch is no longer there: its ResidentImages was disposed of; keep() a batch before',
          );
        for (const part of this.#parts)
          device().launch(
            this.#kernel,
            [part.storage, bind(this.#labels), bind(order), images, labels],
            [seed, Stream.augment, epoch, index, size, part.first, part.count, Number(augment)],
            this.#workgroups(size),
          );
      };
      /** One launch makes both; later only one of them may be asked for. */
      const alone = (floats: number, make: (other: Storage) => void) => {
        const other = device().allocate(4 * floats, 'batch');
        make(other);
        other.release();
      };
      let first: Storage | null = null;
      let drawn = false;
      const images = factory('batch', [size, 3, 32, 32], 'float32', (to) => {
        if (drawn) alone(size, (labels) => draw(to, labels));
        else first = to; // drawn with the labels
      });
      const labels = factory('batch labels', [size], 'int32', (to) => {
        if (drawn) alone(size * 3 * 32 * 32, (images) => draw(images, to));
        else draw(there(first, 'images'), to);
      });
      drawn = true;
      const ended = stepsEnded();
      yield { images, labels, size, index };
      if (stepsEnded() === ended) endStep();
    }
  }

  /** Gives the images back. */
  dispose(): void {
    for (const { storage } of this.#parts) storage.release();
    this.#labels.dispose();
  }
}

function checkRandAugment([operations, magnitude]: readonly [number, number]): void {
  requireWhole('ResidentImages: randAugment: the number of operations', operations, 1, 14);
  requireWhole('ResidentImages: randAugment: the magnitude', magnitude, 0, 30);
}
