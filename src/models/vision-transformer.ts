// Vision transformers (Dosovitskiy et al. 2021) with the names of torchvision's, whose state dicts load as they are.
import { at } from '../../shaders/checked';
import { requireWhole } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { MultiheadAttention } from '../nn/attention';
import { Conv2d } from '../nn/conv';
import { Dropout } from '../nn/dropout';
import { normal } from '../nn/init';
import { LayerNorm } from '../nn/layer-norm';
import { Linear } from '../nn/linear';
import { type AnyModule, Module } from '../nn/module';
import { Parameter } from '../nn/parameter';
import { add, gelu } from '../ops/elementwise';
import { concat } from '../ops/join';
import { expand, flatten, select, transpose } from '../ops/views';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';

/** Options of `VisionTransformer`, with torchvision's names. */
export interface VisionTransformerOptions {
  /** Height and width of the images in pixels; a multiple of `patchSize`. */
  imageSize: number;
  /** Height and width of a patch in pixels. */
  patchSize: number;
  /** Layers of the encoder. */
  numLayers: number;
  /** Attention heads of each layer; they divide `hiddenDim`. */
  numHeads: number;
  /** Features of a token. */
  hiddenDim: number;
  /** Features between the two linear layers of a block. */
  mlpDim: number;
  /** Probability of dropout after embeddings, attention and linear layers (default 0). */
  dropout?: number;
  /** Probability of dropout of attention weights (default 0). */
  attentionDropout?: number;
  /** Number of logits (default 1000). */
  numClasses?: number;
  /** Channels of the images (default 3). */
  inChannels?: number;
}

const OPTIONS: OptionTable<VisionTransformerOptions> = {
  imageSize: is.number,
  patchSize: is.number,
  numLayers: is.number,
  numHeads: is.number,
  hiddenDim: is.number,
  mlpDim: is.number,
  dropout: is.number,
  attentionDropout: is.number,
  numClasses: is.number,
  inChannels: is.number,
};

const EPS = 1e-6;

/** x + attention(norm(x)), then the same with two linear layers. */
class EncoderBlock extends Module {
  readonly ln_1: LayerNorm;
  readonly self_attention: MultiheadAttention;
  readonly ln_2: LayerNorm;
  readonly first: Linear;
  readonly second: Linear;
  readonly dropout: Dropout;

  constructor({ numHeads, hiddenDim, mlpDim, dropout = 0, attentionDropout = 0 }: VisionTransformerOptions) {
    super();
    this.ln_1 = new LayerNorm(hiddenDim, { eps: EPS });
    this.self_attention = new MultiheadAttention(hiddenDim, numHeads, { dropout: attentionDropout, batchFirst: true });
    this.ln_2 = new LayerNorm(hiddenDim, { eps: EPS });
    this.first = new Linear(hiddenDim, mlpDim);
    this.second = new Linear(mlpDim, hiddenDim);
    this.dropout = new Dropout(dropout);
  }

  /** The linear layers have the places that they have in torchvision's list. */
  override *children(): Iterable<[string, AnyModule]> {
    const names: Record<string, string> = { first: 'mlp.0', second: 'mlp.3' };
    for (const [name, child] of super.children()) yield [names[name] ?? name, child];
  }

  override forward(x: Tensor): Tensor {
    const seen = this.ln_1.forward(x);
    const [looked] = this.self_attention.forward(seen, seen, seen, { needWeights: false });
    const y = add(x, this.dropout.forward(looked));
    const wide = this.dropout.forward(gelu(this.first.forward(this.ln_2.forward(y))));
    return add(y, this.dropout.forward(this.second.forward(wide)));
  }
}

/** Blocks one after the other, between the positions of the tokens and a norm. */
class Encoder extends Module {
  readonly pos_embedding: Parameter;
  readonly dropout: Dropout;
  readonly layers: readonly EncoderBlock[];
  readonly ln: LayerNorm;

  constructor(tokens: number, options: VisionTransformerOptions) {
    super();
    this.pos_embedding = new Parameter(normal([1, tokens, options.hiddenDim], 0, 0.02));
    this.dropout = new Dropout(options.dropout ?? 0);
    this.layers = Array.from({ length: options.numLayers }, () => new EncoderBlock(options));
    this.listedByHand('layers');
    this.ln = new LayerNorm(options.hiddenDim, { eps: EPS });
  }

  override *children(): Iterable<[string, AnyModule]> {
    for (const [i, layer] of this.layers.entries()) yield [`layers.encoder_layer_${i}`, layer];
    yield* super.children();
  }

  override forward(x: Tensor): Tensor {
    const placed = this.dropout.forward(add(x, this.pos_embedding));
    return this.ln.forward(this.layers.reduce((y, layer) => layer.forward(y), placed));
  }
}

/**
 * torchvision's `VisionTransformer`: patches become tokens, an encoder looks at them together with a token of the class, whose result a linear layer
 * reads. [N, 3, imageSize, imageSize] → [N, classes].
 */
export class VisionTransformer extends Module {
  /** `[1, 1, hiddenDim]`: the token in front of the patches, whose features the head reads. */
  readonly class_token: Parameter;
  readonly conv_proj: Conv2d;
  readonly encoder: Encoder;
  readonly head: Linear;

  constructor(/** As they were given, without defaults. */ readonly options: VisionTransformerOptions) {
    super();
    const {
      imageSize,
      patchSize,
      hiddenDim,
      numClasses = 1000,
      inChannels = 3,
    } = checked(new.target.name, options, OPTIONS);
    for (const name of ['imageSize', 'patchSize', 'numLayers', 'numHeads', 'hiddenDim', 'mlpDim'] as const)
      requireWhole(`VisionTransformer: ${name}`, options[name], 1, 65_536);
    if (imageSize % patchSize)
      throw inputError('VisionTransformer', `patches of ${patchSize} do not fill an image of ${imageSize} pixels`);
    this.class_token = new Parameter(zeros([1, 1, hiddenDim]));
    this.conv_proj = new Conv2d(inChannels, hiddenDim, patchSize, { stride: patchSize });
    this.encoder = new Encoder((imageSize / patchSize) ** 2 + 1, options);
    this.head = new Linear(hiddenDim, numClasses);
  }

  override *children(): Iterable<[string, AnyModule]> {
    for (const [name, child] of super.children()) yield [name === 'head' ? 'heads.head' : name, child];
  }

  override forward(x: Tensor): Tensor {
    const { imageSize, hiddenDim } = this.options;
    if (x.ndim !== 4 || x.shape[2] !== imageSize || x.shape[3] !== imageSize)
      throw inputError('VisionTransformer', `made for images of ${imageSize}×${imageSize}`, { input: x });
    const patches = transpose(flatten(this.conv_proj.forward(x), 2), 1, 2);
    const tokens = concat([expand(this.class_token, [at(x.shape, 0), 1, hiddenDim]), patches], 1);
    return this.head.forward(select(this.encoder.forward(tokens), 1, 0));
  }
}

const named =
  (patchSize: number, numLayers: number, numHeads: number, hiddenDim: number) =>
  (
    options: Partial<Pick<VisionTransformerOptions, 'imageSize' | 'dropout' | 'attentionDropout' | 'numClasses'>> = {},
  ) =>
    new VisionTransformer({
      ...{ imageSize: 224, patchSize, numLayers, numHeads, hiddenDim, mlpDim: 4 * hiddenDim },
      ...options,
    });

/** torchvision's `vit_b_16`. */
export const vitB16 = named(16, 12, 12, 768);
/** torchvision's `vit_b_32`. */
export const vitB32 = named(32, 12, 12, 768);
/** torchvision's `vit_l_16`. */
export const vitL16 = named(16, 24, 16, 1024);
