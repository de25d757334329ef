// Schedulers made of others, and the one that follows a metric: SequentialLR, ChainedScheduler, ReduceLROnPlateau.
import { at, valueAt } from '../../shaders/checked';
import { device, InputError } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { type AnyOptimizer, initialRates, LRScheduler, type LRSchedulerState, perGroup } from './lr-scheduler';

/** Several schedulers of one optimizer. */
abstract class Combined extends LRScheduler {
  constructor(
    optimizer: AnyOptimizer,
    protected readonly schedulers: readonly LRScheduler[],
  ) {
    super(optimizer);
    const { name } = new.target;
    if (!schedulers.length || !schedulers.every((s) => s instanceof LRScheduler))
      throw new InputError(
        `${name}: give a list of schedulers; ReduceLROnPlateau is none of them, since it needs a metric`,
      );
    const odd = schedulers.findIndex((s) => s.optimizer !== optimizer);
    if (odd >= 0) throw new InputError(`${name}: scheduler ${odd} is one of another optimizer`);
  }

  override undo(): void {
    for (const scheduler of this.schedulers) scheduler.undo();
  }

  override stateDict(): LRSchedulerState {
    const { last_epoch, _last_lr } = super.stateDict();
    return { ...this.own, last_epoch, _last_lr, _schedulers: this.schedulers.map((s) => s.stateDict()) };
  }

  override loadStateDict(state: LRSchedulerState): void {
    const list = state?._schedulers;
    if (!Array.isArray(list) || list.length !== this.schedulers.length)
      throw new InputError(`${this.constructor.name}: the state is not that of ${this.schedulers.length} schedulers`);
    super.loadStateDict({ base_lrs: this.baseLrs, ...state });
    this.schedulers.forEach((s, i) => s.loadStateDict(list[i]));
  }
}

/** The first scheduler up to the first milestone, then the second one from its own beginning, and so on. */
export class SequentialLR extends Combined {
  readonly #milestones: number[];

  constructor(optimizer: AnyOptimizer, schedulers: readonly LRScheduler[], milestones: readonly number[]) {
    super(optimizer, schedulers);
    if (!Array.isArray(milestones) || milestones.length !== schedulers.length - 1)
      throw new InputError(`SequentialLR: ${schedulers.length} schedulers need one milestone less`);
    this.#milestones = [...milestones];
    this.lastEpoch = 0;
    for (const group of optimizer.groups) group.lr = valueAt(initialRates, group);
    for (const scheduler of schedulers) scheduler.undo();
    at(schedulers, this.#turn()).begin();
  }

  #turn(): number {
    return this.#milestones.filter((m) => m <= this.lastEpoch).length;
  }

  protected override rates(): number[] {
    const turn = this.#turn();
    const scheduler = at(this.schedulers, turn);
    if (turn > 0 && at(this.#milestones, turn - 1) === this.lastEpoch) scheduler.restart();
    else scheduler.advance();
    return this.groups.map(({ lr }) => lr);
  }

  protected override get own(): Record<string, unknown> {
    return { _milestones: this.#milestones };
  }
}

/** All schedulers at once: each goes on from what the one before has made of the rate. */
export class ChainedScheduler extends Combined {
  constructor(
    schedulers: readonly LRScheduler[],
    options: { /** Whose rates they set (default: that of the first). */ optimizer?: AnyOptimizer } = {},
  ) {
    const { optimizer = schedulers?.[0]?.optimizer } = checked('ChainedScheduler', options, { optimizer: is.object });
    super(optimizer as AnyOptimizer, schedulers); // an empty list is refused there
  }

  protected override rates(isFirst: boolean): number[] {
    for (const scheduler of this.schedulers) isFirst ? scheduler.begin() : scheduler.advance();
    return this.groups.map(({ lr }) => lr);
  }

  protected override atStart(): number[] {
    for (const scheduler of this.schedulers) scheduler.restart();
    return this.groups.map(({ lr }) => lr);
  }
}

/** Options of `ReduceLROnPlateau`, with PyTorch's defaults. */
export interface PlateauOptions {
  /** Whether the metric is to fall or to rise. */
  mode?: 'min' | 'max';
  /** The rate is multiplied by this, below 1 (default 0.1). */
  factor?: number;
  /** Epochs without progress before the rate falls; 10 by default. */
  patience?: number;
  /** The least progress, as a share of the best value or absolute. */
  threshold?: number;
  /** 'rel': `threshold` is a share of the best value (default); 'abs': a difference. */
  thresholdMode?: 'rel' | 'abs';
  /** Epochs after a fall that are not counted. */
  cooldown?: number;
  /** No rate falls below this; one number, or one for each group (default 0). */
  minLr?: number | readonly number[];
  /** Smaller changes of the rate are left out. */
  eps?: number;
}

const PLATEAU: OptionTable<PlateauOptions> = {
  mode: word('min', 'max'),
  factor: is.number,
  patience: is.number,
  threshold: is.number,
  thresholdMode: word('rel', 'abs'),
  cooldown: is.number,
  minLr: is.size,
  eps: is.number,
};

interface PlateauState {
  best: number;
  cooldown_counter: number;
  num_bad_epochs: number;
  last_epoch: number;
  _last_lr: number[];
}

/** Multiplies the rate by `factor` (0.1) when a metric has not improved for more than `patience` epochs: `scheduler.step(await loss.item())`. */
export class ReduceLROnPlateau {
  readonly #o: Required<Omit<PlateauOptions, 'minLr'>>;
  readonly #least: number[];
  #state: PlateauState;

  constructor(
    /** The optimizer whose rates it sets. */
    readonly optimizer: AnyOptimizer,
    options: PlateauOptions = {},
  ) {
    const op = 'ReduceLROnPlateau';
    const { minLr = 0, ...given } = checked(op, options, PLATEAU);
    const defaults = { mode: 'min', factor: 0.1, patience: 10, threshold: 1e-4, thresholdMode: 'rel' } as const;
    this.#o = { ...defaults, cooldown: 0, eps: 1e-8, ...given };
    if (!(this.#o.factor < 1)) throw new InputError(`${op}: factor ${this.#o.factor} must be below 1`);
    this.#least = perGroup(op, 'minLr', minLr, optimizer.groups);
    const best = this.#o.mode === 'min' ? Infinity : -Infinity;
    this.#state = { best, cooldown_counter: 0, num_bad_epochs: 0, last_epoch: 0, _last_lr: this.#rates() };
  }

  #rates = (): number[] => this.optimizer.groups.map(({ lr }) => lr);

  #isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.#o;
    const { best } = this.#state;
    const sign = mode === 'min' ? -1 : 1;
    const bound = thresholdMode === 'rel' ? best * (1 + sign * threshold) : best + sign * threshold;
    return sign * metric > sign * bound;
  }

  /** Takes the metric of an epoch. Throws InputError for what is no number, such as a tensor. */
  step(metric: number): void {
    if (typeof metric !== 'number')
      throw new InputError('ReduceLROnPlateau: the metric must be a number: await loss.item()');
    if (device().tracing)
      throw new InputError(
        'ReduceLROnPlateau: step needs a metric from the host: call it outside of the compiled step',
      );
    const s = this.#state;
    const { factor, patience, cooldown, eps } = this.#o;
    s.last_epoch++;
    if (this.#isBetter(metric)) Object.assign(s, { best: metric, num_bad_epochs: 0 });
    else s.num_bad_epochs++;
    if (s.cooldown_counter > 0) {
      s.cooldown_counter--;
      s.num_bad_epochs = 0;
    }
    if (s.num_bad_epochs > patience) {
      this.optimizer.groups.forEach((group, i) => {
        const lr = Math.max(group.lr * factor, at(this.#least, i));
        if (group.lr - lr > eps) group.lr = lr;
      });
      Object.assign(s, { cooldown_counter: cooldown, num_bad_epochs: 0 });
    }
    s._last_lr = this.#rates();
  }

  /** Calls of `step` so far. */
  get lastEpoch(): number {
    return this.#state.last_epoch;
  }

  /** The rate of each group after the last `step`. */
  getLastLr(): number[] {
    return [...this.#state._last_lr];
  }

  /** Where it stands, by the names of PyTorch's `state_dict`. */
  stateDict(): LRSchedulerState {
    const { thresholdMode: threshold_mode, ...o } = this.#o;
    const alike = this.#least.every((n) => n === this.#least[0]);
    const mode_worse = o.mode === 'min' ? Infinity : -Infinity;
    const lists = { min_lrs: [...this.#least], default_min_lr: alike ? this.#least[0] : null };
    return { ...o, threshold_mode, ...lists, mode_worse, ...structuredClone(this.#state) };
  }

  /** Goes on from `stateDict()`. Throws InputError where it does not fit; nothing is changed then. */
  loadStateDict(state: LRSchedulerState): void {
    const names = Object.keys(this.#state) as (keyof PlateauState)[];
    if (!names.every((name) => state && name in state))
      throw new InputError(`ReduceLROnPlateau: this is no state of it, { ${names.join(', ')} }; nothing was loaded`);
    // JSON has no infinity.
    const worst = this.#o.mode === 'min' ? Infinity : -Infinity;
    const own = Object.fromEntries(names.map((name) => [name, structuredClone(state[name])]));
    this.#state = { ...(own as unknown as PlateauState), best: (state.best as number | null) ?? worst };
  }
}
