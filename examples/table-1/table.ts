// Table 1 from the folders of its runs: one entry for each network and arm, as JSON and as Markdown.

import { join } from 'node:path';
import { count, formatDuration } from '../shared/progress';
import { type RunState, readFailure, readRun } from '../shared/run-state';
import { type Comparison, paired } from './comparisons';
import type { Arm, Cell } from './options';
import { type ParticleSummary, summariseParticles } from './particles';
import { describeComparisons, describeParticles, describeRunsBySeed, type Marks, markOf, signed } from './sections';
import { type Difference, pairedDifference, type Spread, spread } from './statistics';

/** Errors in percent that the paper prints (vanilla, mean-field), and those of public vanilla runs. */
const PUBLISHED: Record<string, { paper: [number, number]; publicRuns?: string }> = {
  resnet20: { paper: [8.75, 8.19], publicRuns: '8.1–8.3' },
  resnet32: { paper: [7.51, 7.15] },
  resnet44: { paper: [7.17, 6.91], publicRuns: '6.9–7.1' },
  resnet56: { paper: [6.97, 6.72], publicRuns: '6.6–7.4' },
  resnet110: { paper: [6.37, 6.1], publicRuns: '5.9–6.7' },
  resnet164: { paper: [5.46, 5.19] },
  'resnext29-8x64d': { paper: [17.92, 17.53] },
  'resnext29-16x64d': { paper: [17.65, 16.81] },
};

/** A finished run. */
export interface RunEntry {
  seed: number;
  testError: number;
  bestError: number;
  bestEpoch: number;
  seconds: number;
  folder: string;
  /** What it was trained on: several adapters where it went from one machine to another. */
  adapters: readonly string[];
}

export interface Entry {
  row: string;
  arm: Arm;
  dataset: string;
  epochs: number;
  batch: number;
  /** Training and test images; null for all of the set. */
  subset: number | null;
  testSubset: number | null;
  asked: number;
  diverged: number;
  /** Runs that could not be trained: they threw, time and again. */
  failed: number;
  /** Test error in percent over the finished seeds. The best epoch is chosen by the test set. */
  last: Spread | null;
  best: Spread | null;
  /** This arm minus vanilla after the last epoch, over the seeds that both have finished. */
  difference: Difference | null;
  paper: number | null;
  publicRuns: string | null;
  runs: RunEntry[];
  /** What happened to the particles in the finished runs; null for vanilla networks. */
  particles?: ParticleSummary | null;
}

/** An entry for each network and arm of the grid of which a run was begun in `out`. */
export function gather(cells: readonly Cell[], out: string): Entry[] {
  const entries = new Map<string, Entry>();
  const finished = new Map<Entry, RunState[]>();
  const failed = new Map<string, number>();
  for (const { name, row, arm, seed } of cells) {
    const run = readRun(join(out, name));
    const key = `${row} ${arm}`;
    if (readFailure(join(out, name)) && !run?.end) failed.set(key, (failed.get(key) ?? 0) + 1);
    if (!run) continue;
    const { dataset, epochs, batch, subset = null, testSubset = null } = run.recipe;
    const { width = 1, size = 32 } = run.recipe;
    const { paper, publicRuns } = (width === 1 && size === 32 && PUBLISHED[row]) || {};
    const entry: Entry = entries.get(key) ?? {
      ...{ row, arm, dataset, epochs, batch, subset, testSubset },
      ...{ diverged: 0, failed: 0, last: null, best: null, difference: null },
      asked: cells.filter((cell) => cell.row === row && cell.arm === arm).length,
      paper: paper?.[arm === 'vanilla' ? 0 : 1] ?? null,
      publicRuns: (arm === 'vanilla' && publicRuns) || null,
      runs: [],
    };
    entries.set(key, entry);
    if (run.end && 'divergedAt' in run.end) entry.diverged++;
    else if (run.end) {
      const { testError, bestError, bestEpoch, seconds } = run.end;
      entry.runs.push({ seed, testError, bestError, bestEpoch, seconds, folder: name, adapters: run.adapters });
      finished.set(entry, [...(finished.get(entry) ?? []), run]);
    }
  }
  for (const [key, entry] of entries) {
    entry.failed = failed.get(key) ?? 0;
    entry.last = spread(entry.runs.map((run) => run.testError));
    entry.best = spread(entry.runs.map((run) => run.bestError));
    entry.particles = summariseParticles(finished.get(entry) ?? []);
    const vanilla = entries.get(`${entry.row} vanilla`);
    if (entry !== vanilla) entry.difference = pairedDifference(paired(entry, vanilla).map((run) => run.difference));
  }
  return [...entries.values()];
}

/** Letters for the adapters of a table that has several; none where all runs were made on one. */
export function adapterMarks(entries: readonly Entry[]): Map<string, string> {
  const names = [...new Set(entries.flatMap(({ runs }) => runs.flatMap(({ adapters }) => adapters)))];
  return new Map(names.length < 2 ? [] : names.map((name, i) => [name, String.fromCodePoint(0x61 + (i % 26))]));
}

const COLUMNS: [head: string, cell: (entry: Entry, marks: Marks) => string][] = [
  ['network', ({ row }) => row],
  ['arm', ({ arm }) => arm],
  ['last epoch', ({ last }) => describeSpread(last)],
  ['best epoch', ({ best }) => describeSpread(best)],
  ['minus vanilla, paired', (entry) => describeDifference(entry)],
  ['paper', ({ paper }) => paper?.toFixed(2) ?? ''],
  ['public runs', ({ publicRuns }) => publicRuns ?? ''],
  ['what was run', (entry, marks) => describeRuns(entry, marks)],
];

/** The table for people. `adapter` is what it ran on, `figures` files beside it. */
export function describeTable(
  entries: readonly Entry[],
  adapter: string,
  figures: readonly string[],
  comparisons: readonly Comparison[] = [],
): string {
  const marks = adapterMarks(entries);
  const rows = [
    COLUMNS.map(([head]) => head),
    COLUMNS.map(() => '---'),
    ...entries.map((entry) => COLUMNS.map(([, cell]) => cell(entry, marks))),
  ];
  const seconds = entries.flatMap(({ runs }) => runs).reduce((sum, run) => sum + run.seconds, 0);
  return `# Table 1

Test error in percent, mean ± standard deviation over the seeds; the intervals are 95 % BCa bootstrap intervals of the mean over pairs.

${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

- Last epoch is the number to compare. The best epoch is chosen by the test set itself and therefore too good.
- The arms of a seed share initial weights, batches and augmentation. Seeds differ by about 0.2, so a gain of 0.3 takes about 7 pairs to see.
- The paper's columns are averages over 3 runs for 160 epochs (ResNeXt 300) on all training images; its vanilla ResNet numbers equal He et al. 2015/2016 digit for
  digit and were probably quoted. The public runs are vanilla networks trained by others.
- Ran on ${marks.size ? describeMarks(marks) : adapter}.
- Took ${formatDuration(seconds)} of training and evaluation.
${describeComparisons(comparisons)}${describeRunsBySeed(entries, marks)}${describeParticles(entries)}
${figures.map((name) => `![${name.replace('.svg', '')}](${name})`).join('\n')}
`;
}

const describeSpread = (x: Spread | null): string =>
  x ? `${x.mean.toFixed(2)}${x.sd === null ? '' : ` ± ${x.sd.toFixed(2)}`}` : '';

function describeDifference({ difference }: Entry): string {
  if (!difference) return '';
  const interval = difference.interval ? ` [${difference.interval.map((x) => signed(x)).join(', ')}]` : '';
  return `${signed(difference.mean)}${interval}, ${difference.pairs} pair${difference.pairs === 1 ? '' : 's'}`;
}

/** What the letters mean, and what they are there for. */
const describeMarks = (marks: Marks): string =>
  `${[...marks].map(([name, mark]) => `(${mark}) ${name}`).join(', ')}: seeds are marked with the adapters of their runs. Adapters add up in other ` +
  'orders, so a run repeats bit for bit only on one of its kind; as pairs, runs of unlike adapters still share weights and batches';

function describeRuns({ dataset, epochs, subset, testSubset, batch, runs, asked, ...ends }: Entry, marks: Marks) {
  const images = subset ? `${count(subset)} images` : 'all images';
  const test = testSubset ? `, tested on ${count(testSubset)}` : '';
  const seeds = `seeds ${runs.map((run) => `${run.seed}${markOf(run, marks)}`).join(', ') || 'none'}`;
  const others = (['diverged', 'failed'] as const).map((end) => (ends[end] ? `, ${ends[end]} ${end}` : '')).join('');
  const open = asked > runs.length ? ` (${runs.length} of ${asked}${others})` : '';
  return `${dataset}, ${images}${test}, ${epochs} epochs, batch ${batch}, ${seeds}${open}`;
}
