// Containers: modules in a row.
import { inputError } from '../tensor/context';
import { Tensor } from '../tensor/tensor';
import { type AnyModule, Module } from './module';

/** What the containers share: a list of modules, whose children are named 0, 1, … */
abstract class Row<T extends AnyModule, In, Out> extends Module<In, Out> {
  /** The items. */
  protected readonly items: T[];

  constructor(items: Iterable<T>) {
    super();
    this.items = [...items];
    this.listedByHand('items');
    const odd = this.items.findIndex((item) => !(item instanceof Module));
    if (odd >= 0)
      throw inputError(this.constructor.name, `item ${odd} is no module`, {}, 'Write a class with forward().');
  }

  /** Number of modules. */
  get length(): number {
    return this.items.length;
  }

  /** The module at a position; negative ones count from the end. */
  at(index: number): T {
    const item = this.items.at(index);
    if (!item) throw inputError(this.constructor.name, `there is no module ${index} among ${this.items.length}`);
    return item;
  }

  /** Appends a module, whose name is its position, and returns this. */
  push(item: T): this {
    this.items.push(item);
    return this;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]();
  }

  override *children(): Iterable<[string, AnyModule]> {
    for (const [i, item] of this.items.entries()) yield [String(i), item];
    yield* super.children(); // a subclass may have fields of its own
  }
}

/** What a layer has given, which the next one cannot take. */
function notTensor(i: number, layer: Module, y: unknown): Error {
  const given = y !== null && typeof y === 'object' ? `{ ${Object.keys(y).join(', ')} }` : String(y);
  return inputError(
    'Sequential',
    `item ${i}, ${layer.constructor.name}, has given ${y instanceof Promise ? 'a promise' : given} and no tensor`,
    {},
    'Call it in a module of your own, whose forward hands on the tensor that the next one takes.',
  );
}

/** Modules applied one after the other. Throws InputError that names the module where one gives no tensor to the next. */
export class Sequential extends Row<Module, Tensor, Tensor> {
  constructor(...layers: Module[]) {
    super(layers);
  }

  /** The modules in the order in which `forward` calls them. */
  get layers(): readonly Module[] {
    return this.items;
  }

  override forward(x: Tensor): Tensor {
    let y = x;
    for (const [i, layer] of this.items.entries()) {
      y = layer.forward(y);
      if (!(y instanceof Tensor) && i + 1 < this.items.length) throw notTensor(i, layer, y);
    }
    return y;
  }
}

/** A list of modules that a parent calls as it likes. */
export class ModuleList<T extends AnyModule = Module> extends Row<T, never, never> {
  constructor(items: Iterable<T> = []) {
    super(items);
  }

  override forward(): never {
    throw inputError('ModuleList', 'a list has no forward: call its modules, or use Sequential');
  }
}
