// The order that sorts lines: positions, not recorded.
import type { Kernel } from '../../shaders/kernel';
import { sortByRank, sortOrder, sortPairs, sortPass } from '../../shaders/sort';
import { operation } from '../autograd/operation';
import { device } from '../gpu';
import { kernelType } from '../tensor/dtype';
import { bind, contiguous, throughFloat32 } from '../tensor/elementwise';
import { linesAlong, normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';

/** Lines up to this length count ranks. */
const RANK_LIMIT = 1024;

/** Positions (int32) of the elements along `dim` in sorted order; NaN counts as the largest, equal values keep their order. */
export const order = operation('order', function order(x: Tensor, dim: number, descending: boolean): Tensor {
  if (x.dtype === 'float16') return throughFloat32(x, (wide) => order(wide, dim, descending));
  const { lines, n, inner } = linesAlong(x.shape, normalizeAxis('sort', dim, x.shape));
  const source = contiguous(x);
  const y = empty('sort', x.shape, 'int32');
  const type = kernelType('sort', x.dtype);
  const run = (kernel: Kernel, buffers: Tensor[], threads: number, padded = 0, span = 0, reach = 0) =>
    device().launch(kernel, buffers.map(bind), [threads, n, inner, padded, span, reach], threads);
  if (n <= RANK_LIMIT) {
    run(sortByRank(type, descending), [source, y], x.size);
    return y;
  }
  const padded = 2 ** Math.ceil(Math.log2(n));
  const pairs = empty('sort', [lines, padded, 2], 'uint32');
  run(sortPairs(type, descending), [source, pairs], lines * padded, padded);
  for (let span = 2; span <= padded; span *= 2)
    for (let reach = span / 2; reach >= 1; reach /= 2)
      run(sortPass(), [pairs], (lines * padded) / 2, padded, span, reach);
  run(sortOrder(), [pairs, y], x.size, padded);
  pairs.dispose();
  return y;
});
