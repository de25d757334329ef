// What became of a case, and the table of all of them.
import type { Case } from './case';
import { NotApplicable } from './case';

export type Direction = 'forward' | 'gradient';

export interface Outcome {
  id: string;
  group: string;
  direction: Direction;
  status: 'passed' | 'failed' | 'not applicable';
  /** What differs, or why the case does not apply. */
  note: string;
  /**
   * 'nonfinite' or 'kink': judged apart. WGSL lets a compiler assume that NaN and infinity do not occur, and at ties and corners frameworks
   * choose different subgradients; so these cases are run and counted, but only a refusal or a wrong shape fails them.
   */
  apart: string | null;
}

/** Judges `body`, which returns the problem or null. An exception is a failure, or 'not applicable'. */
export async function outcomeOf(c: Case, direction: Direction, body: () => Promise<string | null>): Promise<Outcome> {
  const tags = c.tags ?? [];
  const apart = tags.includes('nonfinite')
    ? 'nonfinite'
    : tags.includes('kink') && direction === 'gradient'
      ? 'kink'
      : null;
  const base = { id: c.id, group: c.group, direction, apart };
  try {
    const problem = await body();
    return { ...base, status: problem ? 'failed' : 'passed', note: problem ?? '' };
  } catch (error) {
    const note = error instanceof Error ? error.message : String(error);
    return error instanceof NotApplicable
      ? { ...base, status: 'not applicable', note }
      : { ...base, status: 'failed', note, apart: null };
  }
}

/** Whether an outcome fails the test. */
export const isFailure = (o: Outcome): boolean =>
  o.status === 'failed' && (o.apart === null || o.note.includes(': shape ['));

const statuses = ['passed', 'failed', 'not applicable'] as const;

/** Counts of operation × {forward, gradient} × {passed, failed, not applicable}, cases judged apart, and the reasons. */
export function table(outcomes: readonly Outcome[]): string {
  const width = Math.max(5, ...outcomes.map((o) => o.group.length));
  const row = (name: string, list: readonly Outcome[]) => {
    const counts = (['forward', 'gradient'] as const).flatMap((direction) =>
      statuses.map((status) => list.filter((o) => o.direction === direction && o.status === status).length),
    );
    return `${name.padEnd(width)} |${counts.slice(0, 3).map(cell).join('')} |${counts.slice(3).map(cell).join('')}`;
  };
  const cell = (n: number | string) => String(n || '·').padStart(8);
  const strict = outcomes.filter((o) => o.apart === null);
  const apart = outcomes.filter((o) => o.apart !== null);
  const groups = [...new Set(strict.map((o) => o.group))].sort();
  const lines = [
    `${'op'.padEnd(width)} |${'forward'.padStart(24)} |${'gradient'.padStart(24)}`,
    `${''.padEnd(width)} |${['passed', 'failed', 'n/a', '|', 'passed', 'failed', 'n/a'].map((s) => (s === '|' ? ' |' : s.padStart(8))).join('')}`,
    ...groups.map((group) =>
      row(
        group,
        strict.filter((o) => o.group === group),
      ),
    ),
    row('total', strict),
    ...[...new Set(apart.map((o) => o.apart!))].map((tag) =>
      row(
        tag,
        apart.filter((o) => o.apart === tag),
      ),
    ),
  ];
  const notes = outcomes.filter((o) => o.status === 'not applicable' || (o.apart !== null && o.status === 'failed'));
  return [...lines, ...notes.map((o) => `${o.apart ?? o.status}: ${o.id} (${o.direction}): ${o.note}`)].join('\n');
}
