// Lesions and reordering of trained networks (Veit et al. 2016, which motivates the paper): blocks are deleted, shuffled, exchanged.

import { Rng } from '../../datasets/random';
import { at, valueAt } from '../../shaders/checked';
import { type Panel, ramp } from '../shared/chart';
import { inOrder, positionsOf, type Quality, type Stage, type Subject, scoreName, scoreOf } from './subject';

export interface LesionOptions {
  /** Most blocks to delete. */
  delete: number;
  /** Random choices for each number of deleted blocks and each distance. */
  samples: number;
  seed: number;
}

interface Row {
  study: 'delete' | 'shuffle' | 'swap';
  subject: string;
  /** Blocks deleted; Kendall's distance; the position of the first of two neighbours. */
  amount: number;
  /** Mean, least and largest score over the samples. */
  mean: number;
  least: number;
  most: number;
}

const STREAM = 101;

/** Random positions of blocks that go: `count` of all. */
function chooseDeleted(subject: Subject, count: number, rng: Rng): Map<Stage, Set<number>> {
  const all = subject.stages.flatMap((stage) => positionsOf(stage).map((l) => [stage, l] as const));
  const deleted = new Map(subject.stages.map((stage) => [stage, new Set<number>()]));
  for (const i of rng.permutation(all.length).subarray(0, count)) {
    const [stage, l] = at(all, i);
    valueAt(deleted, stage).add(l);
  }
  return deleted;
}

/**
 * Orders of all stages at a Kendall distance (pairs that stand the wrong way round) of `distance` from the trained ones. Digit i of a Lehmer
 * code says how many of the later blocks come before block i; the distance is their sum.
 */
export function chooseOrders(lengths: readonly number[], distance: number, rng: Rng): number[][] {
  const codes = lengths.map((n) => new Array<number>(n).fill(0));
  for (let k = 0; k < distance; k++) {
    const open = codes.flatMap((code) => code.flatMap((c, i) => (c < code.length - 1 - i ? [{ code, i }] : [])));
    const { code, i } = at(open, rng.int(open.length));
    code[i] = at(code, i) + 1;
  }
  return codes.map((code) => {
    const rest = code.map((_, i) => i);
    return code.map((c) => at(rest.splice(c, 1), 0));
  });
}

export async function lesion(
  subjects: readonly Subject[],
  options: LesionOptions,
  onRow: (row: Row) => void,
): Promise<{ rows: Row[]; panels: Panel[][] }> {
  const rows: Row[] = [];
  for (const subject of subjects) {
    const add = async (study: Row['study'], amount: number, samples: number, one: (rng: Rng) => Promise<Quality>) => {
      const scores: number[] = [];
      for (let k = 0; k < samples; k++) {
        const rng = new Rng(options.seed, STREAM, 1000 * amount + k);
        scores.push(scoreOf(await one(rng)));
      }
      const mean = scores.reduce((sum, v) => sum + v, 0) / samples;
      const row = { study, subject: subject.name, amount, mean, least: Math.min(...scores), most: Math.max(...scores) };
      rows.push(row);
      onRow(row);
    };
    const lengths = subject.stages.map(({ branches }) => branches.length);
    const blocks = lengths.reduce((sum, n) => sum + n, 0);
    for (let k = 0; k <= Math.min(options.delete, blocks); k++)
      await add('delete', k, k % blocks ? options.samples : 1, (rng) => {
        const deleted = chooseDeleted(subject, k, rng);
        return subject.measure(inOrder((stage) => positionsOf(stage).filter((l) => !valueAt(deleted, stage).has(l))));
      });
    const farthest = lengths.reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
    for (const part of [...new Set([0, 1, 2, 4, 8, 16, 32, 64, farthest].filter((d) => d <= farthest))])
      await add('shuffle', part, part % farthest ? options.samples : 1, (rng) => {
        const orders = chooseOrders(lengths, part, rng);
        return subject.measure(inOrder((stage) => at(orders, subject.stages.indexOf(stage))));
      });
    let position = 0;
    for (const [s, n] of lengths.entries())
      for (let l = 0; l < n; l++, position++)
        if (l + 1 < n)
          await add('swap', position, 1, () =>
            subject.measure(
              inOrder((stage) => {
                const order = positionsOf(stage);
                if (stage === subject.stages[s]) order.splice(l, 2, at(order, l + 1), at(order, l));
                return order;
              }),
            ),
          );
  }
  const names = { delete: 'blocks deleted', shuffle: 'Kendall distance of the order', swap: 'first of two neighbours' };
  const panel = (study: Row['study']): Panel => ({
    title: `${scoreName(subjects)} after ${{ delete: 'deletion', shuffle: 'shuffling', swap: 'an exchange' }[study]}`,
    xName: names[study],
    fromZero: true,
    lines: subjects.flatMap(({ name }, i) => {
      const mine = rows.filter((row) => row.study === study && row.subject === name);
      const color = ramp(i, subjects.length);
      const curve = (key: 'mean' | 'least' | 'most') => mine.map((row) => [row.amount, row[key]] as [number, number]);
      const range = (['least', 'most'] as const).map((key) => ({ label: key, color, points: curve(key), dots: true }));
      return mine.length ? [{ label: name, color, points: curve('mean') }, ...(study === 'swap' ? [] : range)] : [];
    }),
  });
  return { rows, panels: [[panel('delete')], [panel('shuffle')], [panel('swap')]].filter(([p]) => p?.lines.length) };
}
