// Two blocks that a user might write. Nothing in them knows of particles: a block must keep the shape of its input, that is all.

import { F, nn, type Tensor } from '../../src/index.node.js';

/** What a ConvNeXt block adds: a 7×7 convolution for each channel, then a small network for each pixel. f(x) without its skip connection. */
export class DepthwiseBranch extends nn.Module {
  readonly depthwise: nn.Conv2d;
  readonly norm: nn.BatchNorm2d;
  readonly widen: nn.Conv2d;
  readonly narrow: nn.Conv2d;

  constructor(channels: number) {
    super();
    this.depthwise = new nn.Conv2d(channels, channels, 7, { padding: 3, groups: channels });
    this.norm = new nn.BatchNorm2d(channels);
    this.widen = new nn.Conv2d(channels, 2 * channels, 1);
    this.narrow = new nn.Conv2d(2 * channels, channels, 1);
  }

  override forward(x: Tensor): Tensor {
    return this.narrow.forward(F.gelu(this.widen.forward(this.norm.forward(this.depthwise.forward(x)))));
  }
}

/** A block of an MLP-Mixer with its skip connections inside: places are mixed, then channels. [N, C, H, W] stays as it is. */
export class MixerBlock extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly tokens: nn.Sequential;
  readonly norm2: nn.LayerNorm;
  readonly channelMixing: nn.Sequential;

  constructor(
    readonly channels: number,
    readonly places: number,
  ) {
    super();
    const mlp = (n: number) => new nn.Sequential(new nn.Linear(n, 2 * n), new nn.GELU(), new nn.Linear(2 * n, n));
    this.norm1 = new nn.LayerNorm(places);
    this.tokens = mlp(places);
    this.norm2 = new nn.LayerNorm(channels);
    this.channelMixing = mlp(channels);
  }

  override forward(x: Tensor): Tensor {
    const rows = x.reshape([-1, this.channels, this.places]);
    const mixed = rows.add(this.tokens.forward(this.norm1.forward(rows)));
    const pixels = mixed.transpose(1, 2);
    return pixels
      .add(this.channelMixing.forward(this.norm2.forward(pixels)))
      .transpose(1, 2)
      .reshape(x.shape);
  }
}
