// How long a run has taken, all its sessions together, and how fast it trains.

export class Clock {
  #last = 0;
  #rate = { since: 0, images: 0 };
  /** Speed of training in this epoch and session, evaluation left out. */
  perSecond = 0;

  start(): void {
    this.#last = performance.now();
  }

  /** Adds the time since the last call to the run's. */
  lap(times: { seconds: number; epochSeconds: number }): void {
    const now = performance.now();
    const seconds = (now - this.#last) / 1000;
    this.#last = now;
    times.seconds += seconds;
    times.epochSeconds += seconds;
  }

  /** The training of an epoch begins here, or goes on. */
  startEpoch(): void {
    this.#rate = { since: performance.now(), images: 0 };
    this.perSecond = 0;
  }

  trained(images: number): void {
    this.#rate.images += images;
  }

  measure(): void {
    this.perSecond = (1000 * this.#rate.images) / (performance.now() - this.#rate.since);
  }
}
