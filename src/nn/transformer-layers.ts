// The layers of transformers: attention and a small network with a residual connection and a norm around each.
import { checked, is, type OptionTable } from '../gpu/options';
import { add, gelu } from '../ops/elementwise';
import * as unary from '../ops/unary';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { type AttentionCall, MultiheadAttention } from './attention';
import { Dropout } from './dropout';
import { LayerNorm } from './layer-norm';
import { Linear } from './linear';
import { Spelled } from './spelled';

/** Options of transformer layers, PyTorch's. */
export interface TransformerLayerOptions {
  /** Width of the network between the two linear layers (default 2048). */
  dimFeedforward?: number;
  /** Default 0.1. */
  dropout?: number;
  /** 'relu' (default), 'gelu', or any function. */
  activation?: 'relu' | 'gelu' | ((x: Tensor) => Tensor);
  /** Added to the variances of the norms (default 1e-5). */
  layerNormEps?: number;
  /** Whether sequences are [N, L, E] instead of [L, N, E]. */
  batchFirst?: boolean;
  /** Whether norms come before attention and network instead of after the residual connection. */
  normFirst?: boolean;
  /** Whether linear layers and norms have biases (default true). */
  bias?: boolean;
}

const activations = { relu: unary.relu, gelu: (x: Tensor) => gelu(x) };

export const LAYER: OptionTable<TransformerLayerOptions> = {
  dimFeedforward: is.number,
  dropout: is.number,
  activation: {
    what: "'relu', 'gelu' or a function",
    fits: (x) => typeof x === 'function' || Object.hasOwn(activations, String(x)),
  },
  layerNormEps: is.number,
  batchFirst: is.flag,
  normFirst: is.flag,
  bias: is.flag,
};

/** What the layers of encoder and decoder share. */
export abstract class TransformerLayer<In extends readonly unknown[]> extends Spelled<In, Tensor> {
  readonly selfAttn: MultiheadAttention;

  constructor(
    /** Features of each position in input and result. */
    readonly dModel: number,
    /** Attention heads; they divide `dModel`. */
    readonly nhead: number,
    /** As they were given, without defaults. */
    readonly options: TransformerLayerOptions = {},
  ) {
    super();
    checked(new.target.name, options, LAYER);
    this.selfAttn = this.attention();
  }

  protected attention(): MultiheadAttention {
    const { dropout = 0.1, bias, batchFirst } = this.options;
    return new MultiheadAttention(this.dModel, this.nhead, { dropout, bias, batchFirst });
  }

  protected linear(inputs: number, outputs: number): Linear {
    return new Linear(inputs, outputs, { bias: this.options.bias });
  }

  protected norm(): LayerNorm {
    return new LayerNorm(this.dModel, { eps: this.options.layerNormEps, bias: this.options.bias });
  }

  protected drop(): Dropout {
    return new Dropout(this.options.dropout ?? 0.1);
  }

  protected get hidden(): number {
    return this.options.dimFeedforward ?? 2048;
  }

  protected activate(x: Tensor): Tensor {
    const { activation = 'relu' } = this.options;
    return typeof activation === 'function' ? activation(x) : activations[activation](x);
  }

  /** x + f(norm(x)), or norm(x + f(x)). */
  protected residual(x: Tensor, norm: LayerNorm, f: (x: Tensor) => Tensor): Tensor {
    return this.options.normFirst ? add(x, f(norm.forward(x))) : norm.forward(add(x, f(x)));
  }

  /** A layer of the same kind with the same weights, of its own. */
  clone(): this {
    const Own = this.constructor as new (dModel: number, nhead: number, options: TransformerLayerOptions) => this;
    const copy = new Own(this.dModel, this.nhead, this.options);
    copy.loadStateDict(this.stateDict());
    return copy.train(this.training);
  }

  protected override describe(): string {
    return `${this.dModel}, ${this.nhead} heads`;
  }
}

/** What `TransformerEncoderLayer.forward` takes besides the sequence; masks as in `nn.MultiheadAttention`. */
export interface EncoderLayerCall {
  /** Where positions may not attend, [S, S]. */
  srcMask?: Tensor | null;
  /** Positions that are padding, [N, S]. */
  srcKeyPaddingMask?: Tensor | null;
  /** Whether `srcMask` is causal; it may be left out then. */
  isCausal?: boolean;
}

const ENCODER_CALL: OptionTable<EncoderLayerCall> = {
  srcMask: is.tensor,
  srcKeyPaddingMask: is.tensor,
  isCausal: is.flag,
};

const attended = (attention: MultiheadAttention, x: Tensor, memory: Tensor, call: AttentionCall): Tensor =>
  attention.forward(x, memory, memory, { ...call, needWeights: false })[0];

/** Self-attention and a network, as `torch.nn.TransformerEncoderLayer`: src [L, N, E] → the same shape, with PyTorch's keys. */
export class TransformerEncoderLayer extends TransformerLayer<[src: Tensor, call?: EncoderLayerCall]> {
  readonly linear1 = this.linear(this.dModel, this.hidden);
  readonly dropout = this.drop();
  readonly linear2 = this.linear(this.hidden, this.dModel);
  readonly norm1 = this.norm();
  readonly norm2 = this.norm();
  readonly dropout1 = this.drop();
  readonly dropout2 = this.drop();

  override forward(src: Tensor, call: EncoderLayerCall = {}): Tensor {
    const {
      srcMask: attnMask,
      srcKeyPaddingMask: keyPaddingMask,
      isCausal,
    } = checked('TransformerEncoderLayer.forward', call, ENCODER_CALL);
    checkWidth('TransformerEncoderLayer', src, this.dModel);
    const x = this.residual(src, this.norm1, (t) =>
      this.dropout1.forward(attended(this.selfAttn, t, t, { attnMask, keyPaddingMask, isCausal })),
    );
    return this.residual(x, this.norm2, (t) =>
      this.dropout2.forward(this.linear2.forward(this.dropout.forward(this.activate(this.linear1.forward(t))))),
    );
  }
}

/** What `TransformerDecoderLayer.forward` takes besides the sequences; masks as in `nn.MultiheadAttention`. */
export interface DecoderCall {
  /** Where positions of the target may not attend to each other, [T, T]. */
  tgtMask?: Tensor | null;
  /** Where they may not attend to the memory, [T, S]. */
  memoryMask?: Tensor | null;
  /** Positions of the target that are padding, [N, T]. */
  tgtKeyPaddingMask?: Tensor | null;
  /** Positions of the memory that are padding, [N, S]. */
  memoryKeyPaddingMask?: Tensor | null;
  /** Whether the masks are causal; they may be left out then. */
  tgtIsCausal?: boolean;
  /** As `tgtIsCausal`, of the mask of the memory. */
  memoryIsCausal?: boolean;
}

export const DECODER_CALL: OptionTable<DecoderCall> = {
  tgtMask: is.tensor,
  memoryMask: is.tensor,
  tgtKeyPaddingMask: is.tensor,
  memoryKeyPaddingMask: is.tensor,
  tgtIsCausal: is.flag,
  memoryIsCausal: is.flag,
};

/** Self-attention, attention to `memory` and a network, as `torch.nn.TransformerDecoderLayer`: tgt [L, N, E] → the same shape. */
export class TransformerDecoderLayer extends TransformerLayer<[tgt: Tensor, memory: Tensor, call?: DecoderCall]> {
  readonly multiheadAttn = this.attention();
  readonly linear1 = this.linear(this.dModel, this.hidden);
  readonly dropout = this.drop();
  readonly linear2 = this.linear(this.hidden, this.dModel);
  readonly norm1 = this.norm();
  readonly norm2 = this.norm();
  readonly norm3 = this.norm();
  readonly dropout1 = this.drop();
  readonly dropout2 = this.drop();
  readonly dropout3 = this.drop();

  override forward(tgt: Tensor, memory: Tensor, call: DecoderCall = {}): Tensor {
    const o = checked('TransformerDecoderLayer.forward', call, DECODER_CALL);
    checkWidth('TransformerDecoderLayer', tgt, this.dModel);
    const own = { attnMask: o.tgtMask, keyPaddingMask: o.tgtKeyPaddingMask, isCausal: o.tgtIsCausal };
    const cross = { attnMask: o.memoryMask, keyPaddingMask: o.memoryKeyPaddingMask, isCausal: o.memoryIsCausal };
    const x = this.residual(tgt, this.norm1, (t) => this.dropout1.forward(attended(this.selfAttn, t, t, own)));
    const y = this.residual(x, this.norm2, (t) =>
      this.dropout2.forward(attended(this.multiheadAttn, t, memory, cross)),
    );
    return this.residual(y, this.norm3, (t) =>
      this.dropout3.forward(this.linear2.forward(this.dropout.forward(this.activate(this.linear1.forward(t))))),
    );
  }
}

export function checkWidth(name: string, x: Tensor, width: number): void {
  if (x.shape[x.ndim - 1] !== width)
    throw inputError(
      name,
      `the sequence does not have ${width} features`,
      { input: x },
      'It is [L, N, E], or [N, L, E] with batchFirst.',
    );
}
