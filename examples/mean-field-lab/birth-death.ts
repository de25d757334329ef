// Birth and death of particles (Lu et al. 2020, Section 6.2): whether it helps the toy train, and what one round does to a trained network.

import { Rng } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { birthDeath, countEffects } from '../../src/index.node.js';
import type { Panel, Point } from '../shared/chart';
import { UsageError } from '../shared/options';
import { asTrained, type Quality, type Subject } from './subject';
import { createToy, type ToyOptions, trainToy } from './toy';

export interface BirthDeathOptions {
  /** Of deaths and births, per step and unit of effect on the loss. */
  rate: number;
  /** Steps between two rounds, and seeds to train with; for the toy. */
  every: number;
  seeds: number;
}

const STREAM = 102;

interface ToyRow {
  seed: number;
  /** Mean loss of the last tenth of the steps, and how many particles were born. */
  without: number;
  with: number;
  births: number;
}

/** Trains the toy with and without births and deaths, from the same weights. */
export async function birthDeathOfToy(
  toy: ToyOptions,
  { rate, every, seeds }: BirthDeathOptions,
  onRow: (row: ToyRow) => void,
): Promise<{ rows: ToyRow[]; panels: Panel[][] }> {
  const rows: ToyRow[] = [];
  const curves: Record<'with' | 'without', number[][]> = { with: [], without: [] };
  for (let seed = toy.seed; seed < toy.seed + seeds; seed++) {
    const options = { ...toy, seed };
    const without = await trainToy(createToy(options, true), options);
    const mortal = createToy(options, true);
    const rng = new Rng(seed, STREAM);
    let births = 0;
    const between = async (step: number) => {
      // Not in the last rounds: newborn particles need time to part from their parents.
      if (step % every || step > 0.8 * toy.steps) return;
      births += (await birthDeath(mortal.stage, { rate, rng, firstId: toy.particles + births })).length;
    };
    const lived = await trainToy(mortal, options, { counting: true, between });
    const end = (losses: number[]) => {
      const last = losses.slice(-Math.ceil(losses.length / 10));
      return last.reduce((sum, v) => sum + v, 0) / last.length;
    };
    curves.without.push(without);
    curves.with.push(lived);
    const row = { seed, without: end(without), with: end(lived), births };
    rows.push(row);
    onRow(row);
  }
  // Geometric means over the seeds.
  const mean = (all: number[][]): Point[] =>
    at(all, 0).map((_, s) => [s + 1, Math.exp(all.reduce((sum, c) => sum + Math.log(at(c, s)), 0) / all.length)]);
  const lines = [
    { label: 'without', color: '#3a6ea5', points: mean(curves.without) },
    { label: 'with births and deaths', color: '#c8502d', points: mean(curves.with) },
  ];
  const panel: Panel = {
    title: `loss of the toy, mean of ${seeds} seeds`,
    xName: 'step',
    lines,
    fromZero: false,
    log: 'y',
  };
  return { rows, panels: [[panel]] };
}

interface NetworkRow {
  stage: string;
  /** ⟨∂E/∂X, f_l⟩ of each particle over a batch, by position: what the loss gains when it gets more time. */
  effects: number[];
  turnover: { killed: number; parent: number; child: number }[];
}

/** One round of births and deaths in a trained network: the effects of a batch, who dies and is born, loss and error before and after. */
export async function birthDeathOfNetwork(
  subject: Subject,
  { rate, seed }: { rate: number; seed: number },
): Promise<{ rows: NetworkRow[]; before: Quality; after: Quality }> {
  const { stages, batch, lossOf, forward } = subject;
  const before = await subject.measure(asTrained);
  lossOf(forward(batch.x, asTrained), batch.y).backward();
  const rng = new Rng(seed, STREAM);
  const rows: NetworkRow[] = [];
  for (const { name, meanField } of stages) {
    if (!meanField)
      throw new UsageError(`${subject.name} has no particles: births and deaths are for mean-field networks`);
    countEffects(meanField);
    const effects = [...(await meanField.effects.data())];
    const turnover = await birthDeath(meanField, { rate, rng, firstId: meanField.particles.length });
    rows.push({ stage: name, effects, turnover });
  }
  return { rows, before, after: await subject.measure(asTrained) };
}
