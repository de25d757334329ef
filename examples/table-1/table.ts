// Table 1 from the folders of its runs: one entry for each network and arm, as JSON and as Markdown.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { isRun, readMetrics, readRunConfig } from '../../src/train/run-folder.node.js';
import { count, formatDuration } from '../shared/progress';
import type { Recipe } from '../shared/recipe';
import { type Comparison, paired } from './comparisons';
import type { Arm, Cell } from './options';
import { type ParticleSummary, summariseParticles } from './particles';
import { describeComparisons, describeParticles, describeRunsBySeed, signed } from './sections';
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

/** What the folder of a run holds. */
export interface RunState {
  readonly metrics: readonly MetricsLine[];
  readonly epochs: readonly EpochLine[];
  readonly recipe: Recipe;
  /** The numbers at the end, or the step at which the loss stopped being finite. */
  readonly end:
    | { testError: number; bestError: number; bestEpoch: number; seconds: number }
    | { divergedAt: number }
    | null;
}

/** The run in a folder, or null where none has begun: a process that was stopped before its first checkpoint leaves nothing to go on from. */
export function readRun(path: string): RunState | null {
  if (!isRun(path)) return null;
  const recipe = readRunConfig(path).options as Recipe;
  const metrics = existsSync(join(path, 'metrics.jsonl')) ? readMetrics(path) : [];
  const epochs = metrics.filter((line) => line.type === 'epoch');
  const last = metrics.at(-1);
  return { metrics, epochs, recipe, end: last?.type === 'summary' ? (last as unknown as RunState['end']) : null };
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
  /** Test error in percent over the finished seeds. The best epoch is chosen by the test set. */
  last: Spread | null;
  best: Spread | null;
  /** This arm minus vanilla after the last epoch, over the seeds that both have finished. */
  difference: Difference | null;
  paper: number | null;
  publicRuns: string | null;
  runs: { seed: number; testError: number; bestError: number; bestEpoch: number; seconds: number; folder: string }[];
  /** What happened to the particles in the finished runs; null for vanilla networks. */
  particles?: ParticleSummary | null;
}

/** An entry for each network and arm of the grid of which a run was begun in `out`. */
export function gather(cells: readonly Cell[], out: string): Entry[] {
  const entries = new Map<string, Entry>();
  const finished = new Map<Entry, RunState[]>();
  for (const { name, row, arm, seed } of cells) {
    const run = readRun(join(out, name));
    if (!run) continue;
    const key = `${row} ${arm}`;
    const { dataset, epochs, batch, subset = null, testSubset = null } = run.recipe;
    const { width = 1, size = 32 } = run.recipe;
    const { paper, publicRuns } = (width === 1 && size === 32 && PUBLISHED[row]) || {};
    const entry: Entry = entries.get(key) ?? {
      ...{ row, arm, dataset, epochs, batch, subset, testSubset },
      ...{ diverged: 0, last: null, best: null, difference: null },
      asked: cells.filter((cell) => cell.row === row && cell.arm === arm).length,
      paper: paper?.[arm === 'vanilla' ? 0 : 1] ?? null,
      publicRuns: (arm === 'vanilla' && publicRuns) || null,
      runs: [],
    };
    entries.set(key, entry);
    if (run.end && 'divergedAt' in run.end) entry.diverged++;
    else if (run.end) {
      const { testError, bestError, bestEpoch, seconds } = run.end;
      entry.runs.push({ seed, testError, bestError, bestEpoch, seconds, folder: name });
      finished.set(entry, [...(finished.get(entry) ?? []), run]);
    }
  }
  for (const entry of entries.values()) {
    entry.last = spread(entry.runs.map((run) => run.testError));
    entry.best = spread(entry.runs.map((run) => run.bestError));
    entry.particles = summariseParticles(finished.get(entry) ?? []);
    const vanilla = entries.get(`${entry.row} vanilla`);
    if (entry !== vanilla) entry.difference = pairedDifference(paired(entry, vanilla).map((run) => run.difference));
  }
  return [...entries.values()];
}

const COLUMNS: [head: string, cell: (entry: Entry) => string][] = [
  ['network', ({ row }) => row],
  ['arm', ({ arm }) => arm],
  ['last epoch', ({ last }) => describeSpread(last)],
  ['best epoch', ({ best }) => describeSpread(best)],
  ['minus vanilla, paired', (entry) => describeDifference(entry)],
  ['paper', ({ paper }) => paper?.toFixed(2) ?? ''],
  ['public runs', ({ publicRuns }) => publicRuns ?? ''],
  ['what was run', (entry) => describeRuns(entry)],
];

/** The table for people. `adapter` is what it ran on, `figures` files beside it. */
export function describeTable(
  entries: readonly Entry[],
  adapter: string,
  figures: readonly string[],
  comparisons: readonly Comparison[] = [],
): string {
  const rows = [
    COLUMNS.map(([head]) => head),
    COLUMNS.map(() => '---'),
    ...entries.map((entry) => COLUMNS.map(([, cell]) => cell(entry))),
  ];
  const seconds = entries.flatMap(({ runs }) => runs).reduce((sum, run) => sum + run.seconds, 0);
  return `# Table 1

Test error in percent, mean ± standard deviation over the seeds; the intervals are 95 % BCa bootstrap intervals of the mean over pairs.

${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

- Last epoch is the number to compare. The best epoch is chosen by the test set itself and therefore too good.
- The arms of a seed share initial weights, batches and augmentation. Seeds differ by about 0.2, so a gain of 0.3 takes about 7 pairs to see.
- The paper's columns are averages over 3 runs for 160 epochs (ResNeXt 300) on all training images; its vanilla ResNet numbers equal He et al. 2015/2016 digit for
  digit and were probably quoted. The public runs are vanilla networks trained by others.
- Ran on ${adapter}.
- Took ${formatDuration(seconds)} of training and evaluation.
${describeComparisons(comparisons)}${describeRunsBySeed(entries)}${describeParticles(entries)}
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

function describeRuns({ dataset, epochs, subset, testSubset, batch, runs, asked, diverged }: Entry): string {
  const images = subset ? `${count(subset)} images` : 'all images';
  const test = testSubset ? `, tested on ${count(testSubset)}` : '';
  const seeds = `seeds ${runs.map(({ seed }) => seed).join(', ') || 'none'}`;
  const open = asked > runs.length ? ` (${runs.length} of ${asked}${diverged ? `, ${diverged} diverged` : ''})` : '';
  return `${dataset}, ${images}${test}, ${epochs} epochs, batch ${batch}, ${seeds}${open}`;
}
