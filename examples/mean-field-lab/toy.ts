// The toy of the paper's analysis: one stage of f = tanh(θX) with a fixed readout ⟨w, X⟩, trained to repeat a network of the same kind.

import { Rng } from '../../datasets/random';
import {
  compile,
  countEffects,
  MeanField,
  type MeanFieldOptions,
  manualSeed,
  nn,
  noGrad,
  optim,
  type Tensor,
  tensor,
} from '../../src/index.node.js';
import type { Subject } from './subject';

const [DIMENSIONS, SAMPLES] = [8, 256];
const STREAM = 100;

export interface ToyOptions {
  /** Particles, τ_l = l/n. */
  particles: number;
  steps: number;
  seed: number;
}

/** f(X) = tanh(Xθᵀ), θ ~ N(0, 1/d). */
class Block extends nn.Module {
  readonly theta: nn.Parameter;

  constructor(rng: Rng) {
    super();
    const values = Float32Array.from({ length: DIMENSIONS ** 2 }, () => rng.normal() / Math.sqrt(DIMENSIONS));
    this.theta = new nn.Parameter(tensor(values, { shape: [DIMENSIONS, DIMENSIONS] }));
  }

  override forward(x: Tensor): Tensor {
    return x.matmul(this.theta.transpose()).tanh();
  }
}

export interface Toy {
  readonly stage: MeanField;
  readonly x: Tensor;
  readonly y: Tensor;
  readout(x: Tensor): Tensor;
  /** w of the readout ⟨w, X⟩. */
  readonly w: Tensor;
  /** Mean of ½(⟨w, X⟩ − y)². */
  loss(): Tensor;
}

/** An untrained toy: equal seeds have equal weights and data, whether times are trained or not, and gradients scaled or not. */
export function createToy(
  { particles, seed }: Omit<ToyOptions, 'steps'>,
  trainTimes: boolean,
  scaling: MeanFieldOptions['scaling'] = 'none',
): Toy {
  manualSeed(seed);
  const rng = (part: number) => new Rng(seed, STREAM, part);
  const normal = (part: number, n: number) => {
    const source = rng(part);
    return Float32Array.from({ length: n }, () => source.normal());
  };
  const stack = (part: number, n: number) => {
    const source = rng(part);
    return new MeanField(n, () => new Block(source), { times: 'fraction', trainTimes, scaling });
  };
  const x = tensor(normal(0, SAMPLES * DIMENSIONS), { shape: [SAMPLES, DIMENSIONS] });
  const w = tensor(normal(1, DIMENSIONS));
  const readout = (z: Tensor) => z.matmul(w);
  const teacher = stack(2, 4);
  const y = noGrad(() => readout(teacher.solve(x, { method: 'rk4', substeps: 4 }))).keep();
  const stage = stack(3, particles);
  return { stage, x, y, w, readout, loss: () => lossOf(readout(stage.forward(x)), y) };
}

const lossOf = (output: Tensor, y: Tensor): Tensor => output.sub(y).square().mean().mul(0.5);

/** Trains by gradient descent with momentum; `between` runs after every step, `counting` sums the particles' effects. Losses by step. */
export async function trainToy(
  toy: Toy,
  { steps }: ToyOptions,
  { counting = false, between }: { counting?: boolean; between?: (step: number) => Promise<void> | void } = {},
): Promise<number[]> {
  const { stage } = toy;
  const times = stage.tau.requiresGrad ? [{ params: [stage.tau], lr: 0.01 }] : [];
  const weights = stage.parameters().filter((p) => p !== stage.tau);
  const optimizer = new optim.SGD([{ params: weights }, ...times], { lr: 0.02 * weights.length, momentum: 0.9 });
  const step = compile(() => {
    const loss = toy.loss();
    loss.backward();
    if (counting) countEffects(stage);
    optimizer.step();
    stage.sortParticles();
    optimizer.zeroGrad();
    return loss;
  });
  const losses: number[] = [];
  for (let s = 1; s <= steps; s++) {
    losses.push(await step().item());
    await between?.(s);
  }
  return losses;
}

/** A trained toy as a subject. */
export async function toySubject(options: ToyOptions, trainTimes: boolean): Promise<Subject> {
  const toy = createToy(options, trainTimes);
  await trainToy(toy, options);
  const { stage, x, y, readout } = toy;
  const tau = stage.tau;
  const only = { name: 'stage', branches: stage.branches, particles: stage.particles, tau, meanField: stage };
  const stages = [only];
  const forward: Subject['forward'] = (z, reading) => readout(reading(only, z));
  return {
    name: `toy, ${trainTimes ? 'mean-field' : 'vanilla'}`,
    stages,
    forward,
    batch: { x, y },
    lossOf,
    measure: async (reading) => ({ loss: await noGrad(() => lossOf(forward(x, reading), y)).item(), error: null }),
  };
}
