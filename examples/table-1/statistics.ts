// Statistics of paired runs: means over seeds, the paired difference of two arms with a BCa bootstrap interval, an exact sign test,
// and how many pairs a difference would take to be seen.

import { Rng } from '../../datasets/random';
import { at, fromEnd } from '../../shaders/checked';

export interface Spread {
  mean: number;
  /** Sample standard deviation (n − 1); null for one value. */
  sd: number | null;
}

export interface Difference {
  mean: number;
  /** The 95 % BCa interval of the mean; null for one pair. */
  interval: [low: number, high: number] | null;
  pairs: number;
}

/** Up to so many values the bootstrap takes all resamples that there are (6,435 for 8), each with its probability; of more it draws some. */
const FEW = 8;
/** Drawn resamples: the same ones each time. */
const DRAWS = 20_000;

/** Means of resamples in ascending order with their probabilities. */
export interface Resampled {
  means: readonly number[];
  weights: readonly number[];
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean and standard deviation; null for no values. */
export function spread(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const mean = meanOf(values);
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

/** Mean of the paired differences, with its interval. Null for no pairs. */
export function pairedDifference(differences: readonly number[]): Difference | null {
  const n = differences.length;
  if (n === 0) return null;
  return {
    mean: meanOf(differences),
    interval: n > 1 ? bcaInterval(differences, resample(differences)) : null,
    pairs: n,
  };
}

/** The bootstrap distribution of the mean: exact for few values, by seeded draws for more. */
export function resample(values: readonly number[]): Resampled {
  const n = values.length;
  const rng = new Rng(0, 0xb007);
  const draw = () => [meanOf(values.map(() => at(values, rng.int(n)))), 1 / DRAWS] as const;
  const all = n > FEW ? Array.from({ length: DRAWS }, draw) : multisets(values);
  all.sort(([a], [b]) => a - b);
  return { means: all.map(([mean]) => mean), weights: all.map(([, weight]) => weight) };
}

/** Every choice of n of n values, whatever their order: its mean, and its probability n!/(k₁! … kₙ!)/nⁿ. */
function multisets(values: readonly number[]): (readonly [mean: number, weight: number])[] {
  const n = values.length;
  const found: (readonly [number, number])[] = [];
  const choose = (i: number, left: number, sum: number, weight: number) => {
    if (i === n - 1) {
      for (let k = 1; k <= left; k++) weight /= k;
      found.push([(sum + left * at(values, i)) / n, weight]);
      return;
    }
    for (let k = 0; k <= left; k++) {
      if (k) weight /= k;
      choose(i + 1, left - k, sum + k * at(values, i), weight);
    }
  };
  // n!/nⁿ
  choose(
    0,
    n,
    0,
    values.reduce((product, _, i) => (product * (i + 1)) / n, 1),
  );
  return found;
}

/**
 * The bias-corrected and accelerated interval of a mean (Efron 1987): percentiles of the bootstrap distribution, shifted by how far its median is
 * from the mean (a tie counts half) and by the skewness that leaving out one value at a time shows.
 */
export function bcaInterval(
  values: readonly number[],
  { means, weights }: Resampled,
  level = 0.95,
): [low: number, high: number] {
  const [n, mean] = [values.length, meanOf(values)];
  const [least, most] = [at(means, 0), fromEnd(means, 1)];
  const tie = 1e-9 * (most - least); // what rounding alone tells apart
  if (!(tie > 0)) return [least, most];
  const rank = means.reduce((sum, x, i) => sum + at(weights, i) * (x < mean - tie ? 1 : x > mean + tie ? 0 : 0.5), 0);
  const bias = normalQuantile(rank);
  // Leaving out x_i takes (x_i − x̄)/(n − 1) from the mean.
  const without = values.map((x) => (x - mean) / (n - 1));
  const squares = without.reduce((sum, d) => sum + d ** 2, 0);
  const acceleration = without.reduce((sum, d) => sum + d ** 3, 0) / (6 * squares ** 1.5);
  const percentile = (p: number) => {
    const z = bias + normalQuantile(p);
    const wanted = normalCdf(bias + z / (1 - acceleration * z));
    let sum = 0;
    return means.find((_, i) => (sum += at(weights, i)) >= wanted) ?? most;
  };
  return [percentile((1 - level) / 2), percentile((1 + level) / 2)];
}

/** Probability of a split at least as uneven as this if both signs were equally likely. Pairs without a difference count for nothing. */
export function signTest(below: number, above: number): number {
  const n = below + above;
  let tail = 0;
  let ways = 1; // n over k
  for (let k = 0; k <= Math.min(below, above); k++) {
    tail += ways;
    ways = (ways * (n - k)) / (k + 1);
  }
  return Math.min(1, (2 * tail) / 2 ** n);
}

/**
 * How many pairs a true mean difference takes to be seen, with differences that scatter by `sd`: a two-sided paired t-test at 5 % finds it with
 * probability 0.8. By the normal approximation with Guenther's correction, within one pair of the noncentral t.
 */
export function pairsNeeded(difference: number, sd: number, power = 0.8, level = 0.05): number {
  const z = normalQuantile(1 - level / 2);
  const needed = (((z + normalQuantile(power)) * sd) / difference) ** 2 + z ** 2 / 2;
  return Math.max(2, Math.ceil(needed));
}

/** Φ(z), by the continued fraction of the tail or the series of the centre: to 1e-14. */
export function normalCdf(z: number): number {
  const x = Math.abs(z);
  if (x > 38) return z < 0 ? 0 : 1;
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  let tail: number;
  if (x > 4) {
    let fraction = x;
    for (let k = 120; k > 0; k--) fraction = x + k / fraction;
    tail = density / fraction;
  } else {
    let [term, sum] = [x, x];
    for (let k = 1; Math.abs(term) > 1e-18; k++) sum += term *= (x * x) / (2 * k + 1);
    tail = 0.5 - density * sum;
  }
  return z < 0 ? tail : 1 - tail;
}

/** z with Φ(z) = p, by bisection. */
export function normalQuantile(p: number): number {
  let [low, high] = [-38, 38];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
