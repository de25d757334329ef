// F: operations as functions, by their PyTorch names in camel case.
export * from '../autograd/clamp';
export * from '../autograd/conv';
export * from '../autograd/einsum';
export * from '../autograd/elementwise';
export * from '../autograd/gather';
export * from '../autograd/matmul';
export * from '../autograd/norm';
export * from '../autograd/random';
export * from '../autograd/reduce';
export * from '../autograd/residual-step';
export * from '../autograd/sort';
export * from '../autograd/views';
export * from '../ops/loss';
export * from '../ops/pool';
export { logSoftmax, softmax } from '../ops/softmax';
