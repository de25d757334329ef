// Running sums and products along a dimension, without gradients.

import { cached } from '../../shaders/build';
import type { ScanKernelOptions } from '../../shaders/scan';
import { scan as kernelFor, SCAN_WORKGROUP } from '../../shaders/scan';
import { device } from '../gpu';
import { wgslType } from './dtype';
import { bind, contiguous, copy, gridFor } from './elementwise';
import { size } from './shape';
import type { Tensor } from './tensor';
import { empty } from './tensor';

/** Lines shorter than this, or more of them than fill a device, get a thread each. */
const SHORT = 128;
const MANY = 8192;

/** y[j] = x[0] ⊕ … ⊕ x[j] along `axis`; 'slope' is the gradient of a running product from g and the exclusive product `before`. */
export function scan(
  kind: ScanKernelOptions['kind'],
  given: Tensor,
  axis: number,
  { exclusive = false, reverse = false }: { exclusive?: boolean; reverse?: boolean } = {},
  slope?: { g: Tensor; before: Tensor },
): Tensor {
  const x = contiguous(given.dtype === 'bool' ? copy(given, 'int32') : given);
  const length = x.shape[axis] ?? 1;
  const inner = size(x.shape.slice(axis + 1));
  const lines = length ? x.size / length : 0;
  const team = slope || length < SHORT || lines > MANY ? 1 : SCAN_WORKGROUP;
  const y = empty(kind === 'sum' ? 'cumsum' : 'cumprod', x.shape, x.dtype);
  const type = wgslType(x.dtype) as 'f32' | 'i32' | 'u32';
  const inputs = slope ? [x, contiguous(slope.g), slope.before] : [x];
  const o = { kind, type, exclusive, reverse, team };
  const kernel = cached(['scan', o], () => kernelFor(o));
  device().launch(
    kernel,
    [...inputs, y].map(bind),
    [lines, length, inner],
    gridFor(lines, team === 1 ? SCAN_WORKGROUP : 1),
  );
  return y;
}
