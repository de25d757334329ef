// What goes to the GPU, in its order. While kernels compile aside it is held back, since a launch among it may need one of them: the program
// goes on and launches, and whoever reads waits.

export class Outbox {
  #held: (() => void)[] | null = null;
  #waiting = 0;
  #ready: Promise<void> | null = null;
  #release: () => void = () => undefined;

  /** Whether something is held back. */
  get held(): boolean {
    return this.#held !== null;
  }

  /** Resolves when nothing is held back any more; null where nothing is. */
  get ready(): Promise<void> | null {
    return this.#ready;
  }

  /** Does something that must not overtake what is held back: now, or in its turn. */
  put(action: () => void): void {
    if (this.#held) this.#held.push(action);
    else action();
  }

  /** Writes host data into a buffer; where it has to wait, the data as they are now. */
  write(queue: GPUQueue, buffer: GPUBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
    const bytes = bytesOf(data);
    const now = this.#held ? bytes.slice() : bytes;
    this.put(() => queue.writeBuffer(buffer, offset, now));
  }

  /** Holds everything back from now on, until this promise and all others have settled. */
  holdUntil(promise: Promise<unknown>): void {
    this.#held ??= [];
    this.#ready ??= new Promise((resolve) => (this.#release = resolve));
    this.#waiting++;
    const settled = () => {
      if (--this.#waiting === 0) this.#letGo();
    };
    promise.then(settled, settled);
  }

  /** Forgets what is held back, for a device that is gone. */
  drop(): void {
    if (this.#held) this.#held = [];
  }

  #letGo(): void {
    const actions = this.#held ?? [];
    this.#held = this.#ready = null;
    try {
      for (const action of actions) action();
    } finally {
      this.#release();
    }
  }
}

/** Host data as bytes; a copy of them stays as it is. */
export const bytesOf = (data: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
