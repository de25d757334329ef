// Fully connected layers, of one input and of two.

import { checked, is } from '../gpu/options';
import { linear } from '../ops/matmul';
import { bilinear } from '../ops/products';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';
import { redraw } from './reset';

/** Options of `Linear` and `Bilinear`. */
export interface LinearOptions {
  /** Whether a trained bias is added, true by default. */
  bias?: boolean;
}

/** y = x·Wᵀ + b on the last axis. `weight` [out, in], `bias` [out]; both start uniform in ±1/√in, as in PyTorch. */
export class Linear extends Module {
  /** [outFeatures, inFeatures]. */
  readonly weight: Parameter;
  /** [outFeatures]; null with `bias: false`. */
  readonly bias: Parameter | null;

  constructor(
    /** Size of the last dimension of the input. */
    readonly inFeatures: number,
    /** Size of the last dimension of the result. */
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super();
    const { bias = true } = checked(this.constructor.name, options, { bias: is.flag });
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = new Parameter(init.uniform([outFeatures, inFeatures], -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outFeatures], -bound, bound)) : null;
  }

  /** Draws weights and biases again as they were at the start, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    redraw(this.parameters(), 1 / Math.sqrt(this.inFeatures));
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  protected override describe(): string {
    return `in=${this.inFeatures}, out=${this.outFeatures}${this.bias ? '' : ', bias=false'}`;
  }
}

/** y[o] = aᵀ·W[o]·b + bias[o] on the last axes of two inputs. `weight` [out, in1, in2], `bias` [out]; both start uniform in ±1/√in1, as in PyTorch. */
export class Bilinear extends Module<[Tensor, Tensor]> {
  /** [outFeatures, in1Features, in2Features]. */
  readonly weight: Parameter;
  /** [outFeatures]; null with `bias: false`. */
  readonly bias: Parameter | null;

  constructor(
    /** Size of the last dimension of the first input. */
    readonly in1Features: number,
    /** Size of the last dimension of the second input. */
    readonly in2Features: number,
    /** Size of the last dimension of the result. */
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super();
    const { bias = true } = checked(this.constructor.name, options, { bias: is.flag });
    const bound = 1 / Math.sqrt(in1Features);
    this.weight = new Parameter(init.uniform([outFeatures, in1Features, in2Features], -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outFeatures], -bound, bound)) : null;
  }

  /** Draws weights and biases again as they were at the start, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    redraw(this.parameters(), 1 / Math.sqrt(this.in1Features));
  }

  override forward(a: Tensor, b: Tensor): Tensor {
    return bilinear(a, b, this.weight, this.bias);
  }

  protected override describe(): string {
    const { in1Features: m, in2Features: n, outFeatures: out, bias } = this;
    return `in1=${m}, in2=${n}, out=${out}${bias ? '' : ', bias=false'}`;
  }
}
