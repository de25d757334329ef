// What a compiled step hands to the program, results and gradients, lies in its graph's memory. Before the graph runs again, what is still in
// use moves out.
import { device } from '../gpu';
import type { Block } from '../gpu/blocks';
import { Storage } from '../gpu/blocks';
import type { DType } from '../tensor/dtype';
import { bind, contiguous } from '../tensor/elementwise';
import { Memory } from '../tensor/memory';
import type { Shape } from '../tensor/shape';
import { empty, Tensor } from '../tensor/tensor';

/** Where a graph writes a tensor. */
export interface Place {
  readonly block: Block;
  readonly bytes: number;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

export class Handed {
  #memories = new Map<Block, Memory>();
  #before: WeakRef<Memory>[] = [];

  /** A tensor over a graph's memory. `give` takes the memory back; by default the graph keeps it. */
  tensor({ block, bytes, dtype, shape, strides, offset }: Place, give: (block: Block) => void = () => {}): Tensor {
    let memory = this.#memories.get(block);
    if (!memory) {
      memory = new Memory(new Storage(block, 0, bytes, give), 'a compiled step');
      memory.escape();
      this.#memories.set(block, memory);
    }
    return new Tensor(memory, dtype, shape, strides, offset);
  }

  /** All tensors of a call were made. */
  done(): void {
    this.#before = [...this.#memories.values()].map((memory) => new WeakRef(memory));
    this.#memories.clear();
  }

  /** Before the graph overwrites it: what is still in use gets memory of its own. */
  moveOut(): void {
    for (const memory of this.#before) memory.deref()?.moveOut();
    this.#before = [];
  }
}

/** Host data that the step has brought is written once: the program gets a copy, in which it may write. */
export function copyOf(constant: Tensor): Tensor {
  const own = empty('a compiled step', constant.shape, constant.dtype);
  own.memory.escape();
  if (own.size) device().copy(bind(contiguous(constant)), bind(own));
  return own;
}
