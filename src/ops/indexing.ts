// Indexing as PyTorch's `x[…]`: integers, slices, new axes, and tensors of positions, which are read together and broadcast.

import { at, fromEnd, mapTuple } from '../../shaders/checked';
import { positions as positionsKernel } from '../../shaders/positions';
import { operation } from '../autograd/operation';
import { device } from '../gpu';
import { checked, is } from '../gpu/options';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { fillNumber } from '../tensor/dtype';
import { bind, contiguous } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { broadcastShapes, normalizeAxis, size } from '../tensor/shape';
import { empty, requireTensors, Tensor } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { add, cast } from './elementwise';
import { gathered } from './gather';
import { checkIndex, reportsOf } from './index-checks';
import { selected } from './index-select';
import { mixed } from './mixed';
import type { Range } from './ranges';
import { addedAt, placesAlong, setAt } from './scatter';
import { scatterView, type View } from './view-scatter';
import { expand, permute, reshape, slice, unsqueeze } from './views';

/**
 * What stands between the brackets of `x[…]` for a dimension: positions (int32, any shape), a position, a slice as `{ start, stop, step }` or in
 * Python's form (`'1:-1'`, `':'`); `'...'` stands for all dimensions that are not named, null for a new one of size 1.
 */
export type Index = Tensor | number | Range | string | null;

/** Positions in several dimensions, which broadcast, as one: int32, −1 where one is out of range. Reported in the name of `op`. */
export const positionsOf = operation(
  'positions',
  function positionsOf(op: string, indices: readonly Tensor[], extents: Shape): Tensor {
    for (const index of indices) checkIndex(op, index);
    const shape = indices.reduce<Shape>((all, t) => broadcastShapes(op, all, t.shape), []);
    const sums: Tensor[] = []; // of the first index, the first two, …: there is at least one
    for (const [i, index] of indices.entries()) {
      const y = empty(op, shape, 'int32');
      const { buffers, slot } = reportsOf(op, at(extents, i));
      const reads = [...sums.slice(-1), contiguous(raw.expand(index, shape))];
      const constants = [y.size, at(extents, i), Number(index.dtype === 'int32'), slot];
      device().launch(positionsKernel(!sums.length), [...reads.map(bind), bind(y), ...buffers], constants, y.size);
      sums.push(y);
    }
    return fromEnd(sums, 1);
  },
);

const SLICE = /^\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?\s*)?$/;

/** A slice in Python's form as a range. */
function parseSlice(op: string, x: Tensor, text: string): Range {
  const parts = SLICE.exec(text);
  if (!parts)
    throw inputError(
      op,
      `an index is '${text}'`,
      { input: x },
      "Slices are as '1:-1', ':' or '::2'; '...' stands for the rest.",
    );
  const [start, stop, step] = parts.slice(1).map((part) => (part === undefined ? undefined : Number(part)));
  return { start, stop, step };
}

/** An index taken apart: the view that its slices, integers and new axes make, and the tensors, each with its dimension of that view. */
interface Parsed {
  view: View;
  /** Whether the view is x itself. */
  whole: boolean;
  tensors: { dim: number; index: Tensor }[];
}

function parse(op: string, x: Tensor, indices: readonly Index[]): Parsed {
  requireTensors(op, { input: x });
  if (!Array.isArray(indices))
    throw inputError(op, `the indices are ${String(indices)}`, { input: x }, 'Give a list, such as [rows, null].');
  const used = indices.filter((i) => i !== null && i !== '...').length;
  if (used > x.ndim) throw inputError(op, `${used} indices for ${x.ndim} dimensions`, { input: x });
  const dots = indices.indexOf('...');
  if (dots !== indices.lastIndexOf('...')) throw inputError(op, "'...' stands twice", { input: x }, 'Give it once.');
  const rest = new Array<Index>(x.ndim - used).fill(':');
  const all = dots < 0 ? [...indices, ...rest] : [...indices.slice(0, dots), ...rest, ...indices.slice(dots + 1)];
  const slices: (number | Range)[] = [];
  const added: number[] = [];
  const tensors: Parsed['tensors'] = [];
  let dim = 0;
  for (const index of all) {
    if (index === null) {
      added.push(dim++);
      continue;
    }
    if (index instanceof Tensor) {
      if (index.dtype === 'bool')
        throw inputError(
          op,
          'a mask is no index: how many elements it takes is known to the GPU alone',
          { input: x, mask: index },
          op === 'index'
            ? 'Use await x.maskedIndex([…]), maskedFill or where.'
            : 'Use maskedFill, maskedScatter, or await nonzero(mask).',
        );
      checkIndex(op, index);
      tensors.push({ dim, index });
      slices.push({});
    } else slices.push(typeof index === 'string' ? parseSlice(op, x, index) : index);
    if (typeof index !== 'number') dim++;
  }
  const view: View = (t) => added.reduce((y, axis) => unsqueeze(y, axis), slice(t, slices));
  const whole =
    !added.length && slices.every((s) => typeof s === 'object' && Object.values(s).every((n) => n === undefined));
  return { view, whole, tensors };
}

/** Where the dimensions go that tensors index: to where they stand, as one, if they are neighbours, otherwise to the front. */
interface Arranged {
  at: number;
  /** The view with those dimensions as one, at `at`. */
  merged: Tensor;
  /** Undoes it. */
  back: (merged: Tensor) => Tensor;
  positions: Tensor;
}

function arrange(op: string, x: Tensor, tensors: Parsed['tensors']): Arranged {
  const dims = tensors.map(({ dim }) => dim);
  const [lowest = 0] = dims;
  const front = dims.every((dim, i) => dim === lowest + i) ? lowest : 0;
  const others = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const order = [...others.slice(0, front), ...dims, ...others.slice(front)];
  const moved = permute(x, order);
  const extents = dims.map((dim) => at(x.shape, dim));
  const shape = moved.shape.toSpliced(front, dims.length, size(extents));
  const back = (merged: Tensor) =>
    permute(
      reshape(merged, moved.shape),
      order.map((_, d) => order.indexOf(d)),
    );
  const indices = tensors.map(({ index }) => index);
  return { at: front, merged: reshape(moved, shape), back, positions: positionsOf(op, indices, extents) };
}

/**
 * As PyTorch's `x[…]`: `x.index([rows, columns])` for `x[rows, columns]`, `x.index(['...', positions])`, `x.index([0, null, '1:-1'])`. Negative positions
 * count from the end. Tensors of positions broadcast; their dimensions stand in the result where the indexed ones stood, if those are neighbours, otherwise
 * first. A view where there are no tensors. Masks are refused: `maskedIndex` takes them.
 */
export function index(x: Tensor, indices: readonly Index[]): Tensor {
  const { view, tensors } = parse('index', x, indices);
  const part = view(x);
  if (!tensors.length) return part;
  const { at, merged, positions } = arrange('index', part, tensors);
  const y = selected(null, merged, at, reshape(positions, [-1]));
  return reshape(y, y.shape.toSpliced(at, 1, ...positions.shape));
}

/**
 * x with `value` (broadcast to what `index` would give) at these indices, as PyTorch's `x.index_put(…)`: of several values for a place the last one stays, with
 * `accumulate` all are added. Slices, integers and new axes may stand beside the tensors.
 */
export const indexPut = mixed(
  'indexPut',
  function indexPut(
    x: Tensor,
    indices: readonly Index[],
    value: Tensor | number,
    options: {
      /** Adds to what stands there; values at one position then add up (default false). */
      accumulate?: boolean;
    } = {},
  ): Tensor {
    const op = 'indexPut';
    const { accumulate = false } = checked(op, options, { accumulate: is.flag });
    const { view, whole, tensors } = parse(op, x, indices);
    const source = value instanceof Tensor ? value : full([], fillNumber(op, value, x.dtype), { dtype: x.dtype });
    if (source.dtype !== x.dtype)
      throw inputError(
        op,
        `the input is ${x.dtype}, the value ${source.dtype}`,
        { input: x, value: source },
        'Both have the same type.',
      );
    const part = view(x);
    const put = () => {
      if (!tensors.length) return accumulate ? add(part, source) : fitted(op, source, part.shape);
      const { at, merged, back, positions } = arrange(op, part, tensors);
      const shape = merged.shape.toSpliced(at, 1, ...positions.shape);
      const lined = reshape(fitted(op, source, shape), merged.shape.with(at, positions.size));
      const where = placesAlong(reshape(positions, [-1]), merged.shape, at);
      return back(combined(op, merged, at, where, lined, accumulate));
    };
    return whole && tensors.length ? put() : scatterView(op, x, put(), view);
  },
);

/** What stands at positions that were looked at: the source, or with it what stood there. */
const combined = (op: string, x: Tensor, dim: number, at: Tensor, source: Tensor, accumulate: boolean): Tensor =>
  accumulate ? addedAt(null, x, dim, at, source) : setAt(op, x, dim, at, source, false);

/** The value broadcast to what it replaces. */
function fitted(op: string, value: Tensor, shape: Shape): Tensor {
  const lead = Math.max(0, value.ndim - shape.length);
  const bare = value.shape.slice(0, lead).every((n) => n === 1) ? reshape(value, value.shape.slice(lead)) : value;
  const fits =
    bare.ndim <= shape.length && bare.shape.every((n, i) => n === 1 || n === shape[shape.length - bare.ndim + i]);
  if (!fits) throw inputError(op, `the value does not broadcast to [${shape.join(', ')}]`, { value });
  return expand(bare, shape);
}

/** The elements at positions in the flattened tensor, negative ones counting from the end, as `torch.take`: the shape of the index. */
export function take(x: Tensor, positions: Tensor): Tensor {
  const at = positionsOf('take', [positions], [x.size]);
  return reshape(selected(null, reshape(x, [-1]), 0, reshape(at, [-1])), positions.shape);
}

/** x with `source` at positions in the flattened tensor, as `torch.Tensor.put`; with `accumulate` added. As many elements as positions. */
export const put = mixed(
  'put',
  function put(
    x: Tensor,
    positions: Tensor,
    source: Tensor,
    options: {
      /** Adds to what stands there; values at one position then add up (default false). */
      accumulate?: boolean;
    } = {},
  ): Tensor {
    const { accumulate = false } = checked('put', options, { accumulate: is.flag });
    requireTensors('put', { input: x, positions, source });
    if (source.size !== positions.size)
      throw inputError('put', 'there are not as many elements as positions', { positions, source });
    const [flat, from] = mapTuple([x, source], (t) => reshape(t, [-1]));
    const at = reshape(positionsOf('put', [positions], [x.size]), [-1]);
    return reshape(combined('put', flat, 0, at, from, accumulate), x.shape);
  },
);

/** The elements at positions along `dim`, all other dimensions broadcast, as `torch.take_along_dim`; of the flattened tensor without `dim`. */
export function takeAlongDim(
  x: Tensor,
  positions: Tensor,
  options: { /** Along which dimension (default: the flattened tensor). */ dim?: number } = {},
): Tensor {
  const op = 'takeAlongDim';
  const { dim } = checked(op, options, { dim: is.number });
  requireTensors(op, { input: x, positions });
  if (dim === undefined) return take(x, reshape(positions, [-1]));
  if (positions.ndim !== x.ndim)
    throw inputError(op, 'positions and input differ in the number of dimensions', { input: x, positions });
  const axis = normalizeAxis(op, dim, x.shape);
  const others = (t: Tensor) => t.shape.map((n, d) => (d === axis ? 1 : n));
  const shape = broadcastShapes(op, others(x), others(positions));
  const places = expand(
    positionsOf(op, [positions], [x.shape[axis] ?? 1]),
    x.ndim ? shape.with(axis, at(positions.shape, axis)) : [],
  );
  return gathered(null, expand(x, x.ndim ? shape.with(axis, at(x.shape, axis)) : []), axis, places);
}

/** x with its slices at the positions of a 1-D index along `dim` filled with a number or a tensor of one element, converted to the type of x, as `torch.index_fill`. */
export const indexFill = mixed(
  'indexFill',
  function indexFill(x: Tensor, dim: number, positions: Tensor, value: Tensor | number): Tensor {
    requireTensors('indexFill', { input: x, positions });
    const axis = normalizeAxis('indexFill', dim, x.shape);
    const filling = value instanceof Tensor ? cast(value, x.dtype) : fillNumber('indexFill', value, x.dtype);
    const all = new Array<Index>(axis).fill(':');
    const wide = x.ndim ? x : reshape(x, [1]);
    return reshape(indexPut(wide, [...all, reshape(positions, [-1])], filling), x.shape);
  },
);
