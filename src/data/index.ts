// data: batches of users' own data.

export type { Collated, FieldTypes, HostArray } from './collate';
export { collate } from './collate';
export type { Dataset, Samples } from './dataset';
export { ConcatDataset, randomSplit, Subset, TensorDataset } from './datasets';
export type { DataLoaderOptions } from './loader';
export { DataLoader } from './loader';
export type { Mixed, MixOptions, MixPosition } from './mix';
export { mixBatches, mixImages } from './mix';
export {
  BatchSampler,
  RandomSampler,
  Sampler,
  SequentialSampler,
  SubsetRandomSampler,
  WeightedRandomSampler,
} from './sampler';
