// Scattering: values brought to positions along a dimension, with all that PyTorch lets meet there. Deterministic: what meets is combined in the order of
// the sources, and where one replaces the other the last one stays.
import { at, mapTuple } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import type { PushForward } from '../autograd/tape';
import { record } from '../autograd/tape';
import { checked, is, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { type DType, fillNumber } from '../tensor/dtype';
import { normalizeAxis, type Shape, sameShape } from '../tensor/shape';
import { requireTensors, Tensor } from '../tensor/tensor';
import { filled } from '../tensor/views';
import { cast, div, eq, maximum, mul } from './elementwise';
import { gathered } from './gather';
import { checkList } from './index-checks';
import { mixed } from './mixed';
import { pad } from './pad';
import { addAt, scatterAt } from './scatter-at';
import { expand, reshape } from './views';
import { where } from './where';

/** What meets at a position, by PyTorch's names. */
export type ScatterReduce = 'sum' | 'prod' | 'mean' | 'amax' | 'amin';

/** The gradient for a source from that of what the index took of it: a larger source gets zeros. */
const spreadTo = (g: Tensor, source: Tensor): Tensor =>
  sameShape(g.shape, source.shape)
    ? g
    : pad(
        g,
        g.shape.map((n, d) => [0, at(source.shape, d) - n] as const),
      );

/** A 1-D index (or one position) as one into `shape` along `axis`, repeated along the other dimensions. */
export const placesAlong = (index: Tensor, shape: Shape, axis: number): Tensor =>
  expand(
    reshape(
      index,
      shape.map((_, d) => (d === axis ? index.size : 1)),
    ),
    shape.map((n, d) => (d === axis ? index.size : n)),
  );

/** A number as a source for an index, without memory for each. */
function asSource(op: string, value: Tensor | number, index: Tensor, dtype: DType): Tensor {
  if (value instanceof Tensor) return value;
  if (typeof value !== 'number')
    throw inputError(op, `the source is ${String(value)}`, { index }, 'Use a tensor or a number.');
  return expand(
    reshape(full([1], fillNumber(op, value, dtype), { dtype }), new Array(index.ndim).fill(1)),
    index.shape,
  );
}

/** x where the index comes replaced by a number. */
const overwritten = (x: Tensor, dim: number, index: Tensor, value: number): Tensor =>
  setAt('scatter', x, dim, index, asSource('scatter', value, index, x.dtype), false);

/** `scatter` of tensors, in the name of `op`. */
export const setAt = operation(
  'setAt',
  function setAt(op: string, x: Tensor, dim: number, index: Tensor, source: Tensor, report = true): Tensor {
    const common = { op, shape: x.shape, dim, index, reduction: 'last' as const, report };
    const y = scatterAt({ ...common, x, source });
    const zeros = (like: Tensor) => filled(op, like.shape, 0, 'float32');
    const push: PushForward = (t, s) =>
      scatterAt({ ...common, x: t ?? zeros(x), source: s ?? zeros(source), report: false });
    const rule = (g: Tensor, needs: readonly boolean[]) => [
      needs[0] && overwritten(g, dim, index, 0),
      needs[1] && spreadTo(gathered(null, g, dim, index), source),
    ];
    return record(op, [x, source], y, [index], rule, { push, differentiable: rule });
  },
);

/** `scatterAdd` that reports in the name of `op`; null: its index was looked at, or is the framework's own. */
export const addedAt = operation(
  'addedAt',
  function addedAt(op: string | null, x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
    const common = { op: op ?? 'scatterAdd', shape: x.shape, dim, index, reduction: 'sum' as const };
    const y = scatterAt({ ...common, x, source, report: op !== null });
    const push: PushForward = (t, s) => {
      const base = t ?? filled('scatterAdd', x.shape, 0, 'float32');
      return s ? scatterAt({ ...common, x: base, source: s, report: false }) : base;
    };
    const rule = (g: Tensor, needs: readonly boolean[]) => [
      g,
      needs[1] && spreadTo(gathered(null, g, dim, index), source),
    ];
    return record('scatterAdd', [x, source], y, [index], rule, { push, differentiable: rule });
  },
);

/** x with source[…, j, …] added at index[…, j, …] along `dim`, as `torch.scatter_add`; deterministic, several sources may meet. */
export const scatterAdd = mixed(
  'scatterAdd',
  (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor => addedAt('scatterAdd', x, dim, index, source),
);

/** x [n, …] plus source[j, …] at its row index[j], reported in the name of `op`. */
export const sumsAt = (op: string, x: Tensor, index: Tensor, source: Tensor): Tensor =>
  addedAt(op, x, 0, placesAlong(index, source.shape, 0), source);

/**
 * x with source[…, j, …] (or a number) at index[…, j, …] along `dim`, as `torch.scatter`. Of several sources for a place the last one stays; with
 * `reduce` they are added to x there, or multiplied.
 */
export const scatter = mixed(
  'scatter',
  function scatter(
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor | number,
    options: { /** Adds to, or multiplies, what stands there. */ reduce?: 'add' | 'multiply' } = {},
  ): Tensor {
    const { reduce } = checked('scatter', options, { reduce: word('add', 'multiply') });
    requireTensors('scatter', { input: x, index });
    const from = asSource('scatter', source, index, x.dtype);
    if (reduce) return scatterReduce(x, dim, index, from, reduce === 'add' ? 'sum' : 'prod');
    return setAt('scatter', x, dim, index, from);
  },
);

/** Options of `scatterReduce` and `indexReduce`. */
export interface ScatterReduceOptions {
  /** Whether x itself takes part where sources come; true by default. */
  includeSelf?: boolean;
}

const isZero = (x: Tensor): Tensor => eq(x, 0);
const asFloat = (x: Tensor): Tensor => cast(x, 'float32');

/**
 * x combined at index[…, j, …] along `dim` with source[…, j, …] by sum, product, mean, largest or smallest, as `torch.scatter_reduce`. Where no source
 * comes x stays. The gradient of a largest or smallest value is shared evenly by ties, and that of a product is right where factors are zero.
 */
export const scatterReduce = mixed(
  'scatterReduce',
  function scatterReduce(
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor,
    reduce: ScatterReduce,
    options: ScatterReduceOptions = {},
  ): Tensor {
    return reducedAt('scatterReduce', x, dim, index, source, reduce, options);
  },
);

/** `scatterReduce`, in the name of `op`. */
export const reducedAt = operation(
  'reducedAt',
  function reduced(
    op: string,
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor,
    reduce: ScatterReduce,
    options: ScatterReduceOptions,
  ): Tensor {
    const { includeSelf = true } = checked(op, options, { includeSelf: is.flag });
    if (!['sum', 'prod', 'mean', 'amax', 'amin'].includes(reduce))
      throw inputError(
        op,
        `reduce is '${String(reduce)}'`,
        { input: x },
        "Use 'sum', 'prod', 'mean', 'amax' or 'amin'.",
      );
    requireTensors(op, { input: x, index, source });
    const y = scatterAt({ op, x, shape: x.shape, dim, index, source, reduction: reduce, includeSelf, report: true });
    // What x has to do with the results: nothing where sources come, unless it is included.
    const kept = (t: Tensor) => (includeSelf ? t : overwritten(t, dim, index, 0));
    const back = (g: Tensor) => spreadTo(gathered(null, g, dim, index), source);
    const rules: Record<ScatterReduce, (g: Tensor) => readonly [Tensor, Tensor]> = {
      sum: (g) => [kept(g), back(g)],
      mean: (g) => {
        const ones = asSource(op, 1, index, 'float32');
        const self = kept(filled(op, x.shape, 1, 'float32'));
        const share = div(g, maximum(scatterAdd(self, dim, index, ones), 1));
        return [kept(share), back(share)];
      },
      prod: (g) => {
        // The product of the factors that are not zero, and how many are: a zero receives it when it is the only one.
        const [a, b] = mapTuple([x, source], (t) => where(isZero(t), 1, t));
        const others = reducedAt(op, a, dim, index, b, 'prod', { includeSelf });
        const zeros = addAt(kept(asFloat(isZero(x))), x.shape, dim, index, asFloat(isZero(source)));
        const none = mul(g, mul(others, asFloat(eq(zeros, 0))));
        const one = mul(g, mul(others, asFloat(eq(zeros, 1))));
        const gradient = (t: Tensor, safe: Tensor, bring: (u: Tensor) => Tensor) =>
          where(isZero(t), bring(one), div(bring(none), safe));
        return [kept(gradient(x, a, (t) => t)), gradient(source, b, back)];
      },
      amax: (g) => shared(g),
      amin: (g) => shared(g),
    };
    const shared = (g: Tensor): readonly [Tensor, Tensor] => {
      // As in PyTorch an x that does not take part counts among the ties all the same, and receives nothing.
      const self = asFloat(eq(x, y));
      const sources = asFloat(eq(source, spreadTo(gathered(null, y, dim, index), source)));
      const share = div(g, addAt(self, x.shape, dim, index, sources));
      return [kept(mul(self, share)), mul(sources, back(share))];
    };
    const rule = (g: Tensor) => rules[reduce](g);
    const saved = { sum: [], mean: [], prod: [x, source], amax: [x, source, y], amin: [x, source, y] }[reduce];
    return record(op, [x, source], y, [index, ...saved], rule, { differentiable: rule });
  },
);

/** A source for slices along `dim`: its shape is x's, with as many slices as the index has positions. */
function checkSlices(op: string, x: Tensor, dim: number, index: Tensor, source: Tensor): [number, Tensor, Tensor] {
  requireTensors(op, { input: x, index, source });
  checkList(op, x, index);
  const axis = normalizeAxis(op, dim, x.shape);
  const want = x.ndim ? x.shape.with(axis, index.size) : [];
  if (!sameShape(source.shape, want))
    throw inputError(
      op,
      `the source must be [${want.join(', ')}]`,
      { input: x, index, source },
      'A slice for each position.',
    );
  return [axis, placesAlong(index, x.shape, axis), source];
}

/** x with `alpha` · the slices of `source` added at the positions of a 1-D index along `dim`, as `torch.index_add`. */
export const indexAdd = mixed(
  'indexAdd',
  function indexAdd(
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor,
    options: { /** Factor of the source (default 1). */ alpha?: number } = {},
  ): Tensor {
    const { alpha = 1 } = checked('indexAdd', options, { alpha: is.number });
    const [axis, at, slices] = checkSlices('indexAdd', x, dim, index, source);
    return scatterAdd(x, axis, at, alpha === 1 ? slices : mul(slices, alpha));
  },
);

/** x with its slices at the positions of a 1-D index along `dim` replaced by those of `source`, as `torch.index_copy`: the last one stays. */
export const indexCopy = mixed(
  'indexCopy',
  function indexCopy(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
    return setAt('indexCopy', x, ...checkSlices('indexCopy', x, dim, index, source));
  },
);

/** x with its slices at the positions of a 1-D index along `dim` combined with those of `source`, as `torch.index_reduce`. */
export const indexReduce = mixed(
  'indexReduce',
  function indexReduce(
    x: Tensor,
    dim: number,
    index: Tensor,
    source: Tensor,
    reduce: Exclude<ScatterReduce, 'sum'>,
    options: ScatterReduceOptions = {},
  ): Tensor {
    if ((reduce as string) === 'sum')
      throw inputError('indexReduce', "reduce is 'sum'", { input: x }, 'indexAdd adds; here: prod, mean, amax, amin.');
    return reducedAt('indexReduce', x, ...checkSlices('indexReduce', x, dim, index, source), reduce, options);
  },
);
