// How long the grid will take on this adapter: a step of each network is timed on drawn images.

import { synthetic } from '../../datasets/synthetic';
import { at } from '../../shaders/checked';
import { describeDataset } from '../shared/datasets';
import { hasGpu } from '../shared/device';
import type { Recipe } from '../shared/recipe';
import { createNetwork, createTrainer } from '../shared/training';

/** Trains a new network for a few steps and returns the images that it trains on in a second, and its number of parameters. */
export async function timeSteps(recipe: Recipe): Promise<{ imagesPerSecond: number; parameters: number }> {
  const model = createNetwork(recipe);
  const parameters = model.parameterCount;
  const software = !hasGpu();
  // Without a GPU a step of a wide network takes seconds for each image.
  const batch = software ? Math.min(recipe.batch, parameters > 1e7 ? 1 : 16) : recipe.batch;
  const [first, steps] = software ? [3, 4] : [5, 25];
  const classes = describeDataset(recipe.dataset).classes.length === 100 ? 100 : 10;
  const drawn = synthetic({ classes, train: batch * steps, test: classes });
  const times: number[] = [];
  const trainer = createTrainer(model, { ...recipe, epochs: 1, steps, batch, telemetry: false }, drawn, {
    test: undefined,
    readEvery: 1,
    onStep: () => times.push(performance.now()),
  });
  await trainer.run();
  return {
    imagesPerSecond: (1000 * batch * (steps - first)) / (at(times, steps - 1) - at(times, first - 1)),
    parameters,
  };
}
