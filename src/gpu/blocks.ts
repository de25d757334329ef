// GPU memory: blocks (whole GPUBuffers), the pool that recycles them, and storages (reference-counted ranges that tensors share).
import { ANY } from '../../shaders/elements';
import { formatBytes, GpuError, OutOfMemoryError, ReleasedError } from './errors';
import { Habit } from './habit';
import type { Losses, Lossy } from './losses';
import type { Outbox } from './outbox';
import { isOutOfMemory, type Watch } from './watch';

/** A whole GPUBuffer with an identity for the bind-group cache. */
export interface Block extends Lossy {
  readonly id: number;
  readonly gpu: GPUBuffer;
  /** Where it came from. */
  readonly pool: Pool | null;
  /** The batch of commands that used it last: a host write must not overtake it. */
  batch: number;
  /** Whether the GPU has yet to say that there is memory for it. */
  pending: boolean;
  /** Its place among the free blocks of its size; −1 while it is in use. */
  free: number;
  /** When it was taken from the pool, counted in takes. */
  taken: number;
}

/** Sizes are rounded up to an eighth of a power of two (≤ 12.5 % waste), so that nearly equal shapes share blocks. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes)) - 4));
  return Math.ceil(bytes / step) * step;
}

/** Tells takes apart, most of the time. */
const labelOf = (size: number, what: string): number =>
  Math.imul(size, 31) + what.length + 131 * what.charCodeAt(0) + 8191 * what.charCodeAt(what.length - 1);

/** Creates blocks and takes them back. Commands run in queue order, so a block can be reused as soon as its last user was encoded. */
export class Pool {
  #free = new Map<number, Block[]>();
  #habit = new Habit<Block>();
  #nextId = 1;
  #owned = new Map<GPUBuffer, Block>();
  liveBytes = 0;
  peakBytes = 0;
  reservedBytes = 0;
  buffersCreated = 0;

  constructor(
    readonly device: GPUDevice,
    readonly watch: Watch,
    readonly losses: Losses,
    readonly outbox: Outbox,
    /** Called before buffers are destroyed. */
    readonly onDestroy: () => void,
  ) {}

  /** All blocks there are. */
  get blocks(): Iterable<Block> {
    return this.#owned.values();
  }

  /** A block of at least `bytes`; its content is undefined. `what` names the operation in errors. */
  take(bytes: number, what: string): Block {
    this.checkSize(bytes, what);
    const limit = this.device.limits.maxBufferSize;
    const size = sizeClass(bytes);
    const expected = this.#habit.expected(labelOf(size, what));
    const block = this.#reuse(size, expected) ?? this.#make(Math.min(size, limit - (limit % 4)), what);
    this.#habit.took(block);
    this.losses.renew({ block, offset: 0, bytes: block.size });
    this.liveBytes += block.size;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return block;
  }

  /** Throws where no buffer can be that large. */
  checkSize(bytes: number, what: string): void {
    const limit = this.device.limits.maxBufferSize;
    if (!(bytes <= limit))
      throw new OutOfMemoryError(
        `${what} needs one buffer of ${formatBytes(bytes)}, but this adapter allows at most ${formatBytes(limit)} (maxBufferSize). ` +
          'Use a smaller batch or split the tensor.',
      );
  }

  give(block: Block): void {
    this.liveBytes -= block.size;
    if (!this.#owned.has(block.gpu)) return; // its allocation has failed since
    const list = this.#free.get(block.size);
    block.free = list?.length ?? 0;
    if (list) list.push(block);
    else this.#free.set(block.size, [block]);
  }

  /** A free block: the one that this take had the last time around, or one that no take had, else the one that was used last. */
  #reuse(size: number, expected: Block | null): Block | null {
    const list = this.#free.get(size);
    if (!list) return null;
    if (expected && expected.free < 0) expected = list.find((block) => this.#habit.isSpare(block)) ?? null;
    const last = list.pop();
    if (!last) return null;
    if (!expected || expected === last || expected.size !== last.size) {
      last.free = -1;
      return last;
    }
    list[expected.free] = last;
    last.free = expected.free;
    expected.free = -1;
    return expected;
  }

  /** Destroys what is not in use. */
  trim(): void {
    this.onDestroy();
    for (const list of this.#free.values()) for (const block of list) this.#drop(block);
    this.#free.clear();
  }

  destroy(): void {
    for (const gpu of this.#owned.keys()) gpu.destroy();
    this.#owned.clear();
    this.#free.clear();
  }

  /** A new block. Where there is no memory left for it, what waits in the pool is freed first. */
  #make(size: number, what: string): Block {
    try {
      return this.#create(size, what);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || this.reservedBytes === this.liveBytes) throw error;
      this.trim();
      return this.#create(size, what);
    }
  }

  #create(size: number, what: string): Block {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    let failure: GpuError | null = null;
    let block: Block | null = null;
    const gpu = this.watch.run(
      () => this.device.createBuffer({ size, usage, label: what }),
      (error) => {
        if (block) block.pending = false;
        if (!error) return;
        failure = this.#refused(size, what, error);
        // Told later: the block is in use meanwhile, or back in the pool.
        if (block) this.#fail(block, failure);
      },
    );
    if (failure) {
      gpu.destroy();
      throw failure;
    }
    this.buffersCreated++;
    this.reservedBytes += size;
    const pending = !this.watch.atOnce;
    block = {
      id: this.#nextId++,
      gpu,
      size,
      pool: this,
      batch: -1,
      losses: null,
      writes: 0,
      pending,
      free: -1,
      taken: -1,
    };
    this.#owned.set(gpu, block);
    return block;
  }

  #refused(size: number, what: string, error: GPUError): GpuError {
    if (!isOutOfMemory(error)) return new GpuError(`allocating ${formatBytes(size)} for ${what}: ${error.message}`);
    const held = formatBytes(this.liveBytes);
    return new OutOfMemoryError(
      `out of GPU memory while allocating ${formatBytes(size)} for ${what}, with ${held} in use: use a smaller batch or a smaller model, ` +
        'dispose() of tensors that are not needed, or checkpoint() parts of the model. What was computed before is still there.',
    );
  }

  #fail(block: Block, error: GpuError): void {
    this.#drop(block);
    const list = block.free < 0 ? null : this.#free.get(block.size);
    const last = list?.pop();
    if (list && last) {
      if (last !== block) list[(last.free = block.free)] = last;
      block.free = -1;
    } else this.losses.lose({ block, offset: 0, bytes: block.size }, error);
    this.losses.untold.push(error);
  }

  #drop(block: Block): void {
    block.free = -1;
    this.reservedBytes -= block.size;
    this.#owned.delete(block.gpu);
    this.outbox.put(() => block.gpu.destroy());
  }
}

/** What a kernel binds: a range of a block. */
export interface Binding {
  readonly block: Block;
  /** Bytes from the start of the block; a multiple of the adapter's binding alignment. */
  readonly offset: number;
  readonly bytes: number;
  /** It reaches to the end of a tensor's own memory: what lies behind it, up to where the next binding may start, is nobody's. */
  readonly whole?: boolean;
}

/** Whether two ranges have bytes in common. */
export const overlap = (a: Binding, b: Binding): boolean =>
  a.block === b.block && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

/** A range with the types of element that it may hold (shaders/elements.ts): what `launch` takes. */
export interface TypedBinding extends Binding {
  readonly element: number;
}

/** A range of a block, shared by the tensors that view it. Starts with one reference. */
export class Storage implements TypedBinding {
  /** By itself it is raw memory; what is bound of a tensor carries the tensor's type (tensor/elementwise.ts, `bind`). */
  readonly element = ANY;
  readonly whole = true;
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
    if (!this.#block) throw new ReleasedError('this memory was already released');
    return this.#block;
  }

  get released(): boolean {
    return this.#block === null;
  }

  retain(): this {
    if (!this.#block) throw new ReleasedError('this memory was already released');
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
