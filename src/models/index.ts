// models: residual networks, by class and by name.

export type { BlockShape, Shortcut } from './blocks';
export { ConvShortcut, PostActBlock, PreActBranch, PreActTransition, ZeroPadShortcut } from './blocks';
export type { ModelOptions } from './catalog';
export { createModel, MODEL_NAMES } from './catalog';
export type { FeatureFlowResNetOptions, InitialiseOptions, Parametrisation } from './feature-flow';
export { FeatureFlowResNet } from './feature-flow';
export { type GenerateOptions, GPT, type GPTOptions } from './gpt';
export {
  ImageResNet,
  type ImageResNetOptions,
  type ImageResNetShape,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  resnext50_32x4d,
  resnext101_32x8d,
  wideResnet50_2,
  wideResnet101_2,
} from './image-resnet';
export type { ResNetOptions } from './resnet';
export { MeanFieldResNet, PostActResNet, PreActResNet } from './resnet';
export { UNet, type UNetOptions } from './unet';
export { VisionTransformer, type VisionTransformerOptions, vitB16, vitB32, vitL16 } from './vision-transformer';
