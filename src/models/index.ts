// models: residual networks, by class and by name.
export { ConvShortcut, PostActBlock, PreActBranch, PreActTransition, ZeroPadShortcut, heConv } from './blocks';
export type { BlockShape, Shortcut } from './blocks';
export { MODEL_NAMES, createModel } from './catalog';
export type { ModelOptions } from './catalog';
export { MeanFieldResNet, PostActResNet, PreActResNet } from './resnet';
export type { ResNetOptions } from './resnet';
