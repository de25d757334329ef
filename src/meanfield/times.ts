// The times that particles begin with, and the intervals that follow from them.
import { InputError } from '../gpu';
import { initialRng } from '../tensor/seed';

export interface TimeOptions {
  /**
   * Initial times. The paper gives none; in its model t runs from 0 to 1 and ρ has the mass 1. 'ordinal' (default) is 1 … n, which drops this
   * scaling: every step is 1, so the network starts as the vanilla one, bit for bit, and in common recipes no two particles ever cross.
   * 'fraction' is i/n, the paper's own scaling: the branches start n times weaker, and crossings are frequent. 'random' is uniform in (0, 1).
   * Or numbers.
   */
  times?: 'ordinal' | 'fraction' | 'random' | readonly number[];
  /**
   * Which interval is a particle's own: the one that ends at its time (default: τ_{l−1} < t ≤ τ_l with τ_{−1} = 0, eq. 4.1), or the one that
   * starts there (τ_l ≤ t < τ_{l+1}, as the sentence before eq. 4.1 has it). Then 'ordinal' is 0 … n − 1, 'fraction' (i − 1)/n, and the last
   * interval goes to `end`.
   */
  interval?: 'end' | 'start';
  /** The end of time where intervals start at the particles' times: n for 'ordinal', 1 for 'fraction' and 'random', else needed. */
  end?: number;
}

/** Times of n particles, the end of time (null where the last particle's time is the end), and the mass of all intervals. */
export function initialTimes(o: TimeOptions, n: number): { times: number[]; end: number | null; mass: number } {
  const { times = 'ordinal', interval = 'end' } = o;
  const starts = interval === 'start';
  if (o.end !== undefined && !(starts && Number.isFinite(o.end)))
    throw new InputError(
      starts
        ? `MeanField: end ${o.end} must be a finite number`
        : "MeanField: the last particle's time is the end of time; `end` is for interval: 'start'",
    );
  const own = { ordinal: n, fraction: 1, random: 1 };
  if (typeof times === 'string') {
    const end = starts ? (o.end ?? own[times]) : null;
    return { times: named(times, n, starts ? 0 : 1), end, mass: own[times] };
  }
  if (times.length !== n || times.some((t) => !Number.isFinite(t)))
    throw new InputError(`MeanField: times [${times.join(', ')}] must be ${n} finite numbers, one for each particle`);
  const end = starts ? o.end : null;
  if (end === undefined)
    throw new InputError("MeanField: with interval: 'start' and times of your own say where time ends: { end: 1 }");
  const mass = end === null ? Math.max(...times) : end - Math.min(...times);
  return { times: [...times], end, mass };
}

function named(times: string, n: number, first: 0 | 1): number[] {
  if (times === 'random') {
    const rng = initialRng();
    return Array.from({ length: n }, () => rng.uniform()).sort((a, b) => a - b);
  }
  return Array.from({ length: n }, (_, i) => (times === 'ordinal' ? i + first : (i + first) / n));
}
