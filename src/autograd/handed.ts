// What a compiled step hands to the program, results and gradients, lies in its graph's memory. Before the graph runs again, what is still in
// use moves out.
import { device } from '../gpu';
import type { Block } from '../gpu/blocks';
import { Storage } from '../gpu/blocks';
import { type Effect, type Trace, VirtualBlock } from '../gpu/trace';
import type { DType } from '../tensor/dtype';
import { Memory } from '../tensor/memory';
import type { Shape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

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

/** Writes of the step's host data before each call, of what the step writes into and of what it hands to the program, which may. */
export function rewritten({ constants, launches }: Trace, handed: ReadonlySet<Memory>): Effect[] {
  const real = (block: Block) => (block instanceof VirtualBlock ? (block.place ?? block) : block);
  const changed = new Set([...handed].map((memory) => real(memory.storage.block)));
  for (const { kernel, bindings } of launches)
    bindings.forEach(({ block }, i) => kernel.access[i] !== 'r' && changed.add(real(block)));
  const written = constants.filter(({ storage }) => changed.has(storage.block));
  return written.map(
    ({ storage, data, offset }) =>
      () =>
        device().write(storage, data, offset),
  );
}
