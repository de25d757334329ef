// `npm run bench -- --record`: what dawnfield reached, one line a measured commit in bench/history.jsonl, and all lines drawn as a figure.
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { drawChart, type Panel, ramp } from '../examples/shared/chart';
import type { Row } from './table';

const root = fileURLToPath(new URL('..', import.meta.url));
const FILE = 'bench/history.jsonl';
const FIGURE = 'docs/figures/bench-history.svg';

/** A line of the file. Rates are medians with the least and the most of the samples. */
export interface Measured {
  readonly date: string;
  readonly commit: string;
  /** Files were changed since the commit. */
  readonly changed: boolean;
  readonly machine: string;
  readonly node: string;
  readonly adapter: string;
  readonly driver: string;
  /** Of the machine, the highest before any of the measurements. */
  readonly load: number;
  readonly batch: number;
  readonly rates: Readonly<Record<string, { unit: string; value: number; least?: number; most?: number }>>;
}

/** Adds what was measured and draws the figure again; returns the paths of both. */
export function record(rows: readonly Row[], batch: number): string[] {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const own = rows.filter((row) => row.peer === 'dawnfield' && row.value !== null);
  const processors = cpus();
  const line: Measured = {
    date: new Date().toISOString().slice(0, 16),
    commit: git('rev-parse', '--short=7', 'HEAD'),
    changed: git('status', '--porcelain', '--', 'src', 'shaders', 'bench').length > 0,
    machine: `${processors.length} × ${processors[0].model.trim()}`,
    node: process.version,
    adapter: own[0]?.adapter ?? '',
    driver: own[0]?.driver ?? '',
    load: Math.max(...own.map(({ load }) => load)),
    batch,
    rates: Object.fromEntries(
      own.map(({ name, unit, value, least, most }) => [name, { unit, value: value!, least, most }]),
    ),
  };
  appendFileSync(root + FILE, `${JSON.stringify(line)}\n`);
  writeFileSync(root + FIGURE, drawHistory(readHistory()));
  return [FILE, FIGURE];
}

const readHistory = (): Measured[] =>
  existsSync(root + FILE)
    ? readFileSync(root + FILE, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];

/** One panel a case, one line a machine with its adapter; the horizontal axis counts measured commits. Counts of a step are left out. */
export function drawHistory(history: readonly Measured[]): string {
  const names = [...new Set(history.flatMap(({ rates }) => Object.keys(rates)))];
  const places = [...new Set(history.map(placeOf))];
  const panels = names.flatMap((name): Panel[] => {
    const unit = history.find(({ rates }) => rates[name])!.rates[name].unit;
    if (unit === 'a step') return [];
    const lines = places.map((place, i) => ({
      label: place,
      color: ramp(i, places.length),
      points: history.flatMap((line, x): [number, number][] =>
        placeOf(line) === place && line.rates[name] ? [[x + 1, line.rates[name].value]] : [],
      ),
    }));
    const some = lines.filter(({ points }) => points.length);
    return [{ title: `${name}, ${unit}`, xName: 'measured commit', fromZero: true, lines: some }];
  });
  const pairs = panels.flatMap((_, i) => (i % 2 ? [] : [panels.slice(i, i + 2)]));
  const commits = history.map(({ commit }, i) => `${i + 1} ${commit}`).join(', ');
  return drawChart('Speed by commit', commits, pairs);
}

const placeOf = ({ machine, adapter, batch }: Measured): string =>
  `${adapter.slice(0, 24)}, ${machine.slice(0, 16)}, batch ${batch}`;
