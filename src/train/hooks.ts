// Hooks: what users and modules add to a Trainer's loop, as callbacks do in PyTorch Lightning.
import { isPlain } from '../autograd/tape';
import { InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import type { AnyModule } from '../nn/module';
import type { Optimizer } from '../optim/optimizer';
import { Tensor } from '../tensor/tensor';
import type { Json } from './checkpoint';
import type { EpochLine } from './metrics';

/** The run, as hooks see it. */
export interface TrainerRun {
  /** The model that is trained. */
  readonly model: AnyModule;
  /** What updates its parameters; hooks may set rates of its groups. */
  readonly optimizer: Optimizer<{ lr: number }>;
  /** The epoch that runs, counted from 0 as in schedules, and the steps done so far. */
  readonly epoch: number;
  /** Steps done so far, all epochs together. */
  readonly step: number;
  /** Seed of order and augmentation. */
  readonly seed: number;
  /** Ends the run with this epoch, as early stopping does. */
  stop(): void;
}

/** What a hook adds to a checkpoint: tensors, and values that JSON can hold. */
export type HookState = Record<string, Tensor | Json | undefined>;

/**
 * A plain object with some of these functions. In every epoch they are called in this order; several hooks in the order of the list:
 *
 *     beforeEpoch
 *       each step:  forward, backward, afterBackward, optimizer.step(), afterStep, zeroGrad()
 *     (evaluation)  log, afterEpoch, stateDict
 *
 * `afterBackward` and `afterStep` belong to the compiled step: their launches are traced with it and repeated, so they run as JavaScript for the
 * first steps only. They cannot wait or read a tensor back, which is an error, and a number that changes must be a tensor. They
 * also run in trial steps (tuning, profiles, the first step of a resumed run), which are undone by `loadStateDict`.
 *
 * A hook that throws ends the run with its error; the last checkpoint is as it was, and the run can be resumed from it.
 */
export interface TrainerHook {
  /** For messages. A hook of this name takes the place of one that a module brings. */
  name?: string;
  /** Called again where an interrupted run goes on within its epoch: what may happen once only is remembered in `stateDict`. */
  beforeEpoch?(run: TrainerRun): void | Promise<void>;
  /** Gradients are there, of the whole batch: clip or measure them. */
  afterBackward?(): void;
  /** Parameters are updated: average them, project them. */
  afterStep?(): void;
  /** The line has been logged, the checkpoint of the epoch not yet saved. */
  afterEpoch?(run: TrainerRun, line: EpochLine): void | Promise<void>;
  /**
   * Another form of the model, which is tested beside it. `within` runs its argument, a batch's forward pass, with that form; its values stand in
   * the line of an epoch with the name in front, as `testAveragedError`. The best epoch is told by the model as it is.
   */
  tests?: { readonly name: string; within<T>(body: () => T): T };
  /** Fields for the line of an epoch, and about twenty times within it for that of a step. */
  log?(run: TrainerRun): object | Promise<object>;
  /**
   * What the hook needs to go on from here, under names that stand in the checkpoint as they are: begin them with its own. Called before every
   * checkpoint; values are copied.
   */
  stateDict?(): HookState | Promise<HookState>;
  /**
   * Takes what hooks have saved, those of others included. Throws where its own does not fit, before it changes anything; what is not there, in a
   * checkpoint from before there was the hook, it begins with. Tensors are its own to keep.
   */
  loadStateDict?(state: Readonly<HookState>, run: TrainerRun): void;
}

const HOOK: OptionTable<TrainerHook> = {
  ...{ name: is.text, beforeEpoch: is.func, afterBackward: is.func, afterStep: is.func, afterEpoch: is.func },
  ...{ log: is.func, stateDict: is.func, loadStateDict: is.func, tests: is.object },
};
const CALLS = Object.keys(HOOK).filter((name) => name !== 'name');

/** A module class that brings a hook to the Trainers of models which have such a module somewhere. */
interface Bringer {
  trainerHook?: (model: AnyModule) => TrainerHook;
}

/** All hooks of a run. */
export class Hooks {
  readonly #list: readonly TrainerHook[];

  constructor(model: AnyModule, given: readonly TrainerHook[] = []) {
    given.forEach((hook, i) => {
      const what = `Trainer: hooks[${i}]`;
      if (typeof hook !== 'object' || hook === null || isPlain(hook)) checked(what, hook, HOOK);
      if (!CALLS.some((name) => name in hook))
        throw new InputError(`${what} has none of the functions of a hook: ${CALLS.join(', ')}`);
    });
    const names = given.flatMap(({ name }) => name ?? []);
    const twice = names.find((name, i) => names.indexOf(name) < i);
    if (twice) throw new InputError(`Trainer: two hooks are called '${twice}'`);
    const makers = new Set(model.modules().flatMap((module) => (module.constructor as Bringer).trainerHook ?? []));
    const brought = [...makers].map((make) => make(model));
    this.#list = [...brought.filter(({ name }) => !name || !names.includes(name)), ...given];
  }

  async beforeEpoch(run: TrainerRun): Promise<void> {
    for (const hook of this.#list) await hook.beforeEpoch?.(run);
  }

  afterBackward(): void {
    for (const hook of this.#list) refuseToWait(hook, 'afterBackward', hook.afterBackward?.());
  }

  afterStep(): void {
    for (const hook of this.#list) refuseToWait(hook, 'afterStep', hook.afterStep?.());
  }

  /** The other forms of the model that are to be tested. */
  get tests(): NonNullable<TrainerHook['tests']>[] {
    return this.#list.flatMap(({ tests }) => tests ?? []);
  }

  async afterEpoch(run: TrainerRun, line: EpochLine): Promise<void> {
    for (const hook of this.#list) await hook.afterEpoch?.(run, line);
  }

  async log(run: TrainerRun): Promise<object> {
    const fields = {};
    for (const hook of this.#list) Object.assign(fields, await hook.log?.(run));
    return fields;
  }

  /** `taken` are the names that the Trainer itself uses. */
  async stateDict(taken: ReadonlySet<string>): Promise<HookState> {
    const all: HookState = {};
    for (const hook of this.#list)
      for (const [name, value] of Object.entries((await hook.stateDict?.()) ?? {})) {
        if (taken.has(name) || Object.hasOwn(all, name))
          throw new InputError(
            `Trainer: a hook${hook.name ? ` (${hook.name})` : ''} saves '${name}', a name that is taken in the checkpoint`,
          );
        all[name] = value instanceof Tensor ? value : structuredClone(value);
      }
    return all;
  }

  loadStateDict(state: HookState, run: TrainerRun): void {
    for (const hook of this.#list) hook.loadStateDict?.(state, run);
  }
}

function refuseToWait({ name }: TrainerHook, call: string, result: unknown): void {
  if (!(result instanceof Promise)) return;
  result.catch(() => undefined); // what it says is not the cause
  throw new InputError(
    `Trainer: ${call} of hook${name ? ` ${name}` : ''} is async, but belongs to the step, which cannot wait. Read results in log or afterEpoch.`,
  );
}
