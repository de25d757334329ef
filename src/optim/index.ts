// optim: optimizers, clipping of gradients, and learning-rate schedules.
export { Optimizer } from './optimizer';
export type { ParamGroup } from './optimizer';
export { SGD } from './sgd';
export type { SGDOptions } from './sgd';
export { Adam, AdamW } from './adam';
export type { AdamOptions } from './adam';
export { Adamax } from './adamax';
export type { AdamaxOptions } from './adamax';
export { Adagrad } from './adagrad';
export type { AdagradOptions } from './adagrad';
export { RMSprop } from './rmsprop';
export type { RMSpropOptions } from './rmsprop';
export { clipGradNorm, clipGradValue } from './clip';
export { Scheduler, constant, cosine, exponential, multiStep, sequential, step, warmUp } from './schedule';
export type { Schedule } from './schedule';
