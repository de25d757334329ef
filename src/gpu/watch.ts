// What the GPU says to commands. Dawn's Node binding reports an error before the call that makes it returns; browsers report it later,
// through error scopes.

export class Watch {
  #caught: GPUError[] = [];
  #pending = new Set<Promise<unknown>>();

  constructor(
    readonly device: GPUDevice,
    /** Whether errors are there when the call that makes them returns. */
    readonly atOnce: boolean,
  ) {
    device.onuncapturederror = (event) => {
      event.preventDefault(); // else it is printed too
      this.#caught.push(event.error);
    };
  }

  /** Runs `body` and tells `done` the first error of it, or null: before this returns where errors come at once, else later. */
  run<T>(body: () => T, done: (error: GPUError | null) => void): T {
    if (this.atOnce) {
      const from = this.#caught.length;
      const result = body();
      done(this.#caught.splice(from)[0] ?? null);
      return result;
    }
    const filters = ['validation', 'out-of-memory', 'internal'] as const;
    for (const filter of filters) this.device.pushErrorScope(filter);
    try {
      return body();
    } finally {
      const errors = Promise.all(filters.map(() => this.device.popErrorScope()));
      this.track(
        errors.then(
          (found) => done(found.find((error) => error) ?? null),
          () => done(null), // the device is lost: every call says so
        ),
      );
    }
  }

  /** Has `settle` wait for this too. */
  track(promise: Promise<unknown>): void {
    const tracked: Promise<unknown> = promise.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  /** Resolves when everything said so far was told; null where there is nothing to wait for. */
  settle(): Promise<unknown> | null {
    return this.#pending.size ? Promise.all(this.#pending).then(() => this.settle()) : null;
  }

  /** Errors that came from elsewhere, such as calls of the program's own on the GPUDevice. */
  strays(): GPUError[] {
    return this.#caught.splice(0);
  }
}

export const isOutOfMemory = (error: GPUError): boolean =>
  typeof GPUOutOfMemoryError !== 'undefined' && error instanceof GPUOutOfMemoryError;
