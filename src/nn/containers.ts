// Containers: modules in a row.
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

/** Modules applied one after the other. Children are named 0, 1, … */
export class Sequential extends Module {
  readonly layers: readonly Module[];

  constructor(...layers: Module[]) {
    super();
    this.layers = layers;
  }

  override *children(): Iterable<[string, Module]> {
    for (const [i, layer] of this.layers.entries()) yield [String(i), layer];
  }

  override forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this.layers) y = layer.forward(y as never) as Tensor;
    return y;
  }
}

/** A list of modules that a parent calls as it likes. Children are named 0, 1, … */
export class ModuleList<T extends Module = Module> extends Module {
  readonly items: T[];

  constructor(items: Iterable<T> = []) {
    super();
    this.items = [...items];
  }

  get length(): number {
    return this.items.length;
  }

  at(index: number): T {
    const item = this.items.at(index);
    if (!item) throw inputError('ModuleList', `there is no module ${index} among ${this.items.length}`);
    return item;
  }

  push(item: T): this {
    this.items.push(item);
    return this;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]();
  }

  override *children(): Iterable<[string, Module]> {
    for (const [i, item] of this.items.entries()) yield [String(i), item];
  }

  override forward(): never {
    throw inputError('ModuleList', 'a list has no forward: call its modules, or use Sequential');
  }
}
