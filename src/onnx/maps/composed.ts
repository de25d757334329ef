// Operations with kernels of their own that ONNX has no operator for: they run as others that compute the same.
import { at, fromEnd } from '../../../shaders/checked';
import { callWith, withRecorder } from '../../autograd/operation';
import type { cdist } from '../../ops/distance';
import {
  abs,
  add,
  cast,
  eq,
  gt,
  isfinite,
  isnan,
  le,
  logicalAnd,
  logicalNot,
  logicalOr,
  lt,
  mul,
  sub,
} from '../../ops/elementwise';
import { indexSelect } from '../../ops/index-select';
import { takeAlongDim } from '../../ops/indexing';
import { concat, stack } from '../../ops/join';
import { logSumsOf } from '../../ops/log-scan';
import type { isclose } from '../../ops/pointwise';
import type { cross } from '../../ops/products';
import { resolveRange } from '../../ops/ranges';
import { any, norm, sum } from '../../ops/reduce';
import { productsOf, type ScanOptions } from '../../ops/scan';
import { setAt } from '../../ops/scatter';
import type { isin, searchsorted } from '../../ops/search';
import { type argsort, type Sorted, sort } from '../../ops/sort';
import type {
  DiagonalOptions,
  diagEmbed,
  diagonal,
  diagonalScatter,
  selectScatter,
  sliceScatter,
} from '../../ops/view-scatter';
import { expand, narrow, permute, reshape, select, unsqueeze } from '../../ops/views';
import { where } from '../../ops/where';
import { arange, full, tensor, zeros } from '../../tensor/create';
import { normalizeAxis, size } from '../../tensor/shape';
import { Tensor } from '../../tensor/tensor';
import { type Instead, insteadOf } from './mapping';

/** What is always made of others. */
const always = <F extends (...args: never[]) => unknown>(f: (...args: Parameters<F>) => unknown): Instead =>
  insteadOf<F>(
    (_, ...args) =>
      () =>
        f(...args),
  );

const axisOf = (x: Tensor, dim: number): number => normalizeAxis('exportOnnx', dim, x.shape);
const whole = (values: readonly number[]): Tensor => tensor(Int32Array.from(values));

/** Extremes so far and their positions, by doubling: of ties the later one. */
function running(x: Tensor, dim: number, isBetter: typeof gt): Sorted {
  const axis = axisOf(x, dim);
  const n = x.shape[axis] ?? 1;
  const line = x.shape.map((_, d) => (d === axis ? n : 1));
  let best: Sorted = { values: x, indices: expand(reshape(arange(0, n, 1, { dtype: 'int32' }), line), x.shape) };
  for (let by = 1; by < n; by *= 2) {
    const before = (t: Tensor) => narrow(t, axis, 0, n - by);
    const after = (t: Tensor) => narrow(t, axis, by, n - by);
    const better = isBetter(before(best.values), after(best.values));
    const next = (t: Tensor) => concat([narrow(t, axis, 0, by), where(better, before(t), after(t))], axis);
    best = { values: next(best.values), indices: next(best.indices) };
  }
  return best;
}

/** Places of a diagonal in a plane of so many rows and columns. */
function places(rows: number, columns: number, offset: number): number[] {
  const n = Math.max(0, Math.min(rows + Math.min(0, offset), columns - Math.max(0, offset)));
  return Array.from({ length: n }, (_, i) => (i + Math.max(0, -offset)) * columns + i + Math.max(0, offset));
}

/** x with two dimensions as planes at the end, flattened, and the way back. */
function planes(x: Tensor, { offset = 0, dim1 = 0, dim2 = 1 }: DiagonalOptions) {
  const [a, b] = [axisOf(x, dim1), axisOf(x, dim2)];
  const order = [...x.shape.keys()].filter((d) => d !== a && d !== b).concat(a, b);
  const moved = permute(x, order);
  const [rows, columns] = [at(x.shape, a), at(x.shape, b)];
  const flat = reshape(moved, [...moved.shape.slice(0, -2), rows * columns]);
  const back = (y: Tensor) =>
    permute(
      reshape(y, moved.shape),
      order.map((_, d) => order.indexOf(d)),
    );
  return { flat, places: places(rows, columns, offset), back };
}

/** x with the positions of a list along a dimension replaced by those of `source`. */
function replaced(x: Tensor, source: Tensor, dim: number, where: readonly number[]): Tensor {
  const n = at(x.shape, dim);
  const from = Array.from({ length: n }, (_, i) => i);
  for (const [i, place] of where.entries()) from[place] = n + i;
  return indexSelect(concat([x, source], dim), dim, whole(from));
}

/** Values at their positions in planes of zeros. */
const unpooled =
  (dims: number): Instead =>
  (f, x, indices, ...rest) => {
    const { shape } = withRecorder(null, () => callWith(f, [x, indices, ...rest])) as Tensor;
    return () => {
      const [values, places] = [x as Tensor, indices as Tensor];
      const lead = shape.slice(0, -dims);
      const lines = (t: Tensor) => reshape(t, [...lead, size(t.shape.slice(lead.length))]);
      const empty = zeros([...lead, size(shape.slice(lead.length))]);
      return reshape(setAt('maxUnpool', empty, -1, lines(places), lines(values), false), shape);
    };
  };

/** By the names of operations. */
export const composed: Readonly<Record<string, Instead>> = {
  cdist: always<typeof cdist>((a, b, { p = 2 } = {}) => norm(sub(unsqueeze(a, -2), unsqueeze(b, -3)), p, -1)),
  argsort: always<typeof argsort>((x, options) => sort(x, options).indices),
  cumprod: always((x: Tensor, dim: number, options: ScanOptions = {}) => productsOf(x, axisOf(x, dim), options)),
  logcumsumexp: always((x: Tensor, dim: number) => logSumsOf(x, axisOf(x, dim), false)),
  cummax: always((x: Tensor, dim: number) => running(x, dim, gt)),
  cummin: always((x: Tensor, dim: number) => running(x, dim, lt)),
  cross: always<typeof cross>((a, b, dim = null) => {
    const axis = dim === null ? a.shape.indexOf(3) : axisOf(a, dim);
    const term = (i: number, j: number) => mul(select(a, axis, i % 3), select(b, axis, j % 3));
    return stack(
      [0, 1, 2].map((i) => sub(term(i + 1, i + 2), term(i + 2, i + 1))),
      axis,
    );
  }),
  diagonal: always<typeof diagonal>((x, options = {}) => {
    const plane = planes(x, options);
    return indexSelect(plane.flat, -1, whole(plane.places));
  }),
  diagonalScatter: always<typeof diagonalScatter>((x, source, options = {}) => {
    const plane = planes(x, options);
    const n = fromEnd(plane.flat.shape, 1);
    const from = [...Array(n).keys()];
    for (const [i, place] of plane.places.entries()) from[place] = n + i;
    return plane.back(indexSelect(concat([plane.flat, source], -1), -1, whole(from)));
  }),
  diagEmbed: always<typeof diagEmbed>((x, { offset = 0, dim1 = -2, dim2 = -1 } = {}) => {
    const n = fromEnd(x.shape, 1) + Math.abs(offset);
    const nothing = fromEnd(x.shape, 1);
    const from = new Array<number>(n * n).fill(nothing);
    for (const [i, place] of places(n, n, offset).entries()) from[place] = i;
    const lead = x.shape.slice(0, -1);
    const wide = concat([x, zeros([...lead, 1], { dtype: x.dtype })], -1);
    const y = reshape(indexSelect(wide, -1, whole(from)), [...lead, n, n]);
    const [a, b] = [axisOf(y, dim1), axisOf(y, dim2)];
    const order: number[] = [];
    const rest = [...lead.keys()];
    for (const d of y.shape.keys()) order.push(d === a ? y.ndim - 2 : d === b ? y.ndim - 1 : (rest.shift() ?? 0));
    return permute(y, order);
  }),
  selectScatter: always<typeof selectScatter>((x, source, dim, index) => {
    const axis = axisOf(x, dim);
    const place = index < 0 ? index + at(x.shape, axis) : index;
    return replaced(x, unsqueeze(source, axis), axis, [place]);
  }),
  sliceScatter: always<typeof sliceScatter>((x, source, { dim = 0, start, end, step } = {}) => {
    const axis = axisOf(x, dim);
    const range = resolveRange('sliceScatter', x, axis, { start, stop: end, step });
    return replaced(
      x,
      source,
      axis,
      Array.from({ length: range.count }, (_, i) => range.start + i * range.step),
    );
  }),
  isclose: always<typeof isclose>((x, y, { rtol = 1e-5, atol = 1e-8, equalNan = false } = {}) => {
    const difference = sub(cast(x, 'float32'), y);
    const near = logicalAnd(isfinite(difference), le(abs(difference), add(mul(abs(cast(y, 'float32')), rtol), atol)));
    const found = logicalOr(eq(x, y), near);
    return equalNan ? logicalOr(found, logicalAnd(isnan(x), isnan(y))) : found;
  }),
  ...{ maxUnpool1d: unpooled(1), maxUnpool2d: unpooled(2), maxUnpool3d: unpooled(3) },
  searchsorted: always<typeof searchsorted>((sorted, values, { right = false, side, sorter } = {}) => {
    const line = sorter ? takeAlongDim(sorted, sorter, { dim: -1 }) : sorted;
    const wanted = values instanceof Tensor ? values : full([], values, { dtype: sorted.dtype });
    const before = right || side === 'right' ? le : lt;
    const lines = line.ndim === 1 ? line : unsqueeze(line, -2);
    const counted = before(lines, unsqueeze(wanted, -1));
    return sum(where(counted, full([], 1, { dtype: 'int32' }), full([], 0, { dtype: 'int32' })), -1);
  }),
  isin: always<typeof isin>((x, test, { invert = false } = {}) => {
    const like = [x, test].find((t) => t instanceof Tensor);
    const given = (t: Tensor | number) => (t instanceof Tensor ? t : tensor(t, { dtype: like?.dtype }));
    const found = any(eq(unsqueeze(given(x), -1), reshape(given(test), [-1])), -1);
    return invert ? logicalNot(found) : found;
  }),
};
