// GPU memory: blocks (whole GPUBuffers), the pool that recycles them, and storages (reference-counted ranges that tensors share).
import { ANY } from '../../shaders/elements';
import { formatBytes, GpuError, OutOfMemoryError, ReleasedError } from './errors';

/** A whole GPUBuffer with an identity for the bind-group cache. */
export interface Block {
  readonly id: number;
  readonly gpu: GPUBuffer;
  readonly size: number;
  /** Where it came from. */
  readonly pool: Pool | null;
  /** The batch of commands that used it last: a host write must not overtake it. */
  batch: number;
}

/** Sizes are rounded up to an eighth of a power of two (≤ 12.5 % waste), so that nearly equal shapes share blocks. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes)) - 4));
  return Math.ceil(bytes / step) * step;
}

/** Creates blocks and takes them back. Commands run in queue order, so a block can be reused as soon as its last user was encoded. */
export class Pool {
  #free = new Map<number, Block[]>();
  #nextId = 1;
  #owned = new Map<GPUBuffer, Block>();
  liveBytes = 0;
  peakBytes = 0;
  reservedBytes = 0;
  buffersCreated = 0;

  constructor(
    readonly device: GPUDevice,
    readonly report: (what: string, error: Promise<GPUError | null>) => void,
    readonly onDestroy: () => void,
  ) {}

  /** A block of at least `bytes`; its content is undefined. `what` names the operation in errors. */
  take(bytes: number, what: string): Block {
    const limit = this.device.limits.maxBufferSize;
    const size = sizeClass(bytes);
    if (!(bytes <= limit))
      throw new OutOfMemoryError(
        `${what} needs one buffer of ${formatBytes(bytes)}, but this adapter allows at most ${formatBytes(limit)} (maxBufferSize). ` +
          'Use a smaller batch or split the tensor.',
      );
    const block = this.#free.get(size)?.pop() ?? this.#create(Math.min(size, limit - (limit % 4)), what);
    this.liveBytes += block.size;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return block;
  }

  give(block: Block): void {
    this.liveBytes -= block.size;
    const list = this.#free.get(block.size);
    if (list) list.push(block);
    else this.#free.set(block.size, [block]);
  }

  /** Destroys what is not in use. */
  trim(): void {
    for (const list of this.#free.values())
      for (const block of list) {
        this.reservedBytes -= block.size;
        this.#owned.delete(block.gpu);
        block.gpu.destroy();
      }
    this.#free.clear();
    this.onDestroy();
  }

  destroy(): void {
    for (const gpu of this.#owned.keys()) gpu.destroy();
    this.#owned.clear();
    this.#free.clear();
  }

  #create(size: number, what: string): Block {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.device.pushErrorScope('out-of-memory');
    const gpu = this.device.createBuffer({ size, usage, label: what });
    this.report(`allocating ${formatBytes(size)} for ${what}`, this.device.popErrorScope());
    this.buffersCreated++;
    this.reservedBytes += size;
    const block = { id: this.#nextId++, gpu, size, pool: this, batch: -1 };
    this.#owned.set(gpu, block);
    return block;
  }
}

/** What a kernel binds: a range of a block. */
export interface Binding {
  readonly block: Block;
  /** Bytes from the start of the block; a multiple of the adapter's binding alignment. */
  readonly offset: number;
  readonly bytes: number;
}

/** A range with the types of element that it may hold (shaders/elements.ts): what `launch` takes. */
export interface TypedBinding extends Binding {
  readonly element: number;
}

/** A range of a block, shared by the tensors that view it. Starts with one reference. */
export class Storage implements TypedBinding {
  /** By itself it is raw memory; what is bound of a tensor carries the tensor's type (tensor/elementwise.ts, `bind`). */
  readonly element = ANY;
  #block: Block | null;
  #refs = 1;

  constructor(
    block: Block,
    readonly offset: number,
    /** Bytes asked for; the bound range is padded to a multiple of 16. */
    readonly bytes: number,
    readonly give: (block: Block) => void,
  ) {
    this.#block = block;
  }

  get block(): Block {
    if (!this.#block) throw new ReleasedError('this memory was already given back');
    return this.#block;
  }

  get released(): boolean {
    return this.#block === null;
  }

  retain(): this {
    if (!this.#block) throw new ReleasedError('this memory was already given back');
    this.#refs++;
    return this;
  }

  release(): void {
    if (!this.#block) throw new GpuError('a storage was released twice');
    if (--this.#refs > 0) return;
    const block = this.#block;
    this.#block = null;
    this.give(block);
  }

  /** A range of this storage that keeps it alive. `offset` must be a multiple of the adapter's binding alignment. */
  slice(offset: number, bytes: number): Storage {
    this.retain();
    return new Storage(this.block, this.offset + offset, bytes, () => this.release());
  }
}
