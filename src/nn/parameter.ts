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

/** Keeps tensors for parameters, as an optimizer does. They must follow when parameters change places. */
export interface Keeper {
  /** The tensors kept for rows of parameters, as the same rows, once for each name. */
  rowsOf(rows: readonly (readonly Parameter[])[]): { name: string; buffers: Tensor[][] }[];
}

/** A trained tensor: optimizers update it, `backward()` fills its `grad`. Takes over the memory of `initial`. */
export class Parameter extends Owned {
  readonly #keepers = new Set<WeakRef<Keeper>>();

  constructor(initial: Tensor) {
    super(initial);
    this.requiresGrad = true;
  }

  /** Registers what keeps tensors for it, without keeping that alive. */
  addKeeper(keeper: Keeper): void {
    this.#keepers.add(new WeakRef(keeper));
  }

  /** All that keep tensors for it. */
  get keepers(): Keeper[] {
    return [...this.#keepers].flatMap((ref) => ref.deref() ?? (this.#keepers.delete(ref), []));
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
