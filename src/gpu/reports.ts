// Labels and indices out of range and matrices without an inverse, as kernels have noted them (shaders/report.ts). The buffer is copied along with every read-back, in the same
// submit, so that looking costs no launch; the first read after the mistake throws.
import { U32 } from '../../shaders/elements';
import { REPORT_SLOTS } from '../../shaders/report';
import type { Block, Pool, TypedBinding } from './blocks';
import { InputError } from './errors';

export const REPORT_BYTES = 8 * REPORT_SLOTS;

const OUT_OF_RANGE = 'Its results are NaN, or −2³¹ among integers. Correct the labels or indices.';

export class Reports {
  readonly gpu: GPUBuffer;
  readonly binding: TypedBinding;
  readonly #slots = new Map<string, number>();

  constructor(
    readonly device: GPUDevice,
    pool: Pool,
  ) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.gpu = device.createBuffer({ size: REPORT_BYTES, usage, label: 'reports' }); // starts as zeros
    const block: Block = {
      id: 0,
      gpu: this.gpu,
      size: REPORT_BYTES,
      pool,
      batch: -1,
      losses: null,
      writes: 0,
      pending: false,
      free: -1,
      taken: 0,
    };
    this.binding = { block, offset: 0, bytes: REPORT_BYTES, element: U32 };
  }

  /** The number of an operation whose values must lie in 0 … extent − 1. `where` is a module's path or ''. */
  slot(op: string, extent: number, where: string): number {
    const range = `it must be in 0 … ${extent - 1}${where && `, in module ${where}`}`;
    return this.slotOf(`${op}: VALUE is out of range, ${range}. ${OUT_OF_RANGE}`);
  }

  /** The number of an operation that reports something else: what it then says, with the number reported for VALUE. */
  slotOf(told: string): number {
    const last = REPORT_SLOTS - 1;
    const found = this.#slots.get(told);
    if (found !== undefined) return found;
    if (this.#slots.size >= last) return last;
    this.#slots.set(told, this.#slots.size);
    return this.#slots.size - 1;
  }

  /** Throws the first report among what was copied, and forgets it. */
  check(words: Uint32Array<ArrayBuffer>): void {
    for (let slot = 0; slot < REPORT_SLOTS; slot++) {
      if (words[2 * slot] === 0) continue;
      this.device.queue.writeBuffer(this.gpu, 8 * slot, new Uint32Array(2));
      const other = `a gather, scatter, loss or matrix: VALUE is out of range. ${OUT_OF_RANGE}`;
      const told = [...this.#slots.keys()][slot] ?? other;
      throw new InputError(told.replace('VALUE', String((words[2 * slot + 1] ?? 0) | 0)));
    }
  }
}
