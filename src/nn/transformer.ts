// Stacks of transformer layers, and the whole transformer.

import { detach } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { assign_ } from '../ops/assign';
import { causalMask } from '../ops/attention';
import { choose } from '../ops/choose';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { ModuleList } from './containers';
import * as init from './init';
import { LayerNorm } from './layer-norm';
import { type AnyModule, Module } from './module';
import {
  checkWidth,
  DECODER_CALL,
  type DecoderCall,
  LAYER,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from './transformer-layers';

/** A layer that makes copies of itself, as those of transformers do. */
type Copied<L> = L & { clone(): L };

/** `layer` and copies of it with the same weights, as PyTorch has it. */
function stack<L extends AnyModule>(name: string, layer: Copied<L>, count: number): ModuleList<L> {
  if (!(Number.isInteger(count) && count > 0)) throw inputError(name, `${count} layers`, {}, 'Use a positive integer.');
  if (typeof layer?.clone !== 'function')
    throw inputError(name, 'the layer has no clone()', {}, 'Give a TransformerEncoderLayer, or a module with clone().');
  return new ModuleList(Array.from({ length: count }, () => layer.clone()));
}

/** What `TransformerEncoder.forward` takes besides the sequence. */
export interface EncoderCall {
  /** Where positions may not attend, [S, S]. */
  mask?: Tensor | null;
  /** Positions that are padding, [N, S]. */
  srcKeyPaddingMask?: Tensor | null;
  /** Whether `mask` is causal; it may be left out then. */
  isCausal?: boolean;
}

const ENCODER_CALL: OptionTable<EncoderCall> = { mask: is.tensor, srcKeyPaddingMask: is.tensor, isCausal: is.flag };
type Stacked = { norm?: Module | null };
const STACK: OptionTable<Stacked> = {
  norm: { what: 'a module or null', fits: (x) => x === null || x instanceof Module },
};

/** Layers one after the other, copies of the one given, as `torch.nn.TransformerEncoder`; `norm` is applied at the end. */
export class TransformerEncoder extends Module<[src: Tensor, call?: EncoderCall], Tensor> {
  readonly layers: ModuleList<TransformerEncoderLayer>;
  readonly norm: Module | null;

  constructor(encoderLayer: TransformerEncoderLayer, numLayers: number, options: Stacked = {}) {
    super();
    const { norm = null } = checked(new.target.name, options, STACK);
    this.layers = stack(new.target.name, encoderLayer, numLayers);
    this.norm = norm;
  }

  override forward(src: Tensor, call: EncoderCall = {}): Tensor {
    const { mask: srcMask, ...o } = checked('TransformerEncoder.forward', call, ENCODER_CALL);
    let x = src;
    for (const layer of this.layers) x = layer.forward(x, { srcMask, ...o });
    return this.norm?.forward(x) ?? x;
  }
}

/** Layers one after the other, copies of the one given, as `torch.nn.TransformerDecoder`; `norm` is applied at the end. */
export class TransformerDecoder extends Module<[tgt: Tensor, memory: Tensor, call?: DecoderCall], Tensor> {
  readonly layers: ModuleList<TransformerDecoderLayer>;
  readonly norm: Module | null;

  constructor(decoderLayer: TransformerDecoderLayer, numLayers: number, options: Stacked = {}) {
    super();
    const { norm = null } = checked(new.target.name, options, STACK);
    this.layers = stack(new.target.name, decoderLayer, numLayers);
    this.norm = norm;
  }

  override forward(tgt: Tensor, memory: Tensor, call: DecoderCall = {}): Tensor {
    const o = checked('TransformerDecoder.forward', call, DECODER_CALL);
    let x = tgt;
    for (const layer of this.layers) x = layer.forward(x, memory, o);
    return this.norm?.forward(x) ?? x;
  }
}

/** Options of `nn.Transformer`, PyTorch's. */
export interface TransformerOptions extends TransformerLayerOptions {
  /** Features (default 512). */
  dModel?: number;
  /** Heads (default 8). */
  nhead?: number;
  /** Default 6. */
  numEncoderLayers?: number;
  /** Layers of the decoder (default 6). */
  numDecoderLayers?: number;
  /** Modules in place of encoder and decoder. */
  customEncoder?: Encoder | null;
  /** A decoder in place of the built-in one (default null). */
  customDecoder?: Decoder | null;
}

type Encoder = Module<[src: Tensor, call?: EncoderCall], Tensor>;
type Decoder = Module<[tgt: Tensor, memory: Tensor, call?: DecoderCall], Tensor>;

/** What `Transformer.forward` takes besides the sequences. */
export interface TransformerCall extends DecoderCall {
  /** Where positions of the source may not attend, [S, S]. */
  srcMask?: Tensor | null;
  /** Positions of the source that are padding, [N, S]. */
  srcKeyPaddingMask?: Tensor | null;
  /** Whether `srcMask` is causal; it may be left out then. */
  srcIsCausal?: boolean;
}

const module = { what: 'a module', fits: (x: unknown) => x === null || x instanceof Module };
const OPTIONS: OptionTable<TransformerOptions> = {
  ...LAYER,
  dModel: is.number,
  nhead: is.number,
  numEncoderLayers: is.number,
  numDecoderLayers: is.number,
  customEncoder: module,
  customDecoder: module,
};
const CALL: OptionTable<TransformerCall> = {
  ...DECODER_CALL,
  srcMask: is.tensor,
  srcKeyPaddingMask: is.tensor,
  srcIsCausal: is.flag,
};

/**
 * Encoder and decoder of Vaswani et al. 2017, as `torch.nn.Transformer`: src [S, N, E] and tgt [T, N, E] → [T, N, E]. Both end in a norm; all
 * matrices start Xavier uniform.
 */
export class Transformer extends Module<[src: Tensor, tgt: Tensor, call?: TransformerCall], Tensor> {
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  /** Features of each position in both sequences and in the result. */
  readonly dModel: number;

  constructor(options: TransformerOptions = {}) {
    super();
    const {
      dModel = 512,
      nhead = 8,
      numEncoderLayers = 6,
      numDecoderLayers = 6,
      customEncoder,
      customDecoder,
      ...layer
    } = checked(new.target.name, options, OPTIONS);
    this.dModel = dModel;
    const norm = () => new LayerNorm(dModel, { eps: layer.layerNormEps, bias: layer.bias });
    this.encoder =
      customEncoder ??
      new TransformerEncoder(new TransformerEncoderLayer(dModel, nhead, layer), numEncoderLayers, { norm: norm() });
    this.decoder =
      customDecoder ??
      new TransformerDecoder(new TransformerDecoderLayer(dModel, nhead, layer), numDecoderLayers, { norm: norm() });
    for (const p of this.parameters()) if (p.ndim > 1) assign_(detach(p), init.xavierUniform(p.shape));
  }

  override forward(src: Tensor, tgt: Tensor, call: TransformerCall = {}): Tensor {
    const {
      srcMask: mask,
      srcKeyPaddingMask,
      srcIsCausal: isCausal,
      ...decoding
    } = checked('Transformer.forward', call, CALL);
    checkWidth('Transformer', src, this.dModel);
    checkWidth('Transformer', tgt, this.dModel);
    return this.decoder.forward(tgt, this.encoder.forward(src, { mask, srcKeyPaddingMask, isCausal }), decoding);
  }

  /** [n, n] with −∞ above the diagonal and 0 elsewhere: a causal mask that is added. */
  static generateSquareSubsequentMask(n: number): Tensor {
    return choose(causalMask(n, n), 0, Number.NEGATIVE_INFINITY);
  }
}
