// Results as rows: what `--json` prints one by one, and the table.
import { cpus, loadavg } from 'node:os';
import { type Comparison, middle } from './against';
import type { Finding, Who } from './examine';
import { PEERS } from './examine';

/** One line of `--json`. */
export interface Row extends Omit<Finding, 'part'> {
  readonly name: string;
  readonly peer: Who;
  readonly version: string;
  readonly adapter: string;
  readonly driver: string;
  /** Of the machine over the last minute, before the measurement. */
  readonly load: number;
  fractionOfLimit?: number;
}

const WIDTHS = [34, 9, 10, 8, 8, 8, 8, 9];

const line = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => (i < 2 ? cell.padEnd(WIDTHS[i]) : cell.padStart(WIDTHS[i])))
    .join(' ')
    .trimEnd();

const machine = (): string => {
  const [{ model }] = cpus();
  return `${new Date().toISOString().slice(0, 16)}Z, node ${process.version}, ${cpus().length} × ${model.trim()}, load ${loadavg()[0].toFixed(1)}`;
};

export function showHead(): string {
  return [machine(), line(['', 'unit', 'dawnfield', ...PEERS.flatMap((peer) => [peer, 'ratio']), 'of limit'])].join(
    '\n',
  );
}

/** One line for each name, the contestants side by side; and one for each failure. */
export function* showRows(rows: readonly Row[]): Iterable<string> {
  if (rows[0]?.name.startsWith('ceiling')) yield `on ${rows[0].adapter} (${rows[0].driver})`;
  for (const name of new Set(rows.filter(({ peer, error }) => peer !== 'pytorch' && !error).map((row) => row.name))) {
    const values = new Map(rows.map((row) => [row.name === name ? row.peer : '', row]));
    const own = values.get('dawnfield');
    const { unit } = rows.find((row) => row.name === name)!;
    const cells = PEERS.flatMap((peer) => {
      const theirs = values.get(peer);
      const ratio = own?.value && theirs?.value ? faster(own.value, theirs.value, unit) : null;
      return [number(theirs?.value), ratio ? `${number(ratio)}×` : ''];
    });
    const limit = own?.fractionOfLimit ? `${Math.round(100 * own.fractionOfLimit)} %` : '';
    yield line([name, unit, number(own?.value), ...cells, limit]);
  }
  for (const { peer, name, value, unit, adapter, driver } of rows) {
    if (peer !== 'pytorch' || !value) continue;
    const own = rows.find((row) => row.peer === 'dawnfield' && row.name === name) ?? rows[0];
    const ratio = own.value && faster(own.value, value, unit);
    yield `${name}, ${driver} on ${adapter}: ${number(value)} ${unit}${ratio ? `, dawnfield ${number(ratio)}×` : ''}`;
  }
  for (const { peer, version, name, error } of rows) if (error) yield `${name}: ${peer} ${version} failed: ${error}`;
}

/** How many times as fast as the other: rates are better when they are high, times when they are low; counts are not compared. */
const faster = (own: number, other: number, unit: string): number | null =>
  unit.endsWith('/s') ? own / other : unit === 'µs' || unit === 'ms' ? other / own : null;

const spread = (sorted: readonly number[]): string =>
  `${number(middle(sorted))} (${number(sorted[0])}–${number(sorted[sorted.length - 1])})`;

const COMPARED = [34, 9, 22, 22, 20];

const compared = (cells: readonly string[]): string =>
  cells.map((cell, i) => (i < 2 ? cell.padEnd(COMPARED[i]) : cell.padStart(COMPARED[i]))).join(' ');

export const showComparisonHead = (ref: string, commit: string, rounds: number): string =>
  [
    machine(),
    `medians of ${rounds} processes of each, in turns; ratios are of neighbours`,
    compared(['', 'unit', 'here', ref === commit ? ref : `${ref} (${commit})`, 'ratio']),
  ].join('\n');

export const showComparison = (name: string, { part, unit, here, there, ratios }: Comparison): string =>
  compared([part ? `${name}/${part}` : name, unit, spread(here), spread(there), `${spread(ratios)}×`]);

const number = (x: number | null | undefined): string =>
  x === null || x === undefined ? '' : x >= 100 || Number.isInteger(x) ? x.toFixed(0) : x.toPrecision(3);
