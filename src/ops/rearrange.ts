// Rearrangements made of views and joins: rolls, turns, stacks, grids, differences.
import { at, mapTuple, tuple } from '../../shaders/checked';
import { checked, is, numbers, type OptionTable, word } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { tensor } from '../tensor/create';
import type { Shape } from '../tensor/shape';
import { existingAxis, normalizeAxis, requireList, sameShape, size } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { logicalXor, sub } from './elementwise';
import { selected } from './index-select';
import { concat, split, stack } from './join';
import { pad } from './pad';
import { expand, flip, narrow, permute, reshape, select, transpose } from './views';

const asList = (x: number | readonly number[]): readonly number[] => (typeof x === 'number' ? [x] : x);

/** The elements moved by `shifts` along `dims`, those that fall off coming in on the other side; of the flattened tensor without `dims`: `torch.roll`. */
export function roll(
  x: Tensor,
  shifts: number | readonly number[],
  options: { dims?: number | readonly number[] } = {},
): Tensor {
  const { dims } = checked('roll', options, { dims: is.size });
  requireTensors('roll', { input: x });
  const by = requireList('roll', asList(shifts));
  requireIntegers('roll', Object.fromEntries(by.map((n, i) => [`shift ${i}`, n])));
  const over = dims === undefined ? [] : asList(dims);
  if (by.length !== (over.length || 1))
    throw inputError('roll', `${by.length} shifts for ${over.length} dimensions`, { input: x }, 'Give one for each.');
  if (!over.length) return reshape(rolled(reshape(x, [-1]), 0, at(by, 0)), x.shape);
  return over.reduce((y, dim, i) => rolled(y, existingAxis('roll', dim, x.shape), at(by, i)), x);
}

function rolled(x: Tensor, axis: number, shift: number): Tensor {
  const n = at(x.shape, axis);
  const first = n && ((-shift % n) + n) % n;
  return first ? concat([narrow(x, axis, first, n - first), narrow(x, axis, 0, first)], axis) : x;
}

/** Turned by 90° `k` times in the plane of two dimensions (from the first to the second), as `torch.rot90`. */
export function rot90(
  x: Tensor,
  options: {
    /** How often by 90 degrees (default 1). */
    k?: number;
    /** The plane of two dimensions, from the first to the second (default [0, 1]). */
    dims?: readonly number[];
  } = {},
): Tensor {
  const { k = 1, dims = [0, 1] } = checked('rot90', options, { k: is.number, dims: numbers(2) });
  requireIntegers('rot90', { k });
  const axes = dims.map((dim) => existingAxis('rot90', dim, x.shape));
  if (axes.length !== 2 || axes[0] === axes[1])
    throw inputError('rot90', `the plane is [${dims.join(', ')}]`, { input: x }, 'Name two dimensions.');
  const [a, b] = tuple(axes, 2);
  const turns = ((k % 4) + 4) % 4;
  if (turns === 0) return x;
  if (turns === 2) return flip(x, [a, b]);
  return transpose(flip(x, turns === 1 ? b : a), a, b);
}

/** The columns in the opposite order, as `torch.fliplr`. A view. */
export function fliplr(x: Tensor): Tensor {
  if (x.ndim < 2) throw inputError('fliplr', 'the input is no matrix', { input: x }, 'flip(x, 0) turns a vector.');
  return flip(x, 1);
}

/** The rows in the opposite order, as `torch.flipud`. A view. */
export function flipud(x: Tensor): Tensor {
  existingAxis('flipud', 0, x.shape);
  return flip(x, 0);
}

/** Dimensions moved to other places, the rest keeping their order, as `torch.movedim`. A view. */
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  const [from, to] = mapTuple([source, destination], (list) =>
    requireList('movedim', asList(list)).map((dim) => normalizeAxis('movedim', dim, x.shape)),
  );
  if (from.length !== to.length || new Set(from).size !== from.length || new Set(to).size !== to.length)
    throw inputError(
      'movedim',
      `[${from.join(', ')}] cannot go to [${to.join(', ')}]`,
      { input: x },
      'Name as many different dimensions in both.',
    );
  const order = x.shape.map((_, d) => d).filter((d) => !from.includes(d));
  const moves = to.map((place, i) => ({ place, dim: at(from, i) })).sort((a, b) => a.place - b.place);
  for (const { place, dim } of moves) order.splice(place, 0, dim);
  return permute(x, order);
}

/** A dimension as several of the given sizes, of which one may be −1, as `torch.unflatten`. */
export function unflatten(x: Tensor, dim: number, sizes: Shape): Tensor {
  const axis = existingAxis('unflatten', dim, x.shape);
  const count = at(x.shape, axis);
  const list = requireList('unflatten', sizes);
  const known = size(list.filter((n) => n !== -1));
  const full = list.map((n) => (n === -1 ? count / known : n));
  if (!list.length || full.some((n) => !Number.isInteger(n) || n < 0) || size(full) !== count)
    throw inputError(
      'unflatten',
      `dimension ${axis} of ${count} elements is not [${list.join(', ')}]`,
      { input: x },
      'One −1 stands for what is left over.',
    );
  return reshape(x, [...x.shape.slice(0, axis), ...full, ...x.shape.slice(axis + 1)]);
}

/** So many parts along a dimension, the first ones larger by one where they cannot be equal, or parts between the listed positions: `torch.tensor_split`. Views. */
export function tensorSplit(x: Tensor, sections: number | readonly number[], dim = 0): Tensor[] {
  const axis = existingAxis('tensorSplit', dim, x.shape);
  const n = at(x.shape, axis);
  if (typeof sections === 'number') {
    if (!Number.isInteger(sections) || sections < 1)
      throw inputError('tensorSplit', `${sections} parts`, { input: x }, 'Use a positive integer.');
    const [least, more] = [Math.floor(n / sections), n % sections];
    return split(
      x,
      Array.from({ length: sections }, (_, i) => least + Number(i < more)),
      axis,
    );
  }
  const cuts = requireList('tensorSplit', sections).map((i) => Math.max(0, Math.min(n, i < 0 ? i + n : i)));
  return [0, ...cuts].map((start, i) => narrow(x, axis, start, Math.max(0, (cuts[i] ?? n) - start)));
}

/** Every position along a dimension as a tensor, as `torch.unbind`. Views. */
export function unbind(x: Tensor, dim = 0): Tensor[] {
  const axis = existingAxis('unbind', dim, x.shape);
  return Array.from({ length: at(x.shape, axis) }, (_, i) => select(x, axis, i));
}

/** The tensors with at least `rank` dimensions; those of a vector for three are [1, n, 1]. */
function atLeast(op: string, tensors: readonly Tensor[], rank: number): Tensor[] {
  if (!Array.isArray(tensors) || !tensors.length)
    throw inputError(op, 'no list of tensors, or an empty one', {}, 'Give an array of at least one.');
  requireTensors(op, Object.fromEntries(tensors.map((t, i) => [`tensor ${i}`, t])));
  return tensors.map((t: Tensor) => {
    const flat = t.ndim === 0 ? reshape(t, [1]) : t;
    if (flat.ndim >= rank) return flat;
    const wide = flat.ndim === 1 ? [1, ...flat.shape] : flat.shape;
    return reshape(flat, rank === 3 ? [...wide, 1] : wide);
  });
}

/** Side by side: joined along dimension 1, vectors along 0, as `torch.hstack`. */
export function hstack(tensors: readonly Tensor[]): Tensor {
  const list = atLeast('hstack', tensors, 1);
  return concat(list, at(list, 0).ndim === 1 ? 0 : 1);
}

/** One below the other: joined along dimension 0, vectors as rows, as `torch.vstack`. */
export const vstack = (tensors: readonly Tensor[]): Tensor => concat(atLeast('vstack', tensors, 2), 0);

/** One behind the other: joined along dimension 2, as `torch.dstack`. */
export const dstack = (tensors: readonly Tensor[]): Tensor => concat(atLeast('dstack', tensors, 3), 2);

/** Matrices along the diagonal of a larger one, zeros beside them, as `torch.block_diag`; vectors are rows. */
export function blockDiag(...tensors: Tensor[]): Tensor {
  const list = tensors.length ? atLeast('blockDiag', tensors, 2) : [tensor([], { shape: [1, 0] })];
  const odd = list.find((t) => t.ndim > 2);
  if (odd) throw inputError('blockDiag', 'a tensor has more than two dimensions', { tensor: odd });
  const width = list.reduce((sum, t) => sum + at(t.shape, 1), 0);
  let left = 0;
  const rows = list.map((t) => {
    const before = left;
    left += at(t.shape, 1);
    return pad(t, [
      [0, 0],
      [before, width - left],
    ]);
  });
  return concat(rows, 0);
}

/** Options of `meshgrid`. */
export interface MeshgridOptions {
  /** 'xy' exchanges the first two dimensions of all grids. */
  indexing?: 'ij' | 'xy';
}

const MESHGRID: OptionTable<MeshgridOptions> = { indexing: word('ij', 'xy') };

/** For vectors of n₀, n₁ … elements as many grids [n₀, n₁, …], each with the values of one along its dimension, as `torch.meshgrid`. Views. */
export function meshgrid(tensors: readonly Tensor[], options: MeshgridOptions = {}): Tensor[] {
  const { indexing = 'ij' } = checked('meshgrid', options, MESHGRID);
  const list = atLeast('meshgrid', tensors, 1);
  const odd = list.find((t) => t.ndim > 1);
  if (odd) throw inputError('meshgrid', 'a tensor has more than one dimension', { tensor: odd }, 'Give vectors.');
  const shape = list.map((t) => t.size);
  const grids = list.map((t, d) =>
    expand(
      reshape(
        t,
        shape.map((n, i) => (i === d ? n : 1)),
      ),
      shape,
    ),
  );
  return indexing === 'xy' && list.length > 1 ? grids.map((grid) => transpose(grid, 0, 1)) : grids;
}

/** All tuples of an element of each vector, as rows: `torch.cartesian_prod`. One vector stays as it is. */
export function cartesianProd(...tensors: Tensor[]): Tensor {
  const grids = meshgrid(tensors).map((grid) => reshape(grid, [-1]));
  return grids.length === 1 ? at(grids, 0) : stack(grids, 1);
}

/** All choices of `r` elements of a vector, in its order, as rows [N, r]: `torch.combinations`. */
export function combinations(
  x: Tensor,
  options: {
    /** How many elements each has (default 2). */
    r?: number;
    /** An element may stand in it more than once (default false). */
    withReplacement?: boolean;
  } = {},
): Tensor {
  const table = { r: is.number, withReplacement: is.flag };
  const { r = 2, withReplacement = false } = checked('combinations', options, table);
  if (x.ndim !== 1) throw inputError('combinations', 'the input is no vector', { input: x });
  if (!Number.isInteger(r) || r < 0) throw inputError('combinations', `r is ${r}`, { input: x }, 'Use a whole number.');
  if (r === 0) return narrow(x, 0, 0, 0);
  const rows: number[] = [];
  const choose = (chosen: number[], from: number): void => {
    if (chosen.length === r) rows.push(...chosen);
    else for (let i = from; i < x.size; i++) choose([...chosen, i], withReplacement ? i : i + 1);
  };
  choose([], 0);
  return reshape(selected(null, x, 0, tensor(Int32Array.from(rows))), [rows.length / r, r]);
}

/** Options of `diff`. */
export interface DiffOptions {
  /** How often differences are taken. */
  n?: number;
  /** The dimension along which neighbours are subtracted (default the last). */
  dim?: number;
  /** What stands before x along the dimension, and behind it. */
  prepend?: Tensor | null;
  /** What stands behind x along the dimension. */
  append?: Tensor | null;
}

const DIFF: OptionTable<DiffOptions> = { n: is.number, dim: is.number, prepend: is.tensor, append: is.tensor };

/** Differences of neighbours along a dimension (the last), as `torch.diff`; of booleans whether they differ. */
export function diff(x: Tensor, options: DiffOptions = {}): Tensor {
  const { n = 1, dim = -1, prepend, append } = checked('diff', options, DIFF);
  const axis = existingAxis('diff', dim, x.shape);
  if (!Number.isInteger(n) || n < 0) throw inputError('diff', `n is ${n}`, { input: x }, 'Use a whole number.');
  const parts = [prepend, x, append].filter((t) => !!t);
  let y = parts.length > 1 ? concat(parts, axis) : x;
  for (let i = 0; i < n; i++) {
    const length = at(y.shape, axis);
    const count = Math.max(0, length - 1);
    const [later, earlier] = [narrow(y, axis, Math.min(1, length), count), narrow(y, axis, 0, count)];
    y = y.dtype === 'bool' ? logicalXor(later, earlier) : sub(later, earlier);
  }
  return y;
}

/** Options of `padSequence`. */
export interface PadSequenceOptions {
  /** Gives [N, L, …] instead of [L, N, …] (default false). */
  batchFirst?: boolean;
  /** Fills up the shorter sequences (default 0). */
  paddingValue?: number;
  /** Where shorter sequences are filled up (default 'right', behind them). */
  paddingSide?: 'left' | 'right';
}

const PAD_SEQUENCE: OptionTable<PadSequenceOptions> = {
  batchFirst: is.flag,
  paddingValue: is.number,
  paddingSide: word('left', 'right'),
};

/** Sequences [Lᵢ, …] of different lengths as one tensor [L, N, …], or [N, L, …] with `batchFirst`: `torch.nn.utils.rnn.pad_sequence`. */
export function padSequence(sequences: readonly Tensor[], options: PadSequenceOptions = {}): Tensor {
  const { batchFirst = false, paddingValue = 0, paddingSide = 'right' } = checked('padSequence', options, PAD_SEQUENCE);
  const list = atLeast('padSequence', sequences, 1);
  const first = at(list, 0);
  const odd = list.find((t) => !sameShape(t.shape.slice(1), first.shape.slice(1)));
  if (odd)
    throw inputError('padSequence', 'sequences differ beyond their length', { 'sequence 0': first, another: odd });
  const longest = Math.max(...list.map((t) => at(t.shape, 0)));
  const padded = list.map((t) => {
    const missing = longest - at(t.shape, 0);
    const amounts = t.shape.map((_, d): [number, number] =>
      d > 0 ? [0, 0] : paddingSide === 'left' ? [missing, 0] : [0, missing],
    );
    return pad(t, amounts, { value: paddingValue });
  });
  return stack(padded, batchFirst ? 0 : 1);
}
