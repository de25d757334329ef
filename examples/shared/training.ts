// Between a recipe and a Trainer: the network, its optimizer, its data on the GPU.

import type { ImageDataset } from '../../datasets/cifar';
import { ResidentImages } from '../../datasets/resident';
import { type Classifier, manualSeed, meanFieldsIn, models, type nn, optim, Trainer } from '../../src/index.node.js';
import type { TrainerOptions } from '../../src/train/trainer';
import { describeDataset } from './datasets';
import type { Recipe } from './recipe';
import type { Report } from './report';

/** The recipe's network with the initial weights of its seed: the same ones in a vanilla network and its mean-field form. */
export function createNetwork(recipe: Recipe): Classifier {
  manualSeed(recipe.seed);
  return models.createModel(recipe.model, {
    classes: describeDataset(recipe.dataset).classes.length,
    particles: {
      times: recipe.tauTimes,
      trainTimes: !recipe.freezeTau,
      clampTimes: recipe.clampTau,
      statistics: recipe.statistics,
    },
  }) as Classifier;
}

/** SGD with the times τ in a group of their own. */
function createOptimizer(model: nn.Module, recipe: Recipe) {
  const times = [...meanFieldsIn(model)].map(([, stage]) => stage.tau);
  const weights = model.parameters().filter((parameter) => !times.includes(parameter));
  const { lr, momentum, weightDecay } = recipe;
  const ofTimes = { lr: recipe.tauLr, momentum: recipe.tauMomentum, weightDecay: recipe.tauWeightDecay };
  const groups = [{ params: weights }, ...(times.length ? [{ params: times, ...ofTimes }] : [])];
  return new optim.SGD(groups, { lr, momentum, weightDecay });
}

/** A trainer of `model` after the recipe; `options` are where it writes and whom it tells. */
export function createTrainer(
  model: Classifier,
  recipe: Recipe,
  data: ImageDataset,
  options: Partial<TrainerOptions>,
): Trainer {
  return new Trainer({
    model,
    optimizer: createOptimizer(model, recipe),
    train: new ResidentImages(data.train, data),
    test: new ResidentImages(data.test, data),
    epochs: recipe.epochs,
    steps: recipe.steps,
    batchSize: recipe.batch,
    schedule: optim.multiStep(recipe.milestones, recipe.gamma),
    seed: recipe.seed,
    augment: recipe.augment,
    compile: recipe.compile,
    evalEvery: recipe.evalEvery,
    checkpointEvery: recipe.checkpointEvery,
    config: recipe,
    ...options,
  });
}

/** The first Ctrl-C asks the trainer to save and stop, the second one ends the process at once. */
export function whenInterrupted(report: Report): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  const interrupt = () => {
    // One Ctrl-C may arrive twice: from the terminal and from the npm process above.
    if (controller.signal.aborted && performance.now() - first < 500) return;
    if (controller.signal.aborted) process.exit(130);
    first = performance.now();
    controller.abort();
    report.say('saving after this step … (Ctrl-C again quits at once, without saving)');
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
  return controller.signal;
}
