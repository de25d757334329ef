// optim: optimizers, clipping of gradients, and learning-rate schedules.

export type { AdagradOptions } from './adagrad';
export { Adagrad } from './adagrad';
export type { AdamOptions } from './adam';
export { Adam, AdamW } from './adam';
export type { AdamaxOptions } from './adamax';
export { Adamax } from './adamax';
export { clipGradNorm, clipGradValue } from './clip';
export type { ParamGroup, Params } from './optimizer';
export { Optimizer } from './optimizer';
export type { RMSpropOptions } from './rmsprop';
export { RMSprop } from './rmsprop';
export type { Rule } from './rule';
export type { Schedule, SchedulerState } from './schedule';
export { constant, cosine, exponential, multiStep, Scheduler, sequential, step, warmUp } from './schedule';
export type { SGDOptions } from './sgd';
export { SGD } from './sgd';
