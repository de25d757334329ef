// The parts of residual networks: branches (what a block adds), transitions (blocks that change shape) and shortcuts.

import { Conv2d } from '../nn/conv';
import { kaimingNormal } from '../nn/init';
import { Module } from '../nn/module';
import { BatchNorm2d } from '../nn/norm';
import { Parameter } from '../nn/parameter';
import { add, relu } from '../ops/elementwise';
import { pad } from '../ops/pad';
import { slice } from '../ops/views';
import type { Tensor } from '../tensor/tensor';

/** How a block that changes shape carries its input on: zero channels, 1×1 convolution of x, or 1×1 convolution of relu(bn(x)). */
export type Shortcut = 'A' | 'B' | 'B-own-bn';

/** Channels and stride of a block. `groups` > 1 makes its 3×3 convolution grouped (ResNeXt). */
export interface BlockShape {
  /** C of the input [N, C, H, W]. */
  inChannels: number;
  /** Channels between the convolutions of the block. */
  innerChannels: number;
  /** C of the result. */
  outChannels: number;
  /** Divides height and width (default 1). */
  stride?: number;
  /** Three convolutions 1×1, 3×3, 1×1 instead of two 3×3. */
  bottleneck?: boolean;
  /** Groups of the 3×3 convolutions (default 1). */
  groups?: number;
}

/** Every norm of these nets but one is followed by a ReLU: one pass over memory does both. */
const RELU = { activation: 'relu' } as const;

/** A convolution without bias, He-initialised: normal with variance 2 / fanIn (He et al. 2015). */
export function heConv(inChannels: number, outChannels: number, kernel: number, stride = 1, groups = 1): Conv2d {
  const conv = new Conv2d(inChannels, outChannels, kernel, { stride, padding: kernel >> 1, groups, bias: false });
  (conv as { weight: Parameter }).weight = new Parameter(kaimingNormal(conv.weight.shape));
  return conv;
}

/** f(x) = conv2(relu(bn2(conv1(relu(bn1(x)))))), or the bottleneck with a third pair: what a pre-activation block adds (He et al. 2016). */
export class PreActBranch extends Module {
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn3: BatchNorm2d | null = null;
  readonly conv3: Conv2d | null = null;

  constructor({ inChannels, innerChannels, outChannels, stride = 1, bottleneck = false, groups = 1 }: BlockShape) {
    super();
    this.bn1 = new BatchNorm2d(inChannels, RELU);
    this.bn2 = new BatchNorm2d(innerChannels, RELU);
    if (bottleneck) {
      this.conv1 = heConv(inChannels, innerChannels, 1);
      this.conv2 = heConv(innerChannels, innerChannels, 3, stride, groups);
      this.bn3 = new BatchNorm2d(innerChannels, RELU);
      this.conv3 = heConv(innerChannels, outChannels, 1);
    } else {
      this.conv1 = heConv(inChannels, innerChannels, 3, stride);
      this.conv2 = heConv(innerChannels, outChannels, 3);
    }
  }

  override forward(x: Tensor): Tensor {
    const y = this.conv2.forward(this.bn2.forward(this.conv1.forward(this.bn1.forward(x))));
    return this.bn3 && this.conv3 ? this.conv3.forward(this.bn3.forward(y)) : y;
  }
}

/** Shortcut A: every `stride`-th pixel, zero channels half in front and half behind. No parameters. */
export class ZeroPadShortcut extends Module {
  constructor(
    /** C of the input [N, C, H, W]. */
    readonly inChannels: number,
    /** C of the result; the channels added are zero. */
    readonly outChannels: number,
    /** Keeps every stride-th row and column. */
    readonly stride: number,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    const kept = slice(x, [{}, {}, { step: this.stride }, { step: this.stride }]);
    const extra = this.outChannels - this.inChannels;
    return pad(kept, [
      [0, 0],
      [extra >> 1, extra - (extra >> 1)],
      [0, 0],
      [0, 0],
    ]);
  }
}

/** Shortcut B: a 1×1 convolution with the stride, of x or, with its own batch norm, of relu(bn(x)). */
export class ConvShortcut extends Module {
  readonly bn: BatchNorm2d | null;
  readonly conv: Conv2d;

  constructor(inChannels: number, outChannels: number, stride: number, ownNorm: boolean) {
    super();
    this.bn = ownNorm ? new BatchNorm2d(inChannels, RELU) : null;
    this.conv = heConv(inChannels, outChannels, 1, stride);
  }

  override forward(x: Tensor): Tensor {
    return this.conv.forward(this.bn ? this.bn.forward(x) : x);
  }
}

export function makeShortcut(kind: Shortcut, inChannels: number, outChannels: number, stride: number): Module {
  if (kind === 'A') return new ZeroPadShortcut(inChannels, outChannels, stride);
  return new ConvShortcut(inChannels, outChannels, stride, kind === 'B-own-bn');
}

/** A pre-activation block that changes shape: shortcut(x) + f(x). */
export class PreActTransition extends PreActBranch {
  readonly shortcut: Module;

  constructor(shape: BlockShape, shortcut: Shortcut) {
    super(shape);
    this.shortcut = makeShortcut(shortcut, shape.inChannels, shape.outChannels, shape.stride ?? 1);
  }

  override forward(x: Tensor): Tensor {
    const carried = this.shortcut.forward(x);
    return add(carried, super.forward(x));
  }
}

/** The original block: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)) (He et al. 2015). */
export class PostActBlock extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly shortcut: Module | null;

  constructor({ inChannels, innerChannels, outChannels, stride = 1 }: BlockShape, shortcut: Shortcut) {
    super();
    this.conv1 = heConv(inChannels, innerChannels, 3, stride);
    this.bn1 = new BatchNorm2d(innerChannels, RELU);
    this.conv2 = heConv(innerChannels, outChannels, 3);
    this.bn2 = new BatchNorm2d(outChannels);
    const changes = stride !== 1 || inChannels !== outChannels;
    this.shortcut = changes ? makeShortcut(shortcut, inChannels, outChannels, stride) : null;
  }

  override forward(x: Tensor): Tensor {
    const y = this.bn1.forward(this.conv1.forward(x));
    const carried = this.shortcut ? this.shortcut.forward(x) : x;
    return relu(add(this.bn2.forward(this.conv2.forward(y)), carried));
  }
}
