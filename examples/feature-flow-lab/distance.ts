// Theorem 5 (1): how far the weights and features of a net are from the ideal process, whose units follow the neural feature flow from a start
// that is coupled to the net's: v̄_1 = v_1 and ᾱ_l = K_{l−1}^(1/2) K̂_{l−1}^(−1/2) α_l, with the Gram matrices of the flow and of the net.
// The ideal units travel as passengers of one flow of many particles: all widths and seeds in one run.

import type { Command } from 'commander';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { at, tuple, valueAt } from '../../shaders/checked';
import { F, featureFlow, manualSeed, noGrad, type Tensor, tensor } from '../../src/index.node.js';
import { drawChart, type Panel, ramp } from '../shared/chart';
import { count } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { makeNets, type NetOptions, problem, release, train } from './dense';
import { addNetOptions, counted, positive, slopePanel, widthList } from './nets';
import { describeSlope, type Group, mean, type PowerLaw, powerLaw } from './statistics';

export interface DistanceOptions extends NetOptions {
  time: number;
  widths: number[];
  particles: number;
}

export const distanceSummary =
  'weights and features of nets against the ideal process: largest and rms deviation against width';

export const distanceOptions = (command: Command): Command =>
  addNetOptions(command, { layers: 3, eta: 0.05, seeds: 4 })
    .option('--time <T>', 'duration', positive, 5)
    .option('--widths <list>', 'm', widthList, [16, 32, 64, 128, 256, 512])
    .option('--particles <P>', 'that make the flow', count, 8192);

interface Deviation {
  /** 'v1', 'v2' …, 'α2' …, 'β1' … */
  quantity: string;
  /** Largest over entries and times; and largest over times of the root mean square over entries. */
  sup: Group[];
  rms: Group[];
  supFit: PowerLaw;
  rmsFit: PowerLaw;
}

export interface DistanceResult {
  experiment: 'distance';
  deviations: Deviation[];
  summary: { rms: Record<string, number>; sup: Record<string, number> };
}

/** Everything that Theorem 5 compares at one time, by quantity: [replicas, …] row-major. */
type Snapshot = Map<string, Float32Array>;

const TIMES = 10;

export async function distance(options: DistanceOptions, say: Say, progress: Progress): Promise<DistanceResult> {
  const { layers, eta, time, widths, seeds: replicas, particles, seed } = options;
  const { x, y } = problem(options);
  const steps = Math.round(time / eta);
  const every = Math.max(1, Math.round(steps / TIMES));
  const kept = (k: number) => k % every === 0 || k === steps;

  manualSeed(seed);
  let crowd = await featureFlow.flowStart(x, { layers, particles });
  const all: { width: number; net: featureFlow.FeatureFlowNet; place: number; ideal: Snapshot[] }[] = [];
  for (const width of widths) {
    const net = await makeNets(options, x, { width, replicas });
    all.push({ width, net, place: at(crowd.readout.shape, 0), ideal: [] });
    crowd = await board(crowd, net, x, replicas);
  }
  const flow = new featureFlow.FeatureFlow(x, y, crowd);
  const onFlow = counted(progress, `flow of ${particles} particles`, steps);
  await flow.run(steps * eta, {
    dt: eta,
    async onStep(k) {
      if (kept(k))
        for (const { width, place, ideal } of all) ideal.push(await idealAt(flow, layers, place, width, replicas));
      onFlow(k);
    },
  });
  flow.dispose();

  const found = new Map<string, { sup: Group[]; rms: Group[] }>();
  for (const { width, net, ideal } of all) {
    const largest = new Map<string, { sup: number[]; rms: number[] }>();
    const onStep = counted(progress, `width ${width}`, steps);
    // Features of step k belong to its weights, which the update that follows overwrites: copies are taken before.
    await train(net, {
      ...{ x, y, eta, steps },
      observe: (seen) => quantities(net.weights, seen),
      async onStep(k, _, seen) {
        onStep(k);
        if (!kept(k)) return;
        const other = at(ideal.splice(0, 1), 0);
        for (const [name, t] of Object.entries(seen))
          compare(largest, name, (await t.data()) as Float32Array, valueAt(other, name), replicas);
      },
    });
    release(net);
    for (const [name, { sup, rms }] of largest) {
      const groups = found.get(name) ?? { sup: [], rms: [] };
      found.set(name, groups);
      groups.sup.push({ x: width, values: sup });
      groups.rms.push({ x: width, values: rms });
    }
    say(
      `width ${width}: rms ${[...largest].map(([name, { rms }]) => `${name} ${mean(rms).toPrecision(2)}`).join('  ')}`,
    );
  }
  const deviations = [...found].map(([quantity, { sup, rms }]) => ({
    ...{ quantity, sup, rms, supFit: powerLaw(sup, seed), rmsFit: powerLaw(rms, seed) },
  }));
  for (const { quantity, supFit, rmsFit } of deviations)
    say(
      `${quantity}: slope of the rms ${describeSlope(rmsFit)}, of the largest ${describeSlope(supFit)}; Theorem 5: −0.5 up to logarithms`,
    );
  const slopes = (of: (d: Deviation) => PowerLaw) =>
    Object.fromEntries(deviations.map((d) => [d.quantity, of(d).slope]));
  const summary = { rms: slopes((d) => d.rmsFit), sup: slopes((d) => d.supFit) };
  return { experiment: 'distance', deviations, summary };
}

/** K^p of a symmetric positive matrix, in float64. */
function power(k: Matrix, exponent: number): Matrix {
  const { eigenvectorMatrix: v, realEigenvalues } = new EigenvalueDecomposition(k, { assumeSymmetric: true });
  return v.mmul(Matrix.diag(realEigenvalues.map((value) => value ** exponent))).mmul(v.transpose());
}

/** The start with the ideal units of all replicas of a net as further passengers, replica after replica. */
async function board(
  start: featureFlow.FlowStart,
  net: featureFlow.FeatureFlowNet,
  x: Tensor,
  replicas: number,
): Promise<featureFlow.FlowStart> {
  const { width, layers, readout } = net.options;
  const [samples, inputs] = tuple(x.shape, 2);
  const units = replicas * width;
  const columns = (t: Tensor, rows: number) => t.permute([1, 0, 2]).reshape([rows, units]); // [replicas, rows, m]
  const { features, residuals } = noGrad(() => net.layers(x));
  const coupled: Tensor[] = [];
  for (let l = 2; l <= layers; l++) {
    const grams = await noGrad(() => {
      const h = net.h1(at(features, l - 1));
      return h.matmul(h.transpose()).mul(1 / width);
    }).data();
    const root = power(new Matrix(at(start.grams, l - 1)), 0.5);
    const flat = Array.from({ length: replicas }, (_, r) => {
      const gram = Matrix.from1DArray(samples, samples, [...grams.subarray(r * samples ** 2, (r + 1) * samples ** 2)]);
      return root.mmul(power(gram, -0.5)).to1DArray();
    }).flat();
    const map = tensor(flat, { shape: [replicas, samples, samples] });
    coupled[l] = noGrad(() => columns(map.matmul(at(residuals, l)), samples).keep());
  }
  const first = noGrad(() => columns(at(net.weights, 0).detach(), inputs).keep());
  return featureFlow.withPassengers(start, first, coupled, tensor(new Float32Array(units).fill(readout as number)));
}

/** What is compared, of a net. */
function quantities(weights: readonly Tensor[], { features, residuals }: featureFlow.Layers): Record<string, Tensor> {
  return Object.fromEntries([
    ...weights.map((v, i) => [`v${i + 1}`, v.detach().clone()] as const),
    ...residuals.map((alpha, l) => [`α${l}`, alpha] as const).filter(Boolean),
    ...features.map((beta, l) => [`β${l}`, beta] as const).slice(1),
  ]);
}

/** The same of the passengers from `from` on, in the layout of a net with replicas. */
async function idealAt(
  flow: featureFlow.FeatureFlow,
  layers: number,
  from: number,
  width: number,
  replicas: number,
): Promise<Snapshot> {
  const mine = (t: Tensor) =>
    noGrad(() => {
      const rows = t.ndim === 1 ? t.unsqueeze(0) : t;
      return rows
        .narrow(1, from, width * replicas)
        .reshape([at(rows.shape, 0), replicas, width])
        .permute([1, 0, 2])
        .contiguous();
    }).data() as Promise<Float32Array>;
  const found: Snapshot = new Map([['v1', await mine(flow.first)]]);
  found.set(`v${layers + 1}`, await mine(flow.readout));
  for (let l = 1; l <= layers; l++) {
    found.set(`β${l}`, await mine(flow.features(l)));
    if (l === 1) continue;
    found.set(`α${l}`, await mine(flow.residuals(l)));
    const blocks: Tensor[] = [];
    for (let r = 0; r < replicas; r++) blocks.push(flow.weights(l, from + r * width, width));
    found.set(`v${l}`, (await noGrad(() => F.stack(blocks)).data()) as Float32Array);
  }
  return found;
}

/** Raises the largest deviations so far by those of one time. */
function compare(
  largest: Map<string, { sup: number[]; rms: number[] }>,
  name: string,
  a: Float32Array,
  b: Float32Array,
  replicas: number,
): void {
  const zeros = () => new Array<number>(replicas).fill(0);
  const record = largest.get(name) ?? { sup: zeros(), rms: zeros() };
  largest.set(name, record);
  const size = a.length / replicas;
  for (let r = 0; r < replicas; r++) {
    let most = 0;
    let squares = 0;
    for (let i = r * size; i < (r + 1) * size; i++) {
      const off = Math.abs((a[i] as number) - (b[i] as number));
      most = Math.max(most, off);
      squares += off * off;
    }
    record.sup[r] = Math.max(at(record.sup, r), most);
    record.rms[r] = Math.max(at(record.rms, r), Math.sqrt(squares / size));
  }
}

export function drawDistance({ deviations }: DistanceResult): string {
  const panel = (title: string, groups: 'sup' | 'rms', law: 'supFit' | 'rmsFit'): Panel =>
    slopePanel(
      title,
      'width m',
      deviations.map((deviation, i) => {
        const color = ramp(i, deviations.length);
        return { name: deviation.quantity, color, groups: deviation[groups], fit: deviation[law] };
      }),
      -0.5,
    );
  return drawChart(
    'Theorem 5: nets beside the ideal process',
    'largest over the times compared; means over seeds with their fits',
    [[panel('Root mean square deviation', 'rms', 'rmsFit'), panel('Largest deviation', 'sup', 'supFit')]],
  );
}
