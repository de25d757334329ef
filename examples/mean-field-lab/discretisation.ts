// The learned times as a data-adaptive discretisation: the trained network is Euler's method with one step a particle; what changes when the
// steps are halved, or the method is better?

import { noGrad, solve } from '../../src/index.node.js';
import { METHODS } from '../../src/meanfield/runge-kutta';
import { type Panel, ramp } from '../shared/chart';
import { type Reading, type Subject, scoreName } from './subject';

interface Row {
  subject: string;
  method: keyof typeof METHODS;
  substeps: number;
  loss: number;
  error: number | null;
  /** ‖output − output of the trained network‖ / ‖that‖ over a batch. */
  moved: number;
}

export async function discretisation(
  subjects: readonly Subject[],
  most: number,
  onRow: (row: Row) => void,
): Promise<{ rows: Row[]; steps: object[]; panels: Panel[][] }> {
  const rows: Row[] = [];
  const steps: object[] = [];
  const substeps = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i);
  for (const subject of subjects) {
    for (const { name, tau } of subject.stages) {
      const times = [...(await tau.data())];
      steps.push({ subject: subject.name, stage: name, steps: times.map((t, l) => t - (times[l - 1] ?? 0)) });
    }
    const output = (reading: Reading) => noGrad(() => subject.forward(subject.batch.x, reading));
    const reading =
      (method: keyof typeof METHODS, k: number): Reading =>
      ({ branches, tau }, x) =>
        solve(x, branches, tau, { method, substeps: k });
    const trained = output(reading('euler', 1)).keep();
    const size = await trained.norm().item();
    for (const method of Object.keys(METHODS) as (keyof typeof METHODS)[])
      for (const k of substeps) {
        const way = reading(method, k);
        const moved = (await noGrad(() => output(way).sub(trained).norm()).item()) / size;
        const row = { subject: subject.name, method, substeps: k, ...(await subject.measure(way)), moved };
        rows.push(row);
        onRow(row);
      }
    trained.dispose();
  }
  const methods = Object.keys(METHODS);
  const panels = subjects.map(({ name }): Panel[] => {
    const panel = (title: string, value: (row: Row) => number): Panel => ({
      title,
      xName: 'steps a particle',
      fromZero: true,
      lines: methods.map((method, i) => ({
        label: method,
        color: ramp(i, methods.length),
        points: rows
          .filter((row) => row.subject === name && row.method === method)
          .map((row) => [row.substeps, value(row)] as [number, number]),
      })),
    });
    const score = panel(`${name}: ${scoreName(subjects)}`, (row) => row.error ?? row.loss);
    return [score, panel('change of the output', (row) => row.moved)];
  });
  return { rows, steps, panels };
}
