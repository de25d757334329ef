// Metrics of classifiers. They stay on the GPU, as losses do: `await metric.item()`.

import { add, cast, eq, mul } from '../ops/elementwise';
import { any, argmax, mean } from '../ops/reduce';
import { scatterAdd } from '../ops/scatter';
import { topk } from '../ops/sort';
import { reshape, unsqueeze } from '../ops/views';
import { inputError, requireIntegers } from '../tensor/context';
import { ones, zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';

function check(op: string, scores: Tensor, labels: Tensor): void {
  if (scores.ndim !== 2 || labels.ndim !== 1 || labels.size !== scores.shape[0])
    throw inputError(op, 'the shapes do not fit', { scores, labels }, 'Scores are [N, C], labels [N].');
}

/** The share of samples whose label has the largest score: scores [N, C] (logits or probabilities), labels [N] (int32). A tensor of shape []. */
export function accuracy(scores: Tensor, labels: Tensor): Tensor {
  check('accuracy', scores, labels);
  return mean(cast(eq(argmax(scores, 1), labels), 'float32'));
}

/** The share of samples whose label is among the `k` largest scores. */
export function topKAccuracy(scores: Tensor, labels: Tensor, k: number): Tensor {
  check('topKAccuracy', scores, labels);
  const { indices } = topk(scores, k, { dim: 1 });
  return mean(cast(any(eq(indices, unsqueeze(labels, 1)), 1), 'float32'));
}

/** How often each label (row) was taken for each class (column): predictions and labels [N] (int32) → int32 [classes, classes]. */
export function confusionMatrix(predictions: Tensor, labels: Tensor, classes: number): Tensor {
  requireIntegers('confusionMatrix', { classes });
  if (predictions.ndim !== 1 || labels.ndim !== 1 || predictions.size !== labels.size)
    throw inputError('confusionMatrix', 'the shapes do not fit', { predictions, labels }, 'Both are [N].');
  const at = add(mul(cast(labels, 'int32'), classes), cast(predictions, 'int32'));
  const none = zeros([classes * classes], { dtype: 'int32' });
  return reshape(scatterAdd(none, 0, at, ones([at.size], { dtype: 'int32' })), [classes, classes]);
}
