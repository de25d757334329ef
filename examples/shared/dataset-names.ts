// The names of data sets, with what a network must know of each: the same in Node and in the page.

import { CIFAR, type ImageDataset, type Split, subset } from '../../datasets/cifar';
import { synthetic } from '../../datasets/synthetic';

export const DATASETS = ['cifar10', 'cifar100', 'synthetic', 'synthetic100'] as const;
export type DatasetName = (typeof DATASETS)[number];

/** Class names and normalisation of a data set, without its images. */
export function describeDataset(name: DatasetName) {
  if (name === 'cifar10' || name === 'cifar100') return CIFAR[name];
  return synthetic({ classes: name === 'synthetic' ? 10 : 100, train: 0, test: 0 });
}

/** Images of a data set that is cut down, and the seed that draws them. */
export interface Sizes {
  train?: number;
  test?: number;
  seed?: number;
}

/** So many images of a data set, the same number of each class, drawn by the seed. */
export function cutDataset(data: ImageDataset, { train, test, seed = 0 }: Sizes): ImageDataset {
  const cut = (split: Split, n?: number) =>
    n && split.count > 0 && n !== split.count ? subset(split, n, seed) : split;
  return { ...data, train: cut(data.train, train), test: cut(data.test, test) };
}
