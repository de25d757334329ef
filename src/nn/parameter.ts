// Parameter and State: the two kinds of tensors that a module owns. Both live until dropped.

import type { Shape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

/** A tensor that lives as long as its module, over memory of its own. */
abstract class Owned extends Tensor {
  constructor(initial: Tensor, shape: Shape = initial.shape) {
    initial.memory.recipe = null;
    initial.keep();
    super(initial.memory, initial.dtype, shape);
  }
}

/** A trained tensor: optimizers update it, `backward()` fills its `grad`. Takes over the memory of `initial`. */
export class Parameter extends Owned {
  /** Optimizer buffers that belong to it (momentum …): they move with it when particles are re-sorted. */
  readonly companions = new Map<string, Tensor>();

  constructor(initial: Tensor) {
    super(initial);
    this.requiresGrad = true;
  }
}

/** A tensor that a module keeps but does not train, such as running statistics. */
export class State extends Owned {
  constructor(
    initial: Tensor,
    /** Whether state dicts hold it; checkpoints always do. */
    readonly persistent = true,
  ) {
    super(initial);
  }
}
