// Convolution layers.

import { at } from '../../shaders/checked';
import { checked, is, type OptionTable, word } from '../gpu/options';
import type { Conv2dOptions, ConvTranspose2dOptions } from '../ops/conv';
import { CONV, conv2d, convTranspose2d, TRANSPOSED } from '../ops/conv';
import type { Conv1dOptions, Conv3dOptions, ConvTransposeOptions } from '../ops/conv-nd';
import { CONV_ND, conv1d, conv3d, convTranspose1d, convTranspose3d, TRANSPOSED_ND } from '../ops/conv-nd';
import { type PadMode, pad } from '../ops/pad';
import { type Sizes, sizesOf } from '../ops/sizes';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';
import { redraw } from './reset';

interface Common {
  groups?: number;
  /** Whether a number is added to each output channel (default true). */
  bias?: boolean;
}

interface Padded extends Common {
  /** What stands around the input: 'zeros' (the default), 'reflect', 'replicate' or 'circular'. */
  paddingMode?: 'zeros' | 'reflect' | 'replicate' | 'circular';
}

/** Options of `nn.Conv1d`: those of `F.conv1d`, `bias` and `paddingMode`. */
export type Conv1dLayerOptions = Conv1dOptions & Padded;
/** Options of `nn.Conv2d`: those of `F.conv2d`, `bias` and `paddingMode`. */
export type Conv2dLayerOptions = Conv2dOptions & Padded;
/** Options of `nn.Conv3d`: those of `F.conv3d`, `bias` and `paddingMode`. */
export type Conv3dLayerOptions = Conv3dOptions & Padded;
/** Options of `nn.ConvTranspose1d` and `nn.ConvTranspose3d`: those of the functions, and `bias`. */
export type ConvTransposeLayerOptions = ConvTransposeOptions & Common;
/** Options of `nn.ConvTranspose2d`: those of `F.convTranspose2d`, and `bias`. */
export type ConvTranspose2dLayerOptions = ConvTranspose2dOptions & Common;

/** What stands before and after each axis: `padding` is a number for all, one for each, or one for each side. */
function sidesOf(op: string, padding: Sizes, dims: number): (readonly [number, number])[] {
  if (!Array.isArray(padding) || padding.length !== 2 * dims)
    return Array.from(sizesOf(op, 'padding', padding, dims), (p) => [p, p]);
  const each = sizesOf(op, 'padding', padding, 2 * dims);
  return Array.from({ length: dims }, (_, i) => [at(each, 2 * i), at(each, 2 * i + 1)]);
}

/** Refuses options with another number of numbers than axes. */
function checkSizes(op: string, options: ConvTransposeOptions & Conv3dOptions, dims: number): void {
  const { stride = 1, dilation = 1, padding = 0, outputPadding = 0 } = options;
  sizesOf(op, 'stride', stride, dims, { least: 1 });
  sizesOf(op, 'dilation', dilation, dims, { least: 1 });
  sizesOf(op, 'outputPadding', outputPadding, dims);
  if (typeof padding !== 'string') sidesOf(op, padding, dims);
}

/** What the layers share: `weight` and `bias` start uniform in ±1/√fanIn, as in PyTorch. */
abstract class Convolution<O extends { groups?: number }> extends Module {
  /** [outChannels, inChannels / groups, …kernelSize]; of transposed ones [inChannels, outChannels / groups, …kernelSize]. */
  readonly weight: Parameter;
  /** [outChannels]; null with `bias: false`. */
  readonly bias: Parameter | null;

  /** Size of the kernel along each spatial dimension. */
  readonly kernelSize: readonly number[];
  /** The options of the convolution itself. */
  readonly options: O;
  /** What stands around the input: 'zeros', 'reflect', 'replicate' or 'circular'. */
  readonly paddingMode: NonNullable<Padded['paddingMode']>;

  constructor(
    /** C of the input [N, C, …]; a multiple of `groups`. */
    readonly inChannels: number,
    /** C of the result; a multiple of `groups`. */
    readonly outChannels: number,
    kernelSize: Sizes,
    dims: number,
    given: O & Padded,
    table: OptionTable<O>,
    transposed = false,
  ) {
    super();
    const layer = {
      bias: is.flag,
      ...(!transposed && { paddingMode: word('zeros', 'reflect', 'replicate', 'circular') }),
    };
    const all = { ...table, ...layer } as OptionTable<typeof given>;
    const { bias = true, paddingMode = 'zeros', ...options } = checked(this.constructor.name, given, all);
    this.paddingMode = paddingMode;
    this.kernelSize = sizesOf(this.constructor.name, 'kernelSize', kernelSize, dims, { least: 1 });
    checkSizes(this.constructor.name, options, dims);
    this.options = options as unknown as O;
    const { groups = 1 } = this.options;
    if (inChannels % groups || outChannels % groups)
      throw inputError(
        this.constructor.name,
        `${inChannels} input and ${outChannels} output channels do not divide into ${groups} groups`,
      );
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    const shape = [...channels, ...this.kernelSize];
    const bound = 1 / Math.sqrt(init.fans(shape).fanIn);
    this.weight = new Parameter(init.uniform(shape, -bound, bound));
    this.bias = bias ? new Parameter(init.uniform([outChannels], -bound, bound)) : null;
  }

  /** Draws weights and biases again as they were at the start, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    redraw(this.parameters(), 1 / Math.sqrt(init.fans(this.weight.shape).fanIn));
  }

  /** The input with what `paddingMode` puts around it, and the options of the convolution that is left to do. */
  protected bordered(x: Tensor): [Tensor, O] {
    const { options, kernelSize, paddingMode } = this;
    const { padding = 0, dilation = 1 } = options as Conv3dOptions;
    if (paddingMode === 'zeros' || padding === 'valid') return [x, options];
    const dims = kernelSize.length;
    const sides =
      padding === 'same'
        ? Array.from(sizesOf('padding', 'dilation', dilation, dims), (d, i) => {
            const total = d * (at(kernelSize, i) - 1);
            return [total >> 1, total - (total >> 1)];
          })
        : sidesOf('padding', padding, dims);
    return [pad(x, sides.reverse().flat(), { mode: paddingMode as PadMode }), { ...options, padding: 0 }];
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
    super(inChannels, outChannels, kernelSize, 2, options, CONV);
  }

  override forward(x: Tensor): Tensor {
    const [input, options] = this.bordered(x);
    return conv2d(input, this.weight, this.bias, options);
  }
}

/** Convolution along a line: [N, inChannels, L] with `weight` [outChannels, inChannels/groups, K]. Options as of Conv2d. */
export class Conv1d extends Convolution<Conv1dOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: Conv1dLayerOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, 1, options, CONV_ND);
  }

  override forward(x: Tensor): Tensor {
    const [input, options] = this.bordered(x);
    return conv1d(input, this.weight, this.bias, options);
  }
}

/** Convolution of volumes: [N, inChannels, D, H, W] with `weight` [outChannels, inChannels/groups, kD, kH, kW]. Options as of Conv2d. */
export class Conv3d extends Convolution<Conv3dOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: Conv3dLayerOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, 3, options, CONV_ND);
  }

  override forward(x: Tensor): Tensor {
    const [input, options] = this.bordered(x);
    return conv3d(input, this.weight, this.bias, options);
  }
}

/** Transposed convolution along a line, as ConvTranspose2d of images. */
export class ConvTranspose1d extends Convolution<ConvTransposeOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvTransposeLayerOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, 1, options, TRANSPOSED_ND, true);
  }

  override forward(x: Tensor): Tensor {
    return convTranspose1d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed convolution of volumes, as ConvTranspose2d of images. */
export class ConvTranspose3d extends Convolution<ConvTransposeOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvTransposeLayerOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, 3, options, TRANSPOSED_ND, true);
  }

  override forward(x: Tensor): Tensor {
    return convTranspose3d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed convolution of [N, inChannels, H, W] with `weight` `[inChannels, outChannels/groups, kH, kW]`: a stride enlarges the image. */
export class ConvTranspose2d extends Convolution<ConvTranspose2dOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options: ConvTranspose2dLayerOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, 2, options, TRANSPOSED, true);
  }

  override forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options);
  }
}
