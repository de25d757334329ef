// Steady launches of a graph: what they compute stays from call to call, as packed weights and the rows of a batch norm in evaluation do. They read
// only memory that the step does not write. A call leaves them out unless something else has written that memory since.

import type { Block } from './blocks';
import { Scalar } from './constants';
import { type Launch, VirtualBlock } from './trace';

/** Bytes that steady launches of a plan may write: what they keep is memory that others could use. */
const MOST_KEPT = 2 ** 26;

/**
 * `launches` with the steady ones in front, and how many these are. What a call brings (`inputs`) is new each time. Results that others see
 * (`pinned`) are computed each time, as the program may write into them.
 */
export function steadyFirst(
  launches: readonly Launch[],
  pinned: ReadonlySet<Block>,
  inputs: ReadonlySet<Block>,
): { launches: Launch[]; count: number } {
  const writers = new Map<Block, Launch[]>();
  for (const launch of launches)
    launch.bindings.forEach(({ block }, i) => {
      if (launch.kernel.access[i] !== 'r') writers.set(block, [...(writers.get(block) ?? []), launch]);
    });
  const steady = new Set<Launch>();
  let kept = 0;
  for (const launch of launches) {
    const stays = launch.bindings.every(({ block }, i) => {
      const access = launch.kernel.access[i];
      const by = writers.get(block) ?? [];
      if (access === 'r' || access === undefined) return !inputs.has(block) && by.every((other) => steady.has(other));
      return access === 'w' && by.length === 1 && block instanceof VirtualBlock && !block.place && !pinned.has(block);
    });
    const bytes = launch.bindings.reduce((sum, b, i) => (launch.kernel.access[i] === 'w' ? sum + b.bytes : sum), 0);
    if (!stays || kept + bytes > MOST_KEPT || launch.constants.some((c) => c instanceof Scalar)) continue;
    kept += bytes;
    steady.add(launch);
  }
  return { launches: [...steady, ...launches.filter((l) => !steady.has(l))], count: steady.size };
}

/** The memory that steady launches read, and how often it had been written when they ran. */
export class Sources {
  #ran = false;
  readonly #blocks: Block[];
  readonly #seen: number[];

  constructor(steady: readonly Launch[]) {
    const own = new Set(
      steady.flatMap((l) => l.bindings.flatMap((b, i) => (l.kernel.access[i] === 'w' ? [b.block] : []))),
    );
    const read = steady.flatMap(({ bindings }) => bindings.map((b) => b.block));
    this.#blocks = [...new Set(read)].filter((block) => !own.has(block));
    this.#seen = this.#blocks.map(() => 0);
  }

  /** Whether one of them was written since `ran()`, or that was never called: some launches read nothing. */
  get changed(): boolean {
    if (!this.#ran) return true;
    for (let i = 0; i < this.#blocks.length; i++) if (this.#blocks[i]?.writes !== this.#seen[i]) return true;
    return false;
  }

  ran(): void {
    this.#ran = true;
    for (const [i, { writes }] of this.#blocks.entries()) this.#seen[i] = writes;
  }
}
