// The statistics of the table: means over seeds, and the paired difference of two arms with a bootstrap interval.

import { Rng } from '../../datasets/random';

export interface Spread {
  mean: number;
  /** Sample standard deviation (n − 1); null for one value. */
  sd: number | null;
}

export interface Difference {
  mean: number;
  /** The 95 % interval of the mean; null for one pair. */
  interval: [low: number, high: number] | null;
  pairs: number;
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean and standard deviation; null for no values. */
export function spread(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const mean = meanOf(values);
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

/** Mean of the paired differences; its interval by the percentile bootstrap with 10,000 resamples, the same ones each time. */
export function pairedDifference(differences: readonly number[]): Difference | null {
  const n = differences.length;
  if (n === 0) return null;
  const rng = new Rng(0, 0xb007);
  const resampled = () => meanOf(differences.map(() => differences[rng.int(n)]!));
  const means = n > 1 ? Float64Array.from({ length: 10_000 }, resampled).sort() : null;
  return { mean: meanOf(differences), interval: means && [means[249]!, means[9750]!], pairs: n };
}
