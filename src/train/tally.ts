// Tally: losses and other numbers of batches, summed up on the GPU over several steps and read back at once.
import { at, fromEnd, tuple } from '../../shaders/checked';
import { tally as kernel, tallyMean } from '../../shaders/tally';
import type { Scalar } from '../gpu';
import { device, f32 } from '../gpu';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import { bind, contiguous } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';

/** Sums over batches. */
export interface Totals {
  /** Σ loss · N, the number of right answers (of a classifier), and the number of samples. */
  loss: number;
  correct: number;
  images: number;
  /** Σ metric · N, by name, where a step of one's own gives metrics. */
  metrics?: Record<string, number>;
}

export interface TallyValues extends Totals {
  /** The first step, counted from 1 since the last read, with a number that was not finite; 0 if all were. */
  badStep: number;
}

/** Adds what was read to the sums so far. */
export function addTo(totals: Totals, { loss, correct, images, metrics }: Totals): void {
  totals.loss += loss;
  totals.correct += correct;
  totals.images += images;
  if (metrics)
    totals.metrics = Object.fromEntries(
      Object.entries(metrics).map(([name, sum]) => [name, (totals.metrics?.[name] ?? 0) + sum]),
    );
}

export class Tally {
  /** What the kernel adds to, the number of the first bad step behind it: part of a checkpoint, as float sums must go on in the same order. */
  readonly sums: Tensor;
  /** Steps and samples since the last read. */
  steps = 0;
  images = 0;
  /** The metrics besides, in the order of their sums: known from the first step on. */
  names: readonly string[] = [];

  constructor(size = 3) {
    this.sums = zeros([size]).keep();
  }

  /** Counts a batch of so many samples; returns the number of its step since the last read, for `add`. */
  count(images: number): number {
    this.images += images;
    return ++this.steps;
  }

  /** Adds one batch: logits [N, C], labels [N] (int32), the mean loss over the batch, and what `count` has returned. */
  add(logits: Tensor, labels: Tensor, loss: Tensor, step: number | Scalar): void {
    const [rows, classes] = logits.shape;
    if (logits.ndim !== 2 || rows === undefined || classes === undefined || labels.size !== rows || loss.size !== 1)
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
    const sums = await this.sums.data();
    const { images } = this;
    device().write(this.sums.storage, new Float32Array(this.sums.size));
    this.steps = this.images = 0;
    return this.totals([...sums], images);
  }

  protected totals(sums: readonly number[], images: number): TallyValues {
    const [loss, correct, badStep] = tuple(sums, 3);
    return { loss, correct, images, badStep };
  }

  dispose(): void {
    this.sums.dispose();
  }
}

/** Metrics besides the loss: their sums are made before the first step says how many there are. */
const MOST_METRICS = 15;

/** Sums of a loss and of metrics that are means over the batch, each one number. */
export class MeanTally extends Tally {
  constructor() {
    super(MOST_METRICS + 2);
  }

  /** Adds the numbers of a batch of so many samples, the loss first. */
  addMeans(values: ReadonlyMap<string, Tensor>, samples: number, step: number | Scalar): void {
    const bad = [...values].find(([, x]) => x.size !== 1 || x.dtype !== 'float32');
    if (bad)
      throw inputError('Trainer', `'${bad[0]}' of a step must be one float32 number, the mean over its batch`, {
        [bad[0]]: bad[1],
      });
    if (values.size > MOST_METRICS + 1)
      throw inputError('Trainer', `a step may give ${MOST_METRICS} metrics, not ${values.size - 1}`, {});
    this.names = [...values.keys()].slice(1);
    const numbered = typeof step === 'number' ? f32(step) : step;
    [...values.values()].forEach((x, slot) => {
      const constants = [slot, this.sums.size - 1, samples, numbered];
      device().launch(tallyMean, [bind(contiguous(x)), bind(this.sums)], constants);
    });
    this.sums.memory.written();
  }

  protected override totals(sums: readonly number[], images: number): TallyValues {
    const metrics = Object.fromEntries(this.names.map((name, i) => [name, at(sums, i + 1)]));
    return { loss: at(sums, 0), correct: 0, images, badStep: fromEnd(sums, 1), metrics };
  }
}

/** Steps between two reads: a read makes the GPU wait for the host, but on a software driver a step takes far longer. */
export const defaultReadEvery = (): number => (device().target.isCpu ? 1 : 25);
