// PyTorch's modules by their dotted names: constructors from PyTorch's arguments, in camel case.
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../../../src/nn';
import type { Attributes } from './case';
import { attention } from './modules-attention';
import { math } from './modules-math';
import { recurrent } from './modules-recurrent';

export const modules: Record<string, (args: Attributes) => unknown> = {
  ...Object.fromEntries(
    Object.entries({ BatchNorm1d, BatchNorm2d, BatchNorm3d }).map(([name, Class]) => [
      `nn.${name}`,
      ({ numFeatures, ...o }: Attributes) => new Class(numFeatures, o),
    ]),
  ),
  ...attention,
  ...math,
  ...recurrent,
};
