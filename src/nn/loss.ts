// Losses as modules, for those who keep the loss with the model; `F` has them as functions.
import { bceWithLogits, crossEntropy, huberLoss, l1Loss, mseLoss, nllLoss } from '../autograd/loss';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

type Options<F> = F extends (a: Tensor, b: Tensor, options?: infer O) => Tensor ? O : never;

/** Cross-entropy of logits [N, C, …] with int32 labels [N, …] or probabilities. */
export class CrossEntropyLoss extends Module {
  constructor(readonly options: Options<typeof crossEntropy> = {}) {
    super();
  }

  override forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.options);
  }
}

/** The same of log-probabilities, such as LogSoftmax gives, with int32 labels. */
export class NLLLoss extends Module {
  constructor(readonly options: Options<typeof nllLoss> = {}) {
    super();
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return nllLoss(x, target, this.options);
  }
}

/** (x − target)² */
export class MSELoss extends Module {
  constructor(readonly options: Options<typeof mseLoss> = {}) {
    super();
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return mseLoss(x, target, this.options);
  }
}

/** |x − target| */
export class L1Loss extends Module {
  constructor(readonly options: Options<typeof l1Loss> = {}) {
    super();
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return l1Loss(x, target, this.options);
  }
}

/** Squared near zero, linear beyond `delta`. */
export class HuberLoss extends Module {
  constructor(readonly options: Options<typeof huberLoss> = {}) {
    super();
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return huberLoss(x, target, this.options);
  }
}

/** Binary cross-entropy of logits, stable for large ones. */
export class BCEWithLogitsLoss extends Module {
  constructor(readonly options: Options<typeof bceWithLogits> = {}) {
    super();
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return bceWithLogits(x, target, this.options);
  }
}
