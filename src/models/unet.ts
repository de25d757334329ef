// U-Net (Ronneberger et al. 2015): an image goes down to ever coarser maps of more channels and up again, and on the way up each map is joined with the
// one of its size on the way down.
import { at } from '../../shaders/checked';
import { requireWhole } from '../gpu';
import { checked, is } from '../gpu/options';
import { Sequential } from '../nn/containers';
import { Conv2d, ConvTranspose2d } from '../nn/conv';
import { Module } from '../nn/module';
import { BatchNorm2d } from '../nn/norm';
import { concat } from '../ops/join';
import { maxPool2d } from '../ops/pool';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';

/** Options of `UNet`. */
export interface UNetOptions {
  /** Channels of the images (default 3). */
  inChannels?: number;
  /** Channels of the result; 1 by default. */
  outChannels?: number;
  /** Channels of each size of maps, from the finest; [64, 128, 256, 512, 1024] by default. */
  channels?: readonly number[];
}

/** Two 3×3 convolutions, each with a batch norm and ReLU. */
const twice = (from: number, to: number): Sequential => {
  const one = (a: number): [Module, Module] => [
    new Conv2d(a, to, 3, { padding: 1, bias: false }),
    new BatchNorm2d(to, { activation: 'relu' }),
  ];
  return new Sequential(...one(from), ...one(to));
};

/** [N, inChannels, H, W] → [N, outChannels, H, W]; H and W are multiples of 2 for each size of maps but the first. */
export class UNet extends Module {
  /** Two convolutions for each size of maps, from the finest to the coarsest. */
  readonly down: readonly Sequential[];
  /** From each coarser size to the next finer one: transposed convolutions of stride 2. */
  readonly up: readonly ConvTranspose2d[];
  /** Two convolutions on what came up beside what went down at the same size. */
  readonly join: readonly Sequential[];
  readonly output: Conv2d;

  constructor(options: UNetOptions = {}) {
    super();
    const table = { inChannels: is.number, outChannels: is.number, channels: is.numbers };
    const { inChannels = 3, outChannels = 1, channels = [64, 128, 256, 512, 1024] } = checked('UNet', options, table);
    for (const n of [inChannels, outChannels, ...channels]) requireWhole('UNet: channels', n, 1, 65_536);
    if (!channels.length) throw inputError('UNet', 'channels is an empty list', {}, 'Give those of each size of maps.');
    this.down = channels.map((to, i) => twice(i ? at(channels, i - 1) : inChannels, to));
    const coarse = channels.slice(1);
    this.up = coarse.map((from, i) => new ConvTranspose2d(from, at(channels, i), 2, { stride: 2 }));
    this.join = coarse.map((_, i) => twice(2 * at(channels, i), at(channels, i)));
    this.output = new Conv2d(at(channels, 0), outChannels, 1);
  }

  override forward(x: Tensor): Tensor {
    const step = 2 ** this.up.length;
    if (x.ndim !== 4 || x.shape.slice(2).some((n) => n % step))
      throw inputError(
        'UNet',
        `height and width must be multiples of ${step}`,
        { input: x },
        'Images are [N, C, H, W].',
      );
    const maps: Tensor[] = [];
    let y = x;
    for (const [i, block] of this.down.entries()) {
      y = block.forward(i ? maxPool2d(y, 2) : y);
      maps.push(y);
    }
    for (let i = this.up.length - 1; i >= 0; i--)
      y = at(this.join, i).forward(concat([at(maps, i), at(this.up, i).forward(y)], 1));
    return this.output.forward(y);
  }
}
