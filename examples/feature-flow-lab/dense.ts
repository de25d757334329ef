// Dense nets and the flow that they follow: samples, training of many nets of one width in one batched job, the gap between them.

import { Rng } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { compile, featureFlow, manualSeed, noGrad, type Tensor, tensor } from '../../src/index';

export interface NetOptions {
  samples: number;
  inputs: number;
  layers: number;
  eta: number;
  seeds: number;
  seed: number;
}

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

/** sup_k |a^k − b^k| */
export const sup = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((loss, k) => Math.abs(loss - at(b, k))));

/** The losses of every replica, [replica][k]. */
export async function lossesOf(
  net: featureFlow.FeatureFlowNet,
  x: Tensor,
  y: Tensor,
  eta: number,
  steps: number,
  onStep: (k: number) => void,
): Promise<number[][]> {
  const runs: number[][] = [];
  await train(net, {
    ...{ x, y, eta, steps },
    onStep(k, losses) {
      Array.from(losses).forEach((loss, r) => (runs[r] ??= []).push(loss));
      onStep(k);
    },
  });
  return runs;
}
