// The Trainer's hook of mean-field models: sorts after every step, logs times and orders, and turns particles over between epochs.
import { Rng, Stream } from '../../datasets/random';
import { InputError, requireWhole } from '../gpu';
import { checked, is } from '../gpu/options';
import { zerosLike } from '../tensor/create';
import { copyInto } from '../tensor/elementwise';
import { Tensor } from '../tensor/tensor';
import { birthDeath, countEffects, type Turnover } from './birth-death';
import type { Stage } from './stage';

/** What happens to the particles besides sorting. */
export interface ParticleHookOptions {
  /** Kills and clones particles by their effect on the loss, before every `every`th epoch (default 1); see `birthDeath`. */
  birthDeath?: { rate: number; every?: number };
  /**
   * The order that the particles of each stage are put into, over the same times, before every epoch but the first: position r gets what was at
   * order[r]. A control for what re-sorting does: `(n, rng) => rng.permutation(n)`.
   */
  permute?: (n: number, rng: Rng, epoch: number) => ArrayLike<number>;
}

type Counts = Record<string, number>;

/** What a checkpoint holds of the particles besides their tensors, by stage. */
interface State {
  /** The last epoch that began with births, deaths or a permutation. */
  turnoverEpoch: number;
  /** Births and deaths that this epoch began with, and the births of the run so far. */
  turnover: Record<string, Turnover[]>;
  births: Counts;
  /** Exchanges of particles in the epoch. */
  swaps: Counts;
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isEach = (fits: (value: unknown) => boolean) => (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(fits);
const isTurnover = isEach(isCount);
const counts = ['an object of whole numbers of at least 0', isEach(isCount)] as const;

/** What each field must be, in words, and whether a value is that. */
const FIELDS: Record<keyof State, readonly [string, (value: unknown) => boolean]> = {
  turnoverEpoch: ['a whole number of at least 0', isCount],
  turnover: [
    'an object of lists of { killed, parent, child }',
    isEach(
      (list) =>
        Array.isArray(list) && list.every((t) => isTurnover(t) && 'killed' in t && 'parent' in t && 'child' in t),
    ),
  ],
  births: counts,
  swaps: counts,
};

const beginning = (): State => ({ turnoverEpoch: 0, turnover: {}, births: {}, swaps: {} });

/** The state in a checkpoint. Runs begun before there were births and deaths do not tell of them. */
function checkState(saved: Readonly<Record<string, unknown>>): State {
  const state = { ...beginning() } as Record<keyof State, unknown>;
  for (const field of Object.keys(FIELDS) as (keyof State)[]) {
    const [must, fits] = FIELDS[field];
    if (saved[field] !== undefined) state[field] = saved[field];
    if (!fits(state[field]))
      throw new InputError(`progress.${field} is ${JSON.stringify(state[field])}, it must be ${must}`);
  }
  return structuredClone(state) as State;
}

/** The epoch that begins, from 0, and the seed of the run. */
export interface Run {
  readonly epoch: number;
  readonly seed: number;
  readonly optimizer: { parameters(): Iterable<Tensor> };
}

/** In front of a stage's name: where its effects are in a checkpoint. */
const EFFECTS = 'effects/';

/**
 * The hook for some stages, by their names. Refuses, before anything is trained, births and deaths of particles with frozen times, and
 * particles that cannot change places.
 */
export function particleHook(stages: () => Iterable<[string, Stage]>, options: ParticleHookOptions = {}) {
  checked('MeanField.trainerHook', options, { birthDeath: is.object, permute: is.func });
  const { permute } = options;
  const mortal = checked('MeanField.trainerHook: birthDeath', options.birthDeath, {
    rate: is.number,
    every: is.number,
  });
  const { rate, every = 1 } = mortal;
  requireWhole('MeanField.trainerHook: birthDeath.every', every, 1, 1e9);
  if (options.birthDeath && rate === undefined)
    throw new InputError('MeanField.trainerHook: birthDeath needs a rate, such as { rate: 0.1 }');
  for (const [name, stage] of stages()) {
    if (options.birthDeath && !stage.tau.requiresGrad)
      throw new InputError(`Trainer: birthDeath needs trained times, those of ${name} are frozen`);
    if (stage.options.sort !== false) stage.checkMovable(true); // the Trainer sets the modes
  }
  const mortals = () => (options.birthDeath ? [...stages()] : []);
  let state = beginning();

  /** Order, times and exchanges; moves the counts of exchanges from the GPU into the state. */
  const read = async () => {
    const lines = [];
    for (const [name, stage] of stages()) {
      const { tau, order, swaps } = await stage.telemetry();
      state.swaps[name] = (state.swaps[name] ?? 0) + swaps;
      const turnover = state.turnover[name] ?? [];
      lines.push({ stage: name, tau, order, swaps: state.swaps[name], ...(turnover.length && { turnover }) });
    }
    return lines;
  };

  return {
    name: 'particles',

    /** Births, deaths and permutations: once, also when the run goes on right after them. */
    async beforeEpoch({ epoch, seed }: Run): Promise<void> {
      if (epoch === 0 || state.turnoverEpoch === epoch) return;
      const rng = new Rng(seed, Stream.turnover, epoch);
      for (const [name, stage] of stages()) {
        if (permute) await stage.permute(permute(stage.tau.size, rng, epoch));
        if (rate === undefined || epoch % every) continue;
        const births = state.births[name] ?? 0;
        const events = await birthDeath(stage, { rate, rng, firstId: stage.tau.size + births });
        state.turnover[name] = events;
        state.births[name] = births + events.length;
      }
      if (permute || rate !== undefined) state.turnoverEpoch = epoch;
    },
    afterBackward() {
      for (const [, stage] of mortals()) countEffects(stage);
    },
    afterStep() {
      for (const [, stage] of stages()) stage.sortParticles();
    },
    afterEpoch() {
      state.swaps = {};
      state.turnover = {};
    },
    async log() {
      const lines = await read();
      return lines.length ? { stages: lines } : {};
    },
    async stateDict() {
      await read();
      const effects = mortals().map(([name, stage]) => [EFFECTS + name, stage.effects] as const);
      return { ...state, ...Object.fromEntries(effects) };
    },
    loadStateDict(saved: Readonly<Record<string, unknown>>, { optimizer }: Run) {
      const next = checkState(saved);
      const parameters = [...optimizer.parameters()];
      for (const [name, stage] of mortals()) {
        // Earlier versions kept the effects among the optimizer's buffers.
        const found = saved[EFFECTS + name] ?? saved[`optimizer/${parameters.indexOf(stage.tau)}.effect`];
        copyInto(stage.effects, found instanceof Tensor ? found : zerosLike(stage.tau));
      }
      state = next;
    },
  };
}
