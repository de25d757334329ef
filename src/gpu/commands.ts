// The eager queue: launches are encoded at once into an open command buffer that is submitted on a read, at a step's end, or when it is full.
import { at, there } from '../../shaders/checked';
import type { Kernel, Workgroups } from '../../shaders/kernel';
import { type Binding, type Block, type Pool, sizeClass } from './blocks';
import { type Constant, writeConstants } from './constants';
import { GpuError, OutOfMemoryError } from './errors';
import type { Batch, Losses, Work } from './losses';
import { bytesOf, type Outbox } from './outbox';
import type { Compiled, Pipelines } from './pipelines';
import type { Profiler } from './profiler';
import { isOutOfMemory, type Watch } from './watch';

/** Launches per submit. Long enough to make the cost of a submit (16–50 µs) small, short enough that the GPU starts early. */
const BATCH = 128;

/** Bind groups kept. One costs 13–34 µs to make, a look-up about 1 µs, and on lavapipe it is one of the 65,530 memory maps of a process. */
const BIND_GROUPS = 8192;

/** Bind groups that may wait for the garbage collector, which runs between turns only. */
const WASTED_GROUPS = 24_576;

/** Host memory that tells the collector of a bind group that was dropped, in bytes. */
const BALLAST = 16_384;

/** A launch with all that its encoding needs. */
export interface Launched extends Work {
  readonly kernel: Kernel;
  readonly path: string;
  readonly compiled: Compiled;
  readonly bindings: readonly Binding[];
  readonly group: GPUBindGroup;
  readonly uniforms: GPUBindGroup | null;
  /** Where its constants begin in the uniform buffer. */
  readonly uniform: number;
  readonly grid: Workgroups;
}

/** A copy between buffers. */
interface Copied extends Work {
  readonly encode: (encoder: GPUCommandEncoder) => void;
}

export class Commands {
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #set: PassState = {};
  #launches = 0;
  /** Whether the open batch has commands. */
  #any = false;
  /** Why the batch that is being encoded cannot run. */
  #broken: GpuError | null = null;
  /** By what they bind, the oldest first; those used since they were passed over last get another chance. */
  #bindGroups = new Map<string, { group: GPUBindGroup; used: boolean }>();
  #places = new Map<string, Block>();
  /** Bind groups that were dropped and not collected yet. */
  wasted = 0;
  /** How many of them there may be, and how many bind groups are kept. */
  mostWasted = WASTED_GROUPS;
  mostKept = BIND_GROUPS;
  readonly #collected = new FinalizationRegistry<null>(() => this.wasted--);
  readonly #align: number;
  readonly #uniformBuffer: GPUBuffer;
  readonly #uniformGroup: GPUBindGroup;
  readonly #staging: ArrayBuffer;
  readonly #view: DataView<ArrayBuffer>;
  #used = 0;
  /** Number of the open batch: what a block's `batch` is compared with. */
  batch = 0;
  dispatches = 0;
  submits = 0;
  bindGroupsCreated = 0;
  /** Set while launches are timed. */
  profiler: Profiler | null = null;

  constructor(
    readonly device: GPUDevice,
    readonly pipelines: Pipelines,
    readonly watch: Watch,
    readonly losses: Losses,
    readonly pool: Pool,
    readonly outbox: Outbox,
  ) {
    this.#align = device.limits.minUniformBufferOffsetAlignment;
    const size = BATCH * Math.max(MOST_UNIFORMS, this.#align);
    this.#uniformBuffer = device.createBuffer({
      size,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      label: 'constants',
    });
    const resource = { buffer: this.#uniformBuffer, size: MOST_UNIFORMS };
    this.#uniformGroup = device.createBindGroup({
      layout: pipelines.uniformLayout,
      entries: [{ binding: 0, resource }],
    });
    this.#staging = new ArrayBuffer(size);
    this.#view = new DataView(this.#staging);
  }

  /** Encodes one dispatch. Everything was validated before. */
  dispatch(
    kernel: Kernel,
    storages: readonly Binding[],
    constants: readonly Constant[],
    grid: Workgroups,
    path: string,
    onCopies = false,
  ): void {
    const compiled = this.pipelines.get(kernel);
    const bindings = storages.map(rangeOf);
    const group = this.#bindGroup(kernel.name, compiled, bindings, onCopies);
    if (!group) {
      this.#dispatchOnCopies(kernel, bindings, constants, grid, path);
      return;
    }
    // What the GPU may still refuse is submitted alone, so that nothing else is lost with it.
    const alone = compiled.checking !== null || bindings.some(({ block }) => block.pending);
    if (alone || this.profiler?.full) this.flush();
    const uniform = this.#used;
    if (kernel.uniforms) {
      writeConstants(this.#view, uniform, constants);
      this.#used += Math.ceil(Math.max(kernel.uniforms, 4) / this.#align) * this.#align;
    }
    const { name: what, access } = kernel;
    const uniforms = kernel.uniforms ? this.#uniformGroup : null;
    this.encode({ what, access, kernel, path, compiled, bindings, group, uniforms, uniform, grid });
    for (const { block } of bindings) block.batch = this.batch;
    if (++this.#launches >= BATCH || alone) this.flush();
  }

  /**
   * The same on copies in memory of the engine's own, whose bind groups repeat: for programs that need another bind group for nearly every
   * launch and never let the collector take the old ones.
   */
  #dispatchOnCopies(
    kernel: Kernel,
    bindings: readonly Binding[],
    constants: readonly Constant[],
    grid: Workgroups,
    path: string,
  ): void {
    const copies = bindings.map(({ bytes }, i) => ({ block: this.#place(i, bytes), offset: 0, bytes }));
    const copy = (from: Binding, to: Binding) =>
      this.copy(`${kernel.name} on copies`, 'rw', [from, to], (encoder) =>
        encoder.copyBufferToBuffer(from.block.gpu, from.offset, to.block.gpu, to.offset, from.bytes),
      );
    copies.forEach((own, i) => copy(at(bindings, i), own));
    this.dispatch(kernel, copies, constants, grid, path, true);
    copies.forEach((own, i) => kernel.access[i] !== 'r' && copy(own, at(bindings, i)));
    for (const { block } of bindings) block.batch = this.batch;
  }

  #place(i: number, bytes: number): Block {
    const key = `${i}:${sizeClass(bytes)}`;
    const block = this.#places.get(key) ?? this.pool.take(bytes, 'copies of bindings');
    this.#places.set(key, block);
    return block;
  }

  /** Encodes a launch into the open batch. */
  encode(launched: Launched): void {
    if (this.outbox.held) this.outbox.put(() => this.#encodeNow(launched));
    else this.#encodeNow(launched);
    this.#any = true;
    this.losses.note(launched);
    this.dispatches++;
  }

  #encodeNow(launched: Launched): void {
    const { pipeline, error } = launched.compiled;
    if (pipeline) encodeLaunch(this.#passFor(launched), launched, this.#set);
    else this.#broken ??= error;
  }

  /** Copies between buffers, in order with the launches. `bindings` are the ranges of blocks among them: what is read, what is written. */
  copy(what: string, access: 'r' | 'rw', storages: readonly Binding[], encode: Copied['encode']): Work {
    this.#any = true;
    this.outbox.put(() => {
      const encoder = this.#encoding();
      this.#endPass();
      encode(encoder);
    });
    const work: Copied = { what, access, bindings: storages.map(rangeOf), encode };
    this.losses.note(work);
    return work;
  }

  /** Writes host data into a storage: what was encoded and not submitted must not use it. */
  write({ block, offset, bytes }: Binding, at: number, data: ArrayBufferView<ArrayBuffer>): void {
    this.losses.renew({ block, offset: offset + at, bytes: data.byteLength });
    const { held } = this.outbox;
    const all = bytesOf(data);
    const now = held ? all.slice() : all;
    this.outbox.put(() =>
      this.watch.run(
        () => this.device.queue.writeBuffer(block.gpu, offset + at, now),
        (error) => {
          if (!error) return;
          const fault = new GpuError(`writing ${now.byteLength} bytes to memory of ${bytes}: ${error.message}`);
          if (this.watch.atOnce && !held) throw fault;
          this.losses.lose({ block, offset, bytes }, fault);
        },
      ),
    );
  }

  /** Submits what was encoded. */
  flush(): void {
    if (!this.#any) return;
    this.#any = false;
    if (this.#used)
      this.outbox.write(this.device.queue, this.#uniformBuffer, 0, new Uint8Array(this.#staging, 0, this.#used));
    this.submits++;
    this.batch++;
    this.#launches = this.#used = 0;
    const batch = this.losses.close();
    this.outbox.put(() => this.#submit(batch));
  }

  #submit(batch: Batch): void {
    this.#endPass();
    const encoder = this.#encoding();
    this.#encoder = null;
    this.profiler?.resolve(encoder);
    const cause = this.#broken;
    this.#broken = null;
    if (cause) {
      this.losses.fail(
        batch,
        () => cause,
        () => this.pool.blocks,
      );
      return;
    }
    this.watch.run(
      () => this.device.queue.submit([encoder.finish()]),
      (error) => (error ? this.#refused(batch, error) : this.losses.settle(batch)),
    );
  }

  /** Forgets bind groups, as their buffers will be destroyed. */
  forget(): void {
    this.flush();
    for (const { group } of this.#bindGroups.values()) this.#waste(group);
    this.#bindGroups.clear();
  }

  /** The GPU has refused a whole batch. Where that is known at once, each of its commands is tried by itself. */
  #refused(batch: Batch, error: GPUError): void {
    if (this.watch.atOnce) {
      this.losses.fail(
        batch,
        (work) => this.#again(work),
        () => this.pool.blocks,
      );
      return;
    }
    const works = batch.entries.filter((entry) => 'what' in entry);
    const checking = works.map((work) => (work as Launched).compiled?.checking);
    this.watch.track(
      Promise.all(checking).then(() => {
        const cause =
          works.map((work) => (work as Launched).compiled?.error).find(Boolean) ??
          works.flatMap(({ bindings }) => bindings.flatMap(({ block }) => block.losses ?? []))[0]?.error ??
          failure(works.length === 1 ? at(works, 0) : { what: `one of ${works.length} commands` }, error);
        this.losses.fail(
          batch,
          () => cause,
          () => this.pool.blocks,
        );
      }),
    );
  }

  /** Tries a command by itself. */
  #again(work: Work): GpuError | null {
    const encoder = this.device.createCommandEncoder();
    if ('encode' in work) (work as Copied).encode(encoder);
    else {
      const pass = encoder.beginComputePass();
      encodeLaunch(pass, work as Launched, {});
      pass.end();
    }
    let error: GpuError | null = null;
    this.watch.run(
      () => this.device.queue.submit([encoder.finish()]),
      (found) => {
        if (found) error = failure(work, found);
      },
    );
    return error;
  }

  /** The open pass; while profiling a new one for every launch. */
  #passFor({ kernel, path, bindings }: Launched): GPUComputePassEncoder {
    if (!this.profiler) return this.#open();
    if (this.profiler.full) this.flush();
    this.#endPass();
    return (this.#pass = this.#encoding().beginComputePass({
      timestampWrites: this.profiler.next(kernel, path, bindings),
    }));
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
    this.#set = {};
  }

  #encoding(): GPUCommandEncoder {
    return (this.#encoder ??= this.device.createCommandEncoder());
  }

  #open(): GPUComputePassEncoder {
    return (this.#pass ??= this.#encoding().beginComputePass());
  }

  /** The bind group for these ranges, made once and kept; null where no more may be made, unless `must` says so. */
  #bindGroup(what: string, compiled: Compiled, storages: readonly Binding[], must: boolean): GPUBindGroup | null {
    let key = `${compiled.layoutId}`;
    for (const { block, offset, bytes } of storages) key += `,${block.id}:${offset}:${bytes}`;
    const found = this.#bindGroups.get(key);
    if (found) {
      found.used = true;
      return found.group;
    }
    if (this.wasted >= this.mostWasted && !must) return null;
    const group = this.createBindGroup(what, compiled, storages);
    if (this.#bindGroups.size >= this.mostKept) this.#evict();
    this.#bindGroups.set(key, { group, used: false });
    return group;
  }

  /** Drops the bind group that was not used for longest, more or less. */
  #evict(): void {
    for (const [key, entry] of this.#bindGroups) {
      this.#bindGroups.delete(key);
      if (!entry.used) {
        this.#waste(entry.group);
        return;
      }
      entry.used = false;
      this.#bindGroups.set(key, entry);
    }
  }

  #waste(group: GPUBindGroup): void {
    this.wasted++;
    this.#collected.register(Object.assign(group, { ballast: new ArrayBuffer(BALLAST) }), null);
  }

  /** Throws where the GPU refuses it at once; what it refuses later is told by the batch that uses it. */
  createBindGroup(what: string, compiled: Compiled, storages: readonly Binding[]): GPUBindGroup {
    const entries = storages.map((s, binding) => ({
      binding,
      resource: { buffer: s.block.gpu, offset: s.offset, size: bindingSize(s) },
    }));
    this.bindGroupsCreated++;
    const create = () => this.device.createBindGroup({ layout: compiled.layout, entries });
    if (!this.watch.atOnce && !storages.some(({ block }) => block.pending)) return create();
    let refused: GPUError | null = null;
    const group = this.watch.run(create, (error) => (refused = error));
    if (refused) throw failure({ what }, refused);
    return group;
  }
}

/** Where a storage lies, also after its release. */
const rangeOf = ({ block, offset, bytes }: Binding): Binding => ({ block, offset, bytes });

/** Bytes bound of a uniform buffer. */
export const MOST_UNIFORMS = 512;

/** Bytes bound for a storage: padded to 16, so that kernels may read whole vec4s. */
export const bindingSize = (storage: Binding): number => Math.max(16, Math.ceil(storage.bytes / 16) * 16);

/** What a pass has set already. A launch that needs the same does not set it again: each such call costs 1 to 3 µs. */
interface PassState {
  pipeline?: GPUComputePipeline;
  group?: GPUBindGroup;
}

function encodeLaunch(pass: GPUComputePassEncoder, launched: Launched, set: PassState): void {
  const { compiled, group, uniforms, uniform, grid } = launched;
  const pipeline = there(compiled.pipeline, 'the pipeline of a launch');
  if (set.pipeline !== pipeline) pass.setPipeline((set.pipeline = pipeline));
  if (set.group !== group) pass.setBindGroup(0, (set.group = group));
  if (uniforms) pass.setBindGroup(1, uniforms, [uniform]);
  pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
}

/** The GPU's error with what it is about. */
function failure({ what, path }: { what: string; path?: string }, error: GPUError): GpuError {
  const where = `${what}${path ? `, in module ${path}` : ''}`;
  return isOutOfMemory(error)
    ? new OutOfMemoryError(`out of GPU memory while running ${where}: use a smaller batch`)
    : new GpuError(`running ${where}: ${error.message}`);
}
