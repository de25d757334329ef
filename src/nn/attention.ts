// Multi-head attention as a layer.
import { at, mapTuple, type Tuple, tuple } from '../../shaders/checked';
import { detach, isRecording } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { zero_ } from '../ops/assign';
import { causalMask, scaledDotProductAttention } from '../ops/attention';
import { choose } from '../ops/choose';
import { dropout } from '../ops/dropout';
import { add, logicalNot, logicalOr, mul } from '../ops/elementwise';
import { concat, split } from '../ops/join';
import { linear, matmul } from '../ops/matmul';
import { mean } from '../ops/reduce';
import { softmax } from '../ops/softmax';
import { expand, narrow, permute, reshape, squeeze, transpose, unsqueeze } from '../ops/views';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import * as init from './init';
import { Linear } from './linear';
import { Parameter } from './parameter';
import { Spelled } from './spelled';

/** Options of `nn.MultiheadAttention`, PyTorch's. */
export interface MultiheadAttentionOptions {
  /** Probability with which a weight is dropped in training (default 0). */
  dropout?: number;
  /** Whether the projections have biases (default true). */
  bias?: boolean;
  /** A trained key and value at the end of each sequence. */
  addBiasKv?: boolean;
  /** A key and value of zeros at the end of each sequence. */
  addZeroAttn?: boolean;
  /** Features of keys and of values (default `embedDim`). */
  kdim?: number | null;
  /** Features of the values (default `embedDim`). */
  vdim?: number | null;
  /** Whether sequences are [N, L, E] instead of [L, N, E]. */
  batchFirst?: boolean;
}

/** How one call attends. */
export interface AttentionCall {
  /** `[N, S]`: true where a key is padding, or float32 that is added to its scores. */
  keyPaddingMask?: Tensor | null;
  /** Whether the weights are returned too (default true); without them attention is fused. */
  needWeights?: boolean;
  /** [L, S] or [N·heads, L, S]: true where a query must not see a key (the opposite of `F.scaledDotProductAttention`), or float32, added. */
  attnMask?: Tensor | null;
  /** Whether the weights returned are the mean over heads (default true). */
  averageAttnWeights?: boolean;
  /** The mask is causal: query i sees the keys 0 … i. Needs no `attnMask`. */
  isCausal?: boolean;
}

const OPTIONS: OptionTable<MultiheadAttentionOptions> = {
  dropout: is.number,
  bias: is.flag,
  addBiasKv: is.flag,
  addZeroAttn: is.flag,
  kdim: { what: is.number.what, fits: (x) => x === null || is.number.fits(x) },
  vdim: { what: is.number.what, fits: (x) => x === null || is.number.fits(x) },
  batchFirst: is.flag,
};

const CALL: OptionTable<AttentionCall> = {
  keyPaddingMask: is.tensor,
  needWeights: is.flag,
  attnMask: is.tensor,
  averageAttnWeights: is.flag,
  isCausal: is.flag,
};

type Inputs = [query: Tensor, key: Tensor, value: Tensor, call?: AttentionCall];

/**
 * Attention of several heads, as `torch.nn.MultiheadAttention`: query [L, N, E], key [S, N, kdim], value [S, N, vdim] (with `batchFirst` N comes first,
 * without a batch there is none) → [y like the query, weights [N, L, S], or null with `needWeights: false`]. Rows that see no key are NaN with
 * weights and zero before the last projection without, as in PyTorch. PyTorch's keys: `in_proj_weight` [3E, E], or `q_proj_weight`,
 * `k_proj_weight`, `v_proj_weight` where widths differ; `in_proj_bias`, `bias_k`, `bias_v`, `out_proj.weight`, `out_proj.bias`.
 */
export class MultiheadAttention extends Spelled<Inputs, [y: Tensor, weights: Tensor | null]> {
  /** `[3·embedDim, embedDim]`: projections of queries, keys and values; null with `kdim` or `vdim` of their own. */
  readonly inProjWeight: Parameter | null = null;
  /** `[embedDim, embedDim]`: of the queries, where `inProjWeight` is null; else null. */
  readonly qProjWeight: Parameter | null = null;
  /** `[embedDim, kdim]`: of the keys, where `inProjWeight` is null; else null. */
  readonly kProjWeight: Parameter | null = null;
  /** `[embedDim, vdim]`: of the values, where `inProjWeight` is null; else null. */
  readonly vProjWeight: Parameter | null = null;
  /** `[3·embedDim]`: of queries, keys and values; null with `bias: false`. */
  readonly inProjBias: Parameter | null;
  /** Trained key at the end of each sequence; null without `addBiasKv`. */
  readonly biasK: Parameter | null;
  /** Trained value at the end of each sequence; null without `addBiasKv`. */
  readonly biasV: Parameter | null;
  readonly outProj: Linear;

  constructor(
    /** Features of queries and of the result; `numHeads` divides it. */
    readonly embedDim: number,
    /** Heads, each of embedDim / numHeads features. */
    readonly numHeads: number,
    /** As they were given, without defaults. */
    readonly options: MultiheadAttentionOptions = {},
  ) {
    super();
    const { bias = true, addBiasKv = false, dropout: p = 0, ...o } = checked(new.target.name, options, OPTIONS);
    if (!(Number.isInteger(embedDim / numHeads) && embedDim > 0 && numHeads > 0))
      throw inputError(new.target.name, `${embedDim} features do not divide into ${numHeads} heads`);
    if (!(p >= 0 && p <= 1)) throw inputError(new.target.name, `dropout ${p} is no probability`);
    const E = embedDim;
    const [kdim, vdim] = [o.kdim ?? E, o.vdim ?? E];
    if (kdim === E && vdim === E) this.inProjWeight = new Parameter(init.xavierUniform([3 * E, E]));
    else {
      this.qProjWeight = new Parameter(init.xavierUniform([E, E]));
      this.kProjWeight = new Parameter(init.xavierUniform([E, kdim]));
      this.vProjWeight = new Parameter(init.xavierUniform([E, vdim]));
    }
    this.inProjBias = bias ? new Parameter(zeros([3 * E])) : null;
    // PyTorch's Xavier of [1, 1, E].
    const extra = () => new Parameter(init.normal([1, 1, E], 0, Math.sqrt(2 / (2 * E))));
    this.biasK = addBiasKv ? extra() : null;
    this.biasV = addBiasKv ? extra() : null;
    this.outProj = new Linear(E, E, { bias });
    if (this.outProj.bias) zero_(detach(this.outProj.bias));
  }

  override forward(...[query, key, value, call = {}]: Inputs): [y: Tensor, weights: Tensor | null] {
    const o = checked('MultiheadAttention.forward', call, CALL);
    const { batchFirst = false } = this.options;
    if (![query, key, value].every((x) => x.ndim === query.ndim && (x.ndim === 2 || x.ndim === 3)))
      throw inputError('MultiheadAttention', 'sequences are no [L, N, E], [N, L, E] or [L, E]', { query, key, value });
    const single = query.ndim === 2;
    const batch = batchFirst ? 0 : 1;
    const [q, k, v] = mapTuple(this.#projected(query, key, value), (x) =>
      this.#heads(single ? unsqueeze(x, batch) : x),
    );
    const [N, H, L, D] = tuple(q.shape, 4);
    const keys = this.#withExtras(k, this.biasK);
    const values = this.#withExtras(v, this.biasV);
    const [own, S] = [at(k.shape, 2), at(keys.shape, 2)];
    const masks = this.#masks(o, [N, H, L, own], S - own);
    const p = this.training ? (this.options.dropout ?? 0) : 0;
    let y: Tensor;
    let weights: Tensor | null = null;
    if (o.needWeights ?? true) {
      const bias = masks.all && hidden(masks.all);
      const scores = matmul(mul(q, 1 / Math.sqrt(D)), transpose(keys));
      const all = softmax(bias ? add(scores, bias) : scores, -1);
      const kept = p > 0 ? dropout(all, { p }) : all;
      y = matmul(kept, values);
      const shown = (o.averageAttnWeights ?? true) ? mean(kept, 1) : kept;
      weights = single ? squeeze(shown, 0) : shown;
    } else {
      const attnMask = masks.all && (masks.all.dtype === 'bool' ? logicalNot(masks.all) : masks.all);
      y = scaledDotProductAttention(q, keys, values, { attnMask, dropoutP: p, isCausal: masks.causal });
    }
    const order = batchFirst ? [0, 2, 1, 3] : [2, 0, 1, 3];
    const joined = reshape(permute(y, order), [...(batchFirst ? [N, L] : [L, N]), H * D]);
    const out = this.outProj.forward(joined);
    return [single ? squeeze(out, batch) : out, weights];
  }

  /** Queries, keys and values, in one product where they are of the same tensor. */
  #projected(query: Tensor, key: Tensor, value: Tensor): Tuple<Tensor, 3> {
    const E = this.embedDim;
    const { inProjWeight: weight, inProjBias: bias, qProjWeight, kProjWeight, vProjWeight } = this;
    const rows = (x: Tensor, from: number, count: number) => narrow(x, 0, from * E, count * E);
    const biases = (from: number, count: number) => bias && rows(bias, from, count);
    if (qProjWeight && kProjWeight && vProjWeight)
      return [
        linear(query, qProjWeight, biases(0, 1)),
        linear(key, kProjWeight, biases(1, 1)),
        linear(value, vProjWeight, biases(2, 1)),
      ];
    if (!weight) throw inputError('MultiheadAttention', 'there are no weights for query, key and value');
    if (query === key && key === value) return tuple(split(linear(query, weight, bias), E, -1), 3);
    const product = (x: Tensor, from: number, count: number) =>
      linear(x, rows(weight, from, count), biases(from, count));
    const q = product(query, 0, 1);
    if (key !== value) return [q, product(key, 1, 1), product(value, 2, 1)];
    return [q, ...tuple(split(product(key, 1, 2), E, -1), 2)];
  }

  /** [L, N, E] or [N, L, E] → [N, heads, L, E / heads], a view. */
  #heads(x: Tensor): Tensor {
    const apart = reshape(x, [...x.shape.slice(0, 2), this.numHeads, this.embedDim / this.numHeads]);
    return permute(apart, this.options.batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3]);
  }

  /** With the trained row and the row of zeros at the end of the keys or values, where there are such. */
  #withExtras(x: Tensor, bias: Parameter | null): Tensor {
    const [N, H, , D] = tuple(x.shape, 4);
    const rows = [x];
    if (bias) rows.push(expand(reshape(bias, [1, H, 1, D]), [N, H, 1, D]));
    if (this.options.addZeroAttn) rows.push(zeros([N, H, 1, D]));
    return rows.length > 1 ? concat(rows, 2) : x;
  }

  /** All masks in one that broadcasts to [N, H, L, S], true or −∞ where hidden; the causal one apart where attention alone can take it. */
  #masks(o: AttentionCall, [N, H, L, S]: Tuple<number, 4>, extra: number): { all: Tensor | null; causal: boolean } {
    const { keyPaddingMask: padding = null, attnMask = null } = o;
    const list: Tensor[] = [];
    // With `isCausal` the mask says nothing more.
    const alone =
      !!o.isCausal && !extra && !padding && !(o.needWeights ?? true) && !(attnMask?.requiresGrad && isRecording());
    if (attnMask && !alone) {
      const shape = attnMask.ndim === 3 ? [N, H, L, S] : [L, S];
      list.push(this.#mask('attnMask', attnMask, attnMask.ndim === 3 ? [N * H, L, S] : [L, S], shape));
    } else if (o.isCausal && !alone) list.push(logicalNot(causalMask(L, S)));
    if (padding) list.push(this.#mask('keyPaddingMask', padding, padding.ndim === 1 ? [S] : [N, S], [N, 1, 1, S]));
    const bools = list.every(({ dtype }) => dtype === 'bool');
    const wide = list.map((m) => {
      const same = bools ? m : hidden(m);
      if (!extra) return same;
      const seen = zeros([...m.shape.slice(0, -1), extra], { dtype: same.dtype });
      return concat([same, seen], m.ndim - 1);
    });
    const all = wide.length ? wide.reduce((a, b) => (bools ? logicalOr(a, b) : add(a, b))) : null;
    return { all, causal: alone };
  }

  #mask(name: string, mask: Tensor, wanted: readonly number[], shape: readonly number[]): Tensor {
    if (mask.dtype !== 'bool' && mask.dtype !== 'float32')
      throw inputError('MultiheadAttention', `${name} is ${mask.dtype}`, { [name]: mask }, 'Use bool or float32.');
    if (mask.shape.join() !== wanted.join())
      throw inputError('MultiheadAttention', `${name} does not fit`, { [name]: mask, wanted }, 'L queries, S keys.');
    return reshape(mask, shape);
  }

  protected override describe(): string {
    return `${this.embedDim}, ${this.numHeads} heads`;
  }
}

/** A mask to be added: −∞ where a bool is true. */
const hidden = (mask: Tensor): Tensor => (mask.dtype === 'bool' ? choose(mask, Number.NEGATIVE_INFINITY, 0) : mask);
