// GPT-2's decoder, with the structure and names of nanoGPT.

import { Rng } from '../../datasets/random';
import { at, tuple } from '../../shaders/checked';
import { compile } from '../autograd/compile';
import { detach, noGrad } from '../autograd/tape';
import { requireWhole } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { Dropout } from '../nn/dropout';
import { Embedding } from '../nn/embedding';
import * as init from '../nn/init';
import { type CachedPass, KeyValueCache } from '../nn/key-value-cache';
import { LayerNorm } from '../nn/layer-norm';
import { Linear } from '../nn/linear';
import { inEvaluation, Module } from '../nn/module';
import type { Parameter } from '../nn/parameter';
import { assign_, zero_ } from '../ops/assign';
import { scaledDotProductAttention } from '../ops/attention';
import { add, gelu } from '../ops/elementwise';
import { split } from '../ops/join';
import { linear } from '../ops/matmul';
import { reshape, select, transpose } from '../ops/views';
import { inputError } from '../tensor/context';
import { arange, tensor } from '../tensor/create';
import { TENSOR_STREAM } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';

/** Options of `models.GPT`; the defaults are the smallest GPT-2's. */
export interface GPTOptions {
  /** Number of tokens; ids are 0 … vocabSize − 1. */
  vocabSize: number;
  /** Most tokens of a sequence (default 1024). */
  blockSize?: number;
  /** Layers (default 12). */
  nLayer?: number;
  /** Heads (default 12). */
  nHead?: number;
  /** Features (default 768). */
  nEmbd?: number;
  /** Default 0. */
  dropout?: number;
  /** Whether linear layers and norms have biases (default true). */
  bias?: boolean;
  /** GELU exactly ('none', nanoGPT's and the default), or by GPT-2's 'tanh'. */
  approximate?: 'none' | 'tanh';
}

type Config = Required<GPTOptions>;
const OPTIONS: OptionTable<GPTOptions> = {
  vocabSize: is.number,
  blockSize: is.number,
  nLayer: is.number,
  nHead: is.number,
  nEmbd: is.number,
  dropout: is.number,
  bias: is.flag,
  approximate: word('none', 'tanh'),
};

/** What a pass with a cache hands down to the layers. */
interface Cached {
  readonly cache: KeyValueCache;
  readonly pass: CachedPass;
  readonly layer: number;
}

const normal = (x: Parameter, std: number) => assign_(detach(x), init.normal(x.shape, 0, std));

/** A linear layer as GPT-2 starts it: weights N(0, std²), biases 0. */
function dense(inputs: number, outputs: number, { bias }: Config, std = 0.02): Linear {
  const layer = new Linear(inputs, outputs, { bias });
  normal(layer.weight, std);
  if (layer.bias) zero_(detach(layer.bias));
  return layer;
}

/** Layers whose results are added up start smaller, the more there are. */
const residualStd = ({ nLayer }: Config): number => 0.02 / Math.sqrt(2 * nLayer);

class CausalSelfAttention extends Module<[x: Tensor, cached?: Cached], Tensor> {
  readonly c_attn: Linear;
  readonly c_proj: Linear;
  readonly resid_dropout: Dropout;

  constructor(readonly config: Config) {
    super();
    const { nEmbd, dropout } = config;
    this.c_attn = dense(nEmbd, 3 * nEmbd, config);
    this.c_proj = dense(nEmbd, nEmbd, config, residualStd(config));
    this.resid_dropout = new Dropout(dropout);
  }

  override forward(x: Tensor, cached?: Cached): Tensor {
    const { nEmbd, nHead, dropout } = this.config;
    const [N, T] = tuple(x.shape, 3);
    const all = this.c_attn.forward(x);
    const heads = (part: Tensor) => transpose(reshape(part, [N, T, nHead, nEmbd / nHead]), 1, 2);
    const [q, k, v] = tuple(split(all, nEmbd, 2).map(heads), 3);
    const dropoutP = this.training ? dropout : 0;
    let y: Tensor;
    if (cached) {
      const { keys, values } = cached.cache.append(cached.layer, k, v);
      y = scaledDotProductAttention(q, keys, values, { attnMask: cached.pass.mask, dropoutP });
    } else y = scaledDotProductAttention(q, k, v, { isCausal: true, dropoutP });
    return this.resid_dropout.forward(this.c_proj.forward(reshape(transpose(y, 1, 2), [N, T, nEmbd])));
  }
}

class MLP extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;
  readonly dropout: Dropout;

  constructor(readonly config: Config) {
    super();
    this.c_fc = dense(config.nEmbd, 4 * config.nEmbd, config);
    this.c_proj = dense(4 * config.nEmbd, config.nEmbd, config, residualStd(config));
    this.dropout = new Dropout(config.dropout);
  }

  override forward(x: Tensor): Tensor {
    const { approximate } = this.config;
    return this.dropout.forward(this.c_proj.forward(gelu(this.c_fc.forward(x), { approximate })));
  }
}

class Block extends Module<[x: Tensor, cached?: Cached], Tensor> {
  readonly ln_1: LayerNorm;
  readonly attn: CausalSelfAttention;
  readonly ln_2: LayerNorm;
  readonly mlp: MLP;

  constructor(config: Config) {
    super();
    this.ln_1 = new LayerNorm(config.nEmbd, { bias: config.bias });
    this.attn = new CausalSelfAttention(config);
    this.ln_2 = new LayerNorm(config.nEmbd, { bias: config.bias });
    this.mlp = new MLP(config);
  }

  override forward(x: Tensor, cached?: Cached): Tensor {
    const y = add(x, this.attn.forward(this.ln_1.forward(x), cached));
    return add(y, this.mlp.forward(this.ln_2.forward(y)));
  }
}

/** The linear layer at the end, with the weights of another module. */
class Head extends Module {
  constructor(readonly weight: Parameter) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight);
  }
}

/**
 * A decoder that predicts the next token, as nanoGPT's `GPT` (Radford et al. 2019), with its keys (`transformer.wte.weight`,
 * `transformer.h.0.attn.c_attn.weight` [3C, C], `lm_head.weight`, which is tied to `wte`): tokens [N, T] of int32 → logits [N, T, vocabSize]. With a `cache`
 * (of `newCache`) the tokens follow those in it. Throws InputError for more than `blockSize` tokens.
 */
export class GPT extends Module<[tokens: Tensor, options?: { cache?: KeyValueCache }], Tensor> {
  /** The options, defaults filled in. */
  readonly config: Config;
  /** `wte` and `wpe` embed tokens and positions, `h` are the blocks, `ln_f` the last norm: GPT-2's names. */
  readonly transformer: {
    readonly wte: Embedding;
    readonly wpe: Embedding;
    readonly drop: Dropout;
    readonly h: readonly Block[];
    readonly ln_f: LayerNorm;
  };
  readonly lm_head: Head;

  constructor(options: GPTOptions) {
    super();
    const { vocabSize, ...o } = checked('GPT', options, OPTIONS);
    const defaults = {
      blockSize: 1024,
      nLayer: 12,
      nHead: 12,
      nEmbd: 768,
      dropout: 0,
      bias: true,
      approximate: 'none',
    } as const;
    const config: Config = { ...defaults, ...o, vocabSize };
    for (const name of ['vocabSize', 'blockSize', 'nLayer', 'nHead', 'nEmbd'] as const)
      requireWhole(`GPT: ${name}`, config[name], 1, 2 ** 24);
    if (config.nEmbd % config.nHead)
      throw inputError('GPT', `nEmbd ${config.nEmbd} is no multiple of nHead ${config.nHead}`);
    this.config = config;
    const { nEmbd, bias } = config;
    this.transformer = {
      wte: new Embedding(vocabSize, nEmbd),
      wpe: new Embedding(config.blockSize, nEmbd),
      drop: new Dropout(config.dropout),
      h: Array.from({ length: config.nLayer }, () => new Block(config)),
      ln_f: new LayerNorm(nEmbd, { bias }),
    };
    for (const { weight } of [this.transformer.wte, this.transformer.wpe]) normal(weight, 0.02);
    this.lm_head = new Head(this.transformer.wte.weight);
  }

  override forward(
    tokens: Tensor,
    options: {
      /** Keys and values of the tokens before, to which those of this pass are added. */
      cache?: KeyValueCache;
    } = {},
  ): Tensor {
    const { cache } = checked('GPT.forward', options, { cache: is.object });
    const { wte, wpe, drop, h, ln_f } = this.transformer;
    if (tokens.ndim !== 2) throw inputError('GPT', 'the tokens are no [N, T]', { tokens });
    const [, T] = tuple(tokens.shape, 2);
    if (T > this.config.blockSize)
      throw inputError(
        'GPT',
        `${T} tokens are more than blockSize ${this.config.blockSize}`,
        { tokens },
        'Give the last ones.',
      );
    const pass = cache?.advance(T);
    const positions = pass?.positions ?? arange(0, T, 1, { dtype: 'int32' });
    let x = drop.forward(add(wte.forward(tokens), wpe.forward(positions)));
    for (const [layer, block] of h.entries()) x = block.forward(x, cache && pass && { cache, pass, layer });
    return this.lm_head.forward(ln_f.forward(x));
  }

  /** An empty cache for `batch` sequences. */
  newCache(batch = 1): KeyValueCache {
    const { nLayer, nHead, nEmbd, blockSize } = this.config;
    return new KeyValueCache({ layers: nLayer, batch, heads: nHead, capacity: blockSize, width: nEmbd / nHead });
  }

  /**
   * Goes on from some tokens, one after the other, each drawn from softmax(logits / temperature) of the `topK` likeliest (default: all); temperature 0
   * takes the likeliest. Ends after `count` tokens. Beyond `blockSize` the first half of the tokens is forgotten. Runs in evaluation mode, in
   * one submit a token.
   *
   *     for await (const token of model.generate([1, 2, 3], { count: 10, seed: 7 })) show(token);
   */
  async *generate(prompt: readonly number[], options: GenerateOptions = {}): AsyncGenerator<number, void> {
    const { count = 100, temperature = 1, topK = Infinity, seed = 0 } = checked('GPT.generate', options, GENERATE);
    const { blockSize, vocabSize } = this.config;
    if (!prompt.length) throw inputError('GPT.generate', 'there is no token to go on from', {}, 'Give at least one.');
    if (!(temperature >= 0 && topK >= 1)) throw inputError('GPT.generate', `temperature ${temperature}, topK ${topK}`);
    const cache = this.newCache();
    const rng = new Rng(seed, TENSOR_STREAM);
    const last = (tokens: Tensor) =>
      inEvaluation(this, () => noGrad(() => select(this.forward(tokens, { cache }), 1, at(tokens.shape, 1) - 1)));
    const next = compile(last);
    const read = (from: readonly number[]) => tensor(Int32Array.from(from), { shape: [1, from.length] });
    try {
      const all = [...prompt];
      let fresh = all.slice(-blockSize);
      for (let i = 0; i < count; i++) {
        if (cache.length + fresh.length > blockSize) {
          cache.reset();
          fresh = all.slice(-Math.ceil(blockSize / 2));
        }
        const logits = await (fresh.length === 1 ? next : last)(read(fresh)).data();
        const token = sample(logits, temperature, Math.min(topK, vocabSize), rng.uniform());
        fresh = [token];
        all.push(token);
        yield token;
      }
    } finally {
      next.release();
      cache.dispose();
    }
  }
}

/** How text goes on: see `GPT.generate`. */
export interface GenerateOptions {
  /** Number of tokens to draw (default 100). */
  count?: number;
  /** The logits are divided by it (default 1); 0 always takes the likeliest token. */
  temperature?: number;
  /** Draws from this many likeliest tokens only (default all). */
  topK?: number;
  /** Seed of the draws (default 0): the same seed gives the same text. */
  seed?: number;
}

const GENERATE: OptionTable<GenerateOptions> = {
  count: is.number,
  temperature: is.number,
  topK: is.number,
  seed: is.number,
};

/** The token that `u` in [0, 1) falls on. */
function sample(logits: ArrayLike<number>, temperature: number, topK: number, u: number): number {
  const ranked = Array.from(logits, (logit, token) => ({ logit, token })).sort((a, b) => b.logit - a.logit);
  if (ranked.some(({ logit }) => Number.isNaN(logit)))
    throw inputError('GPT.generate', 'the logits are NaN: the weights are damaged, or training diverged');
  const likeliest = at(ranked, 0);
  if (temperature === 0) return likeliest.token;
  const kept = ranked.slice(0, topK);
  const weights = kept.map(({ logit }) => Math.exp((logit - likeliest.logit) / temperature));
  let rest = u * weights.reduce((sum, w) => sum + w, 0);
  const place = weights.findIndex((w) => (rest -= w) < 0);
  return at(kept, Math.max(0, place)).token;
}
