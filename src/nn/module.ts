// Module: plain classes with plain fields. Parameters, states and submodules are found by walking own properties, and the arrays, plain
// objects, maps and sets in them, when they are asked for. What stands in #private fields and in objects of other classes is not found.

import { consult } from '../autograd/modes';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { insideModule, moduleDepth } from '../tensor/context';
import { insideCall, owned } from '../tensor/memory';
import type { Tensor } from '../tensor/tensor';
import { Hooks, type ModuleGradients } from './hooks';
import { loadByName } from './load-state';
import { Parameter, State } from './parameter';
import { entriesOf, reachable } from './reachable';
import { type LoadReport, load, type StateDict, save } from './stored';

/** The fields of an object, those in collections by dotted names. */
function* fields(
  owner: object,
  items = Object.entries(owner) as Iterable<[unknown, unknown]>,
  prefix = '',
  seen = new Set<unknown>([owner]),
): Iterable<[string, unknown]> {
  for (const [key, value] of items) {
    const name = prefix + String(key);
    const inner = entriesOf(value);
    if (inner) {
      if (seen.has(value)) continue;
      seen.add(value);
      yield* fields(owner, inner, `${name}.`, seen);
    } else if (typeof key === 'string' || typeof key === 'number') yield [name, value];
    else if (value instanceof Module || value instanceof Parameter || value instanceof State)
      throw new InputError(
        `${owner.constructor.name}: a ${value.constructor.name} in the map '${prefix.slice(0, -1)}' has a key that is no name: use strings`,
      );
  }
}

/** What `forward` is called with: one input, or all of them where `In` is a tuple. */
export type Inputs<In> = In extends readonly unknown[] ? In : [input: In];

// biome-ignore lint/suspicious/noExplicitAny: neither `never` nor `unknown` stands for every input and every result at once
type Some = any;

/** A module, whatever `forward` takes and returns. */
export type AnyModule = Module<Some, Some>;

// biome-ignore lint/suspicious/noConfusingVoidType: what a hook without a result returns
type Nothing = void | undefined;

/** Called after forward with the module, its inputs and its result; may return another result. */
export type ForwardHook<I extends readonly unknown[] = readonly unknown[], Out = unknown> = (
  module: AnyModule,
  inputs: I,
  output: Out,
) => Out | Nothing;

/** Called before forward with the module and its inputs; may return other inputs. */
export type ForwardPreHook<I extends readonly unknown[] = readonly unknown[]> = (
  module: AnyModule,
  inputs: I,
) => readonly unknown[] | Nothing;

/** Called in the backward pass when the gradients of a module's inputs are known; may return others in their place. */
export type BackwardHook = (
  module: AnyModule,
  gradInputs: ModuleGradients,
  gradOutputs: ModuleGradients,
) => ModuleGradients | Nothing;

/** Called before a module's part of the backward pass with the gradients of its outputs; may return others in their place. */
export type BackwardPreHook = (module: AnyModule, gradOutputs: ModuleGradients) => ModuleGradients | Nothing;

/**
 * A layer, or a model made of layers, as `torch.nn.Module`. `In` is what `forward` takes, `Out` what it returns: one tensor each unless said
 * otherwise, `extends nn.Module<[query: Tensor, key: Tensor], Tensor[]>`. A function that takes any module says `nn.AnyModule`.
 */
export abstract class Module<In = Tensor, Out = Tensor> {
  #training = true;
  /** Position in the tree (`layer2.1.conv1`), known after the first call; for messages. */
  declare path: string;
  declare private hooks: Hooks<AnyModule>;
  /** Whether a walk over names is inside of it. */
  declare private walked: boolean;

  constructor() {
    Object.defineProperty(this, 'path', { value: '', writable: true, enumerable: false });
    Object.defineProperty(this, 'hooks', { value: new Hooks(), enumerable: false });
    Object.defineProperty(this, 'walked', { value: false, writable: true, enumerable: false });
    const { forward } = this;
    // Users write `forward` and call `forward`: wrapping it here gives errors their module path, and releases what only the inside of the
    // outermost module has seen.
    Object.defineProperty(this, 'forward', {
      value: (...inputs: Inputs<In>) => this.#call(forward, inputs),
      enumerable: false,
      writable: true,
      configurable: true,
    });
  }

  /** Training mode: batch norm uses batch statistics, dropout drops. Set by `train()` and `eval()`. */
  get training(): boolean {
    consult(this, this.#training);
    return this.#training;
  }

  set training(mode: boolean) {
    this.#training = mode;
  }

  /** The computation. */
  abstract forward(...inputs: Inputs<In>): Out;

  /** Direct submodules with their names. Containers override it. */
  *children(): Iterable<[string, AnyModule]> {
    for (const [name, value] of fields(this)) if (value instanceof Module) yield [name, value];
  }

  /** Fields whose tensors have another name in state dicts: PyTorch's. Inherited by subclasses. */
  protected static readonly tensorNames: Readonly<Record<string, string>> = {};

  /** Parameters and states of this module itself, by the names of their fields, PyTorch's where it has another one. */
  *ownTensors(): Iterable<[string, Parameter | State]> {
    const { tensorNames } = this.constructor as typeof Module;
    for (const [name, value] of fields(this))
      if (value instanceof Parameter || value instanceof State) yield [tensorNames[name] ?? name, value];
  }

  /** Has the walk over fields pass over some, which `children()` lists itself. */
  protected listedByHand(...names: string[]): void {
    for (const name of names) Object.defineProperty(this, name, { enumerable: false });
  }

  /** This module and all below it, each once, with dotted names. */
  *namedModules(prefix = '', seen = new Set<AnyModule>()): Iterable<[string, AnyModule]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.children()) yield* child.namedModules(prefix ? `${prefix}.${name}` : name, seen);
  }

  /** This module and all below it. */
  modules(): AnyModule[] {
    return [...this.namedModules()].map(([, module]) => module);
  }

  /** Parameters and states under each of their names: what is tied or shared has several. */
  *allNames(): Iterable<[string, Parameter | State]> {
    if (this.walked) return; // a module inside of itself
    this.walked = true;
    try {
      yield* this.ownTensors();
      for (const [prefix, child] of this.children())
        for (const [name, tensor] of child.allNames()) yield [`${prefix}.${name}`, tensor];
    } finally {
      this.walked = false;
    }
  }

  /** The same as a map. Throws InputError where two tensors have the same name. */
  #byName(): Map<string, Parameter | State> {
    const found = new Map<string, Parameter | State>();
    for (const [name, tensor] of this.allNames()) {
      if ((found.get(name) ?? tensor) !== tensor)
        throw new InputError(`${this.constructor.name}: two tensors are called '${name}': rename a field or key`);
      found.set(name, tensor);
    }
    return found;
  }

  /** Parameters and states, each once under its first name. */
  *namedTensors(): Iterable<[string, Parameter | State]> {
    const seen = new Set<Tensor>();
    for (const [name, tensor] of this.#byName()) {
      if (seen.has(tensor)) continue;
      seen.add(tensor);
      yield [name, tensor];
    }
  }

  /** Trained tensors by name. */
  *namedParameters(): Iterable<[string, Parameter]> {
    for (const [name, tensor] of this.namedTensors()) if (tensor instanceof Parameter) yield [name, tensor];
  }

  /** All parameters of the module and its submodules, each once: what an optimizer takes. */
  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  /** Tensors that are not trained, such as running statistics, by name: PyTorch's buffers. */
  *namedBuffers(): Iterable<[string, State]> {
    for (const [name, tensor] of this.namedTensors()) if (tensor instanceof State) yield [name, tensor];
  }

  /** All state that is not trained, such as running statistics, each once. */
  buffers(): State[] {
    return [...this.namedBuffers()].map(([, buffer]) => buffer);
  }

  /**
   * Keeps a tensor that is not trained under a name of its own, as `register_buffer`: the same as a field `name = new State(initial)`. Throws
   * InputError for a name that is taken, or is none.
   */
  registerBuffer(
    name: string,
    initial: Tensor,
    options: { /** Whether state dicts hold it (default true). */ persistent?: boolean } = {},
  ): State {
    const { persistent = true } = checked('registerBuffer', options, { persistent: is.flag });
    if (typeof name !== 'string' || !name || name.includes('.'))
      throw new InputError(`${this.constructor.name}.registerBuffer: '${name}' is no name: it is text without dots`);
    if (name in this)
      throw new InputError(
        `${this.constructor.name}.registerBuffer: there is a field '${name}' already; choose another name`,
      );
    return ((this as Record<string, unknown>)[name] = new State(initial, persistent));
  }

  /** Has all parameters trained, or with `false` frozen, as `requires_grad_`. */
  requiresGrad_(flag = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = flag;
    return this;
  }

  /** Number of trained numbers. */
  get parameterCount(): number {
    return this.parameters().reduce((sum, p) => sum + p.size, 0);
  }

  /** Sets training mode here and below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Sets evaluation mode here and below. */
  eval(): this {
    return this.train(false);
  }

  /** Sets every parameter's `grad` to null, as `zero_grad(set_to_none=True)`. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Calls `visit` for every module below, then for this one, as in PyTorch. */
  apply(visit: (module: AnyModule) => void): this {
    for (const module of this.modules().reverse()) visit(module);
    return this;
  }

  /**
   * Runs `hook` before every forward, as `register_forward_pre_hook`; it may return other inputs, as an array. Returns a function that removes
   * it. A compiled step calls its hooks while it is traced, and is traced again after one was added or removed: so for all kinds of hooks.
   */
  onForwardPre<I extends readonly unknown[] = Inputs<In>>(hook: ForwardPreHook<I>): () => void {
    return this.hooks.add('forwardPre', hook);
  }

  /** Runs `hook` after every forward, as `register_forward_hook`; what it returns, if anything, is the result. Returns a function that removes it. */
  onForward<I extends readonly unknown[] = Inputs<In>>(hook: ForwardHook<I, Out>): () => void {
    return this.hooks.add('forward', hook);
  }

  /**
   * Runs `hook` in every backward pass through a forward of this module, as `register_full_backward_hook`: with the gradients of the tensors among
   * its arguments and of those in its result (a tensor or an array), null where there is none. An array that it returns takes the place of the
   * former. Where no input has a gradient it sees null for them, and cannot replace any. With `createGraph` what it computes is recorded. Returns a
   * function that removes it; calls made before keep theirs.
   */
  onBackward(hook: BackwardHook): () => void {
    return this.hooks.add('backward', hook);
  }

  /** Runs `hook` before the module's part of a backward pass, as `register_full_backward_pre_hook`; it may return other gradients of the outputs. */
  onBackwardPre(hook: BackwardPreHook): () => void {
    return this.hooks.add('backwardPre', hook);
  }

  /** Parameters and persistent states by name, tied ones under each name. The tensors are the module's own, not copies. */
  stateDict(): StateDict {
    const all = [...this.#byName()];
    return Object.fromEntries(all.filter(([, tensor]) => !(tensor instanceof State && !tensor.persistent)));
  }

  /**
   * Copies values by name; `foo_bar` stands for a field `fooBar`, and one name of a tied tensor is enough. Throws one InputError that lists
   * every missing, unexpected and misshapen key; nothing is changed then. `strict: false` ignores missing and unexpected keys and returns them.
   */
  loadStateDict(
    dict: Readonly<StateDict>,
    options: { /** Refuses keys that are missing or unknown (default true). */ strict?: boolean } = {},
  ): LoadReport {
    const { loaded, ...report } = loadByName(
      this.constructor.name,
      this.#byName(),
      Object.keys(this.stateDict()),
      dict,
      options,
    );
    for (const module of this.modules()) module.afterLoad(loaded);
    return report;
  }

  /**
   * Writes parameters and persistent states into a safetensors file: `await model.save('weights.safetensors')`. Without a path, as in browsers,
   * resolves to the file's bytes.
   */
  save(path: string): Promise<void>;
  save(): Promise<Uint8Array<ArrayBuffer>>;
  // biome-ignore lint/suspicious/noConfusingVoidType: one method for both
  save(path?: string): Promise<Uint8Array<ArrayBuffer> | void> {
    return path === undefined ? save(this.stateDict()) : save(this.stateDict(), path);
  }

  /** Loads a safetensors file, or its bytes, as `loadStateDict` does: `model.load('weights.safetensors')`. */
  load(
    file: string | Uint8Array | ArrayBuffer,
    options: { /** Refuses keys that are missing or unknown (default true). */ strict?: boolean } = {},
  ): LoadReport {
    const dict = load(file);
    try {
      return this.loadStateDict(dict, options);
    } finally {
      for (const x of Object.values(dict)) x.dispose();
    }
  }

  /** Called after the values of some tensors were loaded; a place to restore what they must satisfy. */
  protected afterLoad(_loaded: ReadonlySet<Tensor>): void {}

  /** Options shown by `toString`, such as `in=3, out=16`. */
  protected describe(): string {
    return '';
  }

  /** The tree of modules with their options and the trained numbers below each. */
  toString(): string {
    const lines = [...this.children()].map(
      ([name, child]) => `  (${name}): ${child.toString().replaceAll('\n', '\n  ')}`,
    );
    const body = lines.length ? `\n${lines.join('\n')}\n` : '';
    const count = this.parameterCount;
    const counted = count ? ` · ${count.toLocaleString('en')} parameter${count === 1 ? '' : 's'}` : '';
    return `${this.constructor.name}(${this.describe()}${body})${counted}`;
  }

  #call(forward: (...inputs: Inputs<In>) => Out, inputs: Inputs<In>): Out {
    if (moduleDepth() === 0 && !this.path) for (const [name, module] of this.namedModules()) module.path = name;
    if (insideCall()) return this.#run(forward, inputs);
    const outer = called;
    called = new Set();
    try {
      // What the program cannot see is released when the call ends, or when the tape no longer needs it.
      return owned(
        () => this.#run(forward, inputs),
        (output, made) => {
          if (output instanceof Promise) return made; // an async forward goes on with it
          for (const memory of reachable(called)) memory.escape();
          return reachable(output, inputs);
        },
        true,
      );
    } finally {
      called = outer;
    }
  }

  #run(forward: (...inputs: Inputs<In>) => Out, inputs: Inputs<In>): Out {
    called?.add(this);
    // The path of an inner module is told from the root; a stack of full paths would repeat it.
    return this.hooks.around(this, inputs, (given) =>
      insideModule(this.path, () => Reflect.apply(forward, this, given)),
    );
  }
}

/** Runs `body`, which is synchronous, with a module in evaluation mode; then each module below has its own mode again. */
export function inEvaluation<T>(model: AnyModule, body: () => T): T {
  const modes = model.modules().map((module) => [module, module.training] as const);
  model.eval();
  try {
    return body();
  } finally {
    for (const [module, training] of modes) module.training = training;
  }
}

/** The modules called in the outermost call that runs: their fields stay. */
let called: Set<AnyModule> | null = null;
