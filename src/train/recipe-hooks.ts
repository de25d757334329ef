// Hooks for what newer recipes do after every step: averages of the weights, and schedules that go by steps.
import { InputError } from '../gpu';
import type { AnyAveragedModel } from '../optim/averaged-model';
import type { LRScheduler, LRSchedulerState } from '../optim/lr-scheduler';
import { tensor } from '../tensor/create';
import { Tensor } from '../tensor/tensor';
import type { Json } from './checkpoint';
import type { TrainerHook } from './hooks';

const AVERAGED = 'averaged.';

/**
 * Keeps averages of the weights: `hooks: [averageWeights(new optim.AveragedModel(model, { decay: 0.999, useBuffers: true }))]`. They are updated within the
 * compiled step, tested beside the plain weights (`testAveragedLoss`, `testAveragedError` in the lines of epochs), and saved in checkpoints.
 */
export const averageWeights = (averaged: AnyAveragedModel): TrainerHook => ({
  name: 'averaged',
  afterStep: () => averaged.updateParameters(),
  tests: { name: 'averaged', within: (body) => averaged.within(body) },
  stateDict() {
    return Object.fromEntries(Object.entries(averaged.stateDict()).map(([name, x]) => [AVERAGED + name, x]));
  },
  loadStateDict(state) {
    const own = Object.entries(state).flatMap(([name, x]) =>
      name.startsWith(AVERAGED) && x instanceof Tensor ? [[name.slice(AVERAGED.length), x] as const] : [],
    );
    // A checkpoint from before there were averages: they begin.
    averaged.loadStateDict(own.length ? Object.fromEntries(own) : { n_averaged: tensor(0) });
  },
});

/**
 * Steps a scheduler after every update, such as `new optim.OneCycleLR(optimizer, 0.1, { totalSteps })`; without a hook a Trainer's `schedule` goes by epochs.
 * Its state is in the checkpoints.
 */
export const scheduleSteps = (scheduler: LRScheduler): TrainerHook => ({
  name: 'schedule',
  afterStep: () => scheduler.step(),
  stateDict: () => ({ schedule: scheduler.stateDict() as Json }),
  loadStateDict({ schedule }) {
    if (typeof schedule !== 'object' || schedule === null || schedule instanceof Tensor)
      throw new InputError('progress.schedule is missing: the run was begun without a schedule by steps');
    scheduler.loadStateDict(schedule as LRSchedulerState);
  },
});
