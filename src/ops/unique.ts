// Different elements, and elements repeated. How many there are is known to the GPU alone, so these wait for it.
import { at, mapTuple, tuple } from '../../shaders/checked';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { arange, full, tensor } from '../tensor/create';
import { existingAxis, normalizeAxis, size } from '../tensor/shape';
import { empty, requireTensors, type Tensor } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { cast, ne, sub } from './elementwise';
import { pick, scatterInto } from './gather';
import { alongAxis, checkIndex } from './index-checks';
import { selected } from './index-select';
import { concat } from './join';
import { order } from './order';
import { any } from './reduce';
import { cumsum } from './scan';
import { searched } from './search';
import { expand, narrow, reshape, select } from './views';

/** What `unique` gives. */
export interface Unique {
  /** Each value, or slice along `dim`, once. */
  values: Tensor;
  /** For each element (or slice) of the input the position of its value: int32; null unless `returnInverse`. */
  inverse: Tensor | null;
  /** How often each value occurs: int32; null unless `returnCounts`. */
  counts: Tensor | null;
}

/** Options of `uniqueConsecutive`. */
export interface UniqueConsecutiveOptions {
  /** Gives `inverse` too (default false). */
  returnInverse?: boolean;
  /** Gives `counts` too (default false). */
  returnCounts?: boolean;
  /** Slices along this dimension are compared instead of elements. */
  dim?: number;
}

/** Options of `unique`. */
export interface UniqueOptions extends UniqueConsecutiveOptions {
  /** The values ascend in any case. */
  sorted?: boolean;
}

const UNIQUE: OptionTable<UniqueOptions> = {
  sorted: is.flag,
  returnInverse: is.flag,
  returnCounts: is.flag,
  dim: is.number,
};

/** Rows [n, m] at positions, not recorded. */
const rowsAt = (rows: Tensor, places: Tensor): Tensor =>
  pick(rows, 0, alongAxis(places, [places.size, at(rows.shape, 1)], 0), null);

/** The order that sorts rows [n, m] by their first element, then by the second …: by the last one first, since sorting is stable. */
function rowOrder(rows: Tensor): Tensor {
  const [n, m] = tuple(rows.shape, 2);
  let places = arange(n);
  for (let c = m - 1; c >= 0; c--) {
    const column = select(rowsAt(narrow(rows, 1, c, 1), places), 1, 0);
    places = pick(places, 0, order(column, 0, false), null);
  }
  return places;
}

/** The values of runs of equal rows; `places` says where each row stood. */
async function runs(
  rows: Tensor,
  places: Tensor | null,
  { returnInverse, returnCounts }: UniqueOptions,
): Promise<Unique> {
  const n = rows.shape[0];
  const none = () => tensor(new Int32Array(0));
  if (!n) return { values: rows, inverse: returnInverse ? none() : null, counts: returnCounts ? none() : null };
  const differs = any(ne(narrow(rows, 0, 1, n - 1), narrow(rows, 0, 0, n - 1)), 1);
  const number = cumsum(cast(concat([full([1], 1, { dtype: 'bool' }), differs]), 'int32'), 0);
  const count = await select(number, 0, n - 1).item();
  const starts = searched(number, arange(1, count + 1), false);
  const ends = () => concat([narrow(starts, 0, 1, count - 1), tensor(Int32Array.of(n))]);
  const inverseOf = () => {
    const values = sub(number, 1);
    if (!places) return values;
    const y = empty('unique', [n], 'int32');
    scatterInto(y, 0, places, values);
    return y;
  };
  return {
    values: rowsAt(rows, starts),
    inverse: returnInverse ? inverseOf() : null,
    counts: returnCounts ? sub(ends(), starts) : null,
  };
}

async function distinct(op: string, x: Tensor, options: UniqueOptions, sorting: boolean): Promise<Unique> {
  const { dim, ...wanted } = checked(op, options, UNIQUE);
  requireTensors(op, { input: x });
  const axis = dim === undefined ? 0 : existingAxis(op, dim, x.shape);
  const moved = [axis, ...x.shape.map((_, d) => d).filter((d) => d !== axis)];
  const turned = dim === undefined ? raw.reshape(x, [x.size]) : raw.permute(x, moved);
  const rows = raw.reshape(turned, [at(turned.shape, 0), size(turned.shape.slice(1))]);
  const places = sorting ? rowOrder(rows) : null;
  const { values, inverse, counts } = await runs(places ? rowsAt(rows, places) : rows, places, wanted);
  const shape = [at(values.shape, 0), ...turned.shape.slice(1)];
  const back = moved.map((_, d) => moved.indexOf(d));
  return {
    values: dim === undefined ? raw.reshape(values, shape) : raw.permute(raw.reshape(values, shape), back),
    inverse: inverse && dim === undefined ? raw.reshape(inverse, x.shape) : inverse,
    counts,
  };
}

/**
 * The different elements in ascending order (each NaN is one of its own), or with `dim` the different slices in lexicographic order, as `torch.unique`. Waits for the GPU, as
 * their number depends on the elements. Without gradient.
 */
export const unique = (x: Tensor, options: UniqueOptions = {}): Promise<Unique> => distinct('unique', x, options, true);

/** The elements without those that equal the one before, or with `dim` the slices, as `torch.unique_consecutive`. Waits for the GPU. */
export function uniqueConsecutive(x: Tensor, options: UniqueConsecutiveOptions = {}): Promise<Unique> {
  return distinct('uniqueConsecutive', x, options, false);
}

/** Options of `repeatInterleave`. */
export interface RepeatInterleaveOptions {
  /** Of the flattened tensor where it is left out. */
  dim?: number;
  /** The sum of the repeats, where they are a tensor: then nothing has to wait for it. */
  outputSize?: number;
}

const REPEAT: OptionTable<RepeatInterleaveOptions> = { dim: is.number, outputSize: is.number };

/** Each element repeated, along `dim` or of the flattened tensor, as `torch.repeat_interleave`. */
export function repeatInterleave(x: Tensor, repeats: number, options?: RepeatInterleaveOptions): Tensor;
/** With repeats of its own for each position (int32 [n] or [1]). With `outputSize`, their sum, it need not wait for the GPU. */
export function repeatInterleave(
  x: Tensor,
  repeats: Tensor,
  options: RepeatInterleaveOptions & { outputSize: number },
): Tensor;
/** Without that it waits, as the size depends on the repeats. */
export function repeatInterleave(x: Tensor, repeats: Tensor, options?: RepeatInterleaveOptions): Promise<Tensor>;
/** The positions 0 … n − 1, each as often as a vector says. */
export function repeatInterleave(repeats: Tensor): Promise<Tensor>;
export function repeatInterleave(
  x: Tensor,
  repeats?: Tensor | number,
  options: RepeatInterleaveOptions = {},
): Tensor | Promise<Tensor> {
  const op = 'repeatInterleave';
  requireTensors(op, { input: x });
  if (repeats === undefined) return repeatInterleave(arange(x.size), x, { dim: 0 });
  const { dim, outputSize } = checked(op, options, REPEAT);
  const wide = dim === undefined || !x.ndim ? reshape(x, [-1]) : x;
  const axis = normalizeAxis(op, dim ?? 0, wide.shape);
  const n = at(wide.shape, axis);
  if (typeof repeats === 'number') {
    requireIntegers(op, { repeats });
    if (repeats < 0) throw inputError(op, `repeats is ${repeats}`, { input: x }, 'Use a whole number.');
    const shape = [...wide.shape.slice(0, axis + 1), repeats, ...wide.shape.slice(axis + 1)];
    const [before, after] = mapTuple([shape.slice(0, axis + 1), shape.slice(axis + 2)], size);
    const times = expand(reshape(wide, [before, 1, after]), [before, repeats, after]);
    return reshape(times, wide.shape.with(axis, n * repeats));
  }
  checkIndex(op, repeats);
  if (repeats.ndim > 1 || (repeats.size !== 1 && repeats.size !== n))
    throw inputError(op, `there are not as many repeats as the ${n} positions`, { input: x, repeats }, 'Or give one.');
  const each = expand(reshape(repeats, [-1]), [n]);
  if (outputSize === undefined) return repeatedEach(wide, axis, each);
  requireIntegers(op, { outputSize });
  const ends = cumsum(cast(each, 'int32'), 0);
  return selected(op, wide, axis, searched(ends, arange(outputSize), true));
}

async function repeatedEach(x: Tensor, axis: number, repeats: Tensor): Promise<Tensor> {
  const counts = await repeats.data();
  const negative = counts.find((n) => n < 0);
  if (negative !== undefined) throw inputError('repeatInterleave', `repeats of ${negative}`, { input: x, repeats });
  const positions = new Int32Array(Array.from(counts).reduce((sum, n) => sum + n, 0));
  let end = 0;
  counts.forEach((n, i) => positions.fill(i, end, (end += n)));
  return selected(null, x, axis, tensor(positions));
}
