// How long the grid will take on this adapter: a step of each network is timed on drawn images.

import { join } from 'node:path';
import { synthetic } from '../../datasets/synthetic';
import { at } from '../../shaders/checked';
import { describeDataset } from '../shared/datasets';
import { hasGpu } from '../shared/device';
import type { Recipe } from '../shared/recipe';
import { createNetwork, createTrainer } from '../shared/training';
import type { Cell } from './options';
import { readRun } from './table';

/** A cell with its complete recipe, and the images of an epoch. */
export interface Planned extends Cell {
  readonly recipe: Recipe;
  readonly trainImages: number;
  readonly testImages: number;
}

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

/** Epochs of a cell that are still to be run; 0 when it has ended. */
export function epochsLeft({ name, recipe }: Planned, out: string): number {
  const run = readRun(join(out, name));
  return run?.end ? 0 : recipe.epochs - (run?.epochs.length ?? 0);
}

/** Seconds that so many epochs take: an evaluation costs a third of a training step, forward without backward. */
export function secondsFor(
  epochs: number,
  { trainImages, testImages, recipe }: Planned,
  imagesPerSecond: number,
): number {
  return (epochs * (trainImages + testImages / 3 / recipe.evalEvery)) / imagesPerSecond;
}

/** How much of the work is done, and how long the rest will take at the pace so far. */
export class WorkLeft {
  readonly #began = performance.now();
  readonly #open: Map<Planned, number>;
  #worked = 0;
  #done = 0;

  constructor(open: readonly Planned[], out: string) {
    this.#open = new Map(open.map((cell) => [cell, secondsFor(epochsLeft(cell, out), cell, 1)]));
  }

  /** A run has ended. */
  finished(cell: Planned): { done: number; secondsLeft: number } {
    this.#worked += this.#open.get(cell) ?? 0;
    this.#open.delete(cell);
    const left = [...this.#open.values()].reduce((sum, work) => sum + work, 0);
    const seconds = (performance.now() - this.#began) / 1000;
    return { done: ++this.#done, secondsLeft: this.#worked ? (seconds * left) / this.#worked : 0 };
  }
}
