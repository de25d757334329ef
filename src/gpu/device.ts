// The device: one adapter with its pool, pipelines and command queue. `launch` is the one seam through which every operation reaches the GPU.
import { at } from '../../shaders/checked';
import { gridOf, type Kernel, type Lowering, type Workgroups } from '../../shaders/kernel';
import type { KernelTarget } from '../../shaders/target';
import { untilLossIsKnown } from './alive';
import { type Binding, Pool, Storage, type TypedBinding } from './blocks';
import { checkHome, checkLaunch } from './check';
import { Commands } from './commands';
import type { Constant } from './constants';
import { AdapterError, DeviceLostError, GpuError, InputError } from './errors';
import { limitsOf } from './limits';
import { Losses } from './losses';
import { bytesOf, Outbox } from './outbox';
import { Pipelines } from './pipelines';
import { type ProfiledLaunch, Profiler } from './profiler';
import { type AdapterOptions, provider } from './provider';
import { REPORT_BYTES, Reports } from './reports';
import type { DeviceStats } from './stats';
import { targetOf } from './target';
import { digest, type Effect, Trace, undo, VirtualBlock } from './trace';
import { Tuning } from './tuning';
import { Watch } from './watch';

/** Workgroups along x, y and z. */
export type Grid = Workgroups;

/** The open GPU, as `device()` and `init()` give it: what it can do and what it was asked to do so far. */
export class Device {
  /** 'safe': with the checks that browsers make; 'fast': without bounds checks and validation. */
  readonly profile: 'safe' | 'fast';
  /** Vendor, architecture and description of the adapter. */
  readonly info: GPUAdapterInfo;
  /** WebGPU's limits, such as `maxBufferSize` in bytes. */
  readonly limits: GPUSupportedLimits;
  /** Names of WebGPU's features that are switched on, such as 'shader-f16'. */
  readonly features: ReadonlySet<string>;
  /** What kernels are specialised for on this adapter. */
  readonly target: KernelTarget;
  /** Memory in use and free. @internal */
  readonly pool: Pool;
  /** Compiled kernels. @internal */
  readonly pipelines: Pipelines;
  /** The open batch of commands. @internal */
  readonly commands: Commands;
  /** Measured choices of kernels. @internal */
  readonly tuning: Tuning;
  /** Who hears that the device is lost. @internal */
  readonly losses = new Losses();
  #reports: Reports | null = null;
  readonly #outbox = new Outbox();
  readonly #watch: Watch;
  #lost: string | null = null;
  /** Bytes that the program holds; set by the layer above that knows tensors. @internal */
  bytesHeld: () => number = () => 0;
  /** Names what launches; set by the layer above that knows modules. @internal */
  path: () => string = () => '';
  #trace: Trace | null = null;
  #awaiting = 0;
  /** One loop of naps serves all that is awaited. */
  #dozing = false;
  #staging: GPUBuffer[] = [];
  #reads = 0;
  #rejectLost!: (error: DeviceLostError) => void;
  readonly #whenLost = new Promise<never>((_, reject) => (this.#rejectLost = reject));

  /** What `console.log` shows in Node. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const { vendor, architecture, description } = this.info;
    const adapter = description || [vendor, architecture].filter(Boolean).join(' ') || 'adapter';
    return `Device(${adapter}, ${this.profile}, ${(this.stats().liveBytes / 2 ** 20).toFixed(1)} MiB of tensors)`;
  }

  constructor(
    /** WebGPU's own object, for code that shares the device. */
    readonly gpu: GPUDevice,
    adapter: GPUAdapter,
    /** As it was asked for, by the program and by the environment. */
    readonly options: AdapterOptions & { profile: 'safe' | 'fast'; autotune: boolean },
  ) {
    this.profile = options.profile;
    this.info = adapter.info;
    this.limits = limitsOf(gpu);
    this.features = gpu.features as ReadonlySet<string>;
    this.target = targetOf(adapter.info, this.features, options.subgroupMatrix);
    this.#whenLost.catch(() => {});
    this.#watch = new Watch(gpu, provider().errorsAtOnce ?? false);
    this.pool = new Pool(gpu, this.#watch, this.losses, this.#outbox, () => this.commands.forget());
    this.pipelines = new Pipelines(gpu, this.#watch, this.#outbox);
    this.pipelines.aside = options.asyncPipelines ?? !this.#watch.atOnce;
    this.commands = new Commands(gpu, this.pipelines, this.#watch, this.losses, this.pool, this.#outbox);
    this.tuning = new Tuning(this, options.autotune);
    void gpu.lost.then(({ message, reason }) => this.#lose(message || reason));
  }

  /** Counters: bytes, objects created, dispatches, submits. */
  stats(): DeviceStats {
    const { liveBytes, peakBytes, reservedBytes, buffersCreated } = this.pool;
    const { bindGroupsCreated, dispatches, submits } = this.commands;
    const memory = { liveBytes, peakBytes, heldBytes: this.bytesHeld(), reservedBytes, buffersCreated };
    const made = { bindGroupsCreated, pipelinesCreated: this.pipelines.created };
    return { ...memory, ...made, dispatches, submits, reads: this.#reads };
  }

  /** Lists the launches of `body` instead of running them. @internal */
  traced(body: () => void): Trace {
    if (this.#trace) throw new GpuError('a compiled step cannot be called while another one is being traced');
    // A graph writes its tables at once, into memory that commands not yet submitted may still be using.
    this.commands.flush();
    const trace = new Trace();
    this.#trace = trace;
    try {
      body();
    } catch (error) {
      undo(trace.undos);
      throw error;
    } finally {
      this.#trace = null;
    }
    return trace;
  }

  /** Whether the device is gone. */
  get lost(): boolean {
    return this.#lost !== null;
  }

  /** Whether a step is being traced right now. @internal */
  get tracing(): boolean {
    return this.#trace !== null;
  }

  /** Does something on the host now and, when this is part of a compiled step, again at every call of it. A step that fails takes it back. @internal */
  effect(action: Effect): void {
    const back = action();
    this.#trace?.effects.push(action);
    this.#trace?.undos.push(back);
  }

  /** Memory for `bytes` bytes with undefined content. `what` names the operation in errors. @internal */
  allocate(bytes: number, what: string): Storage {
    this.check();
    if (this.#trace) return new Storage(this.#trace.allocate(bytes, what), 0, bytes, () => {});
    return this.allocateNow(bytes, what);
  }

  /** The same, in real memory also while a step is traced. @internal */
  allocateNow(bytes: number, what: string): Storage {
    return new Storage(this.pool.take(bytes, what), 0, bytes, (block) => this.pool.give(block));
  }

  /**
   * Runs `kernel` on `storages`, one for each letter of `kernel.access`: 'r' is read, 'w' is written, 'x' is read and written in place.
   * `constants` fill its uniform struct, `extent` is the number of items or of workgroups: both needed where the kernel does not say them itself.
   * Throws before anything is encoded when a limit of the adapter is broken, or a tensor's elements are of another type than the kernel's.
   * @internal
   */
  launch(
    kernel: Kernel,
    storages: readonly TypedBinding[],
    constants: readonly Constant[] = kernel.constants ?? [],
    extent?: number | Grid,
  ): void {
    this.check();
    const grid = gridOf(kernel, extent);
    if (!grid) throw new GpuError(`${kernel.name}: a launch without a grid`);
    if (grid[0] * grid[1] * grid[2] === 0) return;
    checkLaunch(this, kernel, storages, constants, grid);
    if (this.losses.any) this.#checkLosses(kernel, storages);
    if (this.#trace)
      this.#trace.launches.push({
        kernel,
        bindings: storages.map(({ block, offset, bytes, whole }) => ({ block, offset, bytes, whole })),
        constants,
        grid,
        path: this.path(),
      });
    else this.commands.dispatch(kernel, storages, constants, grid, this.path());
  }

  /** Runs the few launches of an operation. Its scratch goes back to the pool at once: the queue keeps its order. @internal */
  launchLowering({ scratch, stages }: Lowering, a: TypedBinding, b: TypedBinding, out: TypedBinding): void {
    const places = scratch.map((floats) => this.allocate(4 * floats, `${at(stages, 0).kernel.name} scratch`));
    const placeOf = (place: 'a' | 'b' | 'out' | number) =>
      typeof place === 'number' ? at(places, place) : { a, b, out }[place];
    try {
      for (const { kernel, inputs, output } of stages) this.launch(kernel, [...inputs, output].map(placeOf));
    } finally {
      for (const place of places) place.release();
    }
  }

  /** Copies host data into a storage, after everything launched before. @internal */
  write(storage: Binding, data: ArrayBufferView<ArrayBuffer>, offset = 0): void {
    this.check();
    if (this.#trace) {
      // A constant of the step: its content is written now, to memory that the graph does not reuse. Where the step writes into it or returns it, calls
      // write it again.
      const { block } = storage;
      if (!(block instanceof VirtualBlock))
        throw new GpuError('compile: a step cannot write host data into existing memory; pass it as an argument');
      block.place ??= this.pool.take(block.size, block.what);
      this.#trace.constants.push({ storage: { ...storage, block: block.place }, data: bytesOf(data).slice(), offset });
      this.#trace.digests.push(digest(data));
    }
    checkHome(this.pool, 'writing', 0, storage);
    if (storage.block.batch === this.commands.batch) this.commands.flush();
    if (!data.byteLength) return;
    this.commands.write(storage, offset, data);
  }

  /** Copies one range to another of at least its size, in order with the launches. @internal */
  copy(from: Binding, to: Binding): void {
    this.check();
    if (this.#trace)
      throw new GpuError('compile: memory was rearranged inside a step; let the step run once before it is compiled');
    this.losses.check('copying', from);
    this.copyNow(from, to);
  }

  /** The same, not as a part of the step that is traced. What was lost is lost in the copy too. @internal */
  copyNow(from: Binding, to: Binding): void {
    [from, to].forEach((storage, i) => checkHome(this.pool, 'copying', i, storage));
    if (from.bytes > to.bytes) throw new GpuError(`copying ${from.bytes} bytes to memory of ${to.bytes}`);
    const [source, target] = [from.block, to.block];
    const range = { block: target, offset: to.offset, bytes: from.bytes };
    this.commands.copy('copying', 'rw', [from, range], (encoder) =>
      encoder.copyBufferToBuffer(source.gpu, from.offset, target.gpu, to.offset, from.bytes),
    );
    this.losses.carry(from, range);
    source.batch = target.batch = this.commands.batch;
  }

  /** Where kernels note labels and indices that are out of range. @internal */
  get reports(): Reports {
    return (this.#reports ??= new Reports(this.gpu, this.pool));
  }

  /** Copies bytes of a storage to the host: waits until the GPU has done everything launched before. @internal */
  async read(storage: Binding, offset = 0, bytes = storage.bytes - offset): Promise<ArrayBuffer> {
    this.check();
    if (this.#trace)
      throw new GpuError('compile: a step cannot read a tensor back; return it from the step and read it outside');
    if (bytes === 0) return new ArrayBuffer(0);
    checkHome(this.pool, 'reading back', 0, storage);
    const { block } = storage;
    const range = { block, offset: storage.offset + offset, bytes };
    this.losses.check('reading back', range);
    const size = Math.ceil(bytes / 4) * 4;
    const reports = this.#reports;
    const whole = size + (reports ? REPORT_BYTES : 0);
    const staging = this.#takeStaging(whole);
    const work = this.commands.copy('reading back', 'r', [range], (encoder) => {
      encoder.copyBufferToBuffer(block.gpu, range.offset, staging, 0, size);
      if (reports) encoder.copyBufferToBuffer(reports.gpu, 0, staging, size, REPORT_BYTES);
    });
    this.commands.flush();
    this.#reads++;
    try {
      await this.#compiled();
      await this.#wait(staging.mapAsync(GPUMapMode.READ, 0, whole));
      await this.#settle();
      this.check();
      if (work.lost) throw this.losses.told(work.lost, work.what);
    } catch (error) {
      staging.destroy();
      if (error instanceof GpuError) throw error;
      throw new GpuError(`reading back failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    const mapped = staging.getMappedRange(0, whole);
    const result = mapped.slice(0, bytes);
    const noted = new Uint32Array(mapped.slice(size));
    staging.unmap();
    this.#staging.push(staging);
    if (this.#staging.length > 8) this.#staging.shift()?.destroy(); // many reads side by side have one each
    reports?.check(noted);
    return result;
  }

  /**
   * Waits until the GPU is idle; throws what it has reported and no read has told of. Labels and indices out of range are told by reads alone: to
   * look for them here costs a submit, 7 % of a compiled step of ResNet-20 that is waited for (batch 32, lavapipe).
   */
  async sync(): Promise<void> {
    this.check();
    this.commands.flush();
    await this.#compiled();
    await this.#wait(this.gpu.queue.onSubmittedWorkDone());
    await this.#settle();
    this.check();
    const strays = this.#watch.strays().map((error) => new GpuError(`the GPU reported: ${error.message}`));
    const untold = [...this.losses.untold.splice(0), ...strays];
    if (untold.length) throw untold[0];
  }

  /** Times every launch of `body`, which is synchronous, on the GPU. Needs the feature 'timestamp-query'. */
  async timed(body: () => unknown): Promise<ProfiledLaunch[]> {
    if (!this.features.has('timestamp-query'))
      throw new AdapterError('this adapter has no timestamp-query: launches cannot be timed on it');
    if (this.#outbox.held) await this.#compiled();
    if (this.commands.profiler) throw new InputError('timed: launches are being timed already');
    this.commands.flush();
    const profiler = new Profiler(this.gpu);
    this.commands.profiler = profiler;
    const { aside } = this.pipelines;
    this.pipelines.aside = false; // what waits for a kernel would not be timed
    try {
      // A body that waits would be told the launches of whatever runs meanwhile.
      if (body() instanceof Promise)
        throw new InputError(
          'timed: the body has returned a promise; time a synchronous one, and read its results after',
        );
      this.commands.flush();
    } finally {
      this.commands.profiler = null;
      this.pipelines.aside = aside;
    }
    return profiler.finish((promise) => this.#wait(promise));
  }

  /** Throws when the device is gone. @internal */
  check(): void {
    if (this.#lost !== null)
      throw new DeviceLostError(
        `the GPU device is gone (${this.#lost}): call init() for a new one; what it held is lost`,
      );
  }

  /** Frees everything. Later use throws DeviceLostError. @internal */
  destroy(): void {
    if (this.#lost === null) this.commands.flush();
    this.#lose('shutdown() was called');
    this.pool.destroy();
    for (const staging of this.#staging) staging.destroy();
    this.#reports?.gpu.destroy();
    this.gpu.destroy();
  }

  #lose(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#outbox.drop();
    this.#rejectLost(new DeviceLostError(`the GPU device was lost (${reason}) while its work was waited for`));
  }

  /** What a kernel reads must have been computed. */
  #checkLosses({ name, access }: Kernel, storages: readonly Binding[]): void {
    storages.forEach((storage, i) => access[i] !== 'w' && this.losses.check(name, storage));
  }

  #takeStaging(size: number): GPUBuffer {
    const index = this.#staging.findIndex((b) => b.size >= size && b.size <= 4 * size + 1024);
    if (index >= 0) return at(this.#staging.splice(index, 1), 0);
    this.pool.buffersCreated++;
    return this.gpu.createBuffer({
      size: Math.max(256, size),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      label: 'read-back',
    });
  }

  /** Waits until no kernel compiles aside any more. */
  async #compiled(): Promise<void> {
    const { ready } = this.#outbox;
    if (ready) await this.#wait(ready);
  }

  /** Waits until the GPU has answered for everything. */
  async #settle(): Promise<void> {
    const settled = this.#watch.settle();
    if (settled) await this.#wait(settled);
  }

  /** Awaits the GPU. On software drivers dawn.node's polling would take a core from the driver, so the thread naps between polls. */
  async #wait<T>(promise: Promise<T>): Promise<T> {
    const { nap } = provider();
    if (nap && this.target.isCpu && !this.#dozing) {
      const doze = () => {
        this.#dozing = this.#awaiting > 0;
        if (!this.#dozing) return;
        nap();
        setImmediate(doze);
      };
      this.#dozing = true;
      setImmediate(doze);
    }
    this.#awaiting++;
    try {
      return await Promise.race([promise, this.#whenLost]);
    } catch (error) {
      if (!(error instanceof GpuError)) await untilLossIsKnown(this.gpu).then(() => this.check());
      throw error;
    } finally {
      this.#awaiting--;
    }
  }
}

declare const setImmediate: (callback: () => void) => void; // called only where a provider naps: Node
