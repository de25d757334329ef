// Schedulers that come again or go up and down once, with the momentum the other way round: CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR.
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import {
  type AnyOptimizer,
  initialRates,
  LRScheduler,
  perGroup,
  requireCount,
  requireRange,
  type Tuned,
} from './lr-scheduler';

/** A number for all groups, or one for each. */
type Each = number | readonly number[];

/** A half cosine from the rate to `etaMin` in `t0` epochs, then again in `tMult` times as many, and so on. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  readonly #state: { T_0: number; T_i: number; T_mult: number; eta_min: number; T_cur: number };

  constructor(
    optimizer: AnyOptimizer,
    t0: number,
    options: {
      /** Each cycle is so many times as long as the one before (default 1). */
      tMult?: number;
      /** Rate at the end of a cycle (default 0). */
      etaMin?: number;
    } = {},
  ) {
    const o = checked('CosineAnnealingWarmRestarts', options, { tMult: is.number, etaMin: is.number });
    const { tMult = 1, etaMin = 0 } = o;
    requireCount('CosineAnnealingWarmRestarts', { t0, tMult });
    super(optimizer);
    this.#state = { T_0: t0, T_i: t0, T_mult: tMult, eta_min: etaMin, T_cur: 0 };
    this.begin();
  }

  protected override rates(isFirst: boolean): number[] {
    const s = this.#state;
    if (isFirst || this.lastEpoch === 0) Object.assign(s, { T_cur: 0, T_i: s.T_0 });
    else if (++s.T_cur >= s.T_i) Object.assign(s, { T_cur: s.T_cur % s.T_i, T_i: s.T_i * s.T_mult });
    const share = (1 + Math.cos((Math.PI * s.T_cur) / s.T_i)) / 2;
    return this.baseLrs.map((base) => s.eta_min + (base - s.eta_min) * share);
  }

  protected override get own(): Record<string, unknown> {
    return this.#state;
  }
}

/** Sets the momentum of a group, or β₁. */
function setMomentum(group: Tuned, value: number): void {
  if (group.betas) group.betas = [value, ...group.betas.slice(1)];
  else group.momentum = value;
}

function requireMomentum(op: string, groups: readonly Tuned[]): void {
  if (!groups.every((group) => group.betas || group.momentum !== undefined))
    throw new InputError(`${op}: the optimizer has neither momentum nor betas: give { cycleMomentum: false }`);
}

/** Options of `CyclicLR`, with PyTorch's defaults. */
export interface CyclicOptions {
  /** Steps from the least to the largest rate; 2000 by default. */
  stepSizeUp?: number;
  /** Steps back; as many by default. */
  stepSizeDown?: number | null;
  /** Cycles of one height, of half the height each time, or that shrink by gamma a step. */
  mode?: 'triangular' | 'triangular2' | 'exp_range';
  /** Of 'exp_range': the range is multiplied by gamma^step (default 1). */
  gamma?: number;
  /** A height of one's own instead of `mode`, of the cycle (1, 2, …) or of the step. */
  scaleFn?: ((x: number) => number) | null;
  /** Whether `scaleFn` gets the number of the cycle (default) or of the step. */
  scaleMode?: 'cycle' | 'iterations';
  /** Momentum, or β₁, falls where the rate rises (the default). */
  cycleMomentum?: boolean;
  /** Momentum at the largest rate (default 0.8). */
  baseMomentum?: Each;
  /** Momentum at the least rate (default 0.9). */
  maxMomentum?: Each;
}

const momenta = { cycleMomentum: is.flag, baseMomentum: is.size, maxMomentum: is.size };
const CYCLIC: OptionTable<CyclicOptions> = {
  stepSizeUp: is.number,
  stepSizeDown: either(is.number, word(null)),
  mode: word('triangular', 'triangular2', 'exp_range'),
  gamma: is.number,
  scaleFn: either(is.func, word(null)),
  scaleMode: word('cycle', 'iterations'),
  ...momenta,
};

/** Goes up and down between rates, a step after every update. */
export class CyclicLR extends LRScheduler {
  readonly #state: Record<'total_size' | 'step_ratio' | 'gamma', number> & {
    max_lrs: number[];
    mode: string;
    scale_mode: string;
    cycle_momentum: boolean;
    base_momentums: number[];
    max_momentums: number[];
  };
  readonly #scale: ((x: number) => number) | null;

  constructor(optimizer: AnyOptimizer, baseLr: Each, maxLr: Each, options: CyclicOptions = {}) {
    const op = 'CyclicLR';
    const o = checked(op, options, CYCLIC);
    const { stepSizeUp = 2000, mode = 'triangular', gamma = 1, scaleFn = null, cycleMomentum = true } = o;
    const down = o.stepSizeDown ?? stepSizeUp;
    requireRange(op, { stepSizeUp, stepSizeDown: down }, 1e-9);
    super(optimizer);
    const { groups } = this;
    const each = (name: string, value: Each) => perGroup(op, name, value, groups);
    const base = each('baseLr', baseLr);
    if (cycleMomentum) requireMomentum(op, groups);
    const own = mode === 'exp_range' ? 'iterations' : 'cycle';
    this.#scale = scaleFn;
    this.#state = {
      max_lrs: each('maxLr', maxLr),
      total_size: stepSizeUp + down,
      step_ratio: stepSizeUp / (stepSizeUp + down),
      mode,
      gamma,
      scale_mode: scaleFn ? (o.scaleMode ?? 'cycle') : own,
      cycle_momentum: cycleMomentum,
      base_momentums: each('baseMomentum', o.baseMomentum ?? 0.8),
      max_momentums: each('maxMomentum', o.maxMomentum ?? 0.9),
    };
    groups.forEach((group, i) => (group.lr = at(base, i)));
    this.baseLrs = base;
    this.begin();
  }

  #height(x: number): number {
    const { mode, gamma } = this.#state;
    if (this.#scale) return this.#scale(x);
    return mode === 'triangular2' ? 1 / 2 ** (x - 1) : mode === 'exp_range' ? gamma ** x : 1;
  }

  protected override rates(): number[] {
    const { total_size: size, step_ratio: ratio, max_lrs: top, ...s } = this.#state;
    const cycle = Math.floor(1 + this.lastEpoch / size);
    const x = 1 + this.lastEpoch / size - cycle;
    const height = this.#height(s.scale_mode === 'cycle' ? cycle : this.lastEpoch);
    const share = x <= ratio ? x / ratio : (x - 1) / (ratio - 1);
    if (s.cycle_momentum)
      this.groups.forEach((group, i) => {
        const [low, high] = [at(s.base_momentums, i), at(s.max_momentums, i)];
        setMomentum(group, high - (high - low) * share * height);
      });
    return this.baseLrs.map((base, i) => base + (at(top, i) - base) * share * height);
  }

  protected override get own(): Record<string, unknown> {
    return this.#state;
  }
}

/** Options of `OneCycleLR`, with PyTorch's defaults. */
export interface OneCycleOptions {
  /** Steps in all; or epochs times steps an epoch. */
  totalSteps?: number | null;
  /** Epochs of the run, with `stepsPerEpoch` instead of `totalSteps`. */
  epochs?: number | null;
  /** Steps of an epoch, with `epochs` instead of `totalSteps`. */
  stepsPerEpoch?: number | null;
  /** Share of the steps in which the rate rises; 0.3 by default. */
  pctStart?: number;
  /** Form of rise and fall: 'cos' (default) or 'linear'. */
  annealStrategy?: 'cos' | 'linear';
  /** Momentum, or β₁, falls where the rate rises (the default). */
  cycleMomentum?: boolean;
  /** Momentum at the largest rate (default 0.85). */
  baseMomentum?: Each;
  /** Momentum at the first and the last rate (default 0.95). */
  maxMomentum?: Each;
  /** The first rate is maxLr / divFactor (25). */
  divFactor?: number;
  /** The last rate is the first one / finalDivFactor (10⁴). */
  finalDivFactor?: number;
  /** Down as it went up, and only then to the last rate. */
  threePhase?: boolean;
}

const count = either(is.number, word(null));
const ONE_CYCLE: OptionTable<OneCycleOptions> = {
  totalSteps: count,
  epochs: count,
  stepsPerEpoch: count,
  pctStart: is.number,
  annealStrategy: word('cos', 'linear'),
  ...momenta,
  divFactor: is.number,
  finalDivFactor: is.number,
  threePhase: is.flag,
};

/** Where a phase goes from and to. */
type Level = 'initial' | 'max' | 'min' | 'low' | 'high';

interface Phase {
  readonly end: number;
  readonly lr: readonly [Level, Level];
  readonly momentum: readonly [Level, Level];
}

/** Up to `maxLr` and down to almost nothing, once (Smith 2018): a step after every update. */
export class OneCycleLR extends LRScheduler {
  readonly #state: { total_steps: number; cycle_momentum: boolean; _anneal_func_type: string };
  readonly #phases: Phase[];
  readonly #levels: Record<Level, number>[];

  constructor(optimizer: AnyOptimizer, maxLr: Each, options: OneCycleOptions = {}) {
    const op = 'OneCycleLR';
    const o = checked(op, options, ONE_CYCLE);
    const { pctStart = 0.3, annealStrategy = 'cos', cycleMomentum = true, divFactor = 25, finalDivFactor = 1e4 } = o;
    const total = o.totalSteps ?? (o.epochs && o.stepsPerEpoch ? o.epochs * o.stepsPerEpoch : null);
    if (total === null) throw new InputError(`${op}: give totalSteps, or epochs and stepsPerEpoch`);
    requireCount(op, { totalSteps: total });
    requireRange(op, { pctStart }, 0, 1);
    super(optimizer);
    const { groups } = this;
    const each = (name: string, value: Each) => perGroup(op, name, value, groups);
    if (cycleMomentum) requireMomentum(op, groups);
    const [top, least, most] = [
      each('maxLr', maxLr),
      each('baseMomentum', o.baseMomentum ?? 0.85),
      each('maxMomentum', o.maxMomentum ?? 0.95),
    ];
    this.#levels = top.map((max, i) => {
      const initial = max / divFactor;
      return { initial, max, min: initial / finalDivFactor, low: at(least, i), high: at(most, i) };
    });
    const rise: Phase = { end: pctStart * total - 1, lr: ['initial', 'max'], momentum: ['high', 'low'] };
    const fall: Phase = { end: 2 * pctStart * total - 2, lr: ['max', 'initial'], momentum: ['low', 'high'] };
    const rest: Phase[] = o.threePhase
      ? [fall, { end: total - 1, lr: ['initial', 'min'], momentum: ['high', 'high'] }]
      : [{ end: total - 1, lr: ['max', 'min'], momentum: ['low', 'high'] }];
    this.#phases = [rise, ...rest];
    this.#state = { total_steps: total, cycle_momentum: cycleMomentum, _anneal_func_type: annealStrategy };
    this.optimizer.groups.forEach((group, i) => initialRates.set(group, at(this.#levels, i).initial));
    this.baseLrs = this.#levels.map(({ initial }) => initial);
    this.begin();
  }

  protected override rates(): number[] {
    const { lastEpoch } = this;
    const { total_steps: total, cycle_momentum: cycles, _anneal_func_type: kind } = this.#state;
    if (lastEpoch > total)
      throw new InputError(
        `OneCycleLR: this is step ${lastEpoch}, and there are ${total}: make it longer, { totalSteps }`,
      );
    const phase = this.#phases.findIndex(({ end }, i) => lastEpoch <= end || i === this.#phases.length - 1);
    const start = phase ? at(this.#phases, phase - 1).end : 0;
    const { end, lr, momentum } = at(this.#phases, phase);
    const share = (lastEpoch - start) / (end - start);
    const between = (a: number, b: number) =>
      kind === 'cos' ? b + ((a - b) / 2) * (1 + Math.cos(Math.PI * share)) : (b - a) * share + a;
    return this.#levels.map((levels, i) => {
      if (cycles) setMomentum(at(this.groups, i), between(levels[momentum[0]], levels[momentum[1]]));
      return between(levels[lr[0]], levels[lr[1]]);
    });
  }

  protected override get own(): Record<string, unknown> {
    return this.#state;
  }
}
