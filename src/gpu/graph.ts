// The graph of a traced step, ready to run again and again. Dead launches are dropped, virtual buffers placed in reused memory by their last
// use, bind groups made once. A call writes the numbers that change, encodes the list into one pass and submits once.
import { at, fromEnd } from '../../shaders/checked';
import type { Block, Pool, Storage } from './blocks';

import { type Commands, type Launched, MOST_UNIFORMS } from './commands';
import type { Constant } from './constants';
import { Scalar, writeConstants } from './constants';
import { GpuError } from './errors';
import { Flow } from './flow';
import { dropRepeats, joinFlat, joinSegments } from './fuse';
import { addOnStore, gradientOnLoad, normOnLoad, sumsOnStore } from './fuse-norm';
import type { Pipelines } from './pipelines';
import { Sources, steadyFirst } from './steady';
import type { Launch } from './trace';
import { VirtualBlock } from './trace';
import { warnOnce } from './warn';

/** Launches whose results someone sees: those that write existing or pinned memory, and all that these need. */
export function liveLaunches(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const wanted = new Set<Block>(pinned);
  const live: Launch[] = [];
  for (const launch of launches.toReversed()) {
    const { access } = launch.kernel;
    const seen = launch.bindings.some(
      ({ block }, i) =>
        access[i] !== 'r' &&
        access[i] !== 'c' &&
        (!(block instanceof VirtualBlock) || block.place || wanted.has(block)),
    );
    if (!seen) continue;
    live.push(launch);
    for (const { block } of launch.bindings) wanted.add(block);
  }
  return live.reverse();
}

/** A pass over the launches of a step. It may drop, join and move launches; `Flow` proves that the result is the same. */
export type Rewrite = (
  launches: readonly Launch[],
  pinned: ReadonlySet<Block>,
  /** Where bindings may start, in bytes, and how many storage buffers a launch may have. */
  align: number,
  most: number,
) => Launch[];

/** In their order. For a measurement without one, leave it out here. */
export const rewrites: readonly Rewrite[] = [
  liveLaunches,
  dropRepeats,
  normOnLoad,
  addOnStore,
  sumsOnStore,
  gradientOnLoad,
  joinFlat,
  joinSegments,
];

/** What a graph replays of a traced step: all passes in their order, without those that do not prove right. */
export function fused(
  launches: readonly Launch[],
  pinned: ReadonlySet<Block>,
  align: number,
  most: number,
  passes: readonly Rewrite[] = rewrites,
): { launches: Launch[]; flow: Flow; skipped: string[] } {
  const flow = new Flow(launches, pinned, align);
  const all = passes.reduce<Launch[]>((list, pass) => pass(list, pinned, align, most), [...launches]);
  if (!flow.fault(all)) return { launches: all, flow, skipped: [] };
  const skipped: string[] = [];
  let out = [...launches];
  for (const pass of passes) {
    const next = pass(out, pinned, align, most);
    const fault = flow.fault(next);
    if (fault) skipped.push(`${pass.name}: ${fault}`);
    else out = next;
  }
  return { launches: out, flow, skipped };
}

/** The first and the last launch that touch a block. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** The first `steady` launches do not run in every call: where the others read their results, nobody else may write. */
function spansOf(launches: readonly Launch[], pinned: ReadonlySet<Block>, steady: number): [VirtualBlock, Span][] {
  const spans = new Map<VirtualBlock, Span>();
  launches.forEach(({ bindings }, i) => {
    for (const { block } of bindings) {
      if (!(block instanceof VirtualBlock) || block.place) continue;
      const { from } = spans.get(block) ?? { from: i };
      const stays = from < steady && i >= steady;
      spans.set(block, { from: stays ? -Infinity : from, to: stays || pinned.has(block) ? Infinity : i });
    }
  });
  return [...spans];
}

/** A block may lie in a buffer this many times its size, which is free just then: stages of a net have halves of each other's. */
const ROOMY = 4;

/**
 * Gives every virtual block a real one, the largest first. Of those that are free while it is used, it gets the smallest, and the one that has been free
 * for the longest time: Dawn waits for the last user of a buffer, so a long time between two uses lets neighbouring launches overlap.
 */
export function place(
  launches: readonly Launch[],
  pinned: ReadonlySet<Block>,
  pool: Pool,
  what: string,
  steady = 0,
): Block[] {
  const owned: { real: Block; uses: Span[] }[] = [];
  const largestFirst = spansOf(launches, pinned, steady).sort(([a, s], [b, t]) => b.size - a.size || s.from - t.from);
  for (const [block, span] of largestFirst) {
    const most = block.size * (pinned.has(block) ? 1 : ROOMY);
    let best: { at: (typeof owned)[number]; since: number } | null = null;
    for (const at of owned) {
      const { size } = at.real;
      if (size > most || at.uses.some(({ from, to }) => from <= span.to && span.from <= to)) continue;
      const since = Math.max(-1, ...at.uses.map(({ to }) => (to < span.from ? to : -1)));
      if (!best || size < best.at.real.size || (size === best.at.real.size && since < best.since)) best = { at, since };
    }
    const { real, uses } = best?.at ?? { real: pool.take(block.size, what), uses: [] };
    if (!best) owned.push({ real, uses });
    uses.push(span);
    block.place = real;
  }
  return owned.map(({ real }) => real);
}

/** The launches of a traced step with their memory, tables and bind groups. Not to be confused with the tape's graph of gradients. */
export class CompiledGraph {
  readonly #replays: Launched[];
  /** How many of them, the first ones, run only when their sources have changed. */
  readonly steady: number;
  readonly #sources: Sources;
  #owned: Block[] = [];
  readonly #uniforms: GPUBuffer | null;
  readonly #uniformGroup: GPUBindGroup | null;
  readonly #staging: ArrayBuffer;
  readonly #changing: { offset: number; constants: readonly Constant[] }[] = [];
  #fresh = true;
  /** Passes over the launches that did not prove right and were left out, with what would have been wrong. */
  readonly skipped: readonly string[];

  constructor(
    launches: readonly Launch[],
    pinned: ReadonlySet<Block>,
    /** What each call writes before it runs. */
    inputs: ReadonlySet<Block>,
    readonly pool: Pool,
    pipelines: Pipelines,
    readonly commands: Commands,
  ) {
    const { device } = pipelines;
    const { minStorageBufferOffsetAlignment: align, maxStorageBuffersPerShaderStage: most } = device.limits;
    const { launches: all, flow, skipped } = fused(launches, pinned, align, most);
    const { launches: live, count } = steadyFirst(all, pinned, inputs);
    this.steady = count;
    this.#sources = new Sources(live.slice(0, count));
    for (const { kernel } of live) pipelines.get(kernel); // what does not compile throws before memory is taken
    this.skipped = skipped;
    for (const fault of skipped) warnOnce(`compile: a rewrite is left out, the step runs without it (${fault})`);
    for (const { table, bindings } of live) {
      if (!table) continue;
      const block = fromEnd(bindings, 1).block as VirtualBlock;
      block.place = pool.take(table.byteLength, block.what);
      this.#owned.push(block.place);
      commands.outbox.write(device.queue, block.place.gpu, 0, table);
    }
    this.#owned.push(...place(live, pinned, pool, 'a compiled step', count));
    const fault = flow.fault(live);
    if (fault) throw new GpuError(`compile: the step's memory was laid out wrongly: ${fault}`);
    const step = device.limits.minUniformBufferOffsetAlignment;
    let used = 0;
    const placed = live.map((launch) => {
      const uniform = used;
      if (launch.kernel.uniforms) used += Math.ceil(launch.kernel.uniforms / step) * step;
      return { ...launch, uniform };
    });
    this.#staging = new ArrayBuffer(used + MOST_UNIFORMS);
    const view = new DataView(this.#staging);
    for (const { kernel, constants, uniform } of placed) {
      if (!kernel.uniforms) continue;
      writeConstants(view, uniform, constants);
      if (constants.some((c) => c instanceof Scalar)) this.#changing.push({ offset: uniform, constants });
    }
    this.#uniforms = null;
    this.#uniformGroup = null;
    if (used) {
      this.#uniforms = device.createBuffer({
        size: used + MOST_UNIFORMS,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
        label: 'constants of a graph',
      });
      const resource = { buffer: this.#uniforms, size: MOST_UNIFORMS };
      this.#uniformGroup = device.createBindGroup({
        layout: pipelines.uniformLayout,
        entries: [{ binding: 0, resource }],
      });
      pool.buffersCreated++;
    }
    this.#replays = placed.map(({ kernel, bindings, grid, path, uniform }) => {
      const compiled = pipelines.get(kernel);
      const { name: what, access } = kernel;
      const group = commands.createBindGroup(what, compiled, bindings);
      const uniforms = kernel.uniforms ? this.#uniformGroup : null;
      return { what, access, kernel, path, compiled, bindings, group, uniforms, uniform, grid };
    });
  }

  /** Dispatches of a call, the steady ones included. */
  get dispatches(): number {
    return this.#replays.length;
  }

  /** Kernels in the order of their launches, for reports. */
  get kernels(): string[] {
    return this.#replays.map((replay) => replay.kernel.name);
  }

  /** Bytes of the memory that the graph holds. */
  get bytes(): number {
    return this.#owned.reduce((sum, block) => sum + block.size, 0);
  }

  /** Makes host data that the step has brought the graph's own. */
  own(blocks: readonly Block[]): void {
    this.#owned.push(...blocks);
  }

  /** The memory behind a block of the traced step; one that no launch binds gets some now. */
  placeOf(block: Block): Block {
    if (!(block instanceof VirtualBlock)) return block;
    if (!block.place) this.#owned.push((block.place = this.pool.take(block.size, block.what)));
    return block.place;
  }

  /** Leaves memory of its own to the caller, for a graph that runs only once. */
  handOver(block: Block): Storage['give'] {
    if (!this.#owned.includes(block)) return () => {};
    this.#owned = this.#owned.filter((b) => b !== block);
    return (b) => this.pool.give(b);
  }

  /** Runs the step. */
  run(): void {
    const { device } = this.pool;
    if (this.commands.losses.any) this.#checkInputs();
    if (this.#uniforms) {
      const view = new DataView(this.#staging);
      for (const { offset, constants } of this.#changing) writeConstants(view, offset, constants);
      if (this.#fresh || this.#changing.length) this.commands.outbox.write(device.queue, this.#uniforms, 0, view);
      this.#fresh = false;
    }
    // What was lost may be among their results.
    const first = this.#sources.changed || this.commands.losses.any ? 0 : this.steady;
    for (let i = first; i < this.#replays.length; i++) this.commands.encode(at(this.#replays, i));
    this.commands.flush();
    if (first === 0) this.#sources.ran();
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
    this.commands.outbox.put(() => this.#uniforms?.destroy());
  }
}
