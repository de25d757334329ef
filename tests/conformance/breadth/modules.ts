// PyTorch's modules by their dotted names: constructors from PyTorch's arguments, in camel case.
import { BatchNorm2d } from '../../../src/nn';
import type { Attributes } from './case';
import { attention } from './modules-attention';
import { math } from './modules-math';
import { recurrent } from './modules-recurrent';

export const modules: Record<string, (args: Attributes) => unknown> = {
  'nn.BatchNorm2d': ({ numFeatures, ...o }) => new BatchNorm2d(numFeatures, o),
  ...attention,
  ...math,
  ...recurrent,
};
