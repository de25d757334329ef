// Learning-rate schedulers with PyTorch's names and arguments. Those here go on from the rate that a group has, as PyTorch's do, so that a rate set by
// hand, or by another scheduler, is what they change. Plain functions of the epoch are schedules (schedule.ts).
import { at, valueAt } from '../../shaders/checked';
import { device, InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import type { Optimizer } from './optimizer';

export type AnyOptimizer = Optimizer<{ lr: number }>;

/** What a scheduler saves, by the names of PyTorch's `state_dict`: what JSON can hold. */
export type LRSchedulerState = Record<string, unknown>;

/** What schedulers change of a group. */
export interface Tuned {
  lr: number;
  momentum?: number;
  betas?: readonly number[];
}

/** The rate that each group had when its first scheduler was made. */
export const initialRates = new WeakMap<object, number>();

/** What all learning-rate schedulers share: `step()` after every epoch (or update), the rates now, and their state. */
export abstract class LRScheduler {
  /** Epochs so far. */
  lastEpoch = -1;
  /** The rates of the groups when the first scheduler was made. */
  baseLrs: number[];
  #steps = 0;
  #lastLr: number[];

  constructor(/** The optimizer whose rates it sets. */ readonly optimizer: AnyOptimizer) {
    const groups = (optimizer as AnyOptimizer | undefined)?.groups;
    if (!groups) throw new InputError(`${this.constructor.name}: the first argument is the optimizer`);
    for (const group of groups) if (!initialRates.has(group)) initialRates.set(group, group.lr);
    this.baseLrs = groups.map((group) => valueAt(initialRates, group));
    this.#lastLr = groups.map(({ lr }) => lr);
  }

  /** The groups, as schedulers see them. */
  protected get groups(): readonly Tuned[] {
    return this.optimizer.groups;
  }

  /** The rates of `lastEpoch`, a step after those that the groups have; `isFirst`: none was made yet. */
  protected abstract rates(isFirst: boolean): number[];

  /** The rates of epoch 0, from whatever the groups have now. */
  protected atStart(): number[] {
    return this.rates(false);
  }

  /** Numbers and what else belongs to it, by PyTorch's names; `loadStateDict` writes into it. */
  protected get own(): Record<string, unknown> {
    return {};
  }

  /** Sets the rates of the first epoch. */
  begin(): void {
    this.#steps = 0;
    this.#set(() => {
      this.lastEpoch++;
      return this.rates(true);
    });
  }

  /** Goes back to before its first step: for those that come later in a sequence. */
  undo(): void {
    this.lastEpoch--;
  }

  /** Begins at epoch 0, when its turn comes in a sequence. */
  restart(): void {
    this.#set(() => {
      this.lastEpoch = 0;
      return this.atStart();
    });
  }

  /** Goes on to the next epoch. */
  step(): void {
    device().effect(() => {
      const { groups } = this;
      const state = this.stateDict();
      const before = groups.map((group) => ({ ...group }));
      this.advance();
      return () => {
        this.loadStateDict(state);
        groups.forEach((group, i) => Object.assign(group, before[i]));
      };
    });
  }

  /** The same, as part of another scheduler's step. */
  advance(): void {
    this.#set(() => {
      this.lastEpoch++;
      return this.rates(false);
    });
  }

  #set(next: () => number[]): void {
    this.#steps++;
    const rates = next();
    const odd = rates.find((lr) => typeof lr !== 'number' || Number.isNaN(lr));
    if (odd !== undefined)
      throw new InputError(
        `${this.constructor.name}: the rate of epoch ${this.lastEpoch} is ${odd}, it must be a number`,
      );
    rates.forEach((lr, i) => (at(this.groups, i).lr = lr));
    this.#lastLr = rates;
  }

  /** The rates that it has set last, one a group. */
  getLastLr(): number[] {
    return [...this.#lastLr];
  }

  /** Where it stands, by the names of PyTorch's `state_dict`. */
  stateDict(): LRSchedulerState {
    const { own, baseLrs, lastEpoch } = this;
    return {
      ...structuredClone(own),
      base_lrs: [...baseLrs],
      last_epoch: lastEpoch,
      _step_count: this.#steps,
      _last_lr: this.getLastLr(),
    };
  }

  /** Goes on from `stateDict()`; the rates themselves are the optimizer's to load. Throws InputError where it does not fit; nothing is changed then. */
  loadStateDict(state: LRSchedulerState): void {
    const { base_lrs: base, last_epoch: epoch, _step_count: steps = 0, _last_lr: last = base } = state ?? {};
    const { own } = this;
    const missing = Object.keys(own).filter((name) => !(name in state));
    const fits = (list: unknown): list is number[] => Array.isArray(list) && list.length === this.groups.length;
    if (typeof epoch !== 'number' || !fits(base) || !fits(last) || missing.length)
      throw new InputError(
        `${this.constructor.name}: this is no state of such a scheduler for ${this.groups.length} groups` +
          `${missing.length ? `, it lacks ${missing.join(', ')}` : ''}; nothing was loaded`,
      );
    Object.assign(own, Object.fromEntries(Object.keys(own).map((name) => [name, structuredClone(state[name])])));
    this.lastEpoch = epoch;
    this.baseLrs = [...base];
    this.#steps = Number(steps);
    this.#lastLr = [...last];
  }
}

/** One number for each group, from a number for all of them or a list. */
export function perGroup(
  op: string,
  name: string,
  value: number | readonly number[],
  groups: readonly unknown[],
): number[] {
  const list = Array.isArray(value) ? [...value] : groups.map(() => value as number);
  if (list.length !== groups.length || !list.every(Number.isFinite))
    throw new InputError(`${op}: ${name} must be a number, or one for each of the ${groups.length} groups`);
  return list;
}

/** Refuses numbers that are not what a scheduler needs. */
export function requireRange(op: string, values: Record<string, number>, least: number, most = Infinity): void {
  for (const [name, value] of Object.entries(values))
    if (!(value >= least && value <= most))
      throw new InputError(`${op}: ${name} ${value} must be a number in ${least} … ${most === Infinity ? '∞' : most}`);
}

export function requireCount(op: string, values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values))
    if (!Number.isInteger(value) || value < 1)
      throw new InputError(`${op}: ${name} ${value} must be a whole number ≥ 1`);
}

/** How a rate comes from the one before it, and from the first one. */
interface Recurrence<C> {
  /** The rate of epoch 0 from the group's; the same if absent. */
  first?(lr: number, c: C): number;
  /** The rate of an epoch ≥ 1 from that of the epoch before. */
  next(lr: number, epoch: number, c: C, base: number): number;
}

/** A scheduler that is a recurrence over constants. */
abstract class Recursive<C extends object> extends LRScheduler {
  readonly #constants: C;
  readonly #rule: Recurrence<C>;

  constructor(optimizer: AnyOptimizer, constants: C, rule: Recurrence<C>) {
    super(optimizer);
    this.#constants = constants;
    this.#rule = rule;
    this.begin();
  }

  protected override rates(isFirst: boolean): number[] {
    const { lastEpoch } = this;
    const { first = (lr) => lr, next } = this.#rule;
    return this.groups.map(({ lr }, i) =>
      isFirst || lastEpoch === 0
        ? first(lr, this.#constants)
        : next(lr, lastEpoch, this.#constants, at(this.baseLrs, i)),
    );
  }

  protected override atStart(): number[] {
    return this.baseLrs.map((base) => (this.#rule.first ?? ((lr: number) => lr))(base, this.#constants));
  }

  protected override get own(): Record<string, unknown> {
    return this.#constants as Record<string, unknown>;
  }
}

const GAMMA: OptionTable<{ gamma?: number }> = { gamma: is.number };

/** Multiplies by `gamma` every `stepSize` epochs. */
export class StepLR extends Recursive<{ step_size: number; gamma: number }> {
  constructor(
    optimizer: AnyOptimizer,
    stepSize: number,
    options: { /** Factor on the rate (default 0.1). */ gamma?: number } = {},
  ) {
    const { gamma = 0.1 } = checked('StepLR', options, GAMMA);
    requireCount('StepLR', { stepSize });
    super(
      optimizer,
      { step_size: stepSize, gamma },
      {
        next: (lr, epoch, c) => (epoch % c.step_size === 0 ? lr * c.gamma : lr),
      },
    );
  }
}

/** Multiplies by `gamma` at each milestone; one that is listed twice counts twice. */
export class MultiStepLR extends Recursive<{ milestones: Record<string, number>; gamma: number }> {
  constructor(
    optimizer: AnyOptimizer,
    milestones: readonly number[],
    options: { /** Factor on the rate (default 0.1). */ gamma?: number } = {},
  ) {
    const { gamma = 0.1 } = checked('MultiStepLR', options, GAMMA);
    if (!Array.isArray(milestones)) throw new InputError('MultiStepLR: milestones are a list of epochs');
    const counts: Record<string, number> = {};
    for (const m of milestones) counts[m] = (counts[m] ?? 0) + 1;
    super(
      optimizer,
      { milestones: counts, gamma },
      {
        next: (lr, epoch, c) => (c.milestones[epoch] ? lr * c.gamma ** c.milestones[epoch] : lr),
      },
    );
  }
}

/** Multiplies by `factor` (1/3) until epoch `totalIters` (5). */
export class ConstantLR extends Recursive<{ factor: number; total_iters: number }> {
  constructor(
    optimizer: AnyOptimizer,
    options: {
      /** Factor on the rate until then (default 1/3). */
      factor?: number;
      /** Steps until the rate stays (default 5). */
      totalIters?: number;
    } = {},
  ) {
    const o = checked('ConstantLR', options, { factor: is.number, totalIters: is.number });
    const { factor = 1 / 3, totalIters = 5 } = o;
    requireRange('ConstantLR', { factor }, 0, 1);
    super(
      optimizer,
      { factor, total_iters: totalIters },
      {
        first: (lr, c) => lr * c.factor,
        next: (lr, epoch, c, base) => (epoch !== c.total_iters ? lr : c.factor ? lr * (1 / c.factor) : base),
      },
    );
  }
}

/** Rises (or falls) from `startFactor` (1/3) to `endFactor` (1) times the rate over `totalIters` (5) epochs. */
export class LinearLR extends Recursive<{ start_factor: number; end_factor: number; total_iters: number }> {
  constructor(
    optimizer: AnyOptimizer,
    options: {
      /** Factor at the first step (default 1/3). */
      startFactor?: number;
      /** Factor at the last step (default 1). */
      endFactor?: number;
      /** Steps until the rate stays (default 5). */
      totalIters?: number;
    } = {},
  ) {
    const table = { startFactor: is.number, endFactor: is.number, totalIters: is.number };
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = checked('LinearLR', options, table);
    requireRange('LinearLR', { endFactor }, 0, 1);
    if (!(startFactor > 0 && startFactor <= 1))
      throw new InputError(`LinearLR: startFactor ${startFactor} must be a number above 0 and up to 1`);
    super(
      optimizer,
      { start_factor: startFactor, end_factor: endFactor, total_iters: totalIters },
      {
        first: (lr, c) => lr * c.start_factor,
        next: (lr, epoch, { start_factor: start, end_factor: end, total_iters: total }) =>
          epoch > total ? lr : lr * (1 + (end - start) / (total * start + (epoch - 1) * (end - start))),
      },
    );
  }
}

/** Multiplies by `gamma` every epoch. */
export class ExponentialLR extends Recursive<{ gamma: number }> {
  constructor(optimizer: AnyOptimizer, gamma: number) {
    requireRange('ExponentialLR', { gamma }, 0);
    super(optimizer, { gamma }, { next: (lr, _, c) => lr * c.gamma });
  }
}

/** Half a cosine from the rate to `etaMin` in `tMax` epochs, and back. */
export class CosineAnnealingLR extends Recursive<{ T_max: number; eta_min: number }> {
  constructor(optimizer: AnyOptimizer, tMax: number, options: { /** Least rate (default 0). */ etaMin?: number } = {}) {
    const { etaMin = 0 } = checked('CosineAnnealingLR', options, { etaMin: is.number });
    requireRange('CosineAnnealingLR', { tMax }, 1e-9);
    const at = (epoch: number, T: number) => 1 + Math.cos((Math.PI * epoch) / T);
    super(
      optimizer,
      { T_max: tMax, eta_min: etaMin },
      {
        next: (lr, epoch, { T_max: T, eta_min: least }, base) =>
          (epoch - 1 - T) % (2 * T) === 0
            ? lr + ((base - least) * (1 - Math.cos(Math.PI / T))) / 2
            : (at(epoch, T) / at(epoch - 1, T)) * (lr - least) + least,
      },
    );
  }
}

/** Falls to 0 over `totalIters` (5) epochs as a power (1) of what is left of them. */
export class PolynomialLR extends Recursive<{ total_iters: number; power: number }> {
  constructor(
    optimizer: AnyOptimizer,
    options: {
      /** Steps until the rate stays (default 5). */
      totalIters?: number;
      /** Exponent of the fall (default 1: a straight line). */
      power?: number;
    } = {},
  ) {
    const o = checked('PolynomialLR', options, { totalIters: is.number, power: is.number });
    const { totalIters = 5, power = 1 } = o;
    super(
      optimizer,
      { total_iters: totalIters, power },
      {
        next: (lr, epoch, { total_iters: total, power }) =>
          epoch > total ? lr : lr * ((1 - epoch / total) / (1 - (epoch - 1) / total)) ** power,
      },
    );
  }
}

/** A factor of the epoch, or one for each group. */
export type LRLambda = ((epoch: number) => number) | readonly ((epoch: number) => number)[];

abstract class OfFunctions extends LRScheduler {
  protected readonly functions: readonly ((epoch: number) => number)[];

  constructor(optimizer: AnyOptimizer, lrLambda: LRLambda) {
    super(optimizer);
    const { name } = this.constructor;
    this.functions = typeof lrLambda === 'function' ? this.groups.map(() => lrLambda) : lrLambda;
    if (!Array.isArray(this.functions) || !this.functions.every((f) => typeof f === 'function'))
      throw new InputError(`${name}: lrLambda is a function of the epoch, or a list of them`);
    if (this.functions.length !== this.groups.length)
      throw new InputError(`${name}: ${this.functions.length} functions for ${this.groups.length} groups`);
    this.begin();
  }
}

/** The first rate times a function of the epoch. */
export class LambdaLR extends OfFunctions {
  protected override rates(): number[] {
    return this.baseLrs.map((base, i) => base * at(this.functions, i)(this.lastEpoch));
  }
}

/** The rate before times a function of the epoch, from epoch 1 on. */
export class MultiplicativeLR extends OfFunctions {
  protected override rates(isFirst: boolean): number[] {
    return this.groups.map(({ lr }, i) => (isFirst ? lr : lr * at(this.functions, i)(this.lastEpoch)));
  }
}
