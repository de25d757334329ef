// What birth and death and the Trainer's hook need of a mean-field stage, as types: MeanField itself imports the hook.
import type { Tensor } from '../tensor/tensor';

/** A particle of a stage that is put together again: a copy of the one at a position, with a time and an id of its own. */
export interface Placed {
  /** Position before, from 0. */
  source: number;
  /** Time that it gets. */
  time: number;
  /** Number that it is known by wherever it goes. */
  id: number;
}

/** What `telemetry()` reads back. */
export interface ParticleTelemetry {
  /** Times by position: in ascending order, unless particles are never sorted. */
  tau: number[];
  /** The particle at each position, by the number it had at the start. */
  order: number[];
  /** Inversions that sorting removed since the last `telemetry()`: exchanges of neighbours in training. */
  swaps: number;
}

/** A `MeanField`, as others see it. */
export interface Stage {
  readonly tau: Tensor;
  /** The particle at each position, by its number at the start. */
  readonly ids: Tensor;
  readonly effects: Tensor;
  /** The end of time where intervals start at the particles' times; null where the last particle's time is the end. */
  readonly end: number | null;
  readonly options: { readonly sort?: boolean };
  checkMovable(anyMode?: boolean): void;
  sortParticles(): void;
  placeParticles(placed: readonly Placed[]): void;
  permute(order: ArrayLike<number>): Promise<void>;
  telemetry(): Promise<ParticleTelemetry>;
}
