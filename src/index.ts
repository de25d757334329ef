// The public face of dawnfield, for browsers; `index.node.ts` adds what only Node has.
import './autograd/methods';

export { init, device, shutdown, scalar, Scalar } from './gpu';
export { AdapterError, DawnfieldError, DeviceLostError, GpuError, InputError, OutOfMemoryError, ReleasedError } from './gpu';
export type { AdapterOptions, Device, DeviceStats } from './gpu';
export { Tensor } from './tensor/tensor';
export type { NestedArray } from './tensor/tensor';
export type { DType } from './tensor/dtype';
export type { Shape } from './tensor/shape';
export { full, ones, tensor, zeros } from './tensor/create';
export { getRngState, manualSeed, setRngState } from './tensor/seed';
export { endStep } from './tensor/memory';
export { backward, detach, enableGrad, noGrad } from './autograd/tape';
export { compile } from './autograd/compile';
export type { CompiledStep } from './autograd/compile';
export * as F from './nn/functional';
export * as nn from './nn';
export * as optim from './optim';
export * as models from './models';
export { MeanField, meanFieldsIn } from './meanfield/mean-field';
export type { MeanFieldOptions, ParticleTelemetry } from './meanfield/mean-field';
export * from './train';
