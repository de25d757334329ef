// Statistics of paired runs against values of an independent float64 implementation: the bootstrap by enumeration of all resamples, binomial sums,
// and the noncentral t by integration. And the comparisons of arms that are made of them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compare } from '../../examples/table-1/comparisons';
import type { Arm } from '../../examples/table-1/options';
import { describeComparisons, describeRunsBySeed } from '../../examples/table-1/sections';
import {
  bcaInterval,
  normalCdf,
  normalQuantile,
  pairedDifference,
  pairsNeeded,
  resample,
  signTest,
} from '../../examples/table-1/statistics';
import type { Entry } from '../../examples/table-1/table';
import { close } from '../util';

test('BCa intervals: of given resamples, of the whole bootstrap distribution, and of seeded draws', () => {
  const skewed = [0.3, -0.1, 0.2, 1.9, 0.1, 0.4, 0.25];
  const means = Array.from({ length: 101 }, (_, i) => (((i * 37) % 101) / 100) * 1.2 - 0.05).sort((a, b) => a - b);
  const given = { means, weights: means.map(() => 1 / 101) };
  close(bcaInterval(skewed, given), [-0.026, 1.126], 1e-12);
  // All 1,716 resamples of seven values with their probabilities.
  const exact: [number[], number[]][] = [
    [
      [-0.62, -0.21, -0.47, 0.13, -0.5, -0.33, -0.2],
      [-0.46, -0.111428571429],
    ],
    [skewed, [0.142857142857, 1.2]],
    [
      [1, 1.4, 0.65],
      [0.65, 1.4],
    ],
  ];
  for (const [values, want] of exact) close(pairedDifference(values)!.interval!, want, 1e-11);
  const { means: all, weights } = resample(skewed);
  assert.is(all.length, 1716);
  const mean = all.reduce((sum, x, i) => sum + x * weights[i]!, 0);
  const variance = all.reduce((sum, x, i) => sum + (x - mean) ** 2 * weights[i]!, 0);
  close([weights.reduce((a, b) => a + b, 0), mean, variance], [1, 3.05 / 7, 0.05415451895043732], 1e-12);
  // Of more values some are drawn, the same ones each time: near the interval of the normal distribution.
  const many = Array.from({ length: 40 }, (_, i) => normalQuantile((i + 0.5) / 40) + 1);
  const drawn = pairedDifference(many)!;
  close(drawn.interval!, [1 - 1.96 * Math.sqrt(0.9688 / 40), 1 + 1.96 * Math.sqrt(0.9688 / 40)], 0.02);
  assert.equal(pairedDifference(many), drawn);
  assert.equal(pairedDifference([0.5, 0.5, 0.5])!.interval, [0.5, 0.5], 'no spread, no width');
});

test('sign test, normal distribution, and the pairs that a difference takes', () => {
  const signs = [signTest(7, 0), signTest(6, 1), signTest(0, 0), signTest(3, 4), signTest(1, 9), signTest(12, 3)];
  close(signs, [0.015625, 0.125, 1, 1, 0.021484375, 0.03515625], 1e-15);
  const want = [1.8989562465887738e-8, 0.09680048458561036, 0.6554217416103242, 0.9999866542509841];
  close(Float64Array.from([-5.5, -1.3, 0.4, 4.2], normalCdf), want, 1e-14);
  assert.ok(Math.abs(normalCdf(-5.5) / want[0]! - 1) < 1e-12);
  const quantiles = [-4.753424308822899, -1.9599639845400538, -0.5244005127080407, 3.090232306167813];
  close(Float64Array.from([1e-6, 0.025, 0.3, 0.999], normalQuantile), quantiles, 1e-11);
  // By the noncentral t: 14, 5, 6, 128, 24.
  const needed = [
    pairsNeeded(0.25, 0.3),
    pairsNeeded(0.6, 0.3),
    pairsNeeded(0.3, 0.2),
    pairsNeeded(0.25, 1),
    pairsNeeded(-0.6, 1),
  ];
  assert.equal(needed, [14, 4, 6, 128, 24]);
});

test('comparisons pair the seeds that both arms have, by their last errors, and list every run', () => {
  const entry = (arm: Arm, errors: Record<number, number>) =>
    ({
      ...{ row: 'resnet56', arm, diverged: arm === 'meanfield' ? 1 : 0 },
      runs: Object.entries(errors).map(([seed, testError]) => ({ seed: Number(seed), testError, bestError: 1 })),
    }) as Entry;
  const entries = [
    entry('vanilla', { 0: 52, 1: 51, 2: 53, 5: 50 }),
    entry('meanfield', { 0: 51.5, 1: 51.25, 2: 52.5, 4: 49 }),
    entry('meanfield-fraction', { 7: 50 }),
  ];
  const comparisons = compare(entries);
  assert.is(comparisons.length, 1, 'no question without pairs');
  const [{ arm, minus, runs, difference, better, worse, signP, sd, needed }] = comparisons as [(typeof comparisons)[0]];
  assert.equal([arm, minus, difference.pairs, better, worse, signP], ['meanfield', 'vanilla', 3, 2, 1, 1]);
  assert.equal(runs, [
    { seed: 0, difference: -0.5 },
    { seed: 1, difference: 0.25 },
    { seed: 2, difference: -0.5 },
  ]);
  close([difference.mean, sd!], [-0.25, 0.4330127018922193], 1e-12);
  assert.equal(needed, [pairsNeeded(0.25, sd!), pairsNeeded(0.6, sd!)]);
  assert.match(describeComparisons(comparisons), `| −0.25 | [−0.50, +0.25] | 0.43 | 2 / 1 of 3 | 1.0 | 26 | 7 |`);
  const listed = describeRunsBySeed(entries, new Map());
  assert.match(listed, '| arm | 0 | 1 | 2 | 4 | 5 | 7 | diverged |');
  assert.match(listed, '| resnet56 meanfield | 51.50 | 51.25 | 52.50 | 49.00 |  |  | 1 |');
});

test.run();
