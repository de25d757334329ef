// Learning-rate schedules: pure functions of the epoch, applied to an optimizer's groups.
import { device, InputError } from '../gpu';
import type { Optimizer } from './optimizer';

/** Factor on the initial rate in `epoch` = 0, 1, … Any function is one, as in `torch.optim.lr_scheduler.LambdaLR`. */
export type Schedule = (epoch: number) => number;

/** Multiplies by `gamma` at each milestone, as `torch.optim.lr_scheduler.MultiStepLR`. */
export function multiStep(milestones: readonly number[], gamma = 0.1): Schedule {
  if (milestones.some((m, i) => !(m >= 0) || (i > 0 && m < milestones[i - 1])))
    throw new InputError(`multiStep: milestones [${milestones.join(', ')}] must be epochs ≥ 0 in ascending order`);
  return (epoch) => gamma ** milestones.filter((m) => epoch >= m).length;
}

/** The rate never changes. */
export const constant: Schedule = () => 1;

/** Multiplies by `gamma` every `size` epochs, as `StepLR`. */
export function step(size: number, gamma = 0.1): Schedule {
  requirePositive('step', { size });
  return (epoch) => gamma ** Math.floor(epoch / size);
}

/** Multiplies by `gamma` every epoch, as `ExponentialLR`. */
export const exponential =
  (gamma: number): Schedule =>
  (epoch) =>
    gamma ** epoch;

/** Half a cosine from 1 to `least` over `epochs`, as `CosineAnnealingLR` with eta_min = least · lr. */
export function cosine(epochs: number, least = 0): Schedule {
  requirePositive('cosine', { epochs });
  return (epoch) => least + ((1 - least) * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2;
}

/** Rises linearly from `start` to 1 over `epochs`, as `LinearLR`; put another schedule behind it with `sequential`. */
export function warmUp(epochs: number, start = 1 / 3): Schedule {
  requirePositive('warmUp', { epochs });
  return (epoch) => start + (1 - start) * Math.min(1, epoch / epochs);
}

/** `schedules[0]` up to the first milestone, then `schedules[1]`, counting its epochs from there, and so on, as `SequentialLR`. */
export function sequential(schedules: readonly Schedule[], milestones: readonly number[]): Schedule {
  if (schedules.length !== milestones.length + 1 || milestones.some((m, i) => !(m > (milestones[i - 1] ?? 0))))
    throw new InputError(
      `sequential: ${schedules.length} schedules need one ascending milestone less, not [${milestones.join(', ')}]`,
    );
  return (epoch) => {
    const part = milestones.filter((m) => epoch >= m).length;
    return schedules[part](epoch - (milestones[part - 1] ?? 0));
  };
}

function requirePositive(schedule: string, options: Record<string, number>): void {
  for (const [name, value] of Object.entries(options))
    if (!(value > 0)) throw new InputError(`${schedule}: ${name} ${value} must be a number > 0`);
}

interface Rate {
  /** The rate that the factors multiply. */
  initial: number;
  /** What the schedulers have made of it. */
  scheduled: number;
  factors: Map<Scheduler, number>;
}

/** The rate of each group that has schedulers. */
const rates = new WeakMap<object, Rate>();

/** Applies a schedule: `step()` after every epoch, as in PyTorch. Several on one optimizer multiply their factors. */
export class Scheduler {
  epoch = 0;

  constructor(
    readonly optimizer: Optimizer<{ lr: number }>,
    readonly schedule: Schedule,
  ) {
    this.setEpoch(0);
  }

  /** Goes on to the next epoch. */
  step(): void {
    device().effect(() => this.#apply(this.epoch + 1));
  }

  /** Sets the rates of `epoch`, after resuming for example. */
  setEpoch(epoch: number): void {
    device().effect(() => this.#apply(epoch));
  }

  #apply(epoch: number): void {
    this.epoch = epoch;
    const factor = this.schedule(epoch);
    for (const group of this.optimizer.groups) {
      const rate = rates.get(group) ?? { initial: group.lr, scheduled: group.lr, factors: new Map() };
      rates.set(group, rate);
      const all = () => [...rate.factors.values()].reduce((product, f) => product * f, 1);
      // A rate that was set by hand is what the schedules go on from.
      if (group.lr !== rate.scheduled && all() !== 0) rate.initial = group.lr / all();
      rate.factors.set(this, factor);
      group.lr = rate.scheduled = rate.initial * all();
    }
  }
}
