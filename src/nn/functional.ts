// F: operations as functions, by their PyTorch names in camel case.

export * from '../ops/activations';
export { type AttentionOptions, scaledDotProductAttention } from '../ops/attention';
export {
  type Conv1dOptions,
  type Conv2dOptions,
  type ConvTranspose2dOptions,
  conv1d,
  conv2d,
  convTranspose2d,
} from '../ops/conv';
export * from '../ops/dropout';
export * from '../ops/einsum';
export * from '../ops/elementwise';
export { gather, oneHot } from '../ops/gather';
export { embedding, indexSelect } from '../ops/index-select';
export * from '../ops/join';
export * from '../ops/loss';
export { linear, matmul } from '../ops/matmul';
export { batchNorm, groupNorm, layerNorm } from '../ops/norm';
export * from '../ops/pointwise';
export * from '../ops/pool';
export * from '../ops/reduce';
export * from '../ops/residual-step';
export { cumprod, cumsum, type ScanOptions } from '../ops/scan';
export {
  indexAdd,
  indexCopy,
  indexReduce,
  type ScatterReduce,
  type ScatterReduceOptions,
  scatter,
  scatterAdd,
  scatterReduce,
} from '../ops/scatter';
export { logSoftmax, softmax } from '../ops/softmax';
export { argsort, msort, type Sorted, type SortOptions, sort, type TopkOptions, topk } from '../ops/sort';
export * from '../ops/views';
export * from '../ops/where';
