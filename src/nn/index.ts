// nn: modules, layers, containers, initial values.

export * from './activations';
export { type AttentionCall, MultiheadAttention, type MultiheadAttentionOptions } from './attention';
export { ModuleList, Sequential } from './containers';
export type {
  Conv1dLayerOptions,
  Conv2dLayerOptions,
  Conv3dLayerOptions,
  ConvTranspose2dLayerOptions,
  ConvTransposeLayerOptions,
} from './conv';
export { Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from './conv';
export { ModuleDict, ParameterDict, ParameterList } from './dicts';
export { Dropout } from './dropout';
export type { EmbeddingBagLayerOptions } from './embedding';
export { Embedding, EmbeddingBag } from './embedding';
export type { ModuleGradients } from './hooks';
export * as init from './init';
export { type CachedPass, KeyValueCache, type KeyValueCacheOptions } from './key-value-cache';
export type { LayerNormOptions, NormOptions, RMSNormOptions } from './layer-norm';
export { GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm } from './layer-norm';
export * from './layers';
export type { LinearOptions } from './linear';
export { Bilinear, Linear } from './linear';
export * from './loss';
export * as metrics from './metrics';
export type { AnyModule, BackwardHook, BackwardPreHook, ForwardHook, ForwardPreHook, Inputs } from './module';
export { Module } from './module';
export type { BatchNormLayerOptions, InstanceNormLayerOptions } from './norm';
export { BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d } from './norm';
export { Parameter, State } from './parameter';
export * from './pooling';
export type { LSTMOptions, LSTMState, RecurrentOptions, RNNOptions } from './recurrent';
export { GRU, LSTM, RNN } from './recurrent';
export type { CellOptions, RNNCellOptions } from './recurrent-cell';
export { GRUCell, LSTMCell, RNNCell } from './recurrent-cell';
export * from './resize';
export type { LoadReport, StateDict } from './stored';
export type { SummaryRow } from './summary';
export { summary } from './summary';
export type { EncoderCall, TransformerCall } from './transformer';
export { Transformer, TransformerDecoder, TransformerEncoder, type TransformerOptions } from './transformer';
export type { DecoderCall, EncoderLayerCall } from './transformer-layers';
export { TransformerDecoderLayer, TransformerEncoderLayer, type TransformerLayerOptions } from './transformer-layers';
export * as utils from './utils';
