// What the experiments with FeatureFlowResNet share: images made small enough for a processor, both parametrisations, options.

import type { Command } from 'commander';
import { ResidentImages } from '../../datasets/resident';
import type { Batch } from '../../src/data/batches';
import { F, type Tensor } from '../../src/index.node.js';
import { DATASETS, type DatasetName, loadDataset } from '../shared/datasets';
import { choice, count, depth, imageCount, numberFrom, numberList, seedNumber, stepCount } from '../shared/options';
import type { Say } from '../shared/progress';

export interface NetworkOptions {
  widths: number[];
  depth: number;
  batch: number;
  steps: number;
  seed: number;
  dataset: DatasetName;
  data?: string;
  images: number;
  pool: number;
}

/** Options that both experiments have. */
export function addNetworkOptions(
  command: Command,
  defaults: Pick<NetworkOptions, 'widths' | 'steps' | 'batch' | 'pool'>,
) {
  const { widths, steps, batch, pool } = defaults;
  return command
    .option('--widths <list>', 'factors on 16, 32, 64 channels', numberList(), widths)
    .option('--depth <layers>', '6n + 2', depth, 8)
    .option('--steps <number>', 'updates', stepCount, steps)
    .option('--batch <images>', 'images per update', imageCount, batch)
    .option('--pool <pixels>', 'average so many by so many pixels into one', count, pool)
    .option('--seed <number>', 'of weights, images and order', seedNumber, 0)
    .option('--images <number>', 'training images to draw from', imageCount, 1000)
    .option('--dataset <name>', DATASETS.join(', '), choice(DATASETS), 'cifar10' as DatasetName)
    .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download');
}

export const rateOption = numberFrom(0);

/** Training images on the GPU. */
export async function loadImages(options: NetworkOptions, say: Say): Promise<ResidentImages> {
  const { dataset, data: path, images, seed, pool } = options;
  const data = await loadDataset({ dataset, train: images, test: 1, seed, data: path, fallback: true, log: say });
  say(`${data.synthetic ? data.source : data.name}: ${data.train.count} images, averaged over ${pool}×${pool} pixels`);
  return new ResidentImages(data.train, data);
}

/** A batch's images, smaller; kept. */
export const pooled = ({ images }: Batch, { pool }: NetworkOptions): Tensor =>
  (pool > 1 ? F.avgPool2d(images, { kernel: pool }) : images).keep();
