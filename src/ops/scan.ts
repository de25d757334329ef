// Running sums and products along a dimension.
import { cached } from '../../shaders/build';
import type { ScanKernelOptions } from '../../shaders/scan';
import { scan as kernelFor, SCAN_WORKGROUP } from '../../shaders/scan';
import { byDefinition } from '../autograd/backward';
import { record, recordLinear } from '../autograd/tape';
import { device } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { ones } from '../tensor/create';
import { kernelType } from '../tensor/dtype';
import { bind, contiguous, copy } from '../tensor/elementwise';
import { normalizeAxis, size } from '../tensor/shape';
import { empty, type Tensor } from '../tensor/tensor';
import { add, mul } from './elementwise';
import { concat } from './join';
import { mixed } from './mixed';
import { flip, narrow } from './views';

/** Lines shorter than this, or more of them than fill a device, get a thread each. */
const SHORT = 128;
const MANY = 8192;

const NAMES = {
  sum: 'cumsum',
  prod: 'cumprod',
  slope: 'cumprod',
  argmax: 'cummax',
  argmin: 'cummin',
  logsum: 'logcumsumexp',
};

/** Options of `cumsum` and `cumprod`. */
export interface ScanOptions {
  /** Leaves out the element itself: the first result is 0 (or 1). */
  exclusive?: boolean;
  /** From the last element to the first. */
  reverse?: boolean;
}

/**
 * y[j] = x[0] ⊕ … ⊕ x[j] along `axis`; 'slope' is the gradient of a running product from g and the exclusive product `before`. Not
 * recorded.
 */
export function scan(
  kind: ScanKernelOptions['kind'],
  given: Tensor,
  axis: number,
  { exclusive = false, reverse = false }: ScanOptions = {},
  slope?: { g: Tensor; before: Tensor },
): Tensor {
  const x = contiguous(given.dtype === 'bool' ? copy(given, 'int32') : given);
  const length = x.shape[axis] ?? 1;
  const inner = size(x.shape.slice(axis + 1));
  const lines = length ? x.size / length : 0;
  const team = slope || length < SHORT || lines > MANY ? 1 : SCAN_WORKGROUP;
  const y = empty(NAMES[kind], x.shape, kind.startsWith('arg') ? 'int32' : x.dtype);
  const type = kernelType(NAMES[kind], x.dtype);
  const inputs = slope ? [x, contiguous(slope.g), slope.before] : [x];
  const o = { kind, type, exclusive, reverse, team };
  const kernel = cached(['scan', o], () => kernelFor(o));
  device().launch(kernel, [...inputs, y].map(bind), [lines, length, inner], lines);
  return y;
}

const SCAN: OptionTable<ScanOptions> = { exclusive: is.flag, reverse: is.flag };

/** Running sum along a dimension, as `torch.cumsum`: the shape of x. */
export const cumsum = mixed('cumsum', function cumsum(x: Tensor, axis: number, options: ScanOptions = {}): Tensor {
  checked('cumsum', options, SCAN);
  const at = normalizeAxis('cumsum', axis, x.shape);
  const summed = (t: Tensor) => scan('sum', t, at, options);
  const back = { ...options, reverse: !options.reverse };
  return recordLinear('cumsum', x, summed, (g) => scan('sum', g, at, back));
});

/** Running product along a dimension, as `torch.cumprod`. The gradient is right where factors are zero. */
export const cumprod = mixed('cumprod', function cumprod(x: Tensor, axis: number, options: ScanOptions = {}): Tensor {
  checked('cumprod', options, SCAN);
  const at = normalizeAxis('cumprod', axis, x.shape);
  const y = scan('prod', x, at, options);
  const rule = (g: Tensor) => {
    const before = scan('prod', x, at, { ...options, exclusive: true });
    return [scan('slope', x, at, { ...options, reverse: !options.reverse }, { g, before })];
  };
  const differentiable = byDefinition([x], (t) => productsOf(t, at, options));
  return record('cumprod', [x], y, [x], rule, { differentiable });
});

/** Running products in recorded operations, by doubling: exact for zeros, and their derivatives too. */
export function productsOf(x: Tensor, axis: number, { exclusive = false, reverse = false }: ScanOptions): Tensor {
  const n = x.shape[axis] ?? 1;
  const shifted = (t: Tensor, by: number) => concat([ones(t.shape.with(axis, by)), narrow(t, axis, 0, n - by)], axis);
  if (!x.ndim) return exclusive ? add(mul(x, 0), 1) : x;
  let y = reverse ? flip(x, axis) : x;
  if (exclusive && n) y = shifted(y, 1);
  for (let by = 1; by < n; by *= 2) y = mul(y, shifted(y, by));
  return reverse ? flip(y, axis) : y;
}
