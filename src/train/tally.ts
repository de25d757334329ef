// Tally: loss and correct answers summed up on the GPU over several steps, and read back at once.
import { tally as kernel } from '../../shaders/tally';
import type { Scalar } from '../gpu';
import { device, f32 } from '../gpu';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import { bind, contiguous } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';

export interface TallyValues {
  /** Σ loss · N, the number of right answers, and the number of images. */
  loss: number;
  correct: number;
  images: number;
  /** The first step, counted from 1 since the last read, whose loss was not finite; 0 if all were. */
  badStep: number;
}

export class Tally {
  /** What `shaders/tally.ts` adds to: part of a checkpoint, as float sums must go on in the same order. */
  readonly sums = zeros([3]).keep();
  /** Steps and images since the last read. */
  steps = 0;
  images = 0;

  /** Counts a batch of so many images; returns the number of its step since the last read, for `add`. */
  count(images: number): number {
    this.images += images;
    return ++this.steps;
  }

  /** Adds one batch: logits [N, C], labels [N] (int32), the mean loss over the batch, and what `count` has returned. */
  add(logits: Tensor, labels: Tensor, loss: Tensor, step: number | Scalar): void {
    const [rows, classes] = logits.shape;
    if (logits.ndim !== 2 || labels.size !== rows || loss.size !== 1)
      throw inputError(
        'Trainer',
        'the model must give logits [N, classes] for labels [N], the loss function one number',
        { logits: logits.shape, labels: labels.shape, loss: loss.shape },
      );
    const operands = [logits, labels, loss].map((x) => bind(contiguous(x)));
    const constants = [rows, classes, typeof step === 'number' ? f32(step) : step];
    device().launch(kernel, [...operands, bind(this.sums)], constants);
    this.sums.memory.written();
  }

  /** Waits for the GPU, returns the sums and begins again. */
  async read(): Promise<TallyValues> {
    const [loss, correct, badStep] = await this.sums.data();
    const { images } = this;
    device().write(this.sums.storage, new Float32Array(3));
    this.steps = this.images = 0;
    return { loss, correct, images, badStep };
  }

  dispose(): void {
    this.sums.dispose();
  }
}

/** Steps between two reads: a read makes the GPU wait for the host, but on a software driver a step takes far longer. */
export const defaultReadEvery = (): number => (device().target.isCpu ? 1 : 25);
