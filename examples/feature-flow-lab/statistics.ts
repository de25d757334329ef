// Slopes on logarithmic axes, with bootstrap intervals over seeds.

import { Rng } from '../../datasets/random';
import { at } from '../../shaders/checked';

/** What was measured with every seed at one width (or step size). */
export interface Group {
  x: number;
  values: number[];
}

export interface PowerLaw {
  /** log mean value against log x, by least squares. */
  slope: number;
  intercept: number;
  /** 95 % of the slopes that come out when the seeds of every group are drawn again, with replacement. */
  interval: [number, number];
}

/** The stream of the bootstrap's draws, beside those of datasets/random.ts. */
const STREAM = 0xb007;
const DRAWS = 2000;

export const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

/**
 * Fits mean value = e^intercept · x^slope. Values must be positive, x differ. `paired`: the same nets in every group, which are then drawn
 * together.
 */
export function powerLaw(groups: readonly Group[], seed = 0, paired = false): PowerLaw {
  const rng = new Rng(seed, STREAM);
  const fit = (pick: (values: number[]) => number) =>
    leastSquares(groups.map(({ x, values }) => [Math.log(x), Math.log(pick(values))]));
  const draw = (values: number[]) => values.map(() => rng.int(values.length));
  const slopes = Array.from({ length: DRAWS }, () => {
    const together = paired && draw(at(groups, 0).values);
    return fit((values) => mean((together || draw(values)).map((i) => at(values, i)))).slope;
  });
  slopes.sort((a, b) => a - b);
  const quantile = (q: number) => at(slopes, Math.round(q * (DRAWS - 1)));
  return { ...fit(mean), interval: [quantile(0.025), quantile(0.975)] };
}

function leastSquares(points: [number, number][]): { slope: number; intercept: number } {
  const [x0, y0] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const slope =
    points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  return { slope, intercept: y0 - slope * x0 };
}

export const showSlope = (slope: number): string => slope.toFixed(2).replace('-', '−');

/** '−0.52 (95 %: −0.59 … −0.45)' */
export const describeSlope = ({ slope, interval }: PowerLaw): string =>
  `${showSlope(slope)} (95 %: ${interval.map(showSlope).join(' … ')})`;

/** Whether a slope is where it should be, in words. */
export const verdict = (value: number, low: number, high: number): string =>
  `expected ${low} … ${high}: ${value >= low && value <= high ? 'met' : 'NOT MET'}`.replaceAll('-', '−');
