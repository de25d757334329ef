// Power means over windows.
import { checked, is, type OptionTable } from '../gpu/options';
import { requireNumbers } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { abs, mul, pow, relu, sign } from './elementwise';
import { mixed } from './mixed';
import { avgPool2d } from './pool';
import { avgPool1d, avgPool3d } from './pool-nd';
import { type Sizes, sizesOf } from './sizes';

/** Options of `lpPool1d`, `lpPool2d` and `lpPool3d`. */
export interface LpPoolOptions {
  /** The kernel's size by default. */
  stride?: Sizes;
  /** Whether a last window may reach beyond the border. */
  ceilMode?: boolean;
}

/** What the options of the power means may be. */
export const LP: OptionTable<LpPoolOptions> = { stride: is.size, ceilMode: is.flag };

type Average = (x: Tensor, window: { kernel: Sizes } & LpPoolOptions) => Tensor;

function lpPool(
  op: string,
  dims: number,
  average: Average,
  x: Tensor,
  p: number,
  kernel: Sizes,
  o: LpPoolOptions,
): Tensor {
  checked(op, o, LP);
  requireFloats(op, { input: x });
  requireNumbers(op, { normType: p });
  const size = sizesOf(op, 'kernelSize', kernel, dims, { least: 1 });
  if (o.stride !== undefined) sizesOf(op, 'stride', o.stride, dims, { least: 1 });
  const count = Array.from(size).reduce((product, n) => product * n, 1);
  const mean = average(pow(x, p), { ...o, kernel });
  return pow(mul(mul(sign(mean), relu(abs(mean))), count), 1 / p);
}

/**
 * (Σ xᵖ)^(1/p) of each window of lines [N, C, L] with p = `normType`, as `torch.nn.functional.lp_pool1d`. As there, windows that `ceilMode` lets
 * go over the border count as if they were full of their mean.
 */
export const lpPool1d = mixed(
  'lpPool1d',
  (x: Tensor, normType: number, kernelSize: Sizes, options: LpPoolOptions = {}): Tensor =>
    lpPool('lpPool1d', 1, avgPool1d, x, normType, kernelSize, options),
);

/** The same of images [N, C, H, W], as `torch.nn.functional.lp_pool2d`. */
export const lpPool2d = mixed(
  'lpPool2d',
  (x: Tensor, normType: number, kernelSize: Sizes, options: LpPoolOptions = {}): Tensor =>
    lpPool('lpPool2d', 2, avgPool2d as Average, x, normType, kernelSize, options),
);

/** The same of volumes [N, C, D, H, W], as `torch.nn.functional.lp_pool3d`. */
export const lpPool3d = mixed(
  'lpPool3d',
  (x: Tensor, normType: number, kernelSize: Sizes, options: LpPoolOptions = {}): Tensor =>
    lpPool('lpPool3d', 3, avgPool3d, x, normType, kernelSize, options),
);
