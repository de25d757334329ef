// Questions to the grid: pairs of arms that differ in one thing, over the seeds that both have finished.

import type { Arm } from './options';
import { type Difference, pairedDifference, pairsNeeded, signTest, spread } from './statistics';
import type { Entry } from './table';

/** The paper's gains reach from 0.25 to 0.6 points. */
export const GAINS = [0.25, 0.6] as const;

/** Arm, the arm that it is compared with, and what the difference tells. Written down before the runs; the first one is the question. */
const QUESTIONS: readonly [arm: Arm, minus: Arm, tells: string][] = [
  ['meanfield-fraction', 'meanfield-fraction-unsorted', 're-sorting, where particles cross'],
  ['meanfield-fast', 'meanfield-fast-unsorted', 're-sorting of times that start at 1 … n and learn ten times faster'],
  ['meanfield', 'meanfield-unsorted', 're-sorting of times that start at 1 … n'],
  ['meanfield-fraction', 'meanfield-fraction-shuffled', 'the sorted order against a random one'],
  ['meanfield', 'meanfield-shuffled', 'the sorted order against a random one, times from 1 … n'],
  ['meanfield-fraction', 'meanfield-fraction-frozen', 'learned times and re-sorting together'],
  ['meanfield-fraction-unsorted', 'meanfield-fraction-frozen', 'learned times alone'],
  ['meanfield-fraction-frozen', 'vanilla', 'branches that start n times weaker'],
  ['meanfield-random', 'meanfield-fraction', 'random first times against even ones'],
  ['meanfield-fraction', 'vanilla', 'all of it, times from i/n'],
  ['meanfield', 'vanilla', "the paper's comparison"],
];

export interface Comparison {
  row: string;
  arm: Arm;
  minus: Arm;
  tells: string;
  /** Test error after the last epoch, arm minus the other, in points. */
  difference: Difference;
  /** Of the differences; null for one pair. */
  sd: number | null;
  /** Pairs in which the first arm is better, and worse, and p of the exact two-sided sign test. */
  better: number;
  worse: number;
  signP: number;
  runs: { seed: number; difference: number }[];
  /** Pairs that a true gain of each of `GAINS` would take at this spread (80 % power); null for fewer than three pairs. */
  needed: (number | null)[];
}

/** The questions that these arms answer, those with at least one pair. */
export function compare(entries: readonly Entry[]): Comparison[] {
  return [...new Set(entries.map(({ row }) => row))].flatMap((row) => {
    const find = (name: Arm) => entries.find((entry) => entry.row === row && entry.arm === name);
    return QUESTIONS.flatMap(([arm, minus, tells]): Comparison[] => {
      const runs = paired(find(arm), find(minus));
      const values = runs.map((run) => run.difference);
      const difference = pairedDifference(values);
      const sd = spread(values)?.sd ?? null;
      if (!difference) return [];
      const [better, worse] = [values.filter((d) => d < 0).length, values.filter((d) => d > 0).length];
      const needed = GAINS.map((gain) => (runs.length > 2 && sd !== null ? pairsNeeded(gain, sd) : null));
      return [{ row, arm, minus, tells, difference, sd, better, worse, signP: signTest(better, worse), runs, needed }];
    });
  });
}

/** Differences of the last errors, over the seeds that both arms have finished. */
export function paired(arm: Entry | undefined, minus: Entry | undefined): Comparison['runs'] {
  return (arm?.runs ?? []).flatMap(({ seed, testError }) => {
    const partner = minus?.runs.find((run) => run.seed === seed);
    return partner ? [{ seed, difference: testError - partner.testError }] : [];
  });
}
