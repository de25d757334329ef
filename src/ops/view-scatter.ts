// A copy of a tensor with one of its views replaced, and views that PyTorch has beside the usual ones: diagonals and windows.
import { at, fromEnd, mapTuple } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import type { PushForward } from '../autograd/tape';
import { record, recordLinear, sumOfAll } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { tensor } from '../tensor/create';
import { copy } from '../tensor/elementwise';
import { existingAxis, normalizeAxis, sameShape } from '../tensor/shape';
import { requireTensors, strided, type Tensor } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { alongAxis } from './index-checks';
import { resolveRange } from './ranges';
import { addAt } from './scatter-at';
import { reshape, unsqueeze } from './views';

/** Another view of a tensor's memory, not recorded. */
export type View = (x: Tensor) => Tensor;

/** Zeros like `x` but for what `view` shows of them, which is `part`. */
function embedded(op: string, x: Tensor, view: View, part: Tensor): Tensor {
  const out = raw.filled(op, x.shape, 0, part.dtype);
  raw.place(view(out), part);
  return out;
}

/** The view, recorded: no two of its elements are the same. */
export const viewed = (op: string, x: Tensor, view: View): Tensor =>
  recordLinear(op, x, view, (g) => embedded(op, x, view, g));

/** A copy of x in which what `view` shows is `source`, of the same shape. */
export function scatterView(op: string, x: Tensor, source: Tensor, view: View): Tensor {
  requireTensors(op, { input: x, source });
  const { shape } = view(x);
  if (!sameShape(shape, source.shape))
    throw inputError(
      op,
      `the source must be [${shape.join(', ')}]`,
      { input: x, source },
      'The shape of what it replaces.',
    );
  const replaced = (into: Tensor, part: Tensor) => {
    const y = copy(into);
    raw.place(view(y), part.dtype === y.dtype ? part : copy(part, y.dtype));
    return y;
  };
  const zeros = (like: Tensor) => raw.filled(op, like.shape, 0, 'float32');
  const rule = (g: Tensor, needs: readonly boolean[]) => [
    needs[0] && scatterView(op, g, zeros(source), view),
    needs[1] && viewed(op, g, view),
  ];
  const push: PushForward = (t, s) => replaced(t ?? zeros(x), s ?? zeros(source));
  return record(op, [x, source], replaced(x, source), [], rule, { push, differentiable: rule });
}

/** Which diagonal, of which dimensions. */
export interface DiagonalOptions {
  /** Above the main diagonal, below it where negative. */
  offset?: number;
  /** First dimension of the planes: 0 by default, of `diagEmbed` −2. */
  dim1?: number;
  /** Second dimension of the planes: 1 by default, of `diagEmbed` −1. */
  dim2?: number;
}

const DIAGONAL: OptionTable<DiagonalOptions> = { offset: is.number, dim1: is.number, dim2: is.number };

/** The view of a diagonal, which becomes the last dimension. */
function diagonalView(op: string, x: Tensor, options: DiagonalOptions, first: number, second: number): View {
  const { offset = 0, dim1 = first, dim2 = second } = checked(op, options, DIAGONAL);
  requireIntegers(op, { offset, dim1, dim2 });
  const [a, b] = mapTuple([dim1, dim2], (dim) => existingAxis(op, dim, x.shape));
  if (a === b) throw inputError(op, `both dimensions are ${a}`, { input: x }, 'A diagonal has two.');
  const n = Math.max(0, Math.min(at(x.shape, a) + Math.min(0, offset), at(x.shape, b) - Math.max(0, offset)));
  const rest = x.shape.map((_, d) => d).filter((d) => d !== a && d !== b);
  return (t) => {
    const [down, across] = [at(t.strides, a), at(t.strides, b)];
    const start = n && (offset < 0 ? -offset * down : offset * across);
    const shape = [...rest.map((d) => at(t.shape, d)), n];
    const strides = [...rest.map((d) => at(t.strides, d)), down + across];
    return strided(t, shape, strides, t.offset + start);
  };
}

/** A diagonal of two dimensions (the first two), as the last dimension: `torch.diagonal`. A view. */
export const diagonal = operation(
  'diagonal',
  (x: Tensor, options: DiagonalOptions = {}): Tensor =>
    viewed('diagonal', x, diagonalView('diagonal', x, options, 0, 1)),
);

/** x with a diagonal replaced by `source`, as `torch.diagonal_scatter`. */
export const diagonalScatter = operation(
  'diagonalScatter',
  (x: Tensor, source: Tensor, options: DiagonalOptions = {}): Tensor =>
    scatterView('diagonalScatter', x, source, diagonalView('diagonalScatter', x, options, 0, 1)),
);

/** The last dimension as a diagonal of two new ones (the last), zeros beside it: `torch.diag_embed`. */
export const diagEmbed = operation('diagEmbed', function diagEmbed(x: Tensor, options: DiagonalOptions = {}): Tensor {
  const { offset = 0, dim1 = -2, dim2 = -1 } = checked('diagEmbed', options, DIAGONAL);
  requireTensors('diagEmbed', { input: x });
  existingAxis('diagEmbed', -1, x.shape);
  requireIntegers('diagEmbed', { offset, dim1, dim2 });
  const wide = [...x.shape, 1];
  const axes = [dim1, dim2].map((dim) => normalizeAxis('diagEmbed', dim, wide)).sort((a, b) => a - b);
  const shape = x.shape.slice(0, -1);
  const n = fromEnd(x.shape, 1) + Math.abs(offset);
  for (const axis of axes) shape.splice(axis, 0, n);
  const out = raw.filled('diagEmbed', shape, 0, x.dtype);
  const view = diagonalView('diagEmbed', out, { offset, dim1, dim2 }, -2, -1);
  raw.place(view(out), x);
  const rule = (g: Tensor) => [viewed('diagEmbed', g, view)];
  return record('diagEmbed', [x], out, [], rule, {
    push: (t) => sumOfAll(t && embedded('diagEmbed', out, view, t)),
    differentiable: rule,
  });
});

/** The flattened tensor as the diagonal of a matrix, as `torch.diagflat`. */
export const diagflat = (x: Tensor, options: Pick<DiagonalOptions, 'offset'> = {}): Tensor =>
  diagEmbed(reshape(x, [-1]), checked('diagflat', options, { offset: is.number }));

/** A vector as the diagonal of a matrix, or the diagonal of a matrix, as `torch.diag`. */
export function diag(
  x: Tensor,
  options: { /** 0 is the main diagonal (default), positive ones lie above it. */ diagonal?: number } = {},
): Tensor {
  const { diagonal: offset = 0 } = checked('diag', options, { diagonal: is.number });
  if (x.ndim !== 1 && x.ndim !== 2)
    throw inputError('diag', 'the input is no vector and no matrix', { input: x }, 'diagonal and diagEmbed take more.');
  return x.ndim === 1 ? diagEmbed(x, { offset }) : diagonal(x, { offset });
}

/** x with the position `index` along `dim` replaced by `source`, as `torch.select_scatter`. */
export const selectScatter = operation(
  'selectScatter',
  function selectScatter(x: Tensor, source: Tensor, dim: number, index: number): Tensor {
    const axis = existingAxis('selectScatter', dim, x.shape);
    const { start } = resolveRange('selectScatter', x, axis, index);
    const others = <T>(list: readonly T[]) => list.filter((_, d) => d !== axis);
    return scatterView('selectScatter', x, source, (t) =>
      strided(t, others(t.shape), others(t.strides), t.offset + start * at(t.strides, axis)),
    );
  },
);

/** Options of `sliceScatter`: the range as in Python's `start:end:step`. */
export interface SliceScatterOptions {
  /** The dimension that is sliced (default 0). */
  dim?: number;
  /** First position, included (default 0). */
  start?: number;
  /** End, excluded (default: the size of the dimension). */
  end?: number;
  /** Distance between two positions (default 1). */
  step?: number;
}

const SLICE: OptionTable<SliceScatterOptions> = { dim: is.number, start: is.number, end: is.number, step: is.number };

/** x with a slice along `dim` (0) replaced by `source`, as `torch.slice_scatter`. */
export const sliceScatter = operation(
  'sliceScatter',
  function sliceScatter(x: Tensor, source: Tensor, options: SliceScatterOptions = {}): Tensor {
    const { dim = 0, start, end, step } = checked('sliceScatter', options, SLICE);
    const axis = existingAxis('sliceScatter', dim, x.shape);
    const range = resolveRange('sliceScatter', x, axis, { start, stop: end, step });
    const steps = x.shape.map((count, d) => (d === axis ? range : { start: 0, count, step: 1 }));
    return scatterView('sliceScatter', x, source, (t) => raw.slice(t, steps));
  },
);

/**
 * Windows of `size` elements along a dimension, `step` apart, as the last dimension: `x.unfold(dim, size, step)` of PyTorch's tensors. A view; windows
 * may overlap.
 */
export function unfold(x: Tensor, dim: number, size: number, step: number): Tensor {
  if (x.ndim === 0) return reshape(unfold(unsqueeze(x, 0), dim, size, step), [size]);
  const axis = normalizeAxis('unfold', dim, x.shape);
  const n = at(x.shape, axis);
  requireIntegers('unfold', { size, step });
  if (size < 0 || size > n || step < 1)
    throw inputError(
      'unfold',
      `windows of ${size} elements, ${step} apart, along dimension ${axis}, which has ${n}`,
      { input: x },
      'A window fits in the dimension, and a step is at least 1.',
    );
  const count = Math.floor((n - size) / step) + 1;
  const view: View = (t) =>
    strided(
      t,
      [...t.shape.with(axis, count), size],
      [...t.strides.map((s, d) => (d === axis ? s * step : s)), at(t.strides, axis)],
    );
  const positions = Int32Array.from({ length: count * size }, (_, i) => Math.floor(i / size) * step + (i % size));
  const index = tensor(positions);
  const order = [...x.shape.map((_, d) => d)];
  order.splice(axis + 1, 0, x.ndim);
  const back = (g: Tensor) => {
    const lined = raw.reshape(raw.permute(g, order), x.shape.with(axis, count * size));
    return addAt(null, x.shape, axis, alongAxis(index, x.shape, axis), lined);
  };
  return recordLinear('unfold', x, view, back);
}
