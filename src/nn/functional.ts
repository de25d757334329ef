// F: operations as functions, by their PyTorch names in camel case.

export * from '../ops/activations';
export { type AttentionOptions, scaledDotProductAttention } from '../ops/attention';
export { type Conv2dOptions, type ConvTranspose2dOptions, conv2d, convTranspose2d } from '../ops/conv';
export {
  type Conv1dOptions,
  type Conv3dOptions,
  type ConvTransposeOptions,
  conv1d,
  conv3d,
  convTranspose1d,
  convTranspose3d,
} from '../ops/conv-nd';
export { type CtcOptions, ctcLoss, type Lengths } from '../ops/ctc';
export {
  type CdistOptions,
  type CosineOptions,
  cdist,
  cosineSimilarity,
  normalize,
  type PairwiseOptions,
  pairwiseDistance,
  pdist,
} from '../ops/distance';
export * from '../ops/dropout';
export * from '../ops/einsum';
export * from '../ops/elementwise';
export { channelShuffle, type FoldOptions, fold, pixelShuffle, pixelUnshuffle, unfold } from '../ops/fold';
export { affineGrid, type GridSampleOptions, gridSample } from '../ops/grid-sample';
export * from '../ops/indexing-functions';
export { type InterpolateMode, type InterpolateOptions, interpolate } from '../ops/interpolate';
export * from '../ops/join';
export { cholesky, det, logdet, matrixPower, slogdet } from '../ops/linalg/determinant';
export { inv } from '../ops/linalg/solve';
export {
  type BceOptions,
  bceWithLogits,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  type ClassLossOptions,
  crossEntropy,
  huberLoss,
  type LossReduction,
  l1Loss,
  mseLoss,
  nllLoss,
  type PairOptions,
  pseudoHuberLoss,
  type Reduced,
  smoothL1Loss,
} from '../ops/loss';
export {
  cosineEmbeddingLoss,
  type GaussianNllOptions,
  gaussianNllLoss,
  hingeEmbeddingLoss,
  type KlDivOptions,
  klDiv,
  type MarginOptions,
  type MultilabelOptions,
  marginRankingLoss,
  multilabelSoftMarginLoss,
  type PoissonNllOptions,
  poissonNllLoss,
  softMarginLoss,
} from '../ops/losses';
export { type LpPoolOptions, lpPool1d, lpPool2d, lpPool3d } from '../ops/lp-pool';
export {
  type MultiMarginOptions,
  multilabelMarginLoss,
  multiMarginLoss,
  type TripletDistanceOptions,
  type TripletOptions,
  tripletMarginLoss,
  tripletMarginWithDistanceLoss,
} from '../ops/margin-loss';
export { linear, matmul } from '../ops/matmul';
export { type AffineOptions, type BatchNormOptions, batchNorm, groupNorm, layerNorm } from '../ops/norm';
export {
  type InstanceNormOptions,
  instanceNorm,
  type LocalResponseNormOptions,
  localResponseNorm,
  type RmsNormOptions,
  rmsNorm,
} from '../ops/norm-nd';
export * from '../ops/pad';
export * from '../ops/pointwise';
export {
  type AveragePoolOptions,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  adaptiveMaxPool2dWithIndices,
  avgPool2d,
  globalAvgPool2d,
  type Maxima,
  type MaxPoolOptions,
  maxPool2d,
  maxPool2dWithIndices,
  type OutputSize,
  type Pair,
  type PoolOptions,
  type Window,
} from '../ops/pool';
export {
  type AvgPool1dOptions,
  type AvgPool3dOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool1dWithIndices,
  adaptiveMaxPool3d,
  adaptiveMaxPool3dWithIndices,
  avgPool1d,
  avgPool3d,
  type MaxPool1dOptions,
  type MaxPool3dOptions,
  maxPool1d,
  maxPool1dWithIndices,
  maxPool3d,
  maxPool3dWithIndices,
} from '../ops/pool-nd';
export * from '../ops/products';
export * from '../ops/quantile';
export * from '../ops/reduce';
export * from '../ops/residual-step';
export { logSoftmax, softmax } from '../ops/softmax';
export {
  type CovOptions,
  corrcoef,
  cov,
  cumulativeTrapezoid,
  nanmean,
  nansum,
  stdMean,
  type TrapezoidOptions,
  trace,
  trapezoid,
  varMean,
} from '../ops/statistics';
export { maxUnpool1d, maxUnpool2d, maxUnpool3d, type UnpoolOptions } from '../ops/unpool';
export { dist, renorm } from '../ops/vector-norm';
export * from '../ops/views';
export * from '../ops/where';
