// Options of batch, layer and group normalisation, and what batch norm refuses.
import { at } from '../../shaders/checked';
import type { Scalar } from '../gpu';
import { either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { present, requireFloats, requireShape } from '../tensor/tensor';

/** Options of `layerNorm` and `groupNorm`. */
export interface AffineOptions {
  /** Scale γ. */
  weight?: Tensor | null;
  /** Shift β. */
  bias?: Tensor | null;
  /** Added to the variance: 1e-5 by default. */
  eps?: number;
}

/** Options of `batchNorm`. */
export interface BatchNormOptions extends AffineOptions {
  /** `[C]`: mean in evaluation, moved in training. */
  runningMean?: Tensor | null;
  /** `[C]`: variance in evaluation, moved in training. */
  runningVar?: Tensor | null;
  /** Normalise with the statistics of the batch and update the running ones; otherwise use the running ones. */
  training?: boolean;
  /** Weight of the batch in the running statistics; null: they are means over all batches, which `numBatchesTracked` counts. */
  momentum?: number | Scalar | null;
  /** int32 []: counts the batches whose statistics have moved the running ones. Null, the default, for no count. */
  numBatchesTracked?: Tensor | null;
  /** ReLU after the normalisation, in the same launch. */
  activation?: 'relu';
}

/** What the options of layer and group norm may be. */
export const AFFINE: OptionTable<AffineOptions> = { weight: is.tensor, bias: is.tensor, eps: is.number };
/** What those of batch norm may be. */
export const BATCH_NORM: OptionTable<BatchNormOptions> = {
  ...AFFINE,
  runningMean: is.tensor,
  runningVar: is.tensor,
  training: is.flag,
  momentum: either(is.number, is.object, word(null)),
  numBatchesTracked: is.tensor,
  activation: word('relu'),
};

/** Refuses operands and options that do not fit. */
export function checkBatchNorm(x: Tensor, options: BatchNormOptions): void {
  const op = 'batchNorm';
  const { weight, bias, runningMean, runningVar, training, momentum, numBatchesTracked: tracked } = options;
  if (tracked && (tracked.dtype !== 'int32' || tracked.size !== 1))
    throw inputError(op, 'numBatchesTracked must be one int32 number', { input: x, numBatchesTracked: tracked });
  if (momentum === null && training && runningMean && !tracked)
    throw inputError(op, 'momentum: null needs numBatchesTracked, which counts the batches', { input: x });
  const given = { weight, bias, runningMean, runningVar };
  requireFloats(op, { input: x, ...present(given) }, true);
  if (x.ndim < 2) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …].');
  const channels = at(x.shape, 1);
  requireShape(op, x, given, [channels], `one value for each of the ${channels} channels`);
  if (!runningMean !== !runningVar)
    throw inputError(op, 'runningMean and runningVar must be given together', { input: x });
  if (!training && !runningMean)
    throw inputError(
      op,
      'evaluation needs runningMean and runningVar',
      { input: x },
      'Use training: true to normalise with the batch.',
    );
  const values = x.size / channels;
  if (training && !(values > 1))
    throw inputError(
      op,
      `training needs more than one value per channel, there is ${values || 0}`,
      { input: x },
      'Use a larger batch, or eval().',
    );
}
