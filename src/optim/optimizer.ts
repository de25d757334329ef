// What all optimizers share: parameter groups, the state kept for each parameter, and the end of a step.

import { at, fromEnd, valueAt } from '../../shaders/checked';
import { assume } from '../autograd/modes';
import { device, InputError, Scalar } from '../gpu';
import type { OptionTable } from '../gpu/options';
import type { Keeper } from '../nn/parameter';
import { Parameter } from '../nn/parameter';
import { full, tensor } from '../tensor/create';
import { bind, contiguous, copyInto } from '../tensor/elementwise';
import { endStep, owned } from '../tensor/memory';
import { pack } from '../tensor/rows';
import { showShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { checkedOptions, type FormerOptions, tableOf } from './option-names';
import { type ReadyRule, type Rule, ready } from './rule';
import { groupTensors, type SavedState, STEPS, savedOptions, savedState, setOptions } from './state-dict';

/** Parameters that share options. */
export type ParamGroup<O> = { params: readonly Parameter[] } & Partial<O> & FormerOptions;

/** Parameters that share all options, or groups. */
export type Params<O> = Iterable<Parameter> | readonly ParamGroup<O>[];

/** A group with every option filled in. */
type Group<O> = { params: readonly Parameter[] } & O;

/** What an optimizer keeps for a parameter: the number of its updates, and tensors of its shape. */
interface ParameterState {
  step: number;
  readonly buffers: Map<string, Tensor>;
}

/**
 * Parameters of a group that have seen equally many updates. They share their scalars, so that one launch of a compiled step can serve them all;
 * its plan holds as long as they go on in step.
 */
interface Cohort<O> {
  readonly group: Group<O>;
  readonly rule: ReadyRule<O>;
  readonly step: number;
  readonly own: number;
  readonly members: { parameter: Parameter; grad: Tensor }[];
}

/** What all optimizers share, as `torch.optim.Optimizer`: groups of parameters, state, `step()`, `zeroGrad()`, `stateDict()`. */
export abstract class Optimizer<O extends { lr: number }> implements Keeper {
  /** The groups with every option filled in; schedules change `lr` here. */
  readonly groups: Group<O>[] = [];
  /** What a group that says nothing else gets, and the kinds of its options. */
  readonly #defaults: Partial<O>;
  readonly #table: OptionTable<Partial<O>>;
  readonly #state = new Map<Parameter, ParameterState>();
  /** Whether there are buffers that were never laid side by side. */
  #loose = false;

  /** `defaults` name all options there are; `given` are those for all groups. */
  constructor(params: Params<O>, defaults: Partial<O>, given: Partial<O> = {}) {
    const table = tableOf<O>(defaults);
    const options = checkedOptions(this.constructor.name, given, table);
    this.#defaults = { ...defaults, ...options };
    this.#table = table;
    const list = [...(params as Iterable<Parameter | ParamGroup<O>>)];
    if (list.length === 0)
      throw new InputError(`${this.constructor.name}: there is nothing to optimize: the list of parameters is empty`);
    const groups = (list[0] instanceof Parameter ? [{ params: list }] : list) as ParamGroup<O>[];
    for (const group of groups) this.#add(group);
    this.#adopt([...this.parameters()]);
  }

  /**
   * One more group, as PyTorch's `add_param_group`: parameters with options of their own, those of the constructor where it names none. Throws
   * InputError for a parameter that is there already; nothing is added then.
   */
  addParamGroup(group: ParamGroup<O>): void {
    this.#add(group);
    this.#adopt(fromEnd(this.groups, 1).params);
  }

  /** Checks a group and lists it. */
  #add(group: ParamGroup<O>): void {
    const op = this.constructor.name;
    const isGroup = typeof (group as Partial<typeof group> | null)?.params?.[Symbol.iterator] === 'function';
    if (!isGroup || ![...group.params].every((p) => p instanceof Parameter))
      throw new InputError(
        `${op}: only Parameters can be optimized, or groups { params } of them; wrap a tensor: new Parameter(tensor)`,
      );
    const { params, ...own } = group;
    const given = checkedOptions(`${op}, group ${this.groups.length}`, own as unknown as Partial<O>, this.#table);
    const all = { ...this.#defaults, ...given, params: [...params] } as unknown as Group<O>;
    if (all.lr === undefined) throw new InputError(`${op}: the learning rate is missing: give { lr: 0.1 }`);
    const seen = new Set<Parameter>(this.parameters());
    for (const parameter of all.params) {
      if (seen.has(parameter))
        throw new InputError(`${op}: a parameter of shape ${showShape(parameter.shape)} is listed twice`);
      seen.add(parameter);
    }
    this.#checkOptions(all);
    this.groups.push(all);
  }

  /** Refuses options, and numbers that follow from them, that make no sense. */
  #checkOptions(group: Group<O>): void {
    this.check(group);
    const rule = this.#ready(group);
    for (const own of new Set(group.params.map(rule.own))) rule.numbers(group, 1, own);
  }

  #adopt(params: readonly Parameter[]): void {
    for (const parameter of params) parameter.addKeeper(this);
    pack('parameters', params);
  }

  /** All parameters, in the order of the groups. */
  *parameters(): Iterable<Parameter> {
    for (const group of this.groups) yield* group.params;
  }

  /** Updates made so far: those of the parameter that has seen most. */
  get steps(): number {
    return Math.max(0, ...[...this.#state.values()].map(({ step }) => step));
  }

  /** What is kept for a parameter by name (`momentum`, `expAvg`, …): empty before its first update. */
  stateOf(parameter: Parameter): ReadonlyMap<string, Tensor> {
    return this.#state.get(parameter)?.buffers ?? new Map();
  }

  /** Applies one update from the gradients in `grad` and ends the step. */
  step(): void {
    this.#end(null);
  }

  /**
   * `step()`, which changes nothing where `found` [1], uint32 on the GPU, is not 0: for `GradScaler`. It is counted all the same. Throws InputError
   * for an optimizer that does more than a rule for each number.
   */
  stepUnless(found: Tensor): void {
    const { step, direction } = Optimizer.prototype;
    if (this.step !== step || this.direction !== direction)
      throw new InputError(`${this.constructor.name}: its steps cannot be left out on the GPU; use another optimizer`);
    this.#end(found);
  }

  #end(found: Tensor | null): void {
    const nothing = () => [];
    owned(() => this.#update(found), nothing);
    this.#packBuffers();
    device().effect(endStep);
  }

  #update(found: Tensor | null): void {
    const { groups } = this;
    const count = groups.length;
    assume(groups, () => groups.length === count);
    // What is wrong throws here, before anything has changed.
    const cohorts = this.groups.flatMap((group) => this.#cohortsOf(group));
    const updated: ParameterState[] = [];
    try {
      for (const cohort of cohorts) this.#launch(cohort, updated, found);
    } finally {
      device().effect(() => {
        for (const state of updated) state.step++;
        return () => {
          for (const state of updated) state.step--;
        };
      });
    }
  }

  /** A parameter's updates are counted from its own first gradient, as in PyTorch. */
  #cohortsOf(group: Group<O>): Cohort<O>[] {
    const rule = this.#ready(group);
    assume(rule, () => this.#ready(group).kernel === rule.kernel);
    const cohorts = new Map<string, Cohort<O>>();
    for (const parameter of group.params) {
      const { grad } = parameter;
      if (!grad) continue;
      const step = this.#state.get(parameter)?.step ?? 0;
      const own = rule.own(parameter);
      const key = `${step} ${own}`;
      let cohort = cohorts.get(key);
      if (!cohort) cohorts.set(key, (cohort = { group, rule, step, own, members: [] }));
      cohort.members.push({ parameter, grad });
    }
    if (cohorts.size) device().pipelines.get(rule.kernel); // throws where the code does not compile
    for (const { step, own } of cohorts.values()) rule.numbers(group, step + 1, own);
    return [...cohorts.values()];
  }

  /** Updates the parameters of a cohort, and lists their states in `updated`. */
  #launch({ group, rule, own, members }: Cohort<O>, updated: ParameterState[], found: Tensor | null): void {
    const states = members.map(({ parameter }) => this.#stateFor(parameter));
    const scalars = rule.names.map(() => new Scalar(0));
    const first = at(states, 0);
    device().effect(() => {
      rule.numbers(group, first.step + 1, own).forEach((value, i) => (at(scalars, i).value = value));
    });
    assume(
      states,
      () =>
        states.every(({ step }) => step === first.step) &&
        members.every(({ parameter }) => rule.own(parameter) === own),
    );
    for (const { parameter, grad } of members) {
      const buffers = Object.keys(rule.state).map((name) => this.buffer(parameter, name));
      const [x, state] = [bind(parameter), buffers.map(bind)];
      const n = parameter.size;
      const direction = bind(contiguous(this.direction(parameter, grad)));
      const kernel = found ? rule.guarded : rule.kernel;
      device().launch(kernel, [x, direction, ...state, ...(found ? [bind(found)] : [])], [n, ...scalars], n);
      for (const { memory } of [parameter, ...buffers]) memory.written();
    }
    updated.push(...states);
  }

  #ready(group: O): ReadyRule<O> {
    return ready(this.constructor.name, this.rule(group), group);
  }
  /**
   * Lays parameters and their buffers side by side, once these are there: then one launch of a compiled step updates all parameters, and one
   * moves particles with everything of theirs.
   */
  #packBuffers(): void {
    if (!this.#loose || device().tracing) return;
    this.#loose = false;
    const updated = [...this.parameters()].filter((parameter) => this.#state.has(parameter));
    const names = new Set(updated.flatMap((parameter) => [...this.stateOf(parameter).keys()]));
    const buffers = [...names].flatMap((name) => updated.map((p) => this.stateOf(p).get(name)).filter((b) => !!b));
    pack('parameters and their buffers', [...updated, ...buffers]);
  }

  /** Drops all gradients, as PyTorch's `zero_grad(set_to_none=True)`. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /**
   * What the optimizer does, under the options of a group. It depends on nothing but them: the constructor asks for it, and compiled steps ask
   * again whether it is still the same.
   */
  protected abstract rule(options: Readonly<O>): Rule<O>;

  /** What the rule takes for the gradient of a parameter. Launches only; its buffers may be written. */
  protected direction(_parameter: Parameter, gradient: Tensor): Tensor {
    return gradient;
  }

  /** Throws InputError where the options of a group make no sense. */
  protected check(_options: Readonly<O>): void {}

  /** The buffer of a parameter, made on first use. */
  protected buffer(parameter: Parameter, name: string): Tensor {
    const { buffers } = this.#stateFor(parameter);
    const found = buffers.get(name);
    if (found) return found;
    const made = full(parameter.shape, this.#ruleOf(parameter).state?.[name] ?? 0);
    made.memory.recipe = null;
    buffers.set(name, made.keep());
    this.#loose = true;
    return made;
  }

  #stateFor(parameter: Parameter): ParameterState {
    let state = this.#state.get(parameter);
    if (!state) this.#state.set(parameter, (state = { step: 0, buffers: new Map() }));
    return state;
  }

  protected groupOf(parameter: Parameter): O {
    return this.groups.find(({ params }) => params.includes(parameter)) ?? at(this.groups, 0);
  }

  #ruleOf(parameter: Parameter): Rule<O> {
    return this.rule(this.groupOf(parameter));
  }

  /**
   * The buffers of rows of parameters that are about to change places (those of particles): the same rows, once for each name. Row r becomes what
   * was row order[r]; null where the GPU alone knows that, and then all parameters of a column must be at the same step, should the rule depend
   * on it. They are of one group in any case.
   */
  rowsOf(
    rows: readonly (readonly Parameter[])[],
    order: ArrayLike<number> | null = null,
  ): { name: string; buffers: Tensor[][] }[] {
    const columns = at(rows, 0).map((_, k) => rows.map((row) => at(row, k)));
    const kept = columns.filter((column) => column.some((parameter) => this.#state.has(parameter)));
    for (const column of columns) this.#requireOneGroup(column);
    for (const column of kept) {
      if (!order) this.#alignSteps(column);
      else {
        const steps = column.map((parameter) => this.#stateFor(parameter).step);
        column.forEach((parameter, r) => (this.#stateFor(parameter).step = at(steps, order[r] as number)));
      }
    }
    const namesOf = (column: readonly Parameter[]) =>
      column.flatMap((parameter) => [...this.stateOf(parameter).keys()]);
    return [...new Set(kept.flatMap(namesOf))].map((name) => {
      const moved = kept.filter((column) => namesOf(column).includes(name));
      return { name, buffers: rows.map((_, r) => moved.map((column) => this.buffer(at(column, r), name))) };
    });
  }

  #requireOneGroup(column: readonly Parameter[]): void {
    const groups = column.map((parameter) => this.groups.findIndex(({ params }) => params.includes(parameter)));
    const odd = groups.find((group) => group !== groups[0]);
    if (odd === undefined) return;
    const name = (group: number) => (group < 0 ? 'of none of its groups' : `of group ${group}`);
    throw new InputError(
      `${this.constructor.name}: parameters of shape ${showShape(at(column, 0).shape)} are to change places, but one is ${name(at(groups, 0))} and another ` +
        `one ${name(odd)}: rates and decay would not follow. Put the same parameters of all particles into one group.`,
    );
  }

  #alignSteps(column: readonly Parameter[]): void {
    const steps = () => column.map((parameter) => this.#state.get(parameter)?.step ?? 0);
    const apart = () => new Set(steps()).size > 1;
    const before = apart();
    assume(column, () => apart() === before);
    if (!before) return;
    const most = Math.max(...steps());
    const group = this.groupOf(at(column, 0));
    const rule = this.#ready(group);
    const numbers = (step: number) => rule.numbers(group, step + 1, rule.own(at(column, 0))).join();
    const odd = steps().find((step) => numbers(step) !== numbers(most));
    if (odd !== undefined)
      throw new InputError(
        `${this.constructor.name}: parameters of shape ${showShape(at(column, 0).shape)} are to change places, but one was updated ${odd} times and ` +
          `another one ${most} times, and which goes where is known to the GPU alone. Give all of them gradients in every step.`,
      );
    // The rule does not depend on the step: what moves in may have begun already.
    device().effect(() => {
      for (const parameter of column) this.#stateFor(parameter).step = Math.max(...steps());
    });
  }

  /**
   * State and options as PyTorch's `state_dict`: buffers by position of their parameter, `0.momentum`, under `steps` how often each parameter was
   * updated, and the groups' options, `groups.0.lr` (saved-groups.ts). Empty before the first update. Buffers are the optimizer's own, not copies.
   */
  stateDict(): Record<string, Tensor> {
    if (!this.#state.size) return {};
    const parameters = [...this.parameters()];
    const dict: Record<string, Tensor> = {};
    parameters.forEach((parameter, i) => {
      for (const [name, buffer] of this.stateOf(parameter)) dict[`${i}.${name}`] = buffer;
    });
    dict[STEPS] = tensor(Int32Array.from(parameters, (p) => this.#state.get(p)?.step ?? 0));
    return Object.assign(dict, groupTensors(this.groups));
  }

  /**
   * Restores what `stateDict` gave, options included: parameters without buffers in it begin again. `steps` tells how often the parameters were
   * updated where the dict does not, as those saved by earlier versions, which hold no options either. Throws InputError where the dict does not
   * fit; nothing is changed then.
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, steps?: number): void {
    requireTensors(`${this.constructor.name}.loadStateDict`, dict);
    const parameters = [...this.parameters()];
    const rules = new Map<Parameter, Rule<O>>();
    let saved: SavedState;
    try {
      const options = savedOptions(dict, this.groups);
      for (const [i, group] of this.groups.entries()) {
        const loaded = { ...group, ...options[i] };
        this.#checkOptions(loaded);
        for (const parameter of group.params) rules.set(parameter, this.rule(loaded));
      }
      const namesOf = (parameter: Parameter) => Object.keys(valueAt(rules, parameter).state ?? {});
      saved = { options, ...savedState(dict, parameters, namesOf, steps) };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const prefix = `${this.constructor.name}: `;
      throw new InputError(`${prefix}${error.message.replace(prefix, '')}; nothing was loaded`);
    }
    setOptions(this.groups, saved.options);
    parameters.forEach((parameter, i) => {
      const { buffers, step } = at(saved.states, i);
      if (step === null) return void this.#state.delete(parameter);
      for (const [name, value] of buffers) copyInto(this.buffer(parameter, name), value);
      this.#stateFor(parameter).step = step;
    });
  }
}

/** Refuses options that are no numbers ≥ 0. */
export function requireNonNegative(optimizer: object, options: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(options))
    if (!(value >= 0)) throw new InputError(`${optimizer.constructor.name}: ${name} ${value} must be a number ≥ 0`);
}
