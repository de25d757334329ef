// The names of data sets, with what a network must know of each: the same in Node and in the page.

import { CIFAR } from '../../datasets/cifar';
import { synthetic } from '../../datasets/synthetic';

export const DATASETS = ['cifar10', 'cifar100', 'synthetic', 'synthetic100'] as const;
export type DatasetName = (typeof DATASETS)[number];

/** Class names and normalisation of a data set, without its images. */
export function describeDataset(name: DatasetName) {
  if (name === 'cifar10' || name === 'cifar100') return CIFAR[name];
  return synthetic({ classes: name === 'synthetic' ? 10 : 100, train: 0, test: 0 });
}
