// F: operations as functions, by their PyTorch names in camel case.
export * from '../autograd/clamp';
export * from '../autograd/conv';
export * from '../autograd/elementwise';
export * from '../autograd/gather';
export * from '../autograd/random';
export * from '../autograd/reduce';
export * from '../autograd/residual-step';
export * from '../autograd/sort';
export * from '../autograd/views';
export * from '../ops/einsum';
export * from '../ops/loss';
export { linear, matmul } from '../ops/matmul';
export { batchNorm, groupNorm, layerNorm } from '../ops/norm';
export * from '../ops/pool';
export { logSoftmax, softmax } from '../ops/softmax';
