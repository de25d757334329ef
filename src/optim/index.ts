// optim: optimizers, clipping of gradients, and learning-rate schedules.

export type { AdadeltaOptions } from './adadelta';
export { Adadelta } from './adadelta';
export type { AdagradOptions } from './adagrad';
export { Adagrad } from './adagrad';
export type { AdamOptions } from './adam';
export { Adam, AdamW } from './adam';
export type { AdamaxOptions } from './adamax';
export { Adamax } from './adamax';
export type { ASGDOptions } from './asgd';
export { ASGD } from './asgd';
export type { AveragedModelOptions } from './averaged-model';
export { AveragedModel } from './averaged-model';
export { clipGradNorm, clipGradValue } from './clip';
export type { GradScalerOptions } from './grad-scaler';
export { GradScaler } from './grad-scaler';
export type { Closure, LBFGSOptions } from './lbfgs';
export { LBFGS } from './lbfgs';
export type { LionOptions } from './lion';
export { Lion } from './lion';
export type { PlateauOptions } from './lr-combined';
export { ChainedScheduler, ReduceLROnPlateau, SequentialLR } from './lr-combined';
export type { CyclicOptions, OneCycleOptions } from './lr-cycles';
export { CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR } from './lr-cycles';
export type { LRLambda, LRSchedulerState } from './lr-scheduler';
export {
  ConstantLR,
  CosineAnnealingLR,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  LRScheduler,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
  StepLR,
} from './lr-scheduler';
export type { MuonOptions } from './muon';
export { Muon } from './muon';
export type { NAdamOptions } from './nadam';
export { NAdam } from './nadam';
export type { ParamGroup, Params } from './optimizer';
export { Optimizer } from './optimizer';
export type { RAdamOptions } from './radam';
export { RAdam } from './radam';
export type { RMSpropOptions } from './rmsprop';
export { RMSprop } from './rmsprop';
export type { RpropOptions } from './rprop';
export { Rprop } from './rprop';
export type { Rule } from './rule';
export type { Schedule, SchedulerState } from './schedule';
export { constant, cosine, exponential, multiStep, Scheduler, sequential, step, warmUp } from './schedule';
export type { SGDOptions } from './sgd';
export { SGD } from './sgd';
