// Learning-rate schedules: pure functions of the epoch, applied to an optimizer's groups.
import { at } from '../../shaders/checked';
import { device, InputError } from '../gpu';
import type { Optimizer } from './optimizer';
import { rateOf } from './rates';

/** Factor on the initial rate in `epoch` = 0, 1, … Any function is one, as in `torch.optim.lr_scheduler.LambdaLR`. */
export type Schedule = (epoch: number) => number;

/** Multiplies by `gamma` at each milestone, as `torch.optim.lr_scheduler.MultiStepLR`. */
export function multiStep(milestones: readonly number[], gamma = 0.1): Schedule {
  if (milestones.some((m, i) => !(m >= 0) || (i > 0 && m < at(milestones, i - 1))))
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
    return at(schedules, part)(epoch - (milestones[part - 1] ?? 0));
  };
}

function requirePositive(schedule: string, options: Record<string, number>): void {
  for (const [name, value] of Object.entries(options))
    if (!(value > 0)) throw new InputError(`${schedule}: ${name} ${value} must be a number > 0`);
}

/** What a scheduler saves: its epoch, and of each group the rate now, the one that factors multiply, and what they have made of it. */
export interface SchedulerState {
  /** Epoch whose rates are set, from 0. */
  readonly epoch: number;
  /** Of each group: the rate now, the one it began with, and the one that the schedule has set. */
  readonly rates: readonly { readonly lr: number; readonly initial: number; readonly scheduled: number }[];
}

/** Applies a schedule: `step()` after every epoch, as in PyTorch. Several on one optimizer multiply their factors. */
export class Scheduler {
  /** Epoch whose rates are set, from 0. */
  epoch = 0;

  constructor(
    /** The optimizer whose rates it sets. */
    readonly optimizer: Optimizer<{ lr: number }>,
    /** Factor on each group's first rate, as a function of the epoch. */
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

  /** Where it stands, as PyTorch's `state_dict`: numbers that JSON holds exactly. Several on one optimizer are saved and loaded each. */
  stateDict(): SchedulerState {
    const { epoch, optimizer } = this;
    return {
      epoch,
      rates: optimizer.groups.map((group) => {
        const { initial, scheduled } = rateOf(group);
        return { lr: group.lr, initial, scheduled };
      }),
    };
  }

  /** Goes on from `stateDict()`, after the optimizer has loaded its own. Throws InputError where it does not fit; nothing is changed then. */
  loadStateDict(state: SchedulerState): void {
    const { groups } = this.optimizer;
    const isRate = (rate: object | null) => [...Object.values(rate ?? {})].filter(Number.isFinite).length >= 3;
    if (!(state?.epoch >= 0) || !Array.isArray(state.rates) || !state.rates.every(isRate))
      throw new InputError('Scheduler: this is no state of a scheduler, { epoch, rates }; nothing was loaded');
    if (state.rates.length !== groups.length)
      throw new InputError(
        `Scheduler: the state has rates of ${state.rates.length} groups, the optimizer has ${groups.length}; nothing was loaded`,
      );
    this.epoch = state.epoch;
    groups.forEach((group, i) => {
      const { lr, initial, scheduled } = at(state.rates, i);
      const rate = rateOf(group);
      rate.factors.set(this, this.schedule(state.epoch));
      Object.assign(rate, { initial, scheduled });
      group.lr = lr;
    });
  }

  /** Returns how to take it back. */
  #apply(epoch: number): () => void {
    const { epoch: before, optimizer } = this;
    const factor = this.schedule(epoch);
    if (typeof factor !== 'number' || Number.isNaN(factor))
      throw new InputError(`Scheduler: the schedule gives ${factor} for epoch ${epoch}, it must give a number`);
    this.epoch = epoch;
    const undo = optimizer.groups.map((group) => {
      const rate = rateOf(group);
      const { lr } = group;
      const { initial, scheduled, factors } = rate;
      const all = () => [...rate.factors.values()].reduce((product, f) => product * f, 1);
      // A rate that was set by hand is what the schedules go on from.
      if (lr !== scheduled && all() !== 0) rate.initial = lr / all();
      rate.factors = new Map(factors).set(this, factor);
      group.lr = rate.scheduled = rate.initial * all();
      return () => {
        group.lr = lr;
        Object.assign(rate, { initial, scheduled, factors });
      };
    });
    return () => {
      this.epoch = before;
      for (const restore of undo) restore();
    };
  }
}
