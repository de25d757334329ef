// The profiler: GPU time of every launch by timestamp queries. Each launch gets a compute pass of its own, so a profiled step is slower as a
// whole, but its parts compare.
import type { Kernel } from '../../shaders/kernel';
import type { Binding } from './blocks';

/** One launch as it ran. Times in microseconds from the start of the profile. */
export interface ProfiledLaunch {
  /** The name of the kernel. */
  readonly kernel: string;
  /** The module that launched it, '' outside of modules. */
  readonly path: string;
  /** When it began. */
  readonly start: number;
  /** How long it took. */
  readonly duration: number;
  /** Floating-point operations, by the shapes. */
  readonly flops: number;
  /** Bytes of the bound ranges, those written in place counted twice. */
  readonly bytes: number;
}

interface Pending {
  kernel: Kernel;
  path: string;
  bytes: number;
}

const CAPACITY = 2048; // launches between two resolves; a query set holds at most 4096 timestamps

export class Profiler {
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  #pending: Pending[] = [];
  #results: { pending: Pending[]; buffer: GPUBuffer }[] = [];

  constructor(readonly device: GPUDevice) {
    this.#querySet = device.createQuerySet({ type: 'timestamp', count: 2 * CAPACITY });
    this.#resolved = device.createBuffer({
      size: 16 * CAPACITY,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
  }

  /** True when the next launch needs a resolve first. */
  get full(): boolean {
    return this.#pending.length >= CAPACITY;
  }

  /** Where the pass of the next launch writes its times. */
  next(kernel: Kernel, path: string, bindings: readonly Binding[]): GPUComputePassTimestampWrites {
    const bytes = bindings.reduce((sum, b, i) => sum + b.bytes * (kernel.access[i] === 'x' ? 2 : 1), 0);
    const at = 2 * this.#pending.length;
    this.#pending.push({ kernel, path, bytes });
    return { querySet: this.#querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Encodes the copy of the times so far. */
  resolve(encoder: GPUCommandEncoder): void {
    const n = this.#pending.length;
    if (!n) return;
    const buffer = this.device.createBuffer({ size: 16 * n, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    encoder.resolveQuerySet(this.#querySet, 0, 2 * n, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, buffer, 0, 16 * n);
    this.#results.push({ pending: this.#pending, buffer });
    this.#pending = [];
  }

  /** All launches, after everything was submitted. `wait` awaits the GPU. */
  async finish(wait: <T>(promise: Promise<T>) => Promise<T>): Promise<ProfiledLaunch[]> {
    const out: ProfiledLaunch[] = [];
    let origin: bigint | null = null;
    for (const { pending, buffer } of this.#results) {
      await wait(buffer.mapAsync(GPUMapMode.READ));
      const times = new DataView(buffer.getMappedRange());
      pending.forEach(({ kernel, path, bytes }, i) => {
        const begin = times.getBigUint64(16 * i, true);
        origin ??= begin;
        const start = Number(begin - origin) / 1e3;
        const duration = Number(times.getBigUint64(16 * i + 8, true) - begin) / 1e3;
        out.push({ kernel: kernel.name, path, start, duration, flops: kernel.flops ?? 0, bytes });
      });
      buffer.destroy();
    }
    this.#querySet.destroy();
    this.#resolved.destroy();
    return out;
  }
}

/** Sums of launches with the same key, the most expensive first. */
export function summarize(launches: readonly ProfiledLaunch[], key: (launch: ProfiledLaunch) => string) {
  const rows = new Map<string, { name: string; calls: number; microseconds: number; flops: number; bytes: number }>();
  for (const launch of launches) {
    const name = key(launch);
    const row = rows.get(name) ?? { name, calls: 0, microseconds: 0, flops: 0, bytes: 0 };
    row.calls++;
    row.microseconds += launch.duration;
    row.flops += launch.flops;
    row.bytes += launch.bytes;
    rows.set(name, row);
  }
  const total = launches.reduce((sum, launch) => sum + launch.duration, 0);
  return [...rows.values()]
    .sort((a, b) => b.microseconds - a.microseconds)
    .map((row) => ({
      ...row,
      share: row.microseconds / total,
      gflops: row.flops / row.microseconds / 1e3,
      gigabytesPerSecond: row.bytes / row.microseconds / 1e3,
    }));
}

/** The launches as a Chrome trace (chrome://tracing, Perfetto). */
export function chromeTrace(launches: readonly ProfiledLaunch[]): string {
  const traceEvents = launches.map(({ kernel, path, start, duration, flops, bytes }) => ({
    name: kernel,
    cat: 'gpu',
    ph: 'X',
    pid: 1,
    tid: 1,
    ts: start,
    dur: duration,
    args: { module: path, gflop: flops / 1e9, bytes },
  }));
  return JSON.stringify({ traceEvents, displayTimeUnit: 'ms' });
}
