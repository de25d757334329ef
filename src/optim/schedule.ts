// Learning-rate schedules: pure functions of the epoch, applied to an optimizer's groups.
import { InputError } from '../gpu';
import type { Optimizer } from './optimizer';

/** Factor on the initial rate in `epoch` = 0, 1, … */
export type Schedule = (epoch: number) => number;

/** Multiplies by `gamma` at each milestone, as `torch.optim.lr_scheduler.MultiStepLR`. */
export function multiStep(milestones: readonly number[], gamma = 0.1): Schedule {
  if (milestones.some((m, i) => !(m >= 0) || (i > 0 && m < milestones[i - 1])))
    throw new InputError(`multiStep: milestones [${milestones.join(', ')}] must be epochs ≥ 0 in ascending order`);
  return (epoch) => gamma ** milestones.filter((m) => epoch >= m).length;
}

/** The rate never changes. */
export const constant: Schedule = () => 1;

/** Applies a schedule: `step()` after every epoch, as in PyTorch. */
export class Scheduler {
  readonly #initial: number[];
  epoch = 0;

  constructor(
    readonly optimizer: Optimizer<{ lr: number }>,
    readonly schedule: Schedule,
  ) {
    this.#initial = optimizer.groups.map((group) => group.lr);
    this.setEpoch(0);
  }

  /** Goes on to the next epoch. */
  step(): void {
    this.setEpoch(this.epoch + 1);
  }

  /** Sets the rates of `epoch`, after resuming for example. */
  setEpoch(epoch: number): void {
    this.epoch = epoch;
    this.optimizer.groups.forEach((group, i) => (group.lr = this.#initial[i] * this.schedule(epoch)));
  }
}
