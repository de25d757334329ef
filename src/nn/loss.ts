// Losses as modules, for those who keep the loss with the model; `F` has them as functions.

import { checked, type OptionTable } from '../gpu/options';
import { bceWithLogits, crossEntropy, huberLoss, l1Loss, lossOptions, mseLoss, nllLoss } from '../ops/loss';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

/** A loss as a module: its options are given once, `forward(x, target)` is the loss. */
export type Loss<O> = Module<[x: Tensor, target: Tensor]> & {
  readonly options?: O;
  forward(x: Tensor, target: Tensor): Tensor;
};

function lossModule<O extends object>(
  loss: (x: Tensor, target: Tensor, options?: O) => Tensor,
  table: OptionTable<O>,
): new (
  options?: O,
) => Loss<O> {
  return class extends Module<[x: Tensor, target: Tensor]> {
    constructor(readonly options?: O) {
      super();
      checked(new.target.name, options, table);
    }

    override forward(x: Tensor, target: Tensor): Tensor {
      return loss(x, target, this.options);
    }
  };
}

/** Cross-entropy of logits [N, C, …] with int32 labels [N, …] or probabilities. */
export class CrossEntropyLoss extends lossModule(crossEntropy, lossOptions.crossEntropy) {}

/** The same of log-probabilities, such as LogSoftmax gives, with int32 labels. */
export class NLLLoss extends lossModule(nllLoss, lossOptions.nllLoss) {}

/** (x − target)² */
export class MSELoss extends lossModule(mseLoss, lossOptions.mseLoss) {}

/** |x − target| */
export class L1Loss extends lossModule(l1Loss, lossOptions.l1Loss) {}

/** Squared near zero, linear beyond `delta`. */
export class HuberLoss extends lossModule(huberLoss, lossOptions.huberLoss) {}

/** Binary cross-entropy of logits, stable for large ones. */
export class BCEWithLogitsLoss extends lossModule(bceWithLogits, lossOptions.bceWithLogits) {}
