// Lemma 3 and Assumption 2: the smallest eigenvalue of K̂_l = h1(β_l) h1(β_l)ᵀ / m stays away from 0, along the layers and in training.

import type { Command } from 'commander';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { at, fromEnd } from '../../shaders/checked';
import type { Tensor } from '../../src/index.node.js';
import { drawChart, type Panel, ramp } from '../shared/chart';
import { count } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { follow, makeNets, type NetOptions, problem, release, train } from './dense';
import { addNetOptions, counted, positive } from './nets';
import { mean } from './statistics';

export interface GramOptions extends NetOptions {
  width: number;
  time: number;
  particles: number;
}

export const gramSummary =
  'smallest eigenvalues of the Gram matrices along layers and training, of nets and of the flow';

export const gramOptions = (command: Command): Command =>
  addNetOptions(command, { layers: 5, eta: 0.05, seeds: 4 })
    .option('--width <m>', 'units of a hidden layer', count, 256)
    .option('--time <T>', 'duration', positive, 10)
    .option('--particles <P>', 'of the flow', count, 2048);

export interface GramResult {
  experiment: 'gram';
  times: number[];
  /** λ_min of K̂_1 … K̂_L at each time: means over the nets, and of the flow. */
  nets: number[][];
  flow: number[][];
  /** The smallest of any net, layer and time, and those of the flow's layers at t = 0. */
  summary: { smallest: number; initial: number[] };
}

const TIMES = 20;

/** The smallest eigenvalue of each of several symmetric N×N matrices, in float64. */
function smallest(grams: Float32Array, n: number): number[] {
  return Array.from({ length: grams.length / n ** 2 }, (_, i) => {
    const k = Matrix.from1DArray(n, n, [...grams.subarray(i * n * n, (i + 1) * n * n)]);
    return Math.min(...new EigenvalueDecomposition(k, { assumeSymmetric: true }).realEigenvalues);
  });
}

export async function gram(options: GramOptions, say: Say, progress: Progress): Promise<GramResult> {
  const { layers, eta, time, width, seeds: replicas, particles, samples, seed } = options;
  const { x, y } = problem(options);
  const steps = Math.round(time / eta);
  const every = Math.max(1, Math.round(steps / TIMES));
  const kept = (k: number) => k % every === 0;
  const net = await makeNets(options, x, { width, replicas });
  const times: number[] = [];
  const nets: number[][] = [];
  let least = Number.POSITIVE_INFINITY;
  const onNets = counted(progress, `width ${width}`, steps);
  await train(net, {
    ...{ x, y, eta, steps },
    observe: ({ features }) => {
      const grams = features.slice(1).map((beta, i) => {
        const h = net.h1(beta);
        return [`${i}`, h.matmul(h.transpose()).mul(1 / width)];
      });
      return Object.fromEntries(grams) as Record<string, Tensor>;
    },
    async onStep(k, _, seen) {
      if (kept(k)) {
        times.push(k * eta);
        const row: number[] = [];
        for (const gram of Object.values(seen)) {
          const values = smallest((await gram.data()) as Float32Array, samples);
          least = Math.min(least, ...values);
          row.push(mean(values));
        }
        nets.push(row);
      }
      onNets(k);
    },
  });
  release(net);
  const flow: number[][] = [];
  const onFlow = counted(progress, `flow of ${particles} particles`, steps);
  await follow({ x, y }, { layers, particles, seed, time, dt: eta }, async (k, _, all) => {
    if (kept(k)) {
      const row: number[] = [];
      for (let l = 1; l <= layers; l++) row.push(...smallest((await all.gram(l).data()) as Float32Array, samples));
      flow.push(row);
    }
    onFlow(k);
  });
  const show = (row: number[]) => row.map((value) => value.toPrecision(3)).join(' ');
  say(
    `nets of width ${width}, mean of ${replicas}: ${show(at(nets, 0))} at t = 0, ${show(fromEnd(nets, 1))} at t = ${time} (layers 1 … ${layers})`,
  );
  say(`flow: ${show(at(flow, 0))} at t = 0, ${show(fromEnd(flow, 1))} at t = ${time}`);
  say(
    `the smallest of all nets, layers and times is ${least.toPrecision(3)}; above 0: ${least > 1e-4 ? 'met' : 'NOT MET'}`,
  );
  return { experiment: 'gram', times, nets, flow, summary: { smallest: least, initial: at(flow, 0) } };
}

export function drawGram({ times, nets, flow, summary }: GramResult): string {
  const panel = (title: string, rows: number[][]): Panel => ({
    ...{ title, xName: 't', fromZero: false, log: 'y' },
    lines: at(rows, 0).map((_, l, { length: layers }) => ({
      label: `layer ${l + 1}`,
      color: ramp(l, layers),
      points: rows.map((row, i) => [at(times, i), Math.max(at(row, l), 1e-9)]),
    })),
  });
  const rows = [[panel('Nets: λmin of the Gram matrices', nets), panel('Flow: λmin', flow)]];
  return drawChart('Lemma 3: Gram matrices', `smallest of all: ${summary.smallest.toPrecision(3)}`, rows);
}
