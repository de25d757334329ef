// The data sets that command lines know, loaded from wherever they are.

import { type ImageDataset, type Split, subset } from '../../datasets/cifar';
import { type LoadOptions, loadCifar } from '../../datasets/load.node.js';

export { DATASETS, type DatasetName, describeDataset } from './dataset-names';

interface Sizes {
  train?: number;
  test?: number;
  seed?: number;
}

/** Loads a data set cut down to `train` and `test` images, the same number of each class; the synthetic set is drawn at that size. */
export async function loadDataset(options: LoadOptions & Sizes): Promise<ImageDataset> {
  const { train, test } = options;
  return cutDataset(await loadCifar({ ...options, synthetic: { train, test } }), options);
}

/** So many images of a data set, the same number of each class, drawn by the seed. */
export function cutDataset(data: ImageDataset, { train, test, seed = 0 }: Sizes): ImageDataset {
  const cut = (split: Split, n?: number) =>
    n && split.count > 0 && n !== split.count ? subset(split, n, seed) : split;
  return { ...data, train: cut(data.train, train), test: cut(data.test, test) };
}
