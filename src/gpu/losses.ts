// Lost content: a range of memory that a failed command did not write, or that was computed from one. Whoever reads it gets the error of
// that command; all else stays right. Where the GPU reports late, launches are remembered until it has answered for them, so that what was
// computed from a loss meanwhile is found. As all that writes memory is told here, each block's writes are counted here too (steady.ts).
import { fromEnd } from '../../shaders/checked';
import { GpuError, OutOfMemoryError } from './errors';

/** What can be lost: a range of a block, the real one or one that a graph has placed. */
export interface Range {
  readonly block: Lossy & { readonly place?: Lossy | null };
  readonly offset: number;
  readonly bytes: number;
}

export interface Lossy {
  readonly size: number;
  /** Ranges whose content was lost. */
  losses: Loss[] | null;
  /** How often a command or the host was asked to write it. */
  writes: number;
}

interface Loss {
  readonly from: number;
  readonly to: number;
  readonly error: GpuError;
}

/** A command that reads and writes memory: a letter of `access` for each of its `bindings`, as in a kernel. */
export interface Work {
  readonly what: string;
  readonly access: string;
  readonly bindings: readonly Range[];
  /** Why it did not run, or ran on lost memory: of commands that write nothing, such as a read-back. */
  lost?: GpuError;
}

/** Memory whose content does not matter any more: it is taken for something else, or the host writes it. */
interface Renewal {
  readonly renewed: Range;
}

/** What is submitted at once. */
export interface Batch {
  readonly entries: (Work | Renewal)[];
  settled: boolean;
}

/** Entries remembered of a program that never lets the GPU answer. */
const MOST = 100_000;

const real = ({ block }: Range): Lossy => block.place ?? block;

export class Losses {
  /** Batches without an answer, the oldest first. The last one is open. */
  #batches: Batch[] = [{ entries: [], settled: false }];
  #entries = 0;
  #forgotten = false;
  /** Failures that nobody was told of yet. */
  untold: GpuError[] = [];
  /** Whether anything was ever lost. Before that nothing is looked up. */
  any = false;

  /** Takes down a command at the end of the open batch. */
  note(work: Work): void {
    this.#open.push(work);
    const { access, bindings } = work;
    for (let i = 0; i < bindings.length; i++) if (access[i] !== 'r') real(bindings[i] as Range).writes++;
    if (this.any) this.#written(work);
  }

  /** The content of this range is nobody's any more. */
  renew(range: Range): void {
    real(range).writes++;
    if (this.any) restore(range);
    if (this.#open.length || this.#batches.length > 1) this.#open.push({ renewed: range });
  }

  /** Closes the open batch and begins the next. */
  close(): Batch {
    const batch = fromEnd(this.#batches, 1);
    this.#batches.push({ entries: [], settled: false });
    this.#entries += batch.entries.length;
    while (this.#entries > MOST && this.#batches.length > 2) {
      this.#shift();
      this.#forgotten = true;
    }
    return batch;
  }

  /** The GPU has taken a batch as it is. */
  settle(batch: Batch): void {
    batch.settled = true;
    while (this.#batches[0]?.settled) this.#shift();
    if (this.#batches.length === 1) this.#forgotten = false;
  }

  /** Drops the oldest batch. */
  #shift(): void {
    this.#entries -= this.#batches.shift()?.entries.length ?? 0;
  }

  /**
   * The GPU has refused a batch: none of its commands ran. `again` says for each whose inputs are there why it failed, or null when another
   * try of it alone went well. Marks what the failed ones and those after them should have computed. `all` gives every block there is.
   */
  fail(batch: Batch, again: (work: Work) => GpuError | null, all: () => Iterable<Lossy>): void {
    this.any = true;
    const from = this.#batches.indexOf(batch);
    if (from < 0 || this.#forgotten) {
      // What came after it is not known any more: nothing can be trusted.
      const error = batch.entries.map((entry) => ('what' in entry ? again(entry) : null)).find((e) => e);
      if (error) for (const block of all()) this.lose({ block, offset: 0, bytes: block.size }, error);
      if (error) this.untold.push(error);
    } else
      for (const { entries } of this.#batches.slice(from))
        for (const entry of entries) this.#walk(entry, entries === batch.entries ? again : () => null);
    this.settle(batch);
  }

  /** Marks a range. */
  lose(range: Range, error: GpuError): void {
    this.any = true;
    const block = real(range);
    block.losses ??= [];
    block.losses.push({ from: range.offset, to: range.offset + range.bytes, error });
  }

  /** One range was copied to another. */
  carry(from: Range, to: Range): void {
    const error = this.any ? lossIn(from) : null;
    if (error) this.lose(to, error);
  }

  /** Throws when something in this range was lost; `what` says who wants to read it. */
  check(what: string, range: Range): void {
    const error = this.any ? lossIn(range) : null;
    if (error) throw this.told(error, what);
  }

  /** The error to throw where a loss is noticed. */
  told(error: GpuError, what: string): GpuError {
    this.untold = this.untold.filter((e) => e !== error);
    const Kind = error instanceof OutOfMemoryError ? OutOfMemoryError : GpuError;
    return Object.assign(new Kind(`${what} reads what was not computed: ${error.message}`), { cause: error });
  }

  get #open(): (Work | Renewal)[] {
    return fromEnd(this.#batches, 1).entries;
  }

  #walk(entry: Work | Renewal, again: (work: Work) => GpuError | null): void {
    if ('renewed' in entry) {
      restore(entry.renewed);
      return;
    }
    const { access, bindings } = entry;
    let error = bindings.reduce<GpuError | null>((e, b, i) => e ?? (access[i] === 'w' ? null : lossIn(b)), null);
    if (!error) {
      error = again(entry);
      if (error && !this.untold.includes(error)) this.untold.push(error);
    }
    if (error) bindings.forEach((binding, i) => access[i] !== 'r' && this.lose(binding, error));
    else this.#written(entry);
    if (error) entry.lost = error;
  }

  #written({ access, bindings }: Work): void {
    bindings.forEach((binding, i) => access[i] === 'w' && restore(binding));
  }
}

/** The first loss that a range touches. */
function lossIn(range: Range): GpuError | null {
  const { losses } = real(range);
  if (!losses) return null;
  return losses.find(({ from, to }) => from < range.offset + range.bytes && range.offset < to)?.error ?? null;
}

/** A range was written as a whole. */
function restore(range: Range): void {
  const block = real(range);
  if (!block.losses) return;
  const left = block.losses.filter(({ from, to }) => from < range.offset || to > range.offset + range.bytes);
  block.losses = left.length ? left : null;
}
