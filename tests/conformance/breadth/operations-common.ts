// What stood before ../shared/torch-breadth was written, under PyTorch's names.

import * as binaryFunctions from '../../../src/ops/binary';
import * as conv from '../../../src/ops/conv';
import { conv1d } from '../../../src/ops/conv-nd';
import * as elementwise from '../../../src/ops/elementwise';
import { concat, stack } from '../../../src/ops/join';
import { linear, matmul } from '../../../src/ops/matmul';
import * as reduce from '../../../src/ops/reduce';
import { logSoftmax, softmax } from '../../../src/ops/softmax';
import * as unaryFunctions from '../../../src/ops/unary';
import * as views from '../../../src/ops/views';
import type { Operation } from './operations';

const unary = ['tanh', 'exp', 'log', 'sqrt', 'rsqrt', 'reciprocal', 'sin', 'cos', 'erf', 'erfc', 'log1p', 'square', 'atan', 'abs', 'expm1', 'sigmoid',
  'log2', 'log10', 'exp2', 'asinh', 'acosh', 'atanh', 'relu'] as const; // biome-ignore format: one list
const activations = ['silu', 'mish', 'relu', 'relu6', 'softsign', 'selu', 'hardswish', 'logsigmoid'] as const;
const ours: Record<string, keyof typeof unaryFunctions> = { hardswish: 'hardSwish', logsigmoid: 'logSigmoid' };
const binary = [
  'add',
  'sub',
  'mul',
  'div',
  'pow',
  'maximum',
  'minimum',
  'atan2',
  'hypot',
  'fmod',
  'remainder',
] as const;
const f = unaryFunctions as Record<string, (x: never) => unknown>;
const b = binaryFunctions;

export const common: Record<string, Operation> = {
  ...Object.fromEntries(unary.map((name) => [`torch.${name}`, ([x]) => f[name](x as never)])),
  ...Object.fromEntries(activations.map((name) => [`F.${name}`, ([x]) => f[ours[name] ?? name](x as never)])),
  ...Object.fromEntries(
    binary.map((name): [string, Operation] => [
      `torch.${name}`,
      ([x, y], { other, exponent, alpha = 1 }) => {
        const second = y ?? other ?? exponent;
        return b[name](x, alpha === 1 ? second : elementwise.mul(second, alpha));
      },
    ]),
  ),
  'F.gelu': ([x], o) => elementwise.gelu(x, o),
  'F.softplus': ([x], { beta = 1, threshold = 20 }) => elementwise.softplus(x, beta, threshold),
  'F.elu': ([x], { alpha = 1 }) => elementwise.elu(x, alpha),
  'F.celu': ([x], { alpha = 1 }) => elementwise.celu(x, alpha),
  'F.leaky_relu': ([x], { negativeSlope = 0.01 }) => elementwise.leakyRelu(x, negativeSlope),
  'torch.sum': ([x], { dim, keepdim }) => reduce.sum(x, dim, keepdim),
  'torch.mean': ([x], { dim, keepdim }) => reduce.mean(x, dim, keepdim),
  'torch.var': ([x], { dim, keepdim, correction }) => reduce.variance(x, dim, keepdim, correction),
  'torch.std': ([x], { dim, keepdim, correction }) => reduce.std(x, dim, keepdim, correction),
  'torch.prod': ([x], { dim, keepdim }) => reduce.prod(x, dim, keepdim),
  'torch.amax': ([x], { dim, keepdim }) => reduce.max(x, dim, keepdim),
  'torch.amin': ([x], { dim, keepdim }) => reduce.min(x, dim, keepdim),
  'torch.logsumexp': ([x], { dim, keepdim }) => reduce.logsumexp(x, dim, keepdim),
  'torch.matmul': ([x, y]) => matmul(x, y),
  'F.linear': ([x, w, bias]) => linear(x, w, bias),
  'F.conv1d': ([x, w, bias = null], o) => conv1d(x, w, bias, o),
  'F.conv2d': ([x, w, bias = null], o) => conv.conv2d(x, w, bias, o),
  'F.conv_transpose2d': ([x, w, bias = null], o) => conv.convTranspose2d(x, w, bias, o),
  'torch.softmax': ([x], { dim }) => softmax(x, dim),
  'torch.log_softmax': ([x], { dim }) => logSoftmax(x, dim),
  'torch.cat': ([list], { dim = 0 }) => concat(list, dim),
  'torch.stack': ([list], { dim = 0 }) => stack(list, dim),
  'torch.reshape': ([x], { shape }) => views.reshape(x, shape),
  'torch.permute': ([x], { dims }) => views.permute(x, dims),
  'torch.transpose': ([x], { dim0, dim1 }) => views.transpose(x, dim0, dim1),
  'torch.flatten': ([x], { startDim = 0, endDim = -1 }) => views.flatten(x, startDim, endDim),
  'Tensor.expand': ([x], { size }) => views.expand(x, size),
};
