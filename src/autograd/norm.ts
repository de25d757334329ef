// Batch, layer and group normalisation with gradients.

import type { BatchNormOptions } from '../tensor/norm';
import * as raw from '../tensor/norm';
import type { Tensor } from '../tensor/tensor';
import { record } from './tape';

/**
 * y = (x − mean) / √(variance + eps) · weight + bias for each channel of x [N, C, …], as `torch.nn.functional.batch_norm`.
 * In training with the mean and biased variance of the batch, and the running statistics are moved on the GPU:
 * running = (1 − momentum) · running + momentum · batch, with the unbiased variance. Otherwise with the running statistics.
 * `activation: 'relu'` is fused. Throws InputError for wrong shapes, and in training for a single value per channel.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { weight, bias, training, activation } = options;
  const { y, stats } = raw.batchNorm(x, options);
  const inputs = weight && bias ? [x, weight, bias] : [x];
  return record('batchNorm', inputs, y, [x, stats], (gradient, needs) => {
    const { dx, dWeight, dBias } = raw.batchNormGradient(gradient, x, stats, { training, activation }, needs[0]);
    return [dx, dWeight, dBias];
  });
}
