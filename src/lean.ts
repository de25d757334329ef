// All of dawnfield but the methods of Tensor, for bundles that hold only what they use: operations are functions here, `F.add(x, y)`.
// `lean.node.ts` adds what only Node has.

import { notePlace } from './tensor/call-site';

notePlace(); // after all that is imported

export type { KernelTarget, MatrixUnit } from '../shaders/target';
export { AnomalyError, detectAnomaly } from './autograd/anomaly';
export { autocast, isAutocasting } from './autograd/autocast';
export type { BackwardOptions } from './autograd/backward';
export { backward, grad } from './autograd/backward';
export { checkpoint, checkpointSequential } from './autograd/checkpoint';
export type { CompiledStep, CompileOptions, PlanReport } from './autograd/compile';
export { compile } from './autograd/compile';
export type { CustomFunctionOptions, FunctionContext } from './autograd/custom-function';
export { customFunction } from './autograd/custom-function';
export type { JvpOptions } from './autograd/forward-mode';
export { jvp } from './autograd/forward-mode';
export type { GradcheckOptions, GradcheckReport } from './autograd/gradcheck';
export { gradcheck, gradgradcheck } from './autograd/gradcheck';
export type { GradientHook } from './autograd/hooks';
export { isRecomputing } from './autograd/modes';
export { detach, enableGrad, noGrad } from './autograd/tape';
export * from './data';
export * as featureFlow from './featureflow';
export type { TorchFile } from './formats';
export { parseNpy, parseNpz, parseTorch, serializeNpy, serializeNpz } from './formats';
export type { AdapterOptions, Device, DeviceStats, ProfiledLaunch, TuneOptions, TuningTable } from './gpu';
export {
  AdapterError,
  DawnfieldError,
  DeviceLostError,
  device,
  GpuError,
  InputError,
  init,
  OutOfMemoryError,
  ReleasedError,
  Scalar,
  scalar,
  shutdown,
  tune,
} from './gpu';
export type { Turnover } from './meanfield/birth-death';
export { birthDeath, countEffects } from './meanfield/birth-death';
export { expand } from './meanfield/expansion';
export type { ParticleHookOptions } from './meanfield/hooks';
export type { MeanFieldOptions } from './meanfield/mean-field';
export { MeanField, meanFieldsIn } from './meanfield/mean-field';
export type { SolverOptions } from './meanfield/ode';
export { solve } from './meanfield/ode';
export type { ParticleTelemetry, Placed } from './meanfield/stage';
export * as models from './models';
export * as nn from './nn';
export * as F from './nn/functional';
export type { LoadOptions, SaveOptions } from './nn/stored';
export { load, save } from './nn/stored';
export type { DefinedKernel, KernelBinding, KernelOptions } from './ops/define-kernel';
export { defineKernel } from './ops/define-kernel';
export * as linalg from './ops/linalg';
export * as optim from './optim';
export type { TensorOptions } from './tensor/create';
export { arange, eye, full, fullLike, linspace, ones, onesLike, tensor, zeros, zerosLike } from './tensor/create';
export type { DType, TypedArray } from './tensor/dtype';
export { endStep } from './tensor/memory';
export { bernoulli, rand, randint, randLike, randn, randnLike, randperm } from './tensor/random';
export type { RngState } from './tensor/seed';
export { getRngState, manualSeed, setRngState } from './tensor/seed';
export type { Shape } from './tensor/shape';
export type { NestedArray } from './tensor/tensor';
export { Tensor } from './tensor/tensor';
export * from './train';
