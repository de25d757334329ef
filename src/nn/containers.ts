// Containers: modules in a row.
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
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

/** Modules applied one after the other. */
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
    for (const layer of this.items) y = layer.forward(y);
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
