// `npm run bench -- NAME … --against REF`: this tree beside another commit, process by process in turns, so that what the machine does meanwhile
// happens to both.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../examples/shared/options';
import { type Finding, type Findings, measureIn } from './examine';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The files of a commit in a folder of their own, with this tree's packages; `remove` deletes it. */
export function checkout(ref: string): { folder: string; commit: string; remove(): void } {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
  let commit: string;
  try {
    commit = git('rev-parse', '--verify', '--quiet', `${ref}^{commit}`);
  } catch {
    throw new UsageError(`--against ${ref}: git knows no such commit in ${root}`);
  }
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-against-'));
  const archive = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 2 ** 30 });
  const { status, stderr } = spawnSync('tar', ['-x', '-C', folder], { input: archive, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the files of ${ref} could not be unpacked into ${folder}: ${stderr}`);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  return { folder, commit: commit.slice(0, 7), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A number of a case in both trees: medians of all rounds, and of the ratios within a round. */
export interface Comparison {
  readonly part: string;
  readonly unit: string;
  /** Of this tree and of the other, sorted. */
  readonly here: readonly number[];
  readonly there: readonly number[];
  /** here / there of each round, sorted. */
  readonly ratios: readonly number[];
}

export const middle = (sorted: readonly number[]): number =>
  (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

/** Measures a case `rounds` times in each tree, which take turns in going first. */
export async function compare(
  name: string,
  other: string,
  rounds: number,
): Promise<{ comparisons: Comparison[]; where: Pick<Findings, 'adapter' | 'driver'> }> {
  const samples = new Map<string, { unit: string; pairs: [number, number][] }>();
  let where = { adapter: '', driver: '' };
  for (let round = 0; round < rounds; round++) {
    const found: [Findings, Findings] = [null!, null!];
    for (const tree of round % 2 ? [1, 0] : [0, 1]) found[tree] = await measureIn(tree ? other : root, name, 3);
    const [here, there] = found;
    const failure = [...here.findings, ...there.findings].find(({ error }) => error);
    if (failure) throw new Error(`${name}: ${failure.error}`);
    where = { adapter: here.adapter, driver: here.driver };
    const same = (a: Finding) => there.findings.find((b) => b.part === a.part && b.unit === a.unit);
    for (const finding of here.findings) {
      const peer = same(finding);
      if (finding.value === null || !peer?.value) continue;
      const entry = samples.get(finding.part) ?? { unit: finding.unit, pairs: [] };
      entry.pairs.push([finding.value, peer.value]);
      samples.set(finding.part, entry);
    }
  }
  const sorted = (values: number[]) => values.sort((a, b) => a - b);
  const comparisons = [...samples].map(([part, { unit, pairs }]) => ({
    part,
    unit,
    here: sorted(pairs.map(([a]) => a)),
    there: sorted(pairs.map(([, b]) => b)),
    ratios: sorted(pairs.map(([a, b]) => a / b)),
  }));
  return { comparisons, where };
}
