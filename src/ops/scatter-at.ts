// Elements brought to positions along a dimension, not recorded: `scatter.ts` has the operations.
import { at } from '../../shaders/checked';
import { type ScatterReduction, scatter as scatterKernel } from '../../shaders/scatter';
import type { Constant } from '../gpu';
import { device } from '../gpu';
import { inputError } from '../tensor/context';
import { kernelType } from '../tensor/dtype';
import { bind, bindAll, copy, throughFloat32 } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { contiguousStrides, normalizeAxis, padded } from '../tensor/shape';
import { empty, requireTensors, strided, type Tensor } from '../tensor/tensor';
import { badBits, checkCover, reportsOf } from './index-checks';
import { order } from './order';

/** From this many positions a line's index is sorted first, so that every result finds its sources quickly. */
const SORT_FROM = 64;

export interface Scatter {
  op: string;
  /** What the results start from; zeros of `shape` where it is null. */
  x: Tensor | null;
  shape: Shape;
  dim: number;
  index: Tensor;
  source: Tensor;
  reduction: ScatterReduction;
  /** x takes part where sources come (the default); otherwise it stays only where none does. */
  includeSelf?: boolean;
  /** Whether an index out of range is reported: a gradient's index was looked at by its forward pass. */
  report: boolean;
}

/** x[…, k, …] ⊕ the source[…, j, …] with index[…, j, …] = k, j ascending, along `dim`. */
export function scatterAt(given: Scatter): Tensor {
  const { x, source } = given;
  if (source.dtype !== 'float16' || (x && x.dtype !== 'float16')) return scattered(given);
  return throughFloat32(source, (wide) => {
    const base = x && copy(x, 'float32');
    const y = scattered({ ...given, x: base, source: wide });
    base?.dispose();
    return y;
  });
}

function scattered({ op, x, shape, dim, index, source, reduction, includeSelf = true, report }: Scatter): Tensor {
  const axis = normalizeAxis(op, dim, shape);
  requireTensors(op, { index, source });
  const y = empty(op, shape, source.dtype);
  checkCover(op, y, index, axis);
  const shapes = { input: shape, index: index.shape, source: source.shape };
  const moved = reduction === 'last';
  if ((!moved && source.dtype === 'bool') || (x && x.dtype !== source.dtype))
    throw inputError(
      op,
      `the input is ${x?.dtype}, the source ${source.dtype}`,
      shapes,
      moved ? 'Both have the same type.' : 'Both have the same numeric type.',
    );
  if (source.ndim !== index.ndim || index.shape.some((n, d) => n > at(source.shape, d)))
    throw inputError(op, 'the source does not cover the index', shapes, 'It is as large or larger in each dimension.');
  const sorting = sortedOrder(index, axis, shape[axis] ?? 1);
  const n = y.size;
  const extent = shape[axis] ?? 1;
  const offsets = [x?.offset ?? 0, index.offset, source.offset];
  const head: Constant[] = [n, shape.length, axis, extent, ...offsets, badBits(source)];
  const indexDims = index.ndim ? index.shape : [1]; // without dimensions there is one line of one element
  const strides = [x?.strides ?? [], indexDims, index.strides, source.strides, sorting?.strides ?? []];
  const lists = [shape, ...strides].flatMap((list) => padded(list));
  const reads = [...(x ? [bindAll(x)] : []), bindAll(index), ...(sorting ? [bindAll(sorting)] : []), bindAll(source)];
  const { buffers, slot } = reportsOf(report ? op : null, extent);
  const kernel = scatterKernel({
    type: moved ? 'Word' : kernelType(op, source.dtype),
    reduction,
    base: !x ? 'zeros' : includeSelf && !moved ? 'x' : 'sources',
    sorted: !!sorting,
    report,
  });
  device().launch(kernel, [...reads, bind(y), ...buffers], [...head, ...lists, slot], n);
  return y;
}

/** The positions that sort each line of the index, of its shape; null where that does not pay. */
function sortedOrder(index: Tensor, axis: number, extent: number): Tensor | null {
  const n = index.shape[axis] ?? 1;
  const repeated = index.strides.every((stride, d) => d === axis || stride === 0 || index.shape[d] === 1);
  if (n < SORT_FROM || (!repeated && extent < SORT_FROM)) return null;
  if (!repeated) {
    const sorted = order(index, axis, false);
    return strided(sorted, index.shape, contiguousStrides(index.shape));
  }
  const line = order(strided(index, [n], [at(index.strides, axis)]), 0, false);
  return strided(
    line,
    index.shape,
    index.shape.map((_, d) => (d === axis ? 1 : 0)),
  );
}

/** x (or zeros of `shape`) plus, at index[…, j, …] along `dim`, source[…, j, …]: they are added in ascending j. For gradients and `scatterAdd`. */
export const addAt = (x: Tensor | null, shape: Shape, dim: number, index: Tensor, source: Tensor): Tensor =>
  scatterAt({ op: 'scatterAdd', x, shape, dim, index, source, reduction: 'sum', report: !!x });
