// Reductions over dimensions, running sums, order.
import { at } from '../../../shaders/checked';
import type { order } from '../../ops/order';
import type { Axes, all, argmax, logsumexp, norm, sum, variance } from '../../ops/reduce';
import type { cumsum } from '../../ops/scan';
import type { sort, topk } from '../../ops/sort';
import { size } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { type Draft, typeOf } from '../draft';
import type { ElementType } from '../format';
import { as, axesOf, axis, type Mapping, type Mappings, of, whole } from './mapping';

/** The axes are an input; none of them is all of them, unless the attribute says otherwise. */
function over(e: Draft, op: string, x: Tensor, value: string, axes: Axes | undefined, keep: boolean): string {
  const list = axesOf(x, axes);
  const attributes = { keepdims: Number(keep), noop_with_empty_axes: Number(!list.length) };
  return e.node(op, [value, whole(e, list)], attributes);
}

/** In a type, and back in that of the result. */
const reduced = (op: string, compute: (y: Tensor) => ElementType = typeOf): Mapping =>
  of<typeof sum>((e, y, x, axes, keepDims = false) => {
    const type = compute(y);
    const value = over(e, op, x, as(e, x, type), axes, keepDims);
    return type === typeOf(y) ? value : e.cast(value, typeOf(y));
  });

const position = (op: string): Mapping =>
  of<typeof argmax>((e, _, x, along, keepDims = false) => {
    const found = (value: string, d: number, keep: number) =>
      e.cast(e.node(op, [value], { axis: d, keepdims: keep }), 'int32');
    const value = x.dtype === 'bool' ? as(e, x, 'int32') : e.of(x);
    if (along !== undefined && along !== null) return found(value, axis(x, along), Number(keepDims));
    const flat = found(e.reshape(value, x.shape, [x.size]), 0, 0);
    return keepDims
      ? e.reshape(
          flat,
          [],
          x.shape.map(() => 1),
        )
      : flat;
  });

const truth = (op: string): Mapping =>
  of<typeof all>((e, _, x, axes, keepDims = false) => {
    const value = e.cast(as(e, x, 'bool'), 'int32');
    return e.cast(over(e, op, x, value, axes, keepDims), 'bool');
  });

/** A number of elements, which may depend on free sizes. */
const count = (e: Draft, n: number): string => e.node('Squeeze', [e.cast(e.sizes([n]), 'float32'), whole(e, [0])]);

/** Σ(x − mean)² / (n − correction). */
const spread = (isRoot: boolean): Mapping =>
  of<typeof variance>((e, _, x, axes, keepDims = false, correction = 1) => {
    const value = as(e, x, 'float32');
    const centered = e.node('Sub', [value, over(e, 'ReduceMean', x, value, axes, true)]);
    const squares = over(e, 'ReduceSumSquare', x, centered, axes, keepDims);
    const n = Math.max(0, size(axesOf(x, axes).map((d) => at(x.shape, d))) - correction);
    const y = e.node('Div', [squares, Number.isInteger(n) ? count(e, n) : e.number(n)]);
    return isRoot ? e.node('Sqrt', [y]) : y;
  });

/** The `k` first in order, and their positions. */
function ordered(e: Draft, x: Tensor, k: number, dim: number, largest: boolean): string[] {
  const d = axis(x, dim);
  const attributes = { axis: d, largest: Number(largest), sorted: 1 };
  const [values = '', positions = ''] = e.several('TopK', [e.of(x), e.sizes([k])], attributes, 2);
  return [values, e.cast(positions, 'int32')];
}

export const reductions: Mappings = {
  sum: reduced('ReduceSum'),
  mean: reduced('ReduceMean'),
  prod: reduced('ReduceProd'),
  max: reduced('ReduceMax', (y) => (y.dtype === 'bool' ? 'int32' : typeOf(y))),
  min: reduced('ReduceMin', (y) => (y.dtype === 'bool' ? 'int32' : typeOf(y))),
  variance: spread(false),
  std: spread(true),
  argmax: position('ArgMax'),
  argmin: position('ArgMin'),
  any: truth('ReduceMax'),
  all: truth('ReduceMin'),
  logsumexp: of<typeof logsumexp>((e, _, x, axes, keepDims = false) =>
    over(e, 'ReduceLogSumExp', x, as(e, x, 'float32'), axes, keepDims),
  ),
  norm: of<typeof norm>((e, _, x, p = 2, axes = null, keepDims = false) => {
    const value = as(e, x, 'float32');
    if (p === 1 || p === 2) return over(e, `ReduceL${p}`, x, value, axes, keepDims);
    if (Math.abs(p) === Infinity)
      return over(e, p > 0 ? 'ReduceMax' : 'ReduceMin', x, e.node('Abs', [value]), axes, keepDims);
    if (p === 0) {
      const zero = e.node('Equal', [value, e.number(0)]);
      return over(e, 'ReduceSum', x, e.cast(e.node('Not', [zero]), 'float32'), axes, keepDims);
    }
    const powers = e.node('Pow', [e.node('Abs', [value]), e.number(p)]);
    return e.node('Pow', [over(e, 'ReduceSum', x, powers, axes, keepDims), e.number(1 / p)]);
  }),
  cumsum: of<typeof cumsum>((e, y, x, along, { exclusive = false, reverse = false } = {}) =>
    e.node('CumSum', [as(e, x, typeOf(y)), e.number(axis(x, along), 'int32')], {
      exclusive: Number(exclusive),
      reverse: Number(reverse),
    }),
  ),
  /** The positions that sort. */
  order: of<typeof order>((e, _, x, dim, descending) => {
    const d = axis(x, dim);
    const value = x.dtype === 'bool' ? as(e, x, 'int32') : e.of(x);
    const attributes = { axis: d, largest: Number(descending), sorted: 1 };
    const [, positions = ''] = e.several('TopK', [value, e.sizes([at(x.shape, d)])], attributes, 2);
    return e.cast(positions, 'int32');
  }),
  topk: of<typeof topk>((e, _, x, k, { dim = -1, largest = true } = {}) => ordered(e, x, k, dim, largest)),
  sort: of<typeof sort>((e, _, x, { dim = -1, descending = false } = {}) =>
    ordered(e, x, at(x.shape, axis(x, dim)), dim, descending),
  ),
};
