// Hooks of modules: before and after forward, and around the part of the backward pass that belongs to a module. For the latter two nodes
// without work bound the module on the tape: one around its inputs, one around its outputs.
import { recordOutputs } from '../autograd/custom-function';
import { assume } from '../autograd/modes';
import { needsGradient, withoutHistory } from '../autograd/tape';
import { inputError } from '../tensor/context';
import { zerosLike } from '../tensor/create';
import { asProgram } from '../tensor/memory';
import { sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { reachable } from './reachable';

// biome-ignore lint/suspicious/noConfusingVoidType: what a hook without a result returns
type Nothing = void | undefined;

/** One gradient for each argument of forward, or for each output; null for what is no tensor or has no gradient. */
export type ModuleGradients = readonly (Tensor | null)[];

// biome-ignore lint/suspicious/noExplicitAny: a hook that takes more than is asked for passes for one that does not
type Some = any;

interface Kinds<M> {
  forwardPre: (module: M, inputs: Some) => readonly unknown[] | Nothing;
  forward: (module: M, inputs: Some, output: Some) => unknown;
  backwardPre: (module: M, gradOutputs: ModuleGradients) => ModuleGradients | Nothing;
  backward: (module: M, gradInputs: ModuleGradients, gradOutputs: ModuleGradients) => ModuleGradients | Nothing;
}

/** The hooks of one module, called in the order in which they were added. */
export class Hooks<M extends object> {
  /** Counts changes: a compiled step is traced again after one. */
  #changes = 0;
  readonly #sets: { [K in keyof Kinds<M>]: Set<Kinds<M>[K]> } = {
    forwardPre: new Set(),
    forward: new Set(),
    backwardPre: new Set(),
    backward: new Set(),
  };

  /** Adds a hook; returns the function that removes it. */
  add<K extends keyof Kinds<M>>(kind: K, hook: Kinds<M>[K]): () => void {
    const set = this.#sets[kind] as Set<unknown>;
    if (typeof hook !== 'function')
      throw inputError(`hook '${kind}'`, `${String(hook)} is no function`, {}, 'Give a function.');
    set.add(hook);
    this.#changes++;
    return () => {
      if (set.delete(hook)) this.#changes++;
    };
  }

  /** `forward(…inputs)` with all hooks around it. */
  around<In extends readonly unknown[], Out>(module: M, inputs: In, forward: (inputs: In) => Out): Out {
    const { forwardPre, forward: after, backwardPre, backward } = this.#sets;
    const changes = this.#changes;
    assume(this, () => this.#changes === changes);
    for (const hook of forwardPre) {
      show(inputs);
      inputs = (asProgram(() => hook(module, inputs)) ?? inputs) as In;
      if (!Array.isArray(inputs))
        throw inputError(module.constructor.name, 'a hook before forward returns its inputs as an array, [x]');
    }
    const pass = backwardPre.size || backward.size ? new Pass(module, this.#sets) : null;
    let output = forward(pass ? (pass.enter(inputs) as unknown as In) : inputs);
    for (const hook of after) {
      show(inputs, output);
      output = (asProgram(() => hook(module, inputs, output)) ?? output) as Out;
    }
    return pass ? pass.leave(output) : output;
  }
}

/** What a program is shown is its own to keep. */
function show(...values: unknown[]): void {
  for (const memory of reachable(...values)) memory.escape();
}

/** One call of a module, as the backward pass will come through it. */
class Pass<M extends object> {
  #gradOutputs: ModuleGradients = [];
  #inputs = 0;
  /** Whether a gradient goes on from the inputs: otherwise hooks are called with that of the outputs. */
  #bounded = false;
  /** The hooks of the time of the call. */
  readonly #pre: readonly Kinds<M>['backwardPre'][];
  readonly #post: readonly Kinds<M>['backward'][];

  constructor(
    readonly module: M,
    { backwardPre, backward }: { [K in 'backwardPre' | 'backward']: ReadonlySet<Kinds<M>[K]> },
  ) {
    this.#pre = [...backwardPre];
    this.#post = [...backward];
  }

  /** The inputs, behind the node at which hooks see their gradients. */
  enter(inputs: readonly unknown[]): readonly unknown[] {
    this.#inputs = inputs.length;
    if (!this.#post.length) return inputs;
    this.#bounded = inputs.some((x) => x instanceof Tensor && needsGradient(x));
    return bounded('module inputs', inputs, (gradients) => this.#called(gradients));
  }

  /** The result, behind the node at which hooks see the gradients of the outputs. */
  leave<Out>(output: Out): Out {
    const list: readonly unknown[] = Array.isArray(output) ? output : [output];
    if (!list.some((y) => y instanceof Tensor))
      throw inputError(
        this.module.constructor.name,
        'a backward hook sees the gradients of a tensor, or of the tensors in an array, and forward has returned neither',
        {},
        'Hook a module inside of it, or a tensor: registerHook.',
      );
    const outputs = bounded('module outputs', list, (gradients) => {
      let now = gradients;
      for (const hook of this.#pre) {
        show(now);
        now = replaced(
          'onBackwardPre',
          now,
          asProgram(() => hook(this.module, now)),
        );
      }
      this.#gradOutputs = now;
      if (!this.#bounded && this.#post.length) this.#called(new Array<null>(this.#inputs).fill(null));
      return now;
    });
    return (Array.isArray(output) ? outputs : outputs[0]) as Out;
  }

  #called(gradients: ModuleGradients): ModuleGradients {
    let now = gradients;
    for (const hook of this.#post) {
      show(now, this.#gradOutputs);
      now = replaced(
        'onBackward',
        now,
        asProgram(() => hook(this.module, now, this.#gradOutputs)),
      );
    }
    return now;
  }
}

/** The values with those tensors that have a gradient behind one node; `pull` sees and gives the gradients of all. */
function bounded(
  name: string,
  values: readonly unknown[],
  pull: (gradients: ModuleGradients) => ModuleGradients,
): readonly unknown[] {
  const places = values.flatMap((x, i) => (x instanceof Tensor && needsGradient(x) ? [i] : []));
  const tensors = places.map((i) => values[i] as Tensor);
  const outputs = tensors.map(withoutHistory);
  const rule = (gradients: readonly (Tensor | undefined)[]) => {
    const all = pull(values.map((_, i) => gradients[places.indexOf(i)] ?? null));
    return places.map((i) => all[i]);
  };
  const push = (tangents: readonly (Tensor | null)[]) => outputs.map((y, k) => tangents[k] ?? zerosLike(y));
  recordOutputs(name, tensors, outputs, [], { pull: rule, push, differentiable: rule });
  return values.map((x, i) => outputs[places.indexOf(i)] ?? x);
}

/** What a hook has returned in place of gradients, once it is known to fit them. */
function replaced(op: string, before: ModuleGradients, returned: unknown): ModuleGradients {
  if (returned === undefined) return before;
  if (!Array.isArray(returned) || returned.length !== before.length)
    throw inputError(
      op,
      `the hook has returned ${Array.isArray(returned) ? `${returned.length} gradients` : String(returned)} in place of ${before.length}`,
      {},
      'Return an array with one for each, null where there is none, or nothing.',
    );
  return returned.map((g: unknown, i) => {
    const was = before[i];
    if (g === null || g === undefined) return null;
    if (g instanceof Tensor && was && sameShape(g.shape, was.shape) && g.dtype === was.dtype) return g;
    throw inputError(
      op,
      was
        ? `the hook has returned ${g instanceof Tensor ? g.dtype : String(g)} as gradient ${i}`
        : `the hook has returned a gradient ${i}, and there is none to replace`,
      { ...(was && { gradient: was }), ...(g instanceof Tensor && { returned: g }) },
      was ? `Return a tensor of the same shape and of ${was.dtype}, or nothing.` : 'Return null there.',
    );
  });
}
