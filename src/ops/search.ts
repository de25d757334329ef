// Searching in sorted lines, and counting.
import { fromEnd, mapTuple } from '../../shaders/checked';
import { searchSorted as kernelFor } from '../../shaders/positions';
import { device } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError, requireIntegers, requireNumbers } from '../tensor/context';
import { full, tensor, zeros } from '../tensor/create';
import { kernelType, promote } from '../tensor/dtype';
import { bind, contiguous, evaluate } from '../tensor/elementwise';
import { sameShape } from '../tensor/shape';
import { empty, requireTensors, strided, Tensor } from '../tensor/tensor';
import { cast, eq, logicalNot, minimum } from './elementwise';
import { pick } from './gather';
import { checkIndex } from './index-checks';
import { mixed } from './mixed';
import { max, min } from './reduce';
import { addAt } from './scatter-at';
import { sort } from './sort';
import { expand, reshape } from './views';

/** Options of `bucketize` and `searchsorted`. */
export interface SearchOptions {
  /** Behind elements that equal the value instead of before them. */
  right?: boolean;
  /** Makes no difference: results are int32. */
  outInt32?: boolean;
}

/** Options of `searchsorted`. */
export interface SearchsortedOptions extends SearchOptions {
  /** The same in other words. */
  side?: 'left' | 'right';
  /** Positions that sort the lines, as `argsort` gives them. */
  sorter?: Tensor | null;
}

const SEARCH: OptionTable<SearchsortedOptions> = {
  right: is.flag,
  outInt32: is.flag,
  side: word('left', 'right'),
  sorter: is.tensor,
};

/** Where each value of [..., m] would stand in its sorted line of [..., n], or all in the one line [n]; `nanLast` where lines may end in NaN. Not checked. */
export function searched(sorted: Tensor, values: Tensor, right: boolean, nanLast = false): Tensor {
  const type = kernelType('searchsorted', values.dtype);
  const y = empty('searchsorted', values.shape, 'int32');
  const n = fromEnd(sorted.shape, 1);
  const alone = sorted.ndim === 1;
  const m = alone ? Math.max(1, values.size) : fromEnd(values.shape, 1);
  const bindings = [contiguous(sorted), contiguous(values), y].map(bind);
  device().launch(kernelFor(type, right, nanLast), bindings, [y.size, n, m, alone ? 0 : n], y.size);
  return y;
}

/**
 * Where each value would have to stand in its sorted line, so that the line stays sorted: int32 of the values' shape, as `torch.searchsorted`. The lines
 * are the last dimension of `sorted`; its other dimensions are those of `values`, unless it is one line for all.
 */
export const searchsorted = mixed(
  'searchsorted',
  function searchsorted(sorted: Tensor, values: Tensor | number, options: SearchsortedOptions = {}): Tensor {
    const op = 'searchsorted';
    const { right = false, side, sorter } = checked(op, options, SEARCH);
    requireTensors(op, { sorted });
    if (right && side === 'left') throw inputError(op, "right is true, and side is 'left'", {}, 'Give one of them.');
    const wanted = values instanceof Tensor ? values : full([], values, { dtype: sorted.dtype });
    const shapes = { sorted, values: wanted };
    if (sorted.dtype !== wanted.dtype || sorted.dtype === 'bool')
      throw inputError(
        op,
        `the line is ${sorted.dtype}, the values ${wanted.dtype}`,
        shapes,
        'Both have the same numeric type.',
      );
    if (sorted.ndim === 0) throw inputError(op, 'the sorted tensor has no dimension', shapes);
    if (sorted.ndim > 1 && !sameShape(sorted.shape.slice(0, -1), wanted.shape.slice(0, -1)))
      throw inputError(op, 'lines and values differ in their leading dimensions', shapes, 'Or give one line for all.');
    if (sorter && !sameShape(sorter.shape, sorted.shape))
      throw inputError(op, 'the sorter does not have the shape of the lines', { sorted, sorter });
    const line = sorter ? pick(sorted, -1, sorter, op) : sorted;
    return searched(line, wanted, right || side === 'right');
  },
);

/** The bucket of each element between boundaries [n], which ascend: int32, as `torch.bucketize`. */
export const bucketize = mixed(
  'bucketize',
  function bucketize(x: Tensor | number, boundaries: Tensor, options: SearchOptions = {}): Tensor {
    const { right } = checked('bucketize', options, { right: is.flag, outInt32: is.flag });
    requireTensors('bucketize', { boundaries });
    if (boundaries.ndim !== 1) throw inputError('bucketize', 'the boundaries are no vector', { boundaries });
    return searchsorted(boundaries, x, { right });
  },
);

/** Options of `isin`. */
export interface IsinOptions {
  /** Both tensors are known to hold nothing twice; makes no difference. */
  assumeUnique?: boolean;
  /** Whether it is not among them. */
  invert?: boolean;
}

/** Whether each element is among `test`, a tensor or a number: bool, as `torch.isin`. NaN is not. */
export const isin = mixed(
  'isin',
  function isin(x: Tensor | number, test: Tensor | number, options: IsinOptions = {}): Tensor {
    const { invert = false } = checked('isin', options, { assumeUnique: is.flag, invert: is.flag });
    const like = [x, test].find((t) => t instanceof Tensor);
    if (!(like instanceof Tensor)) throw inputError('isin', 'no tensor is given', {}, 'One of them is a tensor.');
    const [a, b] = mapTuple([x, test], (t) =>
      t instanceof Tensor ? t : tensor(t, { dtype: Number.isInteger(t) ? like.dtype : 'float32' }),
    );
    const type = promote(promote(a.dtype, b.dtype), 'uint32');
    const [elements, among] = [cast(a, type), reshape(cast(b, type), [-1])];
    if (!among.size) return full(a.shape, Number(invert), { dtype: 'bool' });
    const line = sort(among).values;
    const at = minimum(searched(line, elements, false, true), among.size - 1);
    const found = eq(reshape(pick(line, 0, reshape(at, [-1]), null), elements.shape), elements);
    return invert ? logicalNot(found) : found;
  },
);

/**
 * How often each number 0, 1, … occurs in a vector of integers that are not negative, or the sum of its weights, as `torch.bincount`. Waits for the GPU: the size of
 * the result depends on the largest number. int32 counts, sums of the weights' type.
 */
export async function bincount(
  x: Tensor,
  options: {
    /** What each element counts (default 1). */
    weights?: Tensor | null;
    /** Least number of counts (default 0). */
    minlength?: number;
  } = {},
): Promise<Tensor> {
  const { weights, minlength = 0 } = checked('bincount', options, { weights: is.tensor, minlength: is.number });
  checkIndex('bincount', x);
  requireIntegers('bincount', { minlength });
  if (x.ndim !== 1 || minlength < 0)
    throw inputError('bincount', x.ndim === 1 ? `minlength is ${minlength}` : 'the input is no vector', { input: x });
  if (weights && !sameShape(weights.shape, x.shape))
    throw inputError('bincount', 'the weights do not have the shape of the input', { input: x, weights });
  const type = weights && weights.dtype !== 'bool' ? weights.dtype : 'int32';
  if (!x.size) return zeros([minlength], { dtype: weights ? type : 'int32' });
  const [least, most] = await Promise.all([min(x).item(), max(x).item()]);
  if (least < 0) throw inputError('bincount', `there is a negative number, ${least}`, { input: x });
  const source = weights ? cast(weights, type) : expand(full([1], 1, { dtype: 'int32' }), x.shape);
  return addAt(null, [Math.max(minlength, most + 1)], 0, x, source);
}

/** Options of `histc`. */
export interface HistcOptions {
  /** Number of bins of equal width (default 100). */
  bins?: number;
  /** With `max`: the range that is counted in; that of the elements where both are equal. */
  min?: number;
  /** Upper end of the range, which the last bin includes (default 0; see `min`). */
  max?: number;
}

const HISTC: OptionTable<HistcOptions> = { bins: is.number, min: is.number, max: is.number };

/** How many elements lie in each of `bins` (100) equal parts of a range, as `torch.histc`: float32 [bins]. Elements outside and NaN are not counted. */
export const histc = mixed('histc', function histc(x: Tensor, options: HistcOptions = {}): Tensor {
  const { bins = 100, min: low = 0, max: high = 0 } = checked('histc', options, HISTC);
  requireTensors('histc', { input: x });
  requireNumbers('histc', { min: low, max: high });
  if (x.dtype !== 'float32')
    throw inputError('histc', `not defined for ${x.dtype}`, { input: x }, "Convert first: x.to('float32').");
  if (!Number.isInteger(bins) || bins < 1) throw inputError('histc', `bins is ${bins}`, {}, 'Use a positive integer.');
  if (low > high) throw inputError('histc', `min ${low} is above max ${high}`);
  if (!x.size) return zeros([bins]);
  const flat = reshape(x, [-1]);
  const own = low === high;
  const [a, b] = own ? [min(flat), max(flat)] : [tensor(low), tensor(high)];
  // A range of one number reaches one to each side. Where it is not finite nothing can be counted: NaN.
  const wide = 'select(0.0, 1.0, a == b)';
  const bin = `clamp(i32((x - (a - ${wide})) * s / ((b + ${wide}) - (a - ${wide}))), 0, i32(s) - 1)`;
  const inside = `!isNan(x) && x >= a - ${wide} && x <= b + ${wide}`;
  const at = evaluate({
    name: 'histc',
    expression: `select(i32(s), ${bin}, ${inside})`,
    operands: { x: flat, a, b },
    scalars: [bins],
    shape: flat.shape,
    result: 'int32',
    compute: 'float32',
  });
  const counts = addAt(null, [bins + 1], 0, at, expand(full([1], 1), flat.shape));
  const finite = 'select(nan(), c, isFinite(a) && isFinite(b))';
  return evaluate({
    name: 'histc',
    expression: finite,
    operands: { c: strided(counts, [bins], [1]), a, b },
    shape: [bins],
  });
});
