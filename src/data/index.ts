// data: batches of users' own data.

export type { Collated, FieldTypes, HostArray } from './collate';
export { collate } from './collate';
export type { DataLoaderOptions, Dataset } from './loader';
export { DataLoader } from './loader';
