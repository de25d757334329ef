// The state of randomness: a seed and the number of draws made. Counter-based, so it is two numbers to save and restore.
import { checkSeed, Rng, Stream } from '../../datasets/random';

let seed = 0;
let draws = 0;

/** The state of the global generator; `setRngState` goes on from it exactly. */
export interface RngState {
  /** What `manualSeed` was given. */
  seed: number;
  /** Draws made from it so far. */
  draws: number;
}

/** Seeds everything random in the framework: initial weights, `rand…`, dropout. An integer from 0 to 2³² − 1. */
export function manualSeed(value: number): void {
  seed = checkSeed(value);
  draws = 0;
}

/** Seed and number of draws so far, a plain object, for `setRngState`. */
export const getRngState = (): RngState => ({ seed, draws });

/** Goes on with the random numbers where `getRngState` was called. */
export function setRngState(state: RngState): void {
  manualSeed(state.seed);
  draws = state.draws;
}

/** The key of the next random tensor: no two draws share one. */
export const nextDraw = (): RngState => ({ seed, draws: draws++ });

/** A host-side generator for the values of one initial tensor. */
export function initialRng(): Rng {
  const draw = nextDraw();
  return new Rng(draw.seed, Stream.init, draw.draws);
}
