// Fully connected layer.

import { checked, is } from '../gpu/options';
import { linear } from '../ops/matmul';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';

/** y = x·Wᵀ + b on the last axis. `weight` [out, in], `bias` [out]; both start uniform in ±1/√in, as in PyTorch. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: { bias?: boolean } = {},
  ) {
    super();
    const { bias = true } = checked(this.constructor.name, options, { bias: is.flag });
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = new Parameter(init.uniform([outFeatures, inFeatures], -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outFeatures], -bound, bound)) : null;
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  protected override describe(): string {
    return `in=${this.inFeatures}, out=${this.outFeatures}${this.bias ? '' : ', bias=false'}`;
  }
}
