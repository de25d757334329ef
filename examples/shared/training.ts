// Between a recipe and a Trainer: the network, its optimizer, its data on the GPU.

import { type ImageDataset, subset } from '../../datasets/cifar';
import type { Rng } from '../../datasets/random';
import { ResidentImages } from '../../datasets/resident';
import type { BatchSource, TrainerOptions } from '../../src/index';
import {
  averageWeights,
  type Classifier,
  F,
  featureFlow,
  MeanField,
  manualSeed,
  meanFieldsIn,
  mixBatches,
  models,
  type nn,
  optim,
  scheduleSteps,
  type Tensor,
  Trainer,
} from '../../src/index';
import { averaged } from './averaged';
import { describeDataset } from './dataset-names';
import { first } from './first';
import type { Say } from './progress';
import type { Recipe } from './recipe';
import { withTelemetry } from './telemetry';

/** The recipe's network with the initial weights of its seed: the same ones in a vanilla network and its mean-field form. */
export function createNetwork(recipe: Recipe, classes = describeDataset(recipe.dataset).classes.length): Classifier {
  manualSeed(recipe.seed);
  return models.createModel(recipe.model, {
    classes,
    particles: {
      times: recipe.tauTimes,
      trainTimes: !recipe.freezeTau,
      clampTimes: recipe.clampTau,
      statistics: recipe.statistics,
      sort: recipe.sort,
    },
    width: recipe.width,
    featureFlow: { readout: recipe.readout },
  }) as Classifier;
}

/** Images that Algorithm 2 draws its pixels from. */
const REGRESSED = 60;

/** Feature-flow networks start from Algorithm 2's soft form on a few training images; the others as they were made. */
export async function initialise(model: Classifier, recipe: Recipe, data: ImageDataset, say: Say) {
  const { lambda, seed } = recipe;
  if (!(model instanceof models.FeatureFlowResNet) || !lambda) return;
  const few = new ResidentImages(subset(data.train, Math.min(REGRESSED, data.train.count), seed), data);
  const { images, size } = first(averaged(few, recipe.size).batches({ batchSize: REGRESSED }));
  const layers = await model.initialise(images, { lambda });
  few.dispose();
  const mean = (list: number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;
  const squares = [layers.map((l) => l.meanSquareBefore), layers.map((l) => l.meanSquareAfter)].map(mean);
  say(
    `Algorithm 2, soft with λ ${lambda} on ${size} images: mean square of the weights ${squares.map((x) => x.toFixed(0)).join(' → ')}, ` +
      `residuals change by ${(100 * mean(layers.map((l) => l.residualChange))).toFixed(2)} %, ` +
      `condition numbers up to ${Math.max(...layers.map((l) => l.condition)).toFixed(0)}`,
  );
}

/** SGD with the times τ in a group of their own; scaled gradient descent for feature-flow networks. */
export function createOptimizer(model: nn.Module, recipe: Recipe) {
  if (model instanceof models.FeatureFlowResNet)
    return new featureFlow.ScaledGradientDescent(model.parameters(), { lr: recipe.lr, momentum: recipe.momentum });
  const times = [...meanFieldsIn(model)].map(([, stage]) => stage.tau);
  const weights = model.parameters().filter((parameter) => !times.includes(parameter));
  const { lr, momentum, weightDecay } = recipe;
  const ofTimes = { lr: recipe.tauLr, momentum: recipe.tauMomentum, weightDecay: recipe.tauWeightDecay };
  const groups = [{ params: weights }, ...(times.length ? [{ params: times, ...ofTimes }] : [])];
  return new optim.SGD(groups, { lr, momentum, weightDecay });
}

/** The images of a recipe on the GPU: `train` and `test` of a Trainer, for one or for several with the same data. */
export function residentImages(data: ImageDataset, recipe: Recipe) {
  const { size, testBatch, cutout, randAugment, mixup, cutmix } = recipe;
  const train = new ResidentImages(data.train, {
    ...data,
    ...(cutout && { cutout }),
    ...(randAugment && { randAugment }),
  });
  const test = new ResidentImages(data.test, data);
  const tested = averaged(test, size);
  const trained = averaged(train, size);
  const mixing = { classes: data.classes.length, ...(mixup && { mixup }), ...(cutmix && { cutmix }) };
  return {
    train: mixup || cutmix ? mixBatches(trained, mixing) : trained,
    test: testBatch ? inBatchesOf(tested, testBatch) : tested,
    dispose() {
      train.dispose();
      test.dispose();
    },
  };
}

const inBatchesOf = (source: BatchSource, batchSize: number): BatchSource => ({
  count: source.count,
  batches: (options) => source.batches({ ...options, batchSize }),
});

/** How the rate changes from epoch to epoch, unless it changes from step to step. */
function scheduleOf({ schedule, epochs, milestones, gamma }: Recipe): { schedule?: optim.Schedule } {
  if (schedule === 'one-cycle') return {};
  return { schedule: schedule === 'cosine' ? optim.cosine(epochs) : optim.multiStep(milestones, gamma) };
}

/** Up to the rates of the groups and down again over all steps of the run. */
function oneCycle(optimizer: optim.Optimizer<{ lr: number }>, { epochs, steps, batch }: Recipe, images: number) {
  // A last batch of one image is left out (ResidentImages).
  const perEpoch = Math.floor(images / batch) + Number(images % batch > Number(batch > 1));
  const rates = optimizer.groups.map(({ lr }) => lr);
  return new optim.OneCycleLR(optimizer, rates, { totalSteps: Math.min(steps ?? Infinity, epochs * perEpoch) });
}

/** A trainer of `model` after the recipe; `options` are where it writes and whom it tells, and its images where they are there already. */
export function createTrainer(
  model: Classifier,
  recipe: Recipe,
  data: ImageDataset,
  options: Partial<TrainerOptions> & { train?: BatchSource },
): Trainer {
  const { train, test } = options.train ? { train: options.train, test: options.test } : residentImages(data, recipe);
  const { labelSmoothing, ema } = recipe;
  const optimizer = createOptimizer(model, recipe);
  const complete = {
    model,
    optimizer,
    train,
    test,
    epochs: recipe.epochs,
    steps: recipe.steps,
    batchSize: recipe.batch,
    ...scheduleOf(recipe),
    ...(labelSmoothing && {
      lossFunction: (scores: Tensor, labels: Tensor) => F.crossEntropy(scores, labels, { labelSmoothing }),
    }),
    seed: recipe.seed,
    augment: recipe.augment,
    compile: recipe.compile,
    amp: recipe.amp ?? false,
    hooks: [
      MeanField.trainerHook(model, {
        ...(recipe.shuffle && { permute: (n: number, rng: Rng) => rng.permutation(n) }),
        ...(recipe.birthDeath && { birthDeath: { rate: recipe.birthDeath, every: recipe.birthDeathEvery } }),
      }),
      ...(recipe.schedule === 'one-cycle' ? [scheduleSteps(oneCycle(optimizer, recipe, train.count))] : []),
      ...(ema === undefined ? [] : [averageWeights(new optim.AveragedModel(model, { decay: ema, useBuffers: true }))]),
    ],
    evalEvery: recipe.evalEvery,
    checkpointEvery: recipe.checkpointEvery,
    config: recipe,
    ...options,
  };
  return new Trainer(recipe.telemetry ? withTelemetry(complete) : complete);
}
