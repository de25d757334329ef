// Convolution layer.
import { conv2d } from '../autograd/conv';
import { inputError } from '../tensor/context';
import type { Conv2dOptions } from '../tensor/conv';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';

export interface Conv2dLayerOptions extends Conv2dOptions {
  bias?: boolean;
}

/**
 * 2-d convolution of [N, inChannels, H, W]. `weight` [outChannels, inChannels/groups, kH, kW] and `bias` [outChannels] start uniform in
 * ±1/√fanIn, as in PyTorch. Options: stride 1, padding 0 (number, pair, four sides or 'same'), dilation 1, groups 1, bias true.
 */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly kernelSize: readonly [number, number];

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly [number, number],
    readonly options: Conv2dLayerOptions = {},
  ) {
    super();
    const { groups = 1, bias = true } = options;
    if (inChannels % groups || outChannels % groups)
      throw inputError(
        'Conv2d',
        `${inChannels} input and ${outChannels} output channels do not divide into ${groups} groups`,
      );
    this.kernelSize = typeof kernelSize === 'number' ? [kernelSize, kernelSize] : kernelSize;
    const shape = [outChannels, inChannels / groups, ...this.kernelSize];
    const bound = 1 / Math.sqrt(init.fans(shape).fanIn);
    this.weight = new Parameter(init.uniform(shape, -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outChannels], -bound, bound)) : null;
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }

  protected override describe(): string {
    const options = Object.entries(this.options).map(([key, value]) => `, ${key}=${JSON.stringify(value)}`);
    return `${this.inChannels}, ${this.outChannels}, kernel=${this.kernelSize.join('×')}${options.join('')}`;
  }
}
