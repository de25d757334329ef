// Theorem 1 (2): how far the training of nets of width m is from the neural feature flow, against m and against the step size η.
//   gap(m) = sup_k |L^k − L^{kη}| for a net of width m and the flow     falls like m^(−1/2)
//   gap(η) = sup_k |L_η^k − L_0^{kη}| for one net and its limit η → 0   grows like η

import type { Command } from 'commander';
import { at, fromEnd } from '../../shaders/checked';
import type { Tensor } from '../../src/index.node.js';
import { drawChart, type Line, ramp } from '../shared/chart';
import { count, numberList, UsageError } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { follow, lossesOf, makeNets, type NetOptions, problem, release, sup } from './dense';
import { addNetOptions, counted, positive, slopePanel, WIDTHS, widthList } from './nets';
import { describeSlope, type Group, mean, type PowerLaw, powerLaw, verdict } from './statistics';

export interface Theorem1Options extends NetOptions {
  time: number;
  widths: number[];
  particles: number;
  etas: number[];
  etaWidth: number;
}

export const theorem1Summary = 'gap between nets and the feature flow against width and step size: slopes −1/2 and 1';

export const theorem1Options = (command: Command): Command =>
  addNetOptions(command, { layers: 3, eta: 0.05, seeds: 8 })
    .option('--time <T>', 'duration', positive, 10)
    .option('--widths <list>', 'm; from 256 on with twice the seeds', widthList, WIDTHS)
    .option('--particles <P>', 'of the reference flow, a multiple of 32', count, 32_768)
    .option('--etas <list>', 'step sizes of the second slope', numberList(), [0.4, 0.2, 0.1, 0.05])
    .option('--eta-width <m>', 'width of its nets', count, 64);

export interface Theorem1Result {
  experiment: 'theorem-1';
  eta: number;
  flow: number[];
  /** Standard error of the reference, as its gap: from flows of a sixteenth of the particles, whose errors are four times as large. */
  flowError: number;
  /** Mean loss over seeds, by width. */
  losses: number[][];
  gaps: Group[];
  fit: PowerLaw;
  etaGaps: Group[];
  etaFit: PowerLaw;
  summary: { slope: number; interval: [number, number]; etaSlope: number };
}

const CHECKS = 4;
const FRACTION = 16;

export async function theorem1(options: Theorem1Options, say: Say, progress: Progress): Promise<Theorem1Result> {
  const { eta, time, widths, particles, seed, seeds, layers } = options;
  const steps = Math.round(time / eta);
  if (particles % (2 * FRACTION)) throw new UsageError(`--particles ${particles} is no multiple of ${2 * FRACTION}`);
  const { x, y } = problem(options);

  const flow = { layers, particles, seed, time, dt: eta };
  const reference = await follow({ x, y }, flow, counted(progress, `flow of ${particles} particles`, steps));
  const rough: number[] = [];
  for (let i = 1; i <= CHECKS; i++) {
    const small = { ...flow, particles: particles / FRACTION, seed: seed + i };
    const losses = await follow({ x, y }, small, counted(progress, `its error, ${i} of ${CHECKS}`, steps));
    rough.push(sup(losses, reference) ** 2);
  }
  // A flow of P/16 particles has 16 times the variance, and the reference's own adds to that of the difference.
  const flowError = Math.sqrt(mean(rough) / (FRACTION + 1));
  say(
    `flow: loss ${at(reference, 0).toFixed(4)} → ${at(reference, steps).toFixed(4)}, its own error about ${flowError.toExponential(1)}`,
  );

  const gaps: Group[] = [];
  const losses: number[][] = [];
  for (const width of widths) {
    const replicas = width >= 256 ? 2 * seeds : seeds;
    const net = await makeNets(options, x, { width, replicas });
    const runs = await lossesOf(net, x, y, eta, steps, counted(progress, `width ${width}`, steps));
    release(net);
    gaps.push({ x: width, values: runs.map((run) => sup(run, reference)) });
    losses.push(reference.map((_, k) => mean(runs.map((run) => at(run, k)))));
    say(`width ${width}: gap ${mean(fromEnd(gaps, 1).values).toExponential(2)} over ${replicas} seeds`);
  }
  const fit = powerLaw(gaps, seed);
  const smallest = Math.min(...gaps.map(({ values }) => mean(values)));
  say(`slope in the width ${describeSlope(fit)}; ${verdict(fit.slope, -0.65, -0.36)}`);
  say(
    `the flow's error is ${(flowError / smallest).toFixed(2)} of the smallest gap; below 0.2: ${flowError < 0.2 * smallest ? 'met' : 'NOT MET'}`,
  );

  const etaGaps = await gapsInEta(options, x, y, progress);
  const etaFit = powerLaw(etaGaps, seed, true);
  for (const { x: step, values } of etaGaps) say(`η ${step}: gap ${mean(values).toExponential(2)}`);
  say(`slope in η ${describeSlope(etaFit)}; ${verdict(etaFit.slope, 0.9, 1.15)}`);
  const summary = { slope: fit.slope, interval: fit.interval, etaSlope: etaFit.slope };
  return { experiment: 'theorem-1', eta, flow: reference, flowError, losses, gaps, fit, etaGaps, etaFit, summary };
}

/** The same nets with different step sizes; their limit is extrapolated from two small ones. */
async function gapsInEta(options: Theorem1Options, x: Tensor, y: Tensor, progress: Progress): Promise<Group[]> {
  const { time, seeds: replicas, etaWidth: width } = options;
  const etas = [...options.etas].sort((a, b) => b - a);
  const smallest = fromEnd(etas, 1) / 4;
  for (const eta of etas)
    if (Math.abs(eta / smallest - Math.round(eta / smallest)) > 1e-9)
      throw new UsageError(`--etas ${options.etas}: every one must be a multiple of a quarter of the smallest`);
  const run = async (eta: number) => {
    const steps = Math.round(time / eta);
    const net = await makeNets(options, x, { width, replicas });
    const losses = await lossesOf(net, x, y, eta, steps, counted(progress, `η ${eta}`, steps));
    release(net);
    return losses;
  };
  const [fine, finer] = [await run(smallest), await run(smallest / 2)];
  // L_η = L_0 + cη + O(η²)
  const limit = fine.map((losses, r) => losses.map((loss, k) => 2 * at(at(finer, r), 2 * k) - loss));
  const groups: Group[] = [];
  for (const eta of etas) {
    const every = Math.round(eta / smallest);
    const thinned = limit.map((losses) => losses.filter((_, k) => k % every === 0));
    groups.push({ x: eta, values: (await run(eta)).map((losses, r) => sup(losses, at(thinned, r))) });
  }
  return groups;
}

export function drawTheorem1(result: Theorem1Result): string {
  const { eta, flow, losses, gaps, fit, etaGaps, etaFit } = result;
  const curve = (groups: Group[], law: PowerLaw) => [
    { name: 'fit', color: '#3a6ea5', groups, fit: law, scatter: true },
  ];
  const nets = losses.map(
    (run, i): Line => ({
      label: `m = ${at(gaps, i).x}`,
      color: ramp(i, losses.length),
      width: 1.2,
      points: run.map((loss, k) => [k * eta, loss]),
    }),
  );
  const limit: Line = { label: 'flow', color: '#22262b', points: flow.map((loss, k) => [k * eta, loss]), width: 2.2 };
  return drawChart(
    'Theorem 1: nets against the neural feature flow',
    `slope in the width ${describeSlope(fit)}   slope in η ${describeSlope(etaFit)}`,
    [
      [
        slopePanel('sup |L of the net − L of the flow|', 'width m', curve(gaps, fit), -0.5),
        slopePanel('sup |L at η − L at η → 0|', 'η', curve(etaGaps, etaFit), 1),
      ],
      [{ title: 'Loss', xName: 't', fromZero: true, lines: [...nets, limit] }],
    ],
  );
}
