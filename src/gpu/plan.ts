// Plans: a traced step made ready to run again and again. Dead launches are dropped, virtual buffers placed in reused memory by their last
// use, bind groups made once. A call writes the numbers that change, encodes the list into one pass and submits once.
import type { Block, Pool } from './blocks';

import { type Commands, type Launched, MOST_UNIFORMS } from './commands';
import type { Constant } from './constants';
import { Scalar, writeConstants } from './constants';
import { GpuError } from './errors';
import { joinFlat, joinSegments } from './fuse';
import { normOnLoad, sumsOnStore } from './fuse-norm';
import type { Pipelines } from './pipelines';
import type { Launch } from './trace';
import { VirtualBlock } from './trace';

/** Launches whose results someone sees: those that write existing or pinned memory, and all that these need. */
export function liveLaunches(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const wanted = new Set<Block>(pinned);
  const live: Launch[] = [];
  for (const launch of launches.toReversed()) {
    const { access } = launch.kernel;
    const seen = launch.bindings.some(
      ({ block }, i) => access[i] !== 'r' && (!(block instanceof VirtualBlock) || block.place || wanted.has(block)),
    );
    if (!seen) continue;
    live.push(launch);
    for (const { block } of launch.bindings) wanted.add(block);
  }
  return live.reverse();
}

/** What a plan replays of a traced step: all passes, in their order. */
export function fused(launches: readonly Launch[], pinned: ReadonlySet<Block>, align: number) {
  const around = sumsOnStore(normOnLoad(liveLaunches(launches, pinned), pinned));
  return joinSegments(joinFlat(around, pinned, align), pinned, align);
}

/** Index of the last launch that touches each virtual block. */
function lastUses(launches: readonly Launch[]): Map<VirtualBlock, number> {
  const last = new Map<VirtualBlock, number>();
  launches.forEach(({ bindings }, i) => {
    for (const { block } of bindings) if (block instanceof VirtualBlock && !block.place) last.set(block, i);
  });
  return last;
}

/**
 * Gives every virtual block a real one. Blocks of one size class are handed on in the order in which they fell free, the oldest first:
 * Dawn waits for the last user of a buffer, so a long time between two uses lets neighbouring launches overlap.
 */
function place(launches: readonly Launch[], pinned: ReadonlySet<Block>, pool: Pool, what: string): Block[] {
  const last = lastUses(launches);
  const free = new Map<number, Block[]>();
  const owned: Block[] = [];
  launches.forEach(({ bindings }, i) => {
    for (const { block } of bindings) {
      if (!(block instanceof VirtualBlock) || block.place) continue;
      const list = free.get(block.size);
      block.place = list?.shift() ?? null;
      if (!block.place) owned.push((block.place = pool.take(block.size, what)));
    }
    for (const block of new Set(bindings.map((b) => b.block)))
      if (block instanceof VirtualBlock && last.get(block) === i && !pinned.has(block)) {
        const list = free.get(block.size);
        if (list) list.push(block.place!);
        else free.set(block.size, [block.place!]);
      }
  });
  return owned;
}

/** Proves that no launch reads memory that another virtual block has overwritten since. */
function checkPlacement(launches: readonly Launch[], pinned: ReadonlySet<Block>): void {
  const owner = new Map<Block, VirtualBlock>();
  const begun = new Set<VirtualBlock>();
  for (const { kernel, bindings } of launches)
    bindings.forEach(({ block }, i) => {
      if (!(block instanceof VirtualBlock)) return;
      const holder = owner.get(block.place!);
      // A first 'x' fills a part of fresh memory, whatever was there before.
      const reads = kernel.access[i] === 'r' || (kernel.access[i] === 'x' && begun.has(block));
      if (holder && holder !== block && reads)
        throw new GpuError(`${kernel.name} would read ${block.what} after ${holder.what} has overwritten it`);
      owner.set(block.place!, block);
      begun.add(block);
    });
  for (const block of pinned)
    if (block instanceof VirtualBlock && block.place && owner.has(block.place) && owner.get(block.place) !== block)
      throw new GpuError(`${block.what}, a result, would be overwritten by ${owner.get(block.place)!.what}`);
}

export class Plan {
  readonly #replays: Launched[];
  readonly #owned: Block[];
  readonly #uniforms: GPUBuffer | null;
  readonly #uniformGroup: GPUBindGroup | null;
  readonly #staging: ArrayBuffer;
  readonly #changing: { offset: number; constants: readonly Constant[] }[] = [];
  #fresh = true;

  constructor(
    launches: readonly Launch[],
    pinned: ReadonlySet<Block>,
    readonly pool: Pool,
    pipelines: Pipelines,
    readonly commands: Commands,
  ) {
    const { device } = pipelines;
    const align = device.limits.minStorageBufferOffsetAlignment;
    const { launches: live, tabled } = fused(launches, pinned, align);
    for (const { kernel } of live) pipelines.get(kernel); // what does not compile throws before memory is taken
    for (const { table, words } of tabled) {
      table.place = pool.take(words.byteLength, table.what);
      device.queue.writeBuffer(table.place.gpu, 0, words);
    }
    this.#owned = [...tabled.map(({ table }) => table.place!), ...place(live, pinned, pool, 'a compiled step')];
    checkPlacement(live, pinned);
    const step = device.limits.minUniformBufferOffsetAlignment;
    let used = 0;
    const offsets = live.map(({ kernel }) => {
      const at = used;
      if (kernel.uniforms) used += Math.ceil(kernel.uniforms / step) * step;
      return at;
    });
    this.#staging = new ArrayBuffer(used + MOST_UNIFORMS);
    const view = new DataView(this.#staging);
    live.forEach(({ kernel, constants }, i) => {
      if (!kernel.uniforms) return;
      writeConstants(view, offsets[i], constants);
      if (constants.some((c) => c instanceof Scalar)) this.#changing.push({ offset: offsets[i], constants });
    });
    this.#uniforms = null;
    this.#uniformGroup = null;
    if (used) {
      this.#uniforms = device.createBuffer({
        size: used + MOST_UNIFORMS,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
        label: 'constants of a plan',
      });
      const resource = { buffer: this.#uniforms, size: MOST_UNIFORMS };
      this.#uniformGroup = device.createBindGroup({
        layout: pipelines.uniformLayout,
        entries: [{ binding: 0, resource }],
      });
      pool.buffersCreated++;
    }
    this.#replays = live.map(({ kernel, bindings, grid, path }, i) => {
      const compiled = pipelines.get(kernel);
      const { name: what, access } = kernel;
      const group = commands.createBindGroup(what, compiled, bindings);
      const uniforms = kernel.uniforms ? this.#uniformGroup : null;
      return { what, access, kernel, path, compiled, bindings, group, uniforms, uniform: offsets[i], grid };
    });
  }

  /** Dispatches of one call. */
  get dispatches(): number {
    return this.#replays.length;
  }

  /** Kernels in the order of their launches, for reports. */
  get kernels(): string[] {
    return this.#replays.map((replay) => replay.kernel.name);
  }

  /** Bytes of the memory that the plan holds. */
  get bytes(): number {
    return this.#owned.reduce((sum, block) => sum + block.size, 0);
  }

  /** Runs the step. */
  run(): void {
    const { queue } = this.pool.device;
    if (this.commands.losses.any) this.#checkInputs();
    if (this.#uniforms) {
      const view = new DataView(this.#staging);
      for (const { offset, constants } of this.#changing) writeConstants(view, offset, constants);
      if (this.#fresh || this.#changing.length) queue.writeBuffer(this.#uniforms, 0, this.#staging);
      this.#fresh = false;
    }
    for (const launched of this.#replays) this.commands.encode(launched);
    this.commands.flush();
  }

  /** Throws when something that the step reads, and does not compute itself, was lost. */
  #checkInputs(): void {
    const written = new Set<Block>();
    for (const { what, access, bindings } of this.#replays) {
      bindings.forEach((binding, i) => {
        if (access[i] !== 'w' && !written.has(binding.block)) this.commands.losses.check(what, binding);
      });
      bindings.forEach(({ block }, i) => access[i] !== 'r' && written.add(block));
    }
  }

  destroy(): void {
    for (const block of this.#owned) this.pool.give(block);
    this.#uniforms?.destroy();
  }
}
