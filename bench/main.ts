// `npm run bench [-- NAME …]`: speed of kernels and of training steps beside TensorFlow.js and jax-js, on the same adapter in the same run.
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  count,
  createProgram,
  didYouMean,
  imageCount,
  printJson,
  runProgram,
  UsageError,
} from '../examples/shared/options';
import { ensurePackages } from '../scripts/setup/packages.mjs';
import { checkout, compare } from './against';
import { CASES, findCase, hasPeers, hasPytorch, limitOf } from './cases';
import { examine, isPackaged, PEERS, versionOf, type Who } from './examine';
import { type Row, showComparison, showComparisonHead, showHead, showRows } from './table';

interface Options {
  json?: boolean;
  repeat: number;
  peers: boolean;
  batch: number;
  pytorch?: string;
  against?: string;
  rounds: number;
  record?: boolean;
}

const program = createProgram(
  'bench',
  'Measures speed: dawnfield beside TensorFlow.js and jax-js, on the same adapter.',
);
program
  .argument('[names...]', `what to measure (default: everything): ${[...CASES.keys()].join(', ')}`)
  .option('--repeat <samples>', 'samples whose median counts; where they last long, three are enough', count, 5)
  .option('--batch <images>', 'images of a batch', imageCount, 32)
  .option('--pytorch <python>', 'also PyTorch, by this Python, on CUDA or the CPU')
  .option('--no-peers', 'dawnfield alone, and nothing to install')
  .option('--against <commit>', 'instead of peers, this tree beside another commit, in turns')
  .option('--rounds <pairs>', 'with --against: processes of each', count, 5)
  .option('--record', 'add what was measured to bench/history.jsonl, and draw docs/figures/bench-history.svg');

await runProgram<Options>(program, async (options, typed) => {
  const { json = false, repeat, batch, pytorch, against, rounds } = options;
  const peers = options.peers && !isPackaged;
  if (isPackaged && (pytorch || against || options.record))
    throw new UsageError('--pytorch, --against and --record need a clone of dawnfield, with its sources and peers');
  for (const name of typed)
    if (!findCase(name))
      throw new UsageError(`there is nothing called '${name}'. ${didYouMean(name, [...CASES.keys()])}See --help.`);
  process.env.BENCH_BATCH = String(batch);
  if (against !== undefined) return beside(against, typed.length ? typed : [...CASES.keys()], rounds, json);
  // The ceiling comes first: the other numbers are fractions of it.
  const names = [...new Set(['ceiling', ...(typed.length ? typed : CASES.keys())])];
  if (peers && names.some(hasPeers)) ensurePackages(fileURLToPath(new URL('.', import.meta.url)));
  if (!json) console.log(showHead());
  const limits = new Map<string, number>();
  const all: Row[] = [];
  for (const name of names) {
    const rows: Row[] = [];
    const contestants: Who[] = ['dawnfield'];
    if (peers && hasPeers(name)) contestants.push(...PEERS);
    if (pytorch && hasPytorch(name)) contestants.push('pytorch');
    for (const peer of contestants) {
      const load = loadavg()[0];
      const { findings, ...where } = await examine(peer, name, { repeat, batch, python: pytorch });
      for (const { part, ...finding } of findings) {
        if (name === 'ceiling') limits.set(finding.unit, finding.value!);
        const row: Row = {
          name: part ? `${name}/${part}` : name,
          peer,
          version: versionOf(peer) ?? where.driver,
          ...where,
          ...finding,
          load,
        };
        const limit = limitOf(name, finding.unit, limits);
        if (limit && row.value !== null) row.fractionOfLimit = row.value / limit;
        rows.push(row);
        if (json) printJson(row);
      }
      if (peer === 'dawnfield' && findings.some(({ error }) => error)) process.exitCode = 1;
    }
    if (!json) for (const line of showRows(rows)) console.log(line);
    all.push(...rows);
  }
  if (options.record) {
    const { record } = await import('./history');
    const files = record(all, batch);
    if (!json) console.log(`recorded in ${files.join(' and ')}`);
  }
});

/** This tree beside another commit. */
async function beside(ref: string, names: readonly string[], rounds: number, json: boolean): Promise<void> {
  const other = checkout(ref);
  try {
    if (!json) console.log(showComparisonHead(ref, other.commit, rounds));
    for (const name of names) {
      const load = loadavg()[0];
      const { comparisons, where } = await compare(name, other.folder, rounds);
      for (const comparison of comparisons) {
        if (json) printJson({ name, ...comparison, against: other.commit, ...where, load });
        else console.log(showComparison(name, comparison));
      }
    }
  } finally {
    other.remove();
  }
}
