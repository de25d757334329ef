// The eager queue: launches are encoded at once into an open command buffer that is submitted on a read, at a step's end, or when it is full.
import type { Kernel } from '../../shaders/kernel';
import type { Binding } from './blocks';
import { type Constant, writeConstants } from './constants';
import type { Compiled, Pipelines } from './pipelines';
import type { Profiler } from './profiler';

/** Launches per submit. Long enough to make the cost of a submit (16–50 µs) small, short enough that the GPU starts early. */
const BATCH = 128;

/** Bind groups kept; beyond it the cache starts anew. One costs 13–34 µs to make, a look-up about 1 µs. */
const BIND_GROUPS = 8192;

export class Commands {
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #launches = 0;
  #bindGroups = new Map<string, GPUBindGroup>();
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
    readonly report: (what: string, error: Promise<GPUError | null>) => void,
    readonly validate: boolean,
  ) {
    this.#align = device.limits.minUniformBufferOffsetAlignment;
    const size = BATCH * Math.max(512, this.#align);
    this.#uniformBuffer = device.createBuffer({
      size,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      label: 'constants',
    });
    const resource = { buffer: this.#uniformBuffer, size: 512 };
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
    compiled: Compiled,
    storages: readonly Binding[],
    constants: readonly Constant[],
    grid: readonly number[],
    path: string,
  ): void {
    const pass = this.passFor(kernel, path, storages);
    pass.setPipeline(compiled.pipeline);
    pass.setBindGroup(0, this.bindGroup(compiled, storages));
    if (kernel.uniforms) {
      writeConstants(this.#view, this.#used, constants);
      pass.setBindGroup(1, this.#uniformGroup, [this.#used]);
      this.#used += Math.ceil(Math.max(kernel.uniforms, 4) / this.#align) * this.#align;
    }
    for (const storage of storages) storage.block.batch = this.batch;
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    this.dispatches++;
    if (++this.#launches >= BATCH) this.flush();
  }

  /** The open pass; while profiling a new one for every launch. */
  passFor(kernel: Kernel, path: string, bindings: readonly Binding[]): GPUComputePassEncoder {
    if (!this.profiler) return this.#open();
    if (this.profiler.full) this.flush();
    this.#open().end();
    return (this.#pass = this.#encoder!.beginComputePass({
      timestampWrites: this.profiler.next(kernel, path, bindings),
    }));
  }

  /** Copies between buffers, in order with the launches. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#open();
    this.#pass!.end();
    this.#pass = null;
    this.#encoder!.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** Submits what was encoded. */
  flush(): void {
    const encoder = this.#encoder;
    if (!encoder) return;
    this.#pass?.end();
    this.#encoder = this.#pass = null;
    this.profiler?.resolve(encoder);
    if (this.#used) this.device.queue.writeBuffer(this.#uniformBuffer, 0, this.#staging, 0, this.#used);
    this.device.queue.submit([encoder.finish()]);
    this.submits++;
    if (this.validate) {
      this.report('running a batch of kernels', this.device.popErrorScope());
      this.report('running a batch of kernels', this.device.popErrorScope());
    }
    this.batch++;
    this.#launches = this.#used = 0;
  }

  /** Forgets bind groups whose buffers were destroyed. */
  forget(): void {
    this.#bindGroups.clear();
  }

  #open(): GPUComputePassEncoder {
    if (!this.#encoder) {
      if (this.validate) {
        this.device.pushErrorScope('validation');
        this.device.pushErrorScope('out-of-memory');
      }
      this.#encoder = this.device.createCommandEncoder();
    }
    return (this.#pass ??= this.#encoder.beginComputePass());
  }

  /** The bind group for these ranges, made once and kept. */
  bindGroup(compiled: Compiled, storages: readonly Binding[]): GPUBindGroup {
    let key = `${compiled.layoutId}`;
    for (const { block, offset, bytes } of storages) key += `,${block.id}:${offset}:${bytes}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      if (this.#bindGroups.size >= BIND_GROUPS) this.#bindGroups.clear();
      this.#bindGroups.set(key, (group = this.createBindGroup(compiled, storages)));
    }
    return group;
  }

  createBindGroup(compiled: Compiled, storages: readonly Binding[]): GPUBindGroup {
    const entries = storages.map((s, binding) => ({
      binding,
      resource: { buffer: s.block.gpu, offset: s.offset, size: bindingSize(s) },
    }));
    this.bindGroupsCreated++;
    return this.device.createBindGroup({ layout: compiled.layout, entries });
  }
}

/** Bytes bound for a storage: padded to 16, so that kernels may read whole vec4s. */
export const bindingSize = (storage: Binding): number => Math.max(16, Math.ceil(storage.bytes / 16) * 16);
