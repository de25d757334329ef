// The functions of F that index, scatter, sort, search and rearrange.

export {
  type EmbeddingBagOptions,
  type EmbeddingOptions,
  embedding,
  embeddingBag,
} from './embedding';
export { gather, oneHot } from './gather';
export { indexSelect } from './index-select';
export { type Index, index, indexFill, indexPut, put, take, takeAlongDim } from './indexing';
export { logcumsumexp } from './log-scan';
export { countNonzero, maskedFill, maskedIndex, maskedIndexPut, maskedScatter, maskedSelect } from './mask';
export { nonzero } from './nonzero';
export {
  amax,
  amin,
  aminmax,
  cummax,
  cummin,
  kthvalue,
  maxWithIndices,
  median,
  minWithIndices,
  mode,
  nanmedian,
} from './rank';
export * from './rearrange';
export { cumprod, cumsum, type ScanOptions } from './scan';
export {
  indexAdd,
  indexCopy,
  indexReduce,
  type ScatterReduce,
  type ScatterReduceOptions,
  scatter,
  scatterAdd,
  scatterReduce,
} from './scatter';
export {
  bincount,
  bucketize,
  type HistcOptions,
  histc,
  type IsinOptions,
  isin,
  type SearchOptions,
  type SearchsortedOptions,
  searchsorted,
} from './search';
export { argsort, msort, type Sorted, type SortOptions, sort, type TopkOptions, topk } from './sort';
export * from './triangle';
export * from './unique';
export {
  type DiagonalOptions,
  diag,
  diagEmbed,
  diagflat,
  diagonal,
  diagonalScatter,
  type SliceScatterOptions,
  selectScatter,
  sliceScatter,
} from './view-scatter';
