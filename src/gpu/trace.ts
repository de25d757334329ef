// Tracing: while a step is traced, launches are listed instead of encoded and memory is virtual. `graph.ts` makes the list ready to run.
import type { Kernel } from '../../shaders/kernel';
import type { Binding, Block } from './blocks';
import { sizeClass } from './blocks';
import type { Constant } from './constants';
import { GpuError } from './errors';

/** One launch of the list. */
export interface Launch {
  kernel: Kernel;
  bindings: Binding[];
  constants: readonly Constant[];
  grid: readonly [number, number, number];
  /** The module that launches it, for profiles. */
  path: string;
  /** What it does of the traced list, where a pass made or moved it. A launch as it was traced is its own only part. */
  parts?: readonly Part[];
  /** The words of its last binding, the table of a joined launch: they are written before the graph first runs. */
  table?: Uint32Array<ArrayBuffer>;
}

/** A traced launch, and the ranges on which it now works. */
export interface Part {
  readonly launch: Launch;
  readonly bindings: readonly Binding[];
}

export const partsOf = (launch: Launch): readonly Part[] => launch.parts ?? [{ launch, bindings: launch.bindings }];

/** The blocks that launches write. */
export const writtenBy = (launches: readonly Launch[]): ReadonlySet<Block> =>
  new Set(
    launches.flatMap(({ kernel, bindings }) =>
      bindings.filter((_, i) => !'rc'.includes(kernel.access.charAt(i))).map(({ block }) => block),
    ),
  );

/** A block without memory yet. Placement gives it the buffer of a real one. */
export class VirtualBlock implements Block {
  static #next = -1;
  readonly id = VirtualBlock.#next--;
  batch = -1;
  readonly pool = null;
  readonly pending = false;
  readonly free = -1;
  taken = -1;
  losses = null;
  writes = 0;
  place: Block | null = null;
  readonly size: number;

  constructor(
    bytes: number,
    readonly what: string,
  ) {
    this.size = sizeClass(bytes);
  }

  get gpu(): GPUBuffer {
    if (!this.place)
      throw new GpuError(`${this.what}: used outside of the compiled step that computes it; return it from the step`);
    return this.place.gpu;
  }
}

/** Something that the host does; what it returns takes it back, should the step fail. */
// biome-ignore lint/suspicious/noConfusingVoidType: most have nothing to take back
export type Effect = () => void | (() => void);

/** Takes back what effects have changed, the last one first. */
export const undo = (undos: readonly ReturnType<Effect>[]): void => {
  for (const back of undos.toReversed()) back?.();
};

/** Host data of a traced step. */
export interface HostData {
  readonly storage: Binding;
  readonly offset: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

export class Trace {
  readonly launches: Launch[] = [];
  /** What the host does at every call of the step: counters, random keys. */
  readonly effects: Effect[] = [];
  /** How to take back what they have changed while the step was traced. */
  readonly undos: ReturnType<Effect>[] = [];
  /** Host data that the step made, where it was written once. */
  readonly constants: HostData[] = [];
  /** What tells the data apart, for the comparison of two traces. */
  readonly digests: number[] = [];

  allocate(bytes: number, what: string): VirtualBlock {
    return new VirtualBlock(bytes, what);
  }
}

/** A number that tells data apart (FNV-1a). */
export function digest({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBuffer>): number {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
