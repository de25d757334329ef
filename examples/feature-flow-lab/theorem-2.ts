// Theorem 2: a flow that converges reaches the loss 0. Here: the loss of scaled gradient descent on finite nets and of the particle flow, and
// how far the weights of each layer move, which is what the theorem presupposes to come to an end.

import type { Command } from 'commander';
import { at, fromEnd } from '../../shaders/checked';
import { noGrad, type Tensor } from '../../src/index.node.js';
import { drawChart, type Line, type Point, ramp } from '../shared/chart';
import { count } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { follow, makeNets, type NetOptions, problem, release, train } from './dense';
import { addNetOptions, counted, positive } from './nets';
import { verdict } from './statistics';

export interface Theorem2Options extends NetOptions {
  width: number;
  time: number;
  particles: number;
  flowTime: number;
  dt: number;
}

export const theorem2Summary = 'scaled gradient descent and the particle flow reach the loss 0; movement of each layer';

export const theorem2Options = (command: Command): Command =>
  addNetOptions(command, { layers: 3, eta: 0.5, seeds: 4 })
    .option('--width <m>', 'units of a hidden layer', count, 128)
    .option('--time <T>', 'duration of scaled gradient descent', positive, 800)
    .option('--particles <P>', 'of the flow', count, 1024)
    .option('--flow-time <T>', 'duration of the flow', positive, 100)
    .option('--dt <Δt>', 'step of the flow', positive, 0.1);

export interface Theorem2Result {
  experiment: 'theorem-2';
  eta: number;
  dt: number;
  /** Loss of each net at k·η, and of the flow at k·Δt. */
  losses: number[][];
  flow: number[];
  /** Root mean square of v_l(t) − v_l(0) over all nets, with its time. */
  movement: { time: number; layers: number[] }[];
  summary: {
    /** The smallest loss up to which every net fell in every step: from there on float32 rounds more than a step gains. */
    monotoneTo: number;
    /** The smallest loss of the worst net. */
    smallest: number;
    flowLoss: number;
  };
}

export async function theorem2(options: Theorem2Options, say: Say, progress: Progress): Promise<Theorem2Result> {
  const { eta, time, width, seeds: replicas, particles, flowTime, dt, seed, layers } = options;
  const { x, y } = problem(options);
  const steps = Math.round(time / eta);
  const net = await makeNets(options, x, { width, replicas });
  const start = noGrad(() => net.weights.map((v) => v.clone().keep()));
  const losses: number[][] = Array.from({ length: replicas }, () => []);
  const movement: Theorem2Result['movement'] = [];
  const onStep = counted(progress, `width ${width}`, steps);
  let next = 1;
  await train(net, {
    ...{ x, y, eta, steps },
    async onStep(k, values) {
      losses.forEach((run, r) => run.push(values[r] as number));
      if (k >= next || k === steps) {
        next = Math.ceil(next * 1.25);
        movement.push({ time: k * eta, layers: await moved(net.weights, start) });
      }
      onStep(k, values[0]);
    },
  });
  release(net);
  for (const v of start) v.dispose();

  const falls = losses.map((run) => run.findIndex((loss, k) => k > 0 && loss >= at(run, k - 1)));
  const monotoneTo = Math.max(...losses.map((run, r) => at(run, at(falls, r) < 0 ? steps : at(falls, r) - 1)));
  const smallest = Math.max(...losses.map((run) => Math.min(...run)));
  say(
    `scaled gradient descent: every net falls in every step to ${monotoneTo.toExponential(1)}; ${verdict(monotoneTo, 0, 1e-10)}`,
  );
  say(
    `from there on float32's rounding is larger than what a step gains; the smallest loss of the worst net is ${smallest.toExponential(1)}`,
  );
  const last = fromEnd(movement, 1).layers.map((rms) => rms.toFixed(3));
  say(`the weights have moved by ${last.map((rms, l) => `${rms} (v${l + 1})`).join(', ')} (root mean square)`);

  const onFlow = counted(progress, `flow of ${particles} particles`, Math.round(flowTime / dt));
  const flow = await follow({ x, y }, { layers, particles, seed, time: flowTime, dt }, onFlow);
  const flowLoss = fromEnd(flow, 1);
  say(`flow: loss ${flowLoss.toExponential(1)} at t = ${flowTime}; ${verdict(flowLoss, 0, 1e-6)}`);
  const summary = { monotoneTo, smallest, flowLoss };
  return { experiment: 'theorem-2', eta, dt, losses, flow, movement, summary };
}

const moved = (weights: readonly Tensor[], start: readonly Tensor[]): Promise<number[]> =>
  Promise.all(weights.map((v, l) => noGrad(() => v.sub(at(start, l)).square().mean().sqrt()).item()));

/** Fewer points, at even distances: a line of thousands is a large file. */
function sparse(run: readonly number[], dt: number): Point[] {
  const every = Math.ceil(run.length / 300);
  return run.flatMap((loss, k): Point[] => (loss > 0 && k % every === 0 ? [[k * dt, loss]] : []));
}

export function drawTheorem2({ eta, dt, losses, flow, movement, summary }: Theorem2Result): string {
  const nets = losses.map(
    (run, r): Line => ({ label: r ? '' : 'nets', color: '#8fb0d3', width: 1.2, points: sparse(run, eta) }),
  );
  const layers = at(movement, 0).layers.map(
    (_, l): Line => ({
      label: `v${l + 1}`,
      color: ramp(l, at(movement, 0).layers.length),
      points: movement.map(({ time, layers }) => [time, at(layers, l)]),
    }),
  );
  return drawChart(
    'Theorem 2: to the loss 0',
    `nets: every step gains down to ${summary.monotoneTo.toExponential(1)}   flow: ${summary.flowLoss.toExponential(1)} at the end`,
    [
      [
        {
          title: 'Loss',
          xName: 't',
          fromZero: false,
          log: 'y',
          lines: [...nets, { label: 'flow', color: '#22262b', points: sparse(flow, dt) }],
        },
        { title: 'Movement of the weights (rms)', xName: 't', fromZero: true, lines: layers },
      ],
    ],
  );
}
