// The data sets that command lines know, loaded from wherever they are.

import type { ImageDataset } from '../../datasets/cifar';
import { type LoadOptions, loadCifar } from '../../datasets/load.node.js';
import { cutDataset, type Sizes } from './dataset-names';

export { cutDataset, DATASETS, type DatasetName, describeDataset } from './dataset-names';

/** Loads a data set cut down to `train` and `test` images, the same number of each class; the synthetic set is drawn at that size. */
export async function loadDataset(options: LoadOptions & Sizes): Promise<ImageDataset> {
  const { train, test } = options;
  return cutDataset(await loadCifar({ ...options, synthetic: { train, test } }), options);
}
