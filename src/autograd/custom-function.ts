// Operations with a gradient rule of the user's own, as `torch.autograd.Function`. The forward pass runs unrecorded and leaves one node on the
// tape. An operation with several outputs leaves a node for each of them, and these hand their gradients on to the node of the operation.

import { at } from '../../shaders/checked';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { isFloat } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { computedDuring, type Memory, owned } from '../tensor/memory';
import { type Shape, sameShape } from '../tensor/shape';
import { empty, requireTensors, Tensor } from '../tensor/tensor';
import { checkResult } from './anomaly';
import { handOn } from './backward';
import { operation } from './operation';
import {
  memoriesIn,
  Node,
  needsGradient,
  type Rule,
  record,
  type Several,
  tensorsIn,
  unrecorded,
  withoutHistory,
} from './tape';

/** At least what a function saves: the first eight are taken to be there, so that they can be unpacked. */
type Saved = readonly [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, ...Tensor[]];

class Context {
  #saved: Tensor[] = [];
  #inner: readonly Tensor[] = [];
  readonly #constant = new Set<Tensor>();

  constructor(
    /** For each argument, whether its gradient will be asked for. */
    readonly needsInputGrad: readonly boolean[],
  ) {}

  /** Saves inputs, outputs or intermediate results for `backward` and `jvp`: the last call counts, as `save_for_backward`. */
  save(...tensors: readonly Tensor[]): void {
    tensors.forEach((t, i) => requireTensors('ctx.save', { [`tensor ${i}`]: t }));
    this.#saved = [...tensors];
  }

  /** What was saved, in its order. */
  get saved(): Saved {
    return this.#saved as unknown as Saved;
  }

  /** Outputs without a gradient, as `mark_non_differentiable`. Integers and booleans have none anyway. */
  markNonDifferentiable(...outputs: readonly Tensor[]): void {
    for (const y of outputs) this.#constant.add(y);
  }

  /**
   * Outputs that were saved are those with a history. What else `forward` has computed has none: a second derivative would take it for a
   * constant.
   * @internal
   */
  static finish(ctx: Context, raw: readonly Tensor[], outputs: readonly Tensor[], made: ReadonlySet<Memory>): void {
    ctx.#saved = ctx.#saved.map((t) => outputs[raw.indexOf(t)] ?? t);
    const all = [...ctx.#saved, ...tensorsIn(Object.values(ctx))];
    ctx.#inner = all.filter((t) => t.dtype === 'float32' && made.has(t.memory) && !outputs.includes(t));
  }

  /** @internal */
  static inner(ctx: Context): readonly Tensor[] {
    return ctx.#inner;
  }

  /** @internal */
  static isConstant(ctx: Context, y: Tensor): boolean {
    return !isFloat(y.dtype) || ctx.#constant.has(y);
  }
}

/**
 * What `forward` leaves for `backward` and `jvp`. Fields of one's own are told to the compiler where `forward` names its type, as in
 * `forward(ctx: FunctionContext<{ slope: number }>, x: Tensor)`; tensors in them are saved too.
 */
export type FunctionContext<Fields extends object = object> = Context & Fields;

type Outputs = Tensor | readonly Tensor[];
/** Something for each argument that may be a tensor, nothing for the others. */
type PerTensor<A extends readonly unknown[], G> = {
  [K in keyof A]: [Extract<A[K], Tensor>] extends [never] ? null | undefined : G;
};
type PerOutput<R extends Outputs, G> = R extends readonly Tensor[] ? { [K in keyof R]: G } : [Tensor];
type Given<M extends boolean> = M extends false ? Tensor | null : Tensor;
type Gradients<A extends readonly unknown[]> =
  | PerTensor<A, Tensor | null | undefined>
  | (A extends readonly [unknown?] ? Tensor | null : never);

/** What `customFunction` takes. A are the arguments of the function, R its result, F the own fields of its context. */
export interface CustomFunctionOptions<
  A extends readonly unknown[],
  R extends Outputs,
  F extends object,
  M extends boolean,
> {
  /** For messages, profiles and anomalies. */
  readonly name: string;
  /** Computes one tensor or an array of them from any arguments. Not recorded. What it neither returns nor saves is released. */
  forward(ctx: FunctionContext<F>, ...inputs: A): R;
  /**
   * The gradients of the arguments from those of the outputs: one for each argument, null where there is none, alone where there is one argument.
   * `ctx.needsInputGrad` tells which are asked for.
   */
  backward(ctx: FunctionContext<F>, ...gradients: PerOutput<R, Given<M>>): Gradients<NoInfer<A>>;
  /** The tangents of the outputs from those of the arguments, for `jvp`, which refuses the function where this is left out. */
  jvp?(ctx: FunctionContext<F>, ...tangents: PerTensor<A, Given<M>>): Tensor | PerOutput<NoInfer<R>, Tensor | null>;
  /** Whether gradients and tangents that are not there are given as zeros (default) or as null, as `set_materialize_grads`. */
  readonly materializeGrads?: M;
}

const OPTIONS: OptionTable<CustomFunctionOptions<readonly unknown[], Outputs, object, boolean>> = {
  name: is.text,
  forward: is.func,
  backward: is.func,
  jvp: is.func,
  materializeGrads: is.flag,
};

/**
 * A function with a gradient rule of its own, as a subclass of `torch.autograd.Function` and its `apply`. Gradients have the shapes of the tensors
 * that they belong to. `gradcheck` compares the rules with finite differences.
 *
 *     const leaky = customFunction({
 *       name: 'leaky',
 *       forward(ctx: FunctionContext<{ slope: number }>, x: Tensor, slope: number) {
 *         ctx.save(x);
 *         ctx.slope = slope;
 *         return F.where(x.gt(0), x, x.mul(slope));
 *       },
 *       backward(ctx, g) {
 *         const [x] = ctx.saved;
 *         return [F.where(x.gt(0), g, g.mul(ctx.slope)), null];
 *       },
 *     });
 *     const y = leaky(x, 0.1);
 *
 * Throws InputError where a rule gives another number, shape or type of gradients; `backward()` does where a saved tensor was overwritten.
 */
export function customFunction<
  A extends unknown[],
  R extends Tensor | readonly Tensor[] | [],
  F extends object = object,
  M extends boolean = true,
>(options: CustomFunctionOptions<A, R, F, M>): (...inputs: A) => R {
  const f = checked('customFunction', options, OPTIONS as never) as CustomFunctionOptions<A, R, F, M>;
  for (const field of ['name', 'forward', 'backward'] as const)
    if (!f[field]) throw inputError('customFunction', `${field} is missing`);
  const { name } = f;
  return operation(`customFunction ${name}`, (...inputs: A): R => {
    const tensors = inputs.filter((x) => x instanceof Tensor);
    inputs.forEach((x, i) => {
      const inner = x instanceof Tensor ? undefined : [...tensorsIn(x)].find((t) => t.requiresGrad);
      if (inner)
        throw inputError(
          name,
          `a tensor inside of argument ${i} requires a gradient and would get none`,
          { tensor: inner },
          'Give each tensor as an argument of its own, such as f(...tensors), or detach() it.',
        );
    });
    const isRecorded = needsGradient(...tensors);
    const context = new Context(inputs.map((x) => isRecorded && x instanceof Tensor && x.requiresGrad));
    const ctx = context as FunctionContext<F>;
    return owned(() => {
      const versions = tensors.map((x) => x.memory.version);
      const { result, made } = computedDuring(() => unrecorded(name, () => f.forward(ctx, ...inputs)));
      const written = tensors.find((x, i) => x.requiresGrad && x.memory.version !== versions[i]);
      if (written)
        throw inputError(name, 'forward has overwritten an input that requires a gradient', { input: written });
      const raw: readonly unknown[] = Array.isArray(result) ? result : [result];
      const outputs = raw.map((y, k) => {
        if (!(y instanceof Tensor))
          throw inputError(name, `forward has returned no tensor as output ${k}: ${String(y)}`);
        return withoutHistory(y); // it may be an input, or returned twice
      });
      if (isRecorded) {
        Context.finish(context, raw as Tensor[], outputs, new Set(made));
        attach(f as unknown as AnyFunction, context, inputs, raw as Tensor[], outputs);
      }
      return (Array.isArray(result) ? outputs : outputs[0]) as unknown as R;
    }, memoriesIn);
  });
}

/** The function for callers that know nothing of its types. */
interface AnyFunction {
  readonly name: string;
  readonly materializeGrads?: boolean;
  backward(ctx: Context, ...gradients: readonly (Tensor | null)[]): unknown;
  jvp?(ctx: Context, ...tangents: readonly (Tensor | null)[]): unknown;
}

/** Puts the outputs on the tape. `raw` are those that `forward` has returned, and may have marked. */
function attach(
  f: AnyFunction,
  ctx: Context,
  inputs: readonly unknown[],
  raw: readonly Tensor[],
  outputs: readonly Tensor[],
): void {
  const { name, materializeGrads = true } = f;
  const places = inputs.flatMap((x, i) => (x instanceof Tensor ? [i] : []));
  const differentiable = outputs.flatMap((_, k) => (Context.isConstant(ctx, at(raw, k)) ? [] : [k]));
  const inputShapes = inputs.map((x) => (x instanceof Tensor ? x.shape : null));
  const shapes = outputs.map((y) => y.shape);
  const given = (t: Tensor | null | undefined, shape: Shape | null): Tensor | null =>
    t ?? (shape && materializeGrads ? zeros(shape) : null);

  const pull = (gradients: readonly (Tensor | undefined)[]) => {
    const all = shapes.map((shape, k) => given(gradients[differentiable.indexOf(k)], shape));
    const answer = answersOf(name, 'backward', f.backward(ctx, ...all), inputShapes);
    return places.map((i) => answer[i]);
  };
  const pullRecorded = (gradients: readonly (Tensor | undefined)[]) => {
    const [inner] = Context.inner(ctx);
    if (!inner) return pull(gradients);
    throw inputError(
      'createGraph',
      `'${name}' saved what forward had computed, which has no history of its own`,
      { saved: inner },
      'For second derivatives save inputs and outputs only, and compute the rest in backward.',
    );
  };
  const pushBy = (jvp: NonNullable<AnyFunction['jvp']>) => (tangents: readonly (Tensor | null)[]) => {
    const all = inputShapes.map((shape, i) => given(tangents[places.indexOf(i)], shape));
    const answer = answersOf(name, 'jvp', jvp.call(f, ctx, ...all), shapes);
    return differentiable.map((k) => answer[k] ?? zeros(at(shapes, k)));
  };
  recordOutputs(
    name,
    places.map((i) => inputs[i] as Tensor),
    differentiable.map((k) => at(outputs, k)),
    [...ctx.saved, ...tensorsIn(Object.values(ctx))],
    { pull, push: f.jvp && pushBy(f.jvp), differentiable: pullRecorded },
  );
}

const zeros = (shape: Shape): Tensor => evaluate({ name: 'zeros', expression: '0.0', operands: {}, shape });

/** What a rule has returned, once it is known to be a tensor of each of these shapes, or nothing; null for what is no tensor. */
function answersOf(
  name: string,
  rule: 'backward' | 'jvp',
  answer: unknown,
  shapes: readonly (Shape | null)[],
): (Tensor | null)[] {
  const [derivative, owner] = rule === 'backward' ? ['gradient', 'argument'] : ['tangent', 'output'];
  const list: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
  if (list.length !== shapes.length)
    throw inputError(
      name,
      `${rule} has returned ${list.length} ${derivative}s for ${shapes.length} ${owner}s`,
      {},
      `Return an array with one for each, null where there is none.`,
    );
  return list.map((t, i) => {
    if (t === null || t === undefined) return null;
    const shape = shapes[i];
    const what = `the ${derivative} that ${rule} has returned for ${owner} ${i}`;
    if (!(t instanceof Tensor))
      throw inputError(name, `${what} is no tensor: ${String(t)}`, {}, 'Return a tensor or null.');
    if (!shape) throw inputError(name, `${what} belongs to no tensor`, { [derivative]: t }, 'Return null for it.');
    if (!isFloat(t.dtype))
      throw inputError(name, `${what} is ${t.dtype}`, { [derivative]: t }, "Convert it: to('float32').");
    if (!sameShape(t.shape, shape))
      throw inputError(name, `${what} has another shape`, { [derivative]: t, [owner]: shape }, 'Sum or expand it.');
    return t;
  });
}

/** What recording an operation with several outputs takes: rules that take and give a derivative for each of them. */
interface OutputRules {
  pull(gradients: readonly (Tensor | undefined)[], needs: readonly boolean[]): ReturnType<Rule>;
  push?(tangents: readonly (Tensor | null)[]): Tensor[];
  /** `pull` in recorded operations, for second derivatives. */
  differentiable?(gradients: readonly (Tensor | undefined)[], needs: readonly boolean[]): ReturnType<Rule>;
}

/** Records an operation with one output or several. */
export function recordOutputs(
  name: string,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  saved: readonly Tensor[],
  { pull, push, differentiable }: OutputRules,
): void {
  const [y] = outputs;
  if (!y) return;
  if (outputs.length === 1) {
    record(name, inputs, y, saved, (g, needs) => pull([g], needs), {
      push: push && ((...t) => at(push(t), 0)),
      differentiable: differentiable && ((g, needs) => differentiable([g], needs)),
    });
    return;
  }
  // Stands for all outputs together, between their nodes and that of the operation. It has no elements.
  const whole = empty(name, [0]).requiresGrad_();
  whole.dispose();
  const several: Several = { shapes: outputs.map(({ shape }) => shape), tangents: [] };
  const operation = new Node(
    name,
    inputs,
    whole.shape,
    saved,
    (_gradient, needs, _addend, gradients = []) => pull(gradients, needs),
    {
      several,
      lasting: !saved.length,
      push:
        push &&
        ((...given) => {
          several.tangents = push(given);
          return whole;
        }),
      differentiable:
        differentiable && ((_gradient, needs, _addend, gradients = []) => differentiable(gradients, needs)),
    },
  );
  whole.gradNode = operation;
  outputs.forEach((y, k) => {
    const handBack = (gradient: Tensor) => {
      handOn(operation, k, gradient);
      return [];
    };
    y.requiresGrad = true;
    y.gradNode = new Node(name, [whole], y.shape, [], handBack, {
      several,
      output: k,
      push: push && (() => at(several.tangents, k)),
      differentiable: differentiable && handBack,
    });
    checkResult(name, inputs, y);
  });
}
