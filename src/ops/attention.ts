// Scaled dot-product attention: fused, without the matrix of weights (shaders/attention.ts), and composed of recorded operations where
// something needs that matrix, or it is small.

import * as kernels from '../../shaders/attention';
import { attentionOnMatrices, matrixAttention, matrixRows } from '../../shaders/attention-matrix';
import { at, fromEnd, mapTuple, tuple } from '../../shaders/checked';
import { heldLike } from '../../shaders/holding';
import { byDefinition } from '../autograd/backward';
import { isRecording, record, sumOfAll } from '../autograd/tape';
import { device, f32 } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { arange } from '../tensor/create';
import { bindAll, copy } from '../tensor/elementwise';
import { type Draw, takeDraw } from '../tensor/random';
import { reduce } from '../tensor/reduce';
import { broadcastShapes, collapse, leadWithOnes, type Shape, size } from '../tensor/shape';
import { empty, requireFloats, type Tensor } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { choose } from './choose';
import { dropout } from './dropout';
import { add, eq, ge, mul, sub } from './elementwise';
import { matmul } from './matmul';
import { mixed, native } from './mixed';
import { max, sum } from './reduce';
import { softmax } from './softmax';
import { expand, reshape, transpose, unsqueeze } from './views';

/** Options of `scaledDotProductAttention`, PyTorch's. */
export interface AttentionOptions {
  /** Broadcasts to [..., L, S]: a bool, true where the key takes part, or floats of the query's type, added to the scores. */
  attnMask?: Tensor | null;
  /** Probability with which a weight is set to 0; applied whenever it is given. */
  dropoutP?: number;
  /** Query i sees the keys 0 … i alone. */
  isCausal?: boolean;
  /** Factor on q·k; 1/√D by default. */
  scale?: number | null;
  /** Heads of key and value, dimension −3, serve several neighbouring heads of the query each. */
  enableGqa?: boolean;
}

const OP = 'scaledDotProductAttention';
const nullable = (kind: typeof is.number) => ({ what: kind.what, fits: (x: unknown) => x === null || kind.fits(x) });
const OPTIONS: OptionTable<AttentionOptions> = {
  attnMask: is.tensor,
  dropoutP: is.number,
  isCausal: is.flag,
  scale: nullable(is.number),
  enableGqa: is.flag,
};

/** The operands of a call in one shape but for their last two dimensions. */
interface Attention {
  /** Leading dimensions. */
  readonly lead: Shape;
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly mask: Tensor | null;
  readonly causal: boolean;
  readonly scale: number;
  readonly dropoutP: number;
}

/**
 * softmax(query·keyᵀ · scale + mask) · value, as `torch.nn.functional.scaled_dot_product_attention`: query [..., L, D], key [..., S, D], value
 * [..., S, E] → [..., L, E]; leading dimensions broadcast. A row that sees no key is zero. Neither the result nor its gradients need the [L, S]
 * matrix of weights in memory, but for the gradient of a float mask, and for D or E above 256; with dropout on a long sequence there is no second derivative. Throws InputError for shapes that do not fit.
 */
export const scaledDotProductAttention = native(
  'scaledDotProductAttention',
  function scaledDotProductAttention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: AttentionOptions = {},
  ): Tensor {
    const o = checked(OP, options, OPTIONS);
    const mask = o.attnMask ?? null;
    checkOperands(query, key, value, mask);
    const dropoutP = o.dropoutP ?? 0;
    if (!(dropoutP >= 0 && dropoutP <= 1))
      throw inputError(OP, `dropoutP is ${dropoutP}`, { query }, 'Use a probability in 0 … 1.');
    const scale = o.scale ?? 1 / Math.sqrt(fromEnd(query.shape, 1));
    const common = { causal: o.isCausal ?? false, scale, dropoutP };
    return o.enableGqa ? grouped(query, key, value, mask, common) : attend(query, key, value, mask, common);
  },
);

type Common = Pick<Attention, 'causal' | 'scale' | 'dropoutP'>;

function checkOperands(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | null): void {
  requireFloats(OP, { query, key, value }, true);
  const shapes = { query, key, value };
  if (Math.min(query.ndim, key.ndim, value.ndim) < 2)
    throw inputError(
      OP,
      'fewer than two dimensions',
      shapes,
      'query is [..., L, D], key [..., S, D], value [..., S, E].',
    );
  const [width, keyWidth] = mapTuple([query, key], (x) => fromEnd(x.shape, 1));
  if (width !== keyWidth)
    throw inputError(
      OP,
      `query and key have ${width} and ${keyWidth} features`,
      shapes,
      'Their last dimensions agree.',
    );
  const [keys, values] = mapTuple([key, value], (x) => fromEnd(x.shape, 2));
  if (keys !== values)
    throw inputError(OP, `there are ${keys} keys and ${values} values`, shapes, 'One value for each key.');
  if (mask && mask.dtype !== 'bool' && mask.dtype !== query.dtype)
    throw inputError(
      OP,
      `attnMask is ${mask.dtype}`,
      { attnMask: mask },
      `Use bool (true takes part) or ${query.dtype} (added).`,
    );
}

/** Heads of the query in groups, one head of key and value for each. */
function grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | null, common: Common): Tensor {
  const [heads, keyHeads, valueHeads] = mapTuple([query, key, value], (x) => x.shape[x.ndim - 3] ?? 0);
  if (![heads, keyHeads, valueHeads].every((n) => n > 0 && heads % n === 0))
    throw inputError(OP, 'the heads of the query, dimension −3, are no multiple of those of key and value', {
      query,
      key,
      value,
    });
  /** The heads of x as two dimensions. */
  const split = (x: Tensor, outer: number) => {
    const first = x.ndim - 3;
    return reshape(x, [...x.shape.slice(0, first), outer, at(x.shape, first) / outer, ...x.shape.slice(first + 1)]);
  };
  const repeated = (x: Tensor) => {
    const [next, per] = [x.ndim - 2, heads / fromEnd(x.shape, 3)];
    const wide = unsqueeze(x, next);
    return reshape(expand(wide, wide.shape.with(next, per)), x.shape.with(x.ndim - 3, heads));
  };
  if (keyHeads !== valueHeads) return attend(query, repeated(key), repeated(value), mask, common);
  const masks = mask && mask.ndim > 2 ? split(mask, mask.shape[mask.ndim - 3] === 1 ? 1 : keyHeads) : mask;
  const y = attend(split(query, keyHeads), split(key, keyHeads), split(value, keyHeads), masks, common);
  return reshape(y, [...y.shape.slice(0, -4), heads, ...y.shape.slice(-2)]);
}

const spread = (x: Tensor, lead: Shape): Tensor => {
  const to = [...lead, ...x.shape.slice(-2)];
  return x.ndim === to.length && to.every((n, i) => n === x.shape[i]) ? x : expand(x, to);
};

function attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | null, common: Common): Tensor {
  const lead = [query, key, value].map((x) => x.shape.slice(0, -2)).reduce((a, b) => broadcastShapes(OP, a, b));
  const scores = [...lead, fromEnd(query.shape, 2), fromEnd(key.shape, 2)];
  if (mask && broadcastShapes(OP, mask.shape, scores).join() !== scores.join())
    throw inputError(
      OP,
      'attnMask does not broadcast to the scores',
      { attnMask: mask, scores },
      'The scores are [..., L, S].',
    );
  const [q, k, v] = mapTuple([query, key, value], (x) => spread(x, lead));
  const a: Attention = { ...common, lead, q, k, v, mask };
  return fits(a) ? fused(a) : composed(a);
}

/** Queries up to which, and keys from which, the matrix of weights is small and wide: all its columns at once instead of a thread for each row. */
const FEW_QUERIES = 8;
const MANY_KEYS = 64;
/** Weights up to which dropout goes by the definition, which has a second derivative. */
const FEW_WEIGHTS = 1024;

function fits({ q, k, v, mask, dropoutP }: Attention): boolean {
  const [queries, keys] = mapTuple([q, k], (x) => fromEnd(x.shape, 2));
  const widths = [q, v].map((x) => fromEnd(x.shape, 1));
  if ((dropoutP > 0 && queries * keys <= FEW_WEIGHTS) || (mask?.requiresGrad && isRecording())) return false;
  if (queries <= FEW_QUERIES && keys >= MANY_KEYS) return false;
  return q.size > 0 && v.size > 0 && Math.max(...widths) <= kernels.ATTENTION_MAX_WIDTH;
}

/** Attention by its definition, in recorded operations of float32. */
const composed = mixed(
  OP,
  (a: Attention): Tensor => matmul(a.dropoutP > 0 ? dropout(weights(a), { p: a.dropoutP }) : weights(a), a.v),
);

/** The matrix of weights [..., L, S]. */
function weights({ q, k, mask, causal, scale }: Omit<Attention, 'v'>): Tensor {
  let scores = mul(matmul(q, transpose(k)), scale);
  const [queries, keys] = tuple(scores.shape.slice(-2), 2);
  const hidden = Number.NEGATIVE_INFINITY;
  if (mask) scores = mask.dtype === 'bool' ? choose(mask, scores, hidden) : add(scores, mask);
  if (causal) scores = choose(causalMask(queries, keys), scores, hidden);
  if (!mask || !scores.size) return softmax(scores, -1);
  const blind = eq(max(scores, -1, true), hidden);
  return choose(blind, 0, softmax(choose(blind, 0, scores), -1));
}

/** True where the key is not after the query: [L, S]. */
export const causalMask = (queries: number, keys: number): Tensor =>
  ge(reshape(range(queries), [queries, 1]), range(keys));

const range = (n: number) => arange(0, n, 1, { dtype: 'int32' });

/** The tangent of the result from those of q, k and v. */
const pushed = mixed(OP, (a: Attention, q: Tensor | null, k: Tensor | null, v: Tensor | null): Tensor => {
  const w = weights(a);
  const steep = [q && matmul(q, transpose(a.k)), k && matmul(a.q, transpose(k))];
  const scores = (q || k) && mul(sumOfAll(...steep), a.scale);
  const turned = scores && mul(w, sub(scores, sum(mul(w, scores), -1, true)));
  return sumOfAll(turned && matmul(turned, a.v), v && matmul(w, v));
});

/** Uninitialised [...lead, rows, width] whose dimensions lie in memory in the order of those of `like`, so that both are reshaped without copies. */
function laidOutAs(like: Tensor, lead: Shape, rows: number, width: number): Tensor {
  const outer = [...lead, rows].map((n, i) => ({ i, n, stride: at(like.strides, i) }));
  if (!outer.some(({ stride, n }) => stride <= 0 && n > 1)) outer.sort((a, b) => b.stride - a.stride);
  const ordered = empty(OP, [...outer.map(({ n }) => n), width], like.dtype);
  const places = new Array<number>(outer.length);
  for (const [place, { i }] of outer.entries()) places[i] = place;
  return raw.permute(ordered, [...places, outer.length]);
}

/** x, or a copy where the elements of a row are apart, or the kernels cannot count the leading dimensions. */
function readable(x: Tensor): Tensor {
  const rows = x.strides[x.ndim - 1] === 1 || x.shape[x.ndim - 1] === 1;
  return rows && x.shape.slice(0, -2).filter((n) => n > 1).length <= kernels.ATTENTION_DIMS ? x : copy(x);
}

type Operands = Partial<Record<(typeof kernels.ATTENTION_OPERANDS)[number], Tensor>>;

/** One of the four launches. `rows` and `others` are those of the two sides; `stats` are lse, and δ. */
function launch(
  pass: kernels.AttentionPass,
  a: Attention,
  draw: Draw | null,
  operands: Operands & { out: Tensor },
  lse: Tensor,
  delta?: Tensor,
): void {
  const { out, mask } = operands;
  const used = kernels.ATTENTION_OPERANDS.flatMap((name) => {
    const x = operands[name];
    return x ? [{ name, x }] : [];
  });
  const walk = collapse(
    a.lead,
    used.map(({ x }) => x.strides.slice(0, -2)),
  );
  leadWithOnes(walk, kernels.ATTENTION_DIMS);
  const [queries, headDim] = tuple(a.q.shape.slice(-2), 2);
  const [keys, valueDim] = tuple(a.v.shape.slice(-2), 2);
  const words = used.filter(({ name }) => name !== 'mask');
  const steps = words.flatMap(({ x }) => [x.offset, ...x.strides.slice(0, -1).filter((_, i) => at(x.shape, i) > 1)]);
  const [rows, others] = pass === 'forward' || pass === 'dq' ? [queries, keys] : [keys, queries];
  const kind = mask ? (mask.dtype === 'bool' ? 'bool' : 'float') : 'none';
  const { target } = device();
  const options = { pass, target, headDim, valueDim, mask: kind, causal: a.causal, dropout: !!draw } as const;
  const onMatrices = attentionOnMatrices(options, out.dtype === 'float16', rows, others);
  const vec4 = !onMatrices && [headDim, valueDim, ...steps].every((n) => n % 4 === 0);
  const kernel = onMatrices ? matrixAttention(options) : kernels.attention({ ...options, vec4 });
  const placeOf = new Map(
    used.map(({ name, x }, i) => {
      const unit = vec4 && name !== 'mask' ? 4 : 1;
      const place = [...at(walk.strides, i), x.offset, ...x.strides.slice(-2), 0];
      return [name, place.map((n) => Math.trunc(n / unit))];
    }),
  );
  const places = kernels.ATTENTION_OPERANDS.flatMap((name) => placeOf.get(name) ?? new Array<number>(8).fill(0));
  const batches = size(a.lead);
  const before = used.map(({ x }) => x).filter((x) => x !== out);
  const bound = pass === 'forward' ? [...before, out, lse] : [...before, lse, ...(delta ? [delta] : []), out];
  const { dropoutP } = a;
  const dropped = [draw?.seed ?? 0, draw?.draws ?? 0, f32(dropoutP), f32(dropoutP < 1 ? 1 / (1 - dropoutP) : 0)];
  const constants = [rows, others, batches, f32(a.scale), ...dropped, ...walk.shape, ...places];
  const bindings = bound.map(bindAll);
  const groups = batches * Math.ceil(rows / (onMatrices ? matrixRows(options) : kernels.attentionRows(target)));
  device().launch(heldLike(kernel, bindings), bindings, constants, groups);
}

function fused(a: Attention): Tensor {
  const [q, k, v] = mapTuple([a.q, a.k, a.v], readable);
  const [queries, keys] = mapTuple([q, k], (x) => fromEnd(x.shape, 2));
  const mask = a.mask && readable(raw.expand(a.mask, [...a.lead, queries, keys]));
  const masks = mask ? { mask } : {};
  const y = laidOutAs(q, a.lead, queries, fromEnd(v.shape, 1));
  const lse = empty(OP, [...a.lead, queries]);
  const draw = a.dropoutP > 0 ? takeDraw() : null;
  launch('forward', a, draw, { q, k, v, ...masks, out: y }, lse);
  const rule = (gradient: Tensor, needs: readonly boolean[]) => {
    const g = readable(gradient);
    const products = { operands: { a: g, b: y }, map: 'a * b', shape: y.shape, axes: [y.ndim - 1] };
    const delta = needs[0] || needs[1] ? reduce({ name: OP, reduction: 'sum', ...products }) : undefined;
    const of = (pass: kernels.AttentionPass, x: Tensor) => {
      const out = laidOutAs(x, a.lead, ...tuple(x.shape.slice(-2), 2));
      const reads = Object.fromEntries(
        kernels.attentionReads(pass).map((name) => [name, ({ q, k, v, g } as Operands)[name]]),
      );
      launch(pass, a, draw, { ...reads, ...masks, out }, lse, pass === 'dv' ? undefined : delta);
      return out;
    };
    return [needs[0] && of('dq', q), needs[1] && of('dk', k), needs[2] && of('dv', v)];
  };
  const inputs = [a.q, a.k, a.v];
  const definition = (q: Tensor, k: Tensor, v: Tensor) => composed({ ...a, q, k, v });
  const saved = [...inputs, q, k, v, y, lse, ...(mask ? [mask] : [])];
  // The definition would draw other weights to drop.
  const more = {
    differentiable: byDefinition(inputs, definition),
    push: (...t: (Tensor | null)[]) => pushed(a, ...tuple(t, 3)),
  };
  return record(OP, inputs, y, saved, rule, draw ? {} : more);
}
