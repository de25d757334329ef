// What the experiments with dense nets share: the samples, options, and training of many nets of one width in one batched job.

import type { Command } from 'commander';
import { Rng } from '../../datasets/random';
import { compile, featureFlow, manualSeed, noGrad, type Tensor, tensor } from '../../src/index.node.js';
import type { Line, Panel, Point } from '../shared/chart';
import { count, depth, numberFrom, numberList, seedNumber, UsageError } from '../shared/options';
import type { Progress } from '../shared/progress';
import { type Group, mean, type PowerLaw, showSlope } from './statistics';

export interface NetOptions {
  samples: number;
  inputs: number;
  layers: number;
  eta: number;
  seeds: number;
  seed: number;
}

export const positive = numberFrom(Number.MIN_VALUE);

/** The options of every experiment with dense nets. */
export const addNetOptions = (command: Command, defaults: Omit<NetOptions, 'seed' | 'samples' | 'inputs'>): Command =>
  command
    .option('--samples <N>', 'training samples', count, 8)
    .option('--inputs <d>', 'coordinates of a sample', count, 8)
    .option('--layers <L>', 'hidden layers', depth, defaults.layers)
    .option('--eta <η>', 'step size of scaled gradient descent', positive, defaults.eta)
    .option('--seeds <number>', 'nets of each width', count, defaults.seeds)
    .option('--seed <number>', 'of samples, weights and particles', seedNumber, 0);

export const WIDTHS = [16, 32, 64, 128, 256, 512, 1024];

export const widthList = (text: string): number[] => {
  const widths = numberList()(text);
  if (widths.length < 2 || widths.some((m) => !Number.isInteger(m) || m < 1 || m > 100_000))
    throw new UsageError(
      `--widths ${text}: a slope needs at least two widths, whole numbers up to 100000 separated by commas`,
    );
  return widths;
};

/** The stream of the samples' draws, beside those of datasets/random.ts. */
const STREAM = 0x5a3b;

/** Samples x [N, d] on the sphere ‖x‖ = √d with targets y [N]: ±U(0.3, 1). */
export function problem({ samples, inputs, seed }: NetOptions): { x: Tensor; y: Tensor } {
  const rng = new Rng(seed, STREAM);
  const rows = Array.from({ length: samples }, () => {
    const row = Array.from({ length: inputs }, () => rng.normal());
    const norm = Math.hypot(...row);
    return row.map((value) => (value * Math.sqrt(inputs)) / norm);
  });
  const targets = rows.map(() => (rng.uniform() < 0.5 ? -1 : 1) * (0.3 + 0.7 * rng.uniform()));
  return { x: tensor(rows), y: tensor(targets) };
}

type NetSpec = Partial<featureFlow.FeatureFlowNetOptions> & { width: number; replicas: number };

/** `replicas` nets of one width side by side, after Algorithm 2 unless `initial` says how they start. Their draws depend on the seed and the width alone. */
export async function makeNets({ layers, inputs, seed }: NetOptions, x: Tensor, spec: NetSpec) {
  manualSeed(seed + spec.width);
  const net = new featureFlow.FeatureFlowNet({ inputs, layers, ...spec });
  if (!spec.initial) await featureFlow.regress(net, x, { form: 'hard' });
  return net;
}

export interface TrainOptions<Seen extends Record<string, Tensor>> {
  x: Tensor;
  y: Tensor;
  eta: number;
  steps: number;
  /** What else to compute of the layers in every step. */
  observe?: (layers: featureFlow.Layers) => Seen;
  /** Called before update k = 0 … steps, with the loss of each replica, and what was observed. Awaited. */
  onStep: (k: number, losses: ArrayLike<number>, seen: Seen) => void | Promise<void>;
}

/** Algorithm 1 with pseudo-Huber on all replicas at once: one compiled step for all of them. */
export async function train<Seen extends Record<string, Tensor>>(
  net: featureFlow.FeatureFlowNet,
  { x, y, eta, steps, observe, onStep }: TrainOptions<Seen>,
): Promise<void> {
  const optimizer = new featureFlow.ScaledGradientDescent(net.parameters(), { lr: eta });
  const step = compile(() => {
    const layers = net.layers(x);
    const losses = featureFlow.pseudoHuber(layers.output, y);
    const seen = noGrad(() => observe?.(layers) ?? ({} as Seen));
    losses.sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
    return { losses, seen };
  });
  for (let k = 0; k <= steps; k++) {
    const { losses, seen } = step();
    await onStep(k, await losses.data(), seen);
  }
}

/** The losses of a flow at 0, Δt … `time`, in as many whole steps as nets take; `onStep` may read the flow, and is awaited. */
export async function follow(
  { x, y }: { x: Tensor; y: Tensor },
  { seed, time, dt, ...start }: featureFlow.FlowStartOptions & { seed: number; time: number; dt: number },
  onStep: (k: number, loss: number, flow: featureFlow.FeatureFlow) => void | Promise<void>,
): Promise<number[]> {
  manualSeed(seed);
  const flow = new featureFlow.FeatureFlow(x, y, await featureFlow.flowStart(x, start));
  const { losses } = await flow.run(Math.round(time / dt) * dt, { dt, onStep: (k, loss) => onStep(k, loss, flow) });
  flow.dispose();
  return losses;
}

/** Gives the memory of nets back. */
export function release(net: featureFlow.FeatureFlowNet): void {
  for (const weights of net.parameters()) {
    weights.grad?.dispose();
    weights.dispose();
  }
}

/** Counts steps on the terminal. */
export function counted(progress: Progress, title: string, steps: number): (k: number, loss?: number) => void {
  progress.begin(title, steps);
  return (k, loss) => {
    progress.update(k, { loss });
    if (k === steps) progress.end();
  };
}

/** Means over seeds (with `scatter` the seeds too) with their fit, its slope behind the name, and the slope that the theory predicts through the middle of it, on logarithmic axes. */
export function slopePanel(
  title: string,
  xName: string,
  curves: { name: string; color: string; groups: Group[]; fit: PowerLaw; scatter?: boolean }[],
  predicted: number,
): Panel {
  const xs = curves[0].groups.map(({ x }) => x);
  const ends = [Math.min(...xs), Math.max(...xs)];
  const lines = curves.flatMap(({ name, color, groups, fit, scatter }): Line[] => {
    const seeds = groups.flatMap(({ x, values }) => values.map((v): Point => [x, v]));
    const fitted = (x: number) => Math.exp(fit.intercept + fit.slope * Math.log(x));
    return [
      ...(scatter ? [{ label: '', color: '#c3c9d0', points: seeds, dots: true }] : []),
      { label: '', color, points: groups.map(({ x, values }): Point => [x, mean(values)]), dots: true },
      { label: `${name} ${showSlope(fit.slope)}`, color, points: ends.map((x): Point => [x, fitted(x)]) },
    ];
  });
  const { fit } = curves[0];
  const middle = (Math.log(ends[0]) + Math.log(ends[1])) / 2;
  const through = fit.intercept + fit.slope * middle;
  const predictedAt = (x: number): Point => [x, Math.exp(through + predicted * (Math.log(x) - middle))];
  lines.push({
    label: `slope ${predicted}`.replace('-', '−'),
    color: '#8a919a',
    points: ends.map(predictedAt),
    dashed: true,
  });
  return { title, xName, lines, fromZero: false, freeX: true, log: 'xy' };
}
