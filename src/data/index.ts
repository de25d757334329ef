// data: batches of users' own data.

export type { DataLoaderOptions, Dataset, HostArray } from './loader';
export { collate, DataLoader } from './loader';
