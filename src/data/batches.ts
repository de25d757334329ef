// What training and evaluation need of a data set: batches on the GPU, in an order that depends on seed and epoch alone.
import type { Tensor } from '../tensor/tensor';

/** A batch of images with their labels, all on the GPU. */
export interface Batch {
  /** float32 [N, 3, 32, 32], or whatever the model takes. */
  readonly images: Tensor;
  /** int32 [N]. */
  readonly labels: Tensor;
  /** float32 [N, classes], where images are mixed: the class probabilities that the loss is taken from, in place of the labels. */
  readonly targets?: Tensor;
  /** N; the last batch of an epoch may be smaller. */
  readonly size: number;
  /** Position of the batch's first image in the order of the epoch. */
  readonly index: number;
}

/** Which batches of an epoch are wanted, and in what order. */
export interface BatchOptions {
  /** Images of a batch; the last batch of an epoch may have fewer. */
  batchSize: number;
  /** Order and augmentation are pure functions of (seed, epoch, image): default 0, 0. */
  seed?: number;
  /** Counted from 0, the default; each epoch has an order and an augmentation of its own. */
  epoch?: number;
  /** Whether the images come in an order of the epoch's own, for training (default false). */
  shuffle?: boolean;
  /** Whether images are cropped and flipped at random (default false). */
  augment?: boolean;
  /** Position in the order to start at, in order to go on within an epoch (default 0). */
  start?: number;
}

/** A data set that gives batches, such as `ResidentImages`. */
export interface BatchSource<B = Batch> {
  /** Number of images, or other samples. */
  readonly count: number;
  /** The batches of an epoch, in its order. */
  batches(options: BatchOptions): Iterable<B>;
}
