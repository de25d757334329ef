// Dropout.

import { InputError } from '../gpu';
import { dropout } from '../ops/dropout';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';

/** In training sets each element to zero with probability p and multiplies the others by 1 / (1 − p); in evaluation the identity. */
export class Dropout extends Module {
  constructor(/** Probability with which an element is set to 0 in training (default 0.5). */ readonly p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1)) throw new InputError(`Dropout: p = ${p} is no probability`);
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }

  protected override describe(): string {
    return `p=${this.p}`;
  }
}
