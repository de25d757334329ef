// The losses φ of Fang et al. 2020, (3.6): means over the samples, one number for each replica.

import { fromEnd } from '../../shaders/checked';
import { checked, is } from '../gpu/options';
import { warnOnce } from '../gpu/warn';
import { logSigmoid, mul, neg } from '../ops/elementwise';
import { crossEntropy as crossEntropyOf, mseLoss, pseudoHuberLoss } from '../ops/loss';
import { mean } from '../ops/reduce';
import { expand, reshape } from '../ops/views';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';

/** Targets that all replicas share, as one for each. */
const alike = (target: Tensor, shape: Shape): Tensor => (target.ndim < shape.length ? expand(target, shape) : target);

/** δ²(√(1 + r²/δ²) − 1) with r = output − target, without cancellation near 0. Outputs [N] or [replicas, N]; targets alike, or shared [N]. */
export function pseudoHuber(
  output: Tensor,
  target: Tensor,
  options: { /** Where the loss turns from a parabola to a line. */ delta?: number } = {},
): Tensor {
  const { delta = 1 } = checked('pseudoHuber', options, { delta: is.number });
  return mean(pseudoHuberLoss(output, alike(target, output.shape), { delta, reduction: 'none' }), -1);
}

/** log(1 + exp(−target·output)) for targets ±1. Shapes as of `pseudoHuber`. */
export const logistic = (output: Tensor, target: Tensor): Tensor =>
  neg(mean(logSigmoid(mul(output, alike(target, output.shape))), -1));

/** Cross-entropy of outputs [N, C] or [replicas, N, C] with int32 labels [N] or [replicas, N]. */
export function crossEntropy(output: Tensor, labels: Tensor): Tensor {
  const lead = output.shape.slice(0, -1);
  const flat = reshape(output, [-1, fromEnd(output.shape, 1)]);
  return mean(reshape(crossEntropyOf(flat, reshape(alike(labels, lead), [-1]), { reduction: 'none' }), lead), -1);
}

/** (output − target)². Warns once: its derivative is unbounded, so Assumption 1 and with it the theorems do not hold. */
export function squared(output: Tensor, target: Tensor): Tensor {
  warnOnce(
    'dawnfield: the squared loss has an unbounded derivative and violates Assumption 1 of the feature-flow theorems; pseudoHuber satisfies it.',
  );
  return mean(mseLoss(output, alike(target, output.shape), { reduction: 'none' }), -1);
}
