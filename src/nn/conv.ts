// Convolution layers.

import { checked, is, type OptionTable } from '../gpu/options';
import type { Conv1dOptions, Conv2dOptions, ConvTranspose2dOptions } from '../ops/conv';
import { CONV, conv1d, conv2d, convTranspose2d, TRANSPOSED } from '../ops/conv';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';

interface Common {
  groups?: number;
  /** Whether a number is added to each output channel (default true). */
  bias?: boolean;
}

export type Conv1dLayerOptions = Conv1dOptions & Common;
export type Conv2dLayerOptions = Conv2dOptions & Common;
export type ConvTranspose2dLayerOptions = ConvTranspose2dOptions & Common;

const pairOf = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === 'number' ? [value, value] : value;

/** What the layers share: `weight` and `bias` start uniform in ±1/√fanIn, as in PyTorch. */
abstract class Convolution<O extends { groups?: number }> extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  /** The options of the convolution itself. */
  readonly options: O;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    readonly kernelSize: readonly number[],
    given: O & { bias?: boolean },
    table: OptionTable<O>,
    transposed = false,
  ) {
    super();
    const { bias = true, ...options } = checked(this.constructor.name, given, {
      ...table,
      bias: is.flag,
    } as OptionTable<typeof given>);
    this.options = options as unknown as O;
    const { groups = 1 } = this.options;
    if (inChannels % groups || outChannels % groups)
      throw inputError(
        this.constructor.name,
        `${inChannels} input and ${outChannels} output channels do not divide into ${groups} groups`,
      );
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    const shape = [...channels, ...kernelSize];
    const bound = 1 / Math.sqrt(init.fans(shape).fanIn);
    this.weight = new Parameter(init.uniform(shape, -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outChannels], -bound, bound)) : null;
  }

  protected override describe(): string {
    const all = { ...this.options, ...(!this.bias && { bias: false }) };
    const options = Object.entries(all).map(([key, value]) => `, ${key}=${JSON.stringify(value)}`);
    return `${this.inChannels}, ${this.outChannels}, kernel=${this.kernelSize.join('×')}${options.join('')}`;
  }
}

/**
 * 2-d convolution of [N, inChannels, H, W] with `weight` [outChannels, inChannels/groups, kH, kW] and `bias` [outChannels].
 * Options: stride 1, padding 0 (number, pair, four sides or 'same'), dilation 1, groups 1, bias true.
 */
export class Conv2d extends Convolution<Conv2dOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options: Conv2dLayerOptions = {},
  ) {
    super(inChannels, outChannels, pairOf(kernelSize), options, CONV);
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}

/** Convolution along a line: [N, inChannels, L] with `weight` [outChannels, inChannels/groups, K]. Options as of Conv2d. */
export class Conv1d extends Convolution<Conv1dOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv1dLayerOptions = {}) {
    super(inChannels, outChannels, [kernelSize], options, CONV as OptionTable<Conv1dOptions>);
  }

  override forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed convolution of [N, inChannels, H, W] with `weight` [inChannels, outChannels/groups, kH, kW]: a stride enlarges the image. */
export class ConvTranspose2d extends Convolution<ConvTranspose2dOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options: ConvTranspose2dLayerOptions = {},
  ) {
    super(inChannels, outChannels, pairOf(kernelSize), options, TRANSPOSED, true);
  }

  override forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options);
  }
}
