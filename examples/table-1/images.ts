// Images of the runs: loaded once for each data set, cut once for each seed, on the GPU as long as the next run wants the same.

import type { ImageDataset } from '../../datasets/cifar';
import { loadCifar } from '../../datasets/load.node.js';
import { cutDataset } from '../shared/datasets';
import type { Recipe } from '../shared/recipe';
import type { Report } from '../shared/report';
import { residentImages } from '../shared/training';
import type { Cell, Given } from './options';

export class SharedImages {
  #whole: { dataset: string; data: ImageDataset } | null = null;
  #cut: { key: string; data: ImageDataset } | null = null;
  #resident: { of: ImageDataset; images: ReturnType<typeof residentImages> } | null = null;

  constructor(
    readonly given: Given,
    readonly report: Report,
  ) {}

  /** Images of a run; only the first of a data set tells where they come from. */
  async data(wanted: Cell['wanted']): Promise<ImageDataset> {
    const { dataset, subset, testSubset, seed = 0 } = wanted;
    const key = [dataset, subset, testSubset, subset || testSubset ? seed : ''].join();
    if (this.#cut?.key === key) return this.#cut.data;
    if (this.#whole?.dataset !== dataset) {
      const synthetic = { train: subset, test: testSubset };
      const data = await loadCifar({ dataset, data: this.given.data, log: this.report.say, synthetic });
      this.#whole = { dataset, data };
    }
    this.#cut = { key, data: cutDataset(this.#whole.data, { train: subset, test: testSubset, seed }) };
    return this.#cut.data;
  }

  /** The same on the GPU. */
  async resident(wanted: Cell['wanted'], recipe: Recipe) {
    const data = await this.data(wanted);
    if (this.#resident?.of !== data) {
      this.release();
      this.#resident = { of: data, images: residentImages(data, recipe) };
    }
    return this.#resident.images;
  }

  /** Frees their memory on the GPU. */
  release(): void {
    this.#resident?.images.dispose();
    this.#resident = null;
  }
}
