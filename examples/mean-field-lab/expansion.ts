// The shallow-ensemble expansion of trained networks (Lu et al. 2020, Section 2.2): how much of a deep network is an ensemble of shallow ones.

import { mapTuple, valueAt } from '../../shaders/checked';
import { expand, noGrad, type Tensor } from '../../src/index.node.js';
import { type Panel, ramp } from '../shared/chart';
import { asTrained, type Reading, type Stage, type Subject } from './subject';

interface NetworkRow {
  subject: string;
  /** Terms kept: 0 leaves the branches out, 1 and 2 are the expansion, null is the network itself. */
  order: 0 | 1 | 2 | null;
  loss: number;
  error: number | null;
}

interface StageRow {
  subject: string;
  stage: string;
  /** Factor on all steps. */
  strength: number;
  /** ‖X^n − expansion‖ / ‖X⁰‖ over a batch. */
  first: number;
  second: number;
}

const upTo =
  (order: 0 | 1 | 2): Reading =>
  ({ branches, tau }, x) =>
    order === 0 ? x : expand(x, branches, tau, order);

const norm = async (x: Tensor): Promise<number> => await x.norm().item();

export async function expansion(
  subjects: readonly Subject[],
  onRow: (row: NetworkRow | StageRow) => void,
): Promise<{ rows: (NetworkRow | StageRow)[]; panels: Panel[][] }> {
  const rows: (NetworkRow | StageRow)[] = [];
  const panels: Panel[][] = [];
  const add = <R extends NetworkRow | StageRow>(row: R): R => {
    rows.push(row);
    onRow(row);
    return row;
  };
  for (const subject of subjects) {
    for (const order of [0, 1, 2, null] as const)
      add({ subject: subject.name, order, ...(await subject.measure(order === null ? asTrained : upTo(order))) });

    // The input of every stage, as the trained network makes it.
    const inputs = new Map<Stage, Tensor>();
    noGrad(() =>
      subject.forward(subject.batch.x, (stage, x) => {
        inputs.set(stage, x.clone().keep());
        return asTrained(stage, x);
      }),
    );
    const lines = [];
    for (const [i, stage] of subject.stages.entries()) {
      const x = valueAt(inputs, stage);
      const size = await norm(x);
      const curve: StageRow[] = [];
      for (const strength of [1, 1 / 2, 1 / 4, 1 / 8]) {
        const [first, second] = noGrad(() => {
          const weak = { ...stage, tau: stage.tau.detach().mul(strength) };
          const deep = asTrained(weak, x);
          return mapTuple([1, 2], (order) => deep.sub(expand(x, weak.branches, weak.tau, order)).keep());
        });
        const off = { first: (await norm(first)) / size, second: (await norm(second)) / size };
        for (const t of [first, second]) t.dispose();
        curve.push(add({ subject: subject.name, stage: stage.name, strength, ...off }));
      }
      x.dispose();
      const color = ramp(i, subject.stages.length);
      for (const [key, label] of [
        ['first', '1st'],
        ['second', '2nd'],
      ] as const) {
        const points = curve.map((row) => [row.strength, row[key]] as [number, number]).filter(([, e]) => e > 0);
        if (points.length)
          lines.push({ label: `${stage.name}, ${label}`, color, points: points.reverse(), dashed: key === 'second' });
      }
    }
    const title = `${subject.name}: relative error of the expansion of first and second order`;
    panels.push([{ title, xName: 'strength ε of the branches', lines, fromZero: false, freeX: true, log: 'xy' }]);
  }
  return { rows, panels };
}
