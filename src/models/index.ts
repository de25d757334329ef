// models: residual networks, by class and by name.

export type { BlockShape, Shortcut } from './blocks';
export { ConvShortcut, heConv, PostActBlock, PreActBranch, PreActTransition, ZeroPadShortcut } from './blocks';
export type { ModelOptions } from './catalog';
export { checkModelName, createModel, MODEL_NAMES, TABLE_1 } from './catalog';
export type { FeatureFlowResNetOptions, Parametrisation } from './feature-flow';
export { FeatureFlowResNet } from './feature-flow';
export { type GenerateOptions, GPT, type GPTOptions } from './gpt';
export type { ResNetOptions } from './resnet';
export { MeanFieldResNet, PostActResNet, PreActResNet } from './resnet';
