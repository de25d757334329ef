// Pooling of [N, C, H, W] (or [C, H, W]) without gradients.
import { averagePool, maxPool as maxKernel, POOL_TILE, poolGradient } from '../../shaders/pool';
import { device } from '../gpu';
import { inputError } from './context';
import { bind, contiguous, gridFor } from './elementwise';
import type { Shape } from './shape';
import { size } from './shape';
import type { Tensor } from './tensor';
import { empty, requireFloats } from './tensor';

/** One number for both axes, or [height, width]. */
export type Pair = number | readonly [number, number];

export interface PoolOptions {
  kernel: Pair;
  /** The kernel's size by default. */
  stride?: Pair;
  /** One number, [height, width], or [top, bottom, left, right]; smaller than a window. */
  padding?: Pair | readonly [number, number, number, number];
  /** Windows may go over the lower and right edge, as long as they start inside. */
  ceilMode?: boolean;
}

export interface MaxPoolOptions extends PoolOptions {
  dilation?: Pair;
}

export interface AveragePoolOptions extends PoolOptions {
  /** Whether padding counts in the mean; true by default, as in PyTorch. */
  countIncludePad?: boolean;
}

/** What the kernels need to know, in their order, and the shape of y. */
export interface PoolPlan {
  readonly kind: 'max' | 'average' | 'adaptive';
  readonly input: Shape;
  readonly output: number[];
  readonly geometry: readonly number[];
}

/** What is no list counts for both axes, and is refused later if it is no number. */
const pair = (value: Pair): readonly [number, number] =>
  (Array.isArray(value) ? value : [value, value]) as [number, number];

function padding4(value: PoolOptions['padding'] = 0): readonly number[] {
  if (typeof value === 'number') return [value, value, value, value];
  return value.length === 4 ? value : [value[0], value[0], value[1], value[1]];
}

function check(op: string, x: Tensor): void {
  requireFloats(op, { input: x });
  if (x.ndim !== 4 && x.ndim !== 3)
    throw inputError(op, `${x.ndim} dimensions`, { input: x }, 'Images are [N, C, H, W] or [C, H, W].');
}

/** Output positions along one axis (PyTorch's rule: with ceilMode the last window starts inside of the input or its leading padding). */
function outputs(
  n: number,
  kernel: number,
  stride: number,
  before: number,
  after: number,
  dilation: number,
  ceil: boolean,
): number {
  const room = n + before + after - dilation * (kernel - 1) - 1;
  const count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
  return ceil && (count - 1) * stride >= n + before ? count - 1 : count;
}

/** The windows of max or average pooling. Throws InputError for windows that do not fit. */
export function planPool(kind: 'max' | 'average', x: Tensor, o: MaxPoolOptions & AveragePoolOptions): PoolPlan {
  const op = kind === 'max' ? 'maxPool2d' : 'avgPool2d';
  check(op, x);
  const kernel = pair(o.kernel);
  const stride = pair(o.stride ?? o.kernel);
  const dilation = pair(o.dilation ?? 1);
  const [top, bottom, left, right] = padding4(o.padding);
  for (const [name, value] of Object.entries({ kernel, stride, dilation }))
    if (value.some((v) => !Number.isInteger(v) || v < 1))
      throw inputError(op, `${name} is [${value}]`, { input: x }, 'Use positive integers.');
  const padding = [top, bottom, left, right];
  const extent = kernel.map((k, i) => (k - 1) * dilation[i] + 1);
  if (padding.some((v, i) => !Number.isInteger(v) || v < 0 || v >= extent[i >> 1]))
    throw inputError(
      op,
      `padding is [${padding}]`,
      { input: x },
      `Use integers below the extent [${extent}] of a window.`,
    );
  const [h, w] = x.shape.slice(-2);
  const oh = outputs(h, kernel[0], stride[0], top, bottom, dilation[0], o.ceilMode ?? false);
  const ow = outputs(w, kernel[1], stride[1], left, right, dilation[1], o.ceilMode ?? false);
  if (oh < 1 || ow < 1)
    throw inputError(
      op,
      `a window [${kernel}] with padding [${padding}] and dilation [${dilation}] does not fit`,
      { input: x },
      'Use a smaller kernel or more padding.',
    );
  const countPad = Number(o.countIncludePad ?? true);
  const geometry = [h, w, oh, ow, ...kernel, ...stride, top, left, ...dilation, bottom, right, countPad];
  return { kind, input: x.shape, output: [...x.shape.slice(0, -2), oh, ow], geometry };
}

/** Windows of nearly equal size that cover the plane, `outputSize` along each axis. */
export function planAdaptive(x: Tensor, outputSize: Pair): PoolPlan {
  const op = 'adaptiveAvgPool2d';
  check(op, x);
  const [oh, ow] = pair(outputSize);
  if (![oh, ow].every((n) => Number.isInteger(n) && n > 0))
    throw inputError(op, `outputSize is [${[oh, ow]}]`, { input: x }, 'Use positive integers.');
  const [h, w] = x.shape.slice(-2);
  if (h * w === 0) throw inputError(op, 'there are no pixels', { input: x });
  return {
    kind: 'adaptive',
    input: x.shape,
    output: [...x.shape.slice(0, -2), oh, ow],
    geometry: [h, w, oh, ow, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0],
  };
}

/** Maxima and their positions in the H·W plane (int32). */
export function maxPool(x: Tensor, plan: PoolPlan): { y: Tensor; index: Tensor } {
  const y = empty('maxPool2d', plan.output);
  const index = empty('maxPool2d', plan.output, 'int32');
  const n = size(plan.output);
  const buffers = [contiguous(x), y, index].map(bind);
  device().launch(maxKernel(), buffers, [n, ...plan.geometry], gridFor(n, POOL_TILE));
  return { y, index };
}

/** Means of the windows. */
export function average(x: Tensor, plan: PoolPlan): Tensor {
  const y = empty('avgPool2d', plan.output);
  const n = size(plan.output);
  const kernel = averagePool(plan.kind === 'adaptive');
  device().launch(kernel, [contiguous(x), y].map(bind), [n, ...plan.geometry], gridFor(n, POOL_TILE));
  return y;
}

/** The gradient for x; `index` is that of `maxPool`. */
export function gradientOfPool(gradient: Tensor, plan: PoolPlan, index?: Tensor): Tensor {
  const dx = empty(`${plan.kind}Pool2d`, plan.input);
  const n = size(plan.input);
  const reads = [contiguous(gradient), ...(index ? [index] : [])].map(bind);
  device().launch(poolGradient(plan.kind), [...reads, bind(dx)], [n, ...plan.geometry], gridFor(n, POOL_TILE));
  return dx;
}
