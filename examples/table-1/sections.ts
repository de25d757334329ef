// The parts of the table's text that answer questions: comparisons with their statistics, every run, and what happened to the particles.

import { FOLLOWED } from '../shared/telemetry';
import { type Comparison, GAINS } from './comparisons';
import type { Followed } from './particles';
import type { Entry, RunEntry } from './table';

const markdown = ([head = [], ...rows]: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i ? '--:' : '---')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

export const signed = (x: number, digits = 2): string => `${x < 0 ? '−' : '+'}${Math.abs(x).toFixed(digits)}`;
const plain = (x: number, digits = 2): string => x.toFixed(digits).replace('-', '−');

/** Differences of arms over seeds, with interval, sign test and power. */
export function describeComparisons(comparisons: readonly Comparison[]): string {
  if (!comparisons.length) return '';
  const several = new Set(comparisons.map(({ row }) => row)).size > 1;
  const rows = comparisons.map(({ row, arm, minus, tells, difference, needed, ...of }) => {
    const { mean, interval, pairs } = difference;
    const { sd, better, worse, signP } = of;
    return [
      `${several ? `${row}: ` : ''}${arm} − ${minus}`,
      tells,
      signed(mean),
      interval ? `[${interval.map((x) => signed(x)).join(', ')}]` : '',
      sd === null ? '' : sd.toFixed(2),
      `${better} / ${worse} of ${pairs}`,
      signP.toPrecision(2),
      ...needed.map((n) => n?.toLocaleString('en') ?? ''),
    ];
  });
  const head = ['difference', 'tells of', 'mean', '95 % (BCa)', 'sd', 'better / worse', 'sign test p'];
  return `
## Comparisons

Test error after the last epoch, in points; below zero the first arm is better. Pairs are runs of the same seed.

${markdown([[...head, ...GAINS.map((gain) => `pairs for ${gain}`)], ...rows])}

- Intervals: 95 % bias-corrected and accelerated bootstrap of the mean (of up to 8 pairs by all resamples, of more by 20,000 seeded draws),
  one by one: they are not widened for being many. With fewer than some seven pairs they are too narrow.
- The sign test is exact and two-sided. With 7 pairs it cannot go below 0.016, with 5 not below 0.06.
- Pairs for 0.25 and 0.6: how many a paired t-test (5 %, two-sided) would take to see true gains of that size, the paper's, with probability 0.8 at the
  spread seen here. That spread is itself an estimate: with 7 pairs it is known within a factor of 0.64 to 2.2, and the pairs within its square.
`;
}

/** A letter for each adapter, where there are several. */
export type Marks = ReadonlyMap<string, string>;

/** The letters of the adapters of a run. */
export const markOf = ({ adapters }: RunEntry, marks: Marks): string =>
  marks.size ? ` (${adapters.map((name) => marks.get(name)).join(' ')})` : '';

/** The last error of each run by seed: nothing is left out. */
export function describeRunsBySeed(entries: readonly Entry[], marks: Marks): string {
  const seeds = [...new Set(entries.flatMap(({ runs }) => runs.map(({ seed }) => seed)))].sort((a, b) => a - b);
  if (!seeds.length) return '';
  const rows = entries.map((entry) => [
    `${entry.row} ${entry.arm}`,
    ...seeds.map((seed) => {
      const run = entry.runs.find((run) => run.seed === seed);
      return run ? run.testError.toFixed(2) + markOf(run, marks) : '';
    }),
    entry.diverged ? String(entry.diverged) : '',
  ]);
  return `
## Every run

Test error in percent after the last epoch, by seed.

${markdown([['arm', ...seeds.map(String), 'diverged'], ...rows])}
`;
}

/** What happened to the particles of each arm. */
export function describeParticles(entries: readonly Entry[]): string {
  const arms = entries.flatMap(({ row, arm, particles }) => (particles ? [{ name: `${row} ${arm}`, particles }] : []));
  if (!arms.length) return '';
  const happened = arms.map(({ name, particles: p }) => [
    name,
    plain(p.crossings, 1),
    p.crossingsByEpoch.map((x) => plain(x, 1)).join(' '),
    plain(p.kendall, 1),
    p.stages.map(({ steps }) => steps.map((x) => plain(x, 3)).join(' / ')).join('; '),
    p.stages.map(({ negative }) => plain(negative, 1)).join(', '),
    p.stages.map(({ end }) => plain(end)).join(', '),
    p.stages.map(({ gradients }) => (gradients === null ? '' : gradients.toPrecision(2))).join(', '),
  ]);
  const head = [
    ...['arm', 'crossings a run', 'by epoch', 'Kendall, %', 'Δτ at the end: least / median / most'],
    ...['negative Δτ, %', 'end of time', '∂τ : ∂θ'],
  ];
  const followed = arms.flatMap(({ name, particles }) =>
    (['crossed', 'quiet'] as const).flatMap((kind) => {
      const found = particles[kind];
      return found ? [describeFollowed(name, kind, found)] : [];
    }),
  );
  const after = Array.from({ length: FOLLOWED }, (_, i) => `+${i + 1}`);
  const followedTable = `
What the loss of 100 fixed training images (evaluation mode) did around some of the crossings, at most three an epoch, and around quiet steps, at which nothing
crossed. The jump is the loss of the same weights in the order that sorting made, minus that in the order before; +1 … +${FOLLOWED} are the loss after so many
further updates minus that before the event. Healed: the median number of updates until the loss was first no higher than before; quiet steps say how long that
takes without a crossing. Crossings followed may meet another crossing within these updates.

${markdown([['arm', 'around', 'events', 'jump: mean', 'median', 'rose, %', ...after, 'healed'], ...followed])}
`;
  return `
## What happened to the particles

Means over runs; stages 1; 2; 3. Crossings are pairs that changed places. Kendall: pairs that stand the other way round than at the start (of particles that are
never sorted: whose times do). ∂τ : ∂θ is the root mean square of the gradient of a time over that of a weight of its stage, at the ends of epochs.

${markdown([head, ...happened])}
${followed.length ? followedTable : ''}`;
}

function describeFollowed(name: string, kind: 'crossed' | 'quiet', { events, jump, later, healed }: Followed) {
  return [
    name,
    kind === 'crossed' ? 'crossings' : 'quiet steps',
    String(events),
    jump ? signed(jump.mean, 4) : '',
    jump ? signed(jump.median, 4) : '',
    jump ? plain(100 * jump.rose, 0) : '',
    ...Array.from({ length: FOLLOWED }, (_, i) => (later[i] === undefined ? '' : signed(later[i], 4))),
    healed === null ? `> ${FOLLOWED}` : String(healed),
  ];
}
