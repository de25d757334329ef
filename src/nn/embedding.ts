// Embedding: rows of a table by their number.
import { embedding } from '../ops/embedding';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';

/** Row `index` of a trained table [count, width] for each element of an int32 tensor: [...] → [..., width]. Rows start N(0, 1). */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(
    readonly count: number,
    readonly width: number,
  ) {
    super();
    this.weight = new Parameter(init.normal([count, width]));
  }

  override forward(index: Tensor): Tensor {
    return embedding(this.weight, index);
  }

  protected override describe(): string {
    return `${this.count}, ${this.width}`;
  }
}
