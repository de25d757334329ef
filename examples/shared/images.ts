// Images of the runs of a grid: loaded once for each data set, cut once for each seed, on the GPU as long as the next run wants the same.

import type { ImageDataset } from '../../datasets/cifar';
import { loadCifar } from '../../datasets/load.node.js';
import { cutDataset, type DatasetName } from './datasets';
import type { Recipe } from './recipe';
import type { Report } from './report';
import { residentImages } from './training';

/** Of a recipe, complete or not: what decides over the images. */
export interface WantedImages {
  dataset: DatasetName;
  subset?: number;
  testSubset?: number;
  seed?: number;
}

export class SharedImages {
  #whole: { names: string[]; data: ImageDataset } | null = null;
  #cut: { key: string; data: ImageDataset } | null = null;
  #resident: { key: string; of: ImageDataset; images: ReturnType<typeof residentImages> } | null = null;

  /** `fallback`: whether synthetic images may stand in for a set that is not there. */
  constructor(
    readonly given: { data?: string; fallback?: boolean },
    readonly report: Pick<Report, 'say'>,
  ) {}

  /** Images of a run; only the first of a data set tells where they come from. */
  async data({ dataset, subset, testSubset, seed = 0 }: WantedImages): Promise<ImageDataset> {
    const synthetic = { train: subset, test: testSubset };
    // The synthetic set is drawn at the size that is wanted; it may have taken the place of the set that was asked for.
    const drawn = (name: string) => name + JSON.stringify(synthetic);
    let loaded = this.#whole;
    if (!loaded || ![dataset, drawn(dataset)].some((name) => loaded?.names.includes(name))) {
      const data = await loadCifar({ dataset, ...this.given, log: this.report.say, synthetic });
      this.#whole = loaded = { names: data.synthetic ? [drawn(dataset), drawn(data.name)] : [dataset], data };
    }
    const { data: whole } = loaded;
    const key = [whole.name, whole.train.count, subset, testSubset, subset || testSubset ? seed : ''].join();
    if (this.#cut?.key !== key) this.#cut = { key, data: cutDataset(whole, { train: subset, test: testSubset, seed }) };
    return this.#cut.data;
  }

  /** The same on the GPU. */
  async resident(recipe: Recipe) {
    const data = await this.data(recipe);
    const { size, testBatch, cutout, randAugment, mixup, cutmix } = recipe;
    const key = JSON.stringify([size, testBatch, cutout, randAugment, mixup, cutmix]);
    if (this.#resident?.of !== data || this.#resident.key !== key) {
      this.release();
      this.#resident = { key, of: data, images: residentImages(data, recipe) };
    }
    return this.#resident.images;
  }

  /** Frees their memory on the GPU. */
  release(): void {
    this.#resident?.images.dispose();
    this.#resident = null;
  }
}
