// optim: optimizers and learning-rate schedules.
export { Optimizer } from './optimizer';
export type { ParamGroup } from './optimizer';
export { SGD } from './sgd';
export type { SGDOptions } from './sgd';
export { Scheduler, constant, multiStep } from './schedule';
export type { Schedule } from './schedule';
