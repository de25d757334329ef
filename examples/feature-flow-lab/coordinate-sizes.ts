// How large the features of a FeatureFlowResNet are after some steps, and how far they have moved, in both parametrisations.

import { at } from '../../shaders/checked';
import { F, featureFlow, manualSeed, models, noGrad, type Tensor } from '../../src/index';
import { UsageError } from '../shared/usage-error';

export const ARMS = ['mean-field', 'standard'] as const;
export type Arm = (typeof ARMS)[number];

/** The network of one arm and width, with the weights of a seed. */
export function makeNetwork(
  arm: Arm,
  width: number,
  { depth }: { depth: number },
  seed: number,
): models.FeatureFlowResNet {
  const blocks = (depth - 2) / 6;
  if (blocks < 1 || !Number.isInteger(blocks)) throw new UsageError(`--depth ${depth} is not 6n + 2`);
  manualSeed(seed);
  return new models.FeatureFlowResNet({ blocks, width, parametrisation: arm });
}

/** Updates, and the rates of ours and of the standard parametrisation; the depth of the network is 6n + 2. */
export interface SizeOptions {
  depth: number;
  steps: number;
  rate: number;
  standardRate: number;
}

/** Mean squares of β_1 … β_L and the logits after the steps, and of how far they moved. */
export async function measure(
  arm: Arm,
  width: number,
  seed: number,
  images: Tensor,
  labels: Tensor,
  options: SizeOptions,
) {
  const net = makeNetwork(arm, width, options, seed);
  const lr = arm === 'standard' ? options.standardRate : options.rate;
  const optimizer = new featureFlow.ScaledGradientDescent(net.parameters(), { lr });
  const state = () =>
    noGrad(() => {
      const { features, output } = net.layers(images);
      return [...features.slice(1), output].map((x) => x.keep());
    });
  const before = state();
  for (let step = 0; step < options.steps; step++) {
    F.crossEntropy(net.forward(images), labels).backward();
    optimizer.step();
    optimizer.zeroGrad();
  }
  const after = state();
  const squares = (list: Tensor[]) => Promise.all(list.map((x) => noGrad(() => x.square().mean()).item()));
  const features = await squares(after);
  const updates = await squares(after.map((x, l) => noGrad(() => x.sub(at(before, l)))));
  for (const x of [...before, ...after]) x.dispose();
  return { features, updates };
}
