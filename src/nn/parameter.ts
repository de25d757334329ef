// Parameter and State: the two kinds of tensors that a module owns. Both live until dropped.

import { copy } from '../tensor/elementwise';
import { isWhole } from '../tensor/rows';
import { requireFloats, requireTensors, Tensor } from '../tensor/tensor';

/** A tensor that lives as long as its module: over the memory of `initial`, or a copy of its elements where that is a view of more. */
abstract class Owned extends Tensor {
  constructor(kind: string, initial: Tensor) {
    requireTensors(kind, { initial });
    const whole = isWhole(initial) ? initial : copy(initial);
    whole.memory.recipe = null;
    whole.keep();
    super(whole.memory, whole.dtype, whole.shape);
  }
}

/** Keeps tensors for parameters, as an optimizer does. They must follow when parameters change places. */
export interface Keeper {
  /**
   * The tensors kept for rows of parameters, as the same rows, once for each name. Row r becomes what was row order[r], null where that is not
   * known on the host.
   */
  rowsOf(
    rows: readonly (readonly Parameter[])[],
    order?: ArrayLike<number> | null,
  ): { name: string; buffers: Tensor[][] }[];
}

/** A trained tensor: optimizers update it, `backward()` fills its `grad`. Takes over the memory of `initial`; of a view it copies the elements. */
export class Parameter extends Owned {
  readonly #keepers = new Set<WeakRef<Keeper>>();
  /** Factor on its gradient in gradient descent (SGD), such as the number of particles. Rules that divide by the gradient's size ignore it. */
  gradientScale = 1;

  constructor(initial: Tensor) {
    requireFloats('Parameter', { initial });
    super('Parameter', initial);
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
    super('State', initial);
  }
}
