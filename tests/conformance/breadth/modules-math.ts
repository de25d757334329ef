// PyTorch's activations and layers of two inputs as modules.
import * as nn from '../../../src/nn';
import type { Attributes } from './case';

const plain = [
  nn.ReLU, nn.ReLU6, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.SELU, nn.Mish, nn.Softsign, nn.LogSigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Tanhshrink,
  nn.Identity,
]; // biome-ignore format: one list

export const math: Record<string, (args: Attributes) => unknown> = {
  ...Object.fromEntries(plain.map((Layer) => [`nn.${Layer.name}`, () => new Layer()])),
  'nn.LeakyReLU': ({ negativeSlope }) => new nn.LeakyReLU(negativeSlope),
  'nn.GELU': ({ approximate }) => new nn.GELU(approximate),
  'nn.ELU': ({ alpha }) => new nn.ELU(alpha),
  'nn.CELU': ({ alpha }) => new nn.CELU(alpha),
  'nn.Softplus': ({ beta, threshold }) => new nn.Softplus(beta, threshold),
  'nn.Hardtanh': ({ minVal, maxVal }) => new nn.Hardtanh(minVal, maxVal),
  'nn.Threshold': ({ threshold, value }) => new nn.Threshold(threshold, value),
  'nn.Hardshrink': ({ lambd }) => new nn.Hardshrink(lambd),
  'nn.Softshrink': ({ lambd }) => new nn.Softshrink(lambd),
  'nn.RReLU': ({ lower, upper }) => new nn.RReLU(lower, upper),
  'nn.PReLU': ({ numParameters, init }) => new nn.PReLU(numParameters, init),
  'nn.GLU': ({ dim }) => new nn.GLU(dim),
  'nn.Softmax': ({ dim }) => new nn.Softmax(dim),
  'nn.LogSoftmax': ({ dim }) => new nn.LogSoftmax(dim),
  'nn.Softmin': ({ dim }) => new nn.Softmin(dim),
  'nn.Linear': ({ inFeatures, outFeatures, ...o }) => new nn.Linear(inFeatures, outFeatures, o),
  'nn.Bilinear': ({ in1Features, in2Features, outFeatures, ...o }) =>
    new nn.Bilinear(in1Features, in2Features, outFeatures, o),
};
