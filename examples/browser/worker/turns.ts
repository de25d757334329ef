// Who may use the GPU: one at a time, in the order of asking. Runs take a turn for each step, everything else waits for one between two steps.

export class Turns {
  #last: Promise<void> = Promise.resolve();
  #release: (() => void) | null = null;

  /** Waits for a turn. */
  async take(): Promise<void> {
    const before = this.#last;
    let end: () => void = () => undefined;
    this.#last = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    this.#release = end;
  }

  /** Ends the turn. */
  give(): void {
    const end = this.#release;
    this.#release = null;
    end?.();
  }

  async during<T>(body: () => Promise<T>): Promise<T> {
    await this.take();
    try {
      return await body();
    } finally {
      this.give();
    }
  }
}

/** Where runs wait while the experiment is paused. */
export class Gate {
  #open = true;
  #waiting: ((isStep: boolean) => void)[] = [];

  get isOpen(): boolean {
    return this.#open;
  }

  open(): void {
    this.#open = true;
    this.#let(false);
  }

  close(): void {
    this.#open = false;
  }

  /** Lets those through that wait now, for one step. */
  step(): void {
    this.#let(true);
  }

  #let(isStep: boolean): void {
    for (const go of this.#waiting.splice(0)) go(isStep);
  }

  /** Returns whether it is for one step that whoever asks is let through. */
  async pass(): Promise<boolean> {
    return !this.#open && new Promise((resolve) => this.#waiting.push(resolve));
  }
}
