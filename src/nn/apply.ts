// Apply: what layers without parameters are made of.
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

/** A layer that applies a function; `toString` shows its name and options. */
export class Apply<Out = Tensor> extends Module<Tensor, Out> {
  constructor(
    /** What `forward` calls. */
    readonly apply_: (x: Tensor) => Out,
    /** What stands in the parentheses when the module is printed. */
    readonly text = '',
  ) {
    super();
  }

  override forward(x: Tensor): Out {
    return this.apply_(x);
  }

  protected override describe(): string {
    return this.text;
  }
}

/** The class of a layer that applies a function without options. */
export const applying = (f: (x: Tensor) => Tensor): (new () => Apply) =>
  class extends Apply {
    constructor() {
      super(f);
    }
  };
