// Containers by name, and of parameters: ModuleDict, ParameterList, ParameterDict. State dicts have PyTorch's keys.
import { inputError } from '../tensor/context';
import { type AnyModule, Module } from './module';
import { Parameter, type State } from './parameter';

const noForward = (kind: string): never => {
  throw inputError(kind, 'it has no forward: call what it holds');
};

/** Modules by name, which a parent calls as it likes: `layers.get('first').forward(x)`. */
export class ModuleDict<T extends Record<string, AnyModule> = Record<string, AnyModule>> extends Module<never, never> {
  /** The items. */
  protected readonly items: Map<string, AnyModule>;

  constructor(modules?: T) {
    super();
    this.items = new Map();
    this.listedByHand('items');
    for (const [name, module] of Object.entries(modules ?? {})) this.set(name, module);
  }

  /** The module of a name. Throws InputError where there is none. */
  get<K extends keyof T & string>(name: K): T[K] {
    const found = this.items.get(name);
    if (!found)
      throw inputError('ModuleDict', `there is no module '${name}', there are ${[...this.items.keys()].join(', ')}`);
    return found as T[K];
  }

  /** Puts a module under a name, in place of one that is there. */
  set<K extends keyof T & string>(name: K, module: T[K] | AnyModule): this {
    if (!(module instanceof Module))
      throw inputError('ModuleDict', `'${name}' is no module`, {}, 'Write a class with forward().');
    if (!name || name.includes('.'))
      throw inputError('ModuleDict', `'${name}' is no name`, {}, 'It is text without dots.');
    this.items.set(name, module);
    return this;
  }

  /** Whether there is a module of this name. */
  has(name: string): boolean {
    return this.items.has(name);
  }

  /** Takes a module out. */
  delete(name: string): boolean {
    return this.items.delete(name);
  }

  /** Names in the order in which they were added. */
  keys(): string[] {
    return [...this.items.keys()];
  }

  /** Modules in the order in which they were added. */
  values(): T[keyof T][] {
    return [...this.items.values()] as T[keyof T][];
  }

  /** Pairs of name and module, in the order in which they were added. */
  entries(): [string, T[keyof T]][] {
    return [...this.items] as [string, T[keyof T]][];
  }

  /** Number of modules. */
  get length(): number {
    return this.items.size;
  }

  [Symbol.iterator](): Iterator<[string, T[keyof T]]> {
    return this.entries()[Symbol.iterator]();
  }

  override *children(): Iterable<[string, AnyModule]> {
    yield* this.items;
    yield* super.children(); // a subclass may have fields of its own
  }

  override forward(): never {
    return noForward('ModuleDict');
  }
}

/** What lists and dicts of parameters share. */
abstract class Parameters extends Module<never, never> {
  /** The parameters, by their names in state dicts. */
  protected abstract named(): Iterable<[string, Parameter]>;

  override *ownTensors(): Iterable<[string, Parameter | State]> {
    yield* this.named();
    yield* super.ownTensors();
  }

  override forward(): never {
    return noForward(this.constructor.name);
  }

  protected require(parameter: Parameter, name: string | number): Parameter {
    if (!(parameter instanceof Parameter))
      throw inputError(this.constructor.name, `item ${name} is no Parameter`, {}, 'Wrap it: new nn.Parameter(tensor).');
    return parameter;
  }
}

/** A list of parameters, named 0, 1, … */
export class ParameterList extends Parameters {
  /** The items. */
  protected readonly items: Parameter[];

  constructor(parameters: Iterable<Parameter> = []) {
    super();
    this.items = [];
    this.listedByHand('items');
    for (const parameter of parameters) this.push(parameter);
  }

  protected override *named(): Iterable<[string, Parameter]> {
    for (const [i, parameter] of this.items.entries()) yield [String(i), parameter];
  }

  /** Number of parameters. */
  get length(): number {
    return this.items.length;
  }

  /** The parameter at a position; negative ones count from the end. */
  at(index: number): Parameter {
    const found = this.items.at(index);
    if (!found) throw inputError('ParameterList', `there is no parameter ${index} among ${this.items.length}`);
    return found;
  }

  /** Appends a parameter, whose name is its position, and returns this. */
  push(parameter: Parameter): this {
    this.items.push(this.require(parameter, this.items.length));
    return this;
  }

  [Symbol.iterator](): Iterator<Parameter> {
    return this.items[Symbol.iterator]();
  }
}

/** Parameters by name. */
export class ParameterDict extends Parameters {
  /** The items. */
  protected readonly items: Map<string, Parameter>;

  constructor(parameters: Readonly<Record<string, Parameter>> = {}) {
    super();
    this.items = new Map();
    this.listedByHand('items');
    for (const [name, parameter] of Object.entries(parameters)) this.set(name, parameter);
  }

  protected override named(): Iterable<[string, Parameter]> {
    return this.items;
  }

  /** The parameter of a name. Throws InputError where there is none. */
  get(name: string): Parameter {
    const found = this.items.get(name);
    if (!found)
      throw inputError(
        'ParameterDict',
        `there is no parameter '${name}', there are ${[...this.items.keys()].join(', ')}`,
      );
    return found;
  }

  /** Adds or replaces the parameter of a name, and returns this. */
  set(name: string, parameter: Parameter): this {
    if (!name || name.includes('.'))
      throw inputError('ParameterDict', `'${name}' is no name`, {}, 'It is text without dots.');
    this.items.set(name, this.require(parameter, name));
    return this;
  }

  /** Whether there is a parameter of this name. */
  has(name: string): boolean {
    return this.items.has(name);
  }

  /** Names in the order in which they were added. */
  keys(): string[] {
    return [...this.items.keys()];
  }

  /** Number of parameters. */
  get length(): number {
    return this.items.size;
  }

  [Symbol.iterator](): Iterator<[string, Parameter]> {
    return this.items[Symbol.iterator]();
  }
}
