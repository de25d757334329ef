// A small mean-field classifier and a small data set, for tests of training.
import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import '../../src/ops/methods';
import type { ParticleHookOptions } from '../../src/meanfield/hooks';
import { MeanField } from '../../src/meanfield/mean-field';
import { PreActBranch } from '../../src/models/blocks';
import { Conv2d } from '../../src/nn/conv';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { globalAvgPool2d } from '../../src/ops/pool';
import { SGD } from '../../src/optim/sgd';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import type { TrainerOptions } from '../../src/train/options';
import { Trainer } from '../../src/train/trainer';

const CHANNELS = 8;

export class TinyNet extends Module {
  stem = new Conv2d(3, CHANNELS, 3, { stride: 4, padding: 1 });
  // Times so close that particles change places within a few steps.
  stage = new MeanField(
    3,
    () => new PreActBranch({ inChannels: CHANNELS, innerChannels: CHANNELS, outChannels: CHANNELS }),
    { times: [0.5, 0.5001, 0.5002] },
  );
  head = new Linear(CHANNELS, 10);

  override forward(x: Tensor): Tensor {
    return this.head.forward(globalAvgPool2d(this.stage.forward(this.stem.forward(x))));
  }
}

const data = synthetic({ train: 88, test: 40 });
let resident: { train: ResidentImages; test: ResidentImages } | undefined;

/** 88 training images (five batches of 16 and one of 8) and 40 test images, made once. */
export function tinyData() {
  resident ??= { train: new ResidentImages(data.train, data), test: new ResidentImages(data.test, data) };
  return resident;
}

/** `lr` is that of SGD with momentum. */
export type TinyOptions = Partial<TrainerOptions> & ParticleHookOptions & { lr?: number };

/** A trainer of a new net with seed 1. */
export function tinyTrainer({ lr = 0.05, birthDeath, permute, ...options }: TinyOptions = {}) {
  manualSeed(1);
  const model = (options.model as TinyNet | undefined) ?? new TinyNet();
  const own = (birthDeath || permute) && [MeanField.trainerHook(model, { birthDeath, permute })];
  const hooks = [...(own ?? []), ...(options.hooks ?? [])];
  const optimizer = new SGD(model.parameters(), { lr, momentum: 0.9, weightDecay: 1e-4 });
  const trainer = new Trainer({
    optimizer,
    epochs: 2,
    batchSize: 16,
    seed: 7,
    ...tinyData(),
    ...options,
    hooks,
    model,
  });
  return { trainer, model, optimizer };
}
