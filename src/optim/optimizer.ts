// What all optimizers share: parameter groups, gradients, and the end of a step.
import { abandonTape } from '../autograd/tape';
import { device, InputError, Scalar } from '../gpu';
import { Parameter } from '../nn/parameter';
import { zeros } from '../tensor/create';
import { copyInto } from '../tensor/elementwise';
import { endStep } from '../tensor/memory';
import { pack } from '../tensor/rows';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';

/** The numbers among the options, and those derived from them, as scalars: changing one needs no new plan in compiled steps. */
export type Scalars<O> = { [K in keyof O as O[K] extends number ? K : never]: Scalar } & Record<string, Scalar>;

/** Parameters that share options. */
export type ParamGroup<O> = { params: readonly Parameter[] } & Partial<O>;

/** Parameters that share all options, or groups. */
export type Params<O> = Iterable<Parameter> | readonly ParamGroup<O>[];

export abstract class Optimizer<O extends { lr: number }> {
  /** The groups with every option filled in; schedules change `lr` here. */
  readonly groups: ({ params: readonly Parameter[]; readonly scalars: Scalars<O> } & O)[];
  readonly #packed = new Set<string>();
  /** Updates made so far. */
  steps = 0;

  constructor(params: Params<O>, defaults: O) {
    const list = [...(params as Iterable<Parameter | ParamGroup<O>>)];
    if (list.length === 0)
      throw new InputError(`${this.constructor.name}: there is nothing to optimize: the list of parameters is empty`);
    const groups = list[0] instanceof Parameter ? [{ params: list as Parameter[] }] : (list as ParamGroup<O>[]);
    const isGroup = (group: { params: readonly Parameter[] }) => typeof group?.params?.[Symbol.iterator] === 'function';
    if (!groups.every((group) => isGroup(group) && [...group.params].every((p) => p instanceof Parameter)))
      throw new InputError(
        `${this.constructor.name}: only Parameters can be optimized, or groups { params } of them; wrap a tensor: new Parameter(tensor)`,
      );
    this.groups = groups.map((group) => withScalars({ ...defaults, ...group, params: [...group.params] }));
    const seen = new Set<Parameter>();
    for (const parameter of this.parameters()) {
      if (seen.has(parameter))
        throw new InputError(
          `${this.constructor.name}: a parameter of shape [${parameter.shape.join(', ')}] is listed twice`,
        );
      seen.add(parameter);
    }
    pack('parameters', [...this.parameters()]);
  }

  /** All parameters, in the order of the groups. */
  *parameters(): Iterable<Parameter> {
    for (const group of this.groups) yield* group.params;
  }

  /** Applies one update from the gradients in `grad` and ends the step: what the step before computed is given back. */
  step(): void {
    device().effect(() => {
      this.steps++;
      for (const group of this.groups) {
        const scalars: Record<string, Scalar> = group.scalars;
        for (const [name, value] of Object.entries(this.derived(group)))
          (scalars[name] ??= new Scalar(value)).value = value;
      }
    });
    for (const group of this.groups)
      for (const parameter of group.params)
        if (parameter.grad) this.update(parameter, parameter.grad, group, group.scalars);
    this.#packBuffers();
    abandonTape();
    device().effect(endStep);
  }

  /**
   * Lays parameters and buffers side by side, once all buffers are there: then one launch of a compiled step updates all parameters, and one
   * moves particles with everything of theirs.
   */
  #packBuffers(): void {
    const all = [...this.parameters()];
    const names = [...all[0].companions.keys()].filter((name) => all.every((p) => p.companions.has(name)));
    if (names.every((name) => this.#packed.has(name))) return;
    for (const name of names) this.#packed.add(name);
    pack('parameters and their buffers', [...all, ...names.flatMap((name) => all.map((p) => p.companions.get(name)!))]);
  }

  /** Drops all gradients, as PyTorch's `zero_grad(set_to_none=True)`. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      device().effect(() => {
        parameter.grad = null;
      });
    }
  }

  /**
   * Numbers that follow from a group's options and from `steps`, which counts the step about to be made. They join the group's scalars, anew
   * before every step and every replay of a compiled one.
   */
  protected derived(_options: O): Record<string, number> {
    return {};
  }

  /** Updates one parameter in place. */
  protected abstract update(parameter: Parameter, gradient: Tensor, options: O, scalars: Scalars<O>): void;

  /** A buffer of the parameter's shape that travels with it, made as zeros on first use. */
  protected buffer(parameter: Parameter, name: string): { buffer: Tensor; fresh: boolean } {
    const found = parameter.companions.get(name);
    if (found) return { buffer: found, fresh: false };
    const made = zeros(parameter.shape);
    made.memory.recipe = null;
    parameter.companions.set(name, made.keep());
    return { buffer: made, fresh: true };
  }

  /** Buffers by position of their parameter: `0.momentum`. Tensors are the optimizer's own, not copies. */
  stateDict(): Record<string, Tensor> {
    const dict: Record<string, Tensor> = {};
    [...this.parameters()].forEach((parameter, i) => {
      for (const [name, buffer] of parameter.companions) dict[`${i}.${name}`] = buffer;
    });
    return dict;
  }

  /** Restores buffers saved by `stateDict`, and the count of updates. */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, steps: number): void {
    const parameters = [...this.parameters()];
    for (const [key, value] of Object.entries(dict)) {
      const [index, name] = key.split('.');
      const parameter = parameters[Number(index)];
      if (!parameter || !sameShape(parameter.shape, value.shape))
        throw new InputError(
          `${this.constructor.name}: the saved buffer ${key} [${value.shape.join(', ')}] fits no parameter of this optimizer`,
        );
      copyInto(this.buffer(parameter, name).buffer, value);
    }
    this.steps = steps;
  }
}

/** Turns every number of a group into an accessor over a scalar. */
function withScalars<O, G extends O>(group: G): G & { readonly scalars: Scalars<O> } {
  const scalars: Record<string, Scalar> = {};
  for (const [key, value] of Object.entries(group as object)) {
    if (typeof value !== 'number') continue;
    const cell = (scalars[key] = new Scalar(value));
    Object.defineProperty(group, key, {
      get: () => cell.value,
      set: (next: number) => (cell.value = next),
      enumerable: true,
    });
  }
  return Object.assign(group as object, { scalars }) as G & { readonly scalars: Scalars<O> };
}

/** Refuses options that are no numbers ≥ 0. */
export function requireNonNegative(optimizer: object, options: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(options))
    if (!(value >= 0)) throw new InputError(`${optimizer.constructor.name}: ${name} ${value} must be a number ≥ 0`);
}
