// Pooling over the last two dimensions of [N, C, H, W] or [C, H, W].
import { averagePool, maxPool, poolGradient } from '../../shaders/pool';
import { record, recordLinear } from '../autograd/tape';
import { device } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { bind, contiguous, evaluate } from '../tensor/elementwise';
import { reduce, restored } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats } from '../tensor/tensor';

/** One number for both axes, or [height, width]. */
export type Pair = number | readonly [number, number];

/** The window of a pooling operation. */
export interface PoolOptions {
  kernel: Pair;
  /** The kernel's size by default. */
  stride?: Pair;
  /** One number, [height, width], or [top, bottom, left, right]; smaller than a window. */
  padding?: Pair | readonly [number, number, number, number];
  /** Windows may go over the lower and right edge, as long as they start inside. */
  ceilMode?: boolean;
}

/** Options of `maxPool2d`. */
export interface MaxPoolOptions extends PoolOptions {
  /** Distance between the elements of a window; 1 by default. */
  dilation?: Pair;
}

/** Options of `avgPool2d`. */
export interface AveragePoolOptions extends PoolOptions {
  /** Whether padding counts in the mean; true by default, as in PyTorch. */
  countIncludePad?: boolean;
}

/** What the kernels need to know, in their order, and the shape of y. */
interface Windows {
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

function checkImages(op: string, x: Tensor): void {
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

/** The windows of max or average pooling. */
function windows(kind: 'max' | 'average', x: Tensor, o: MaxPoolOptions & AveragePoolOptions): Windows {
  const op = kind === 'max' ? 'maxPool2d' : 'avgPool2d';
  checkImages(op, x);
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

const shared = { kernel: is.size, stride: is.size, padding: is.size, ceilMode: is.flag };
const MAX: OptionTable<MaxPoolOptions> = { ...shared, dilation: is.size };
const AVERAGE: OptionTable<AveragePoolOptions> = { ...shared, countIncludePad: is.flag };

/** The window, which a number may stand for, with its kernel there. */
function windowOf<O extends MaxPoolOptions>(op: string, options: O | number, table: OptionTable<O>): O {
  const given = checked(op, (typeof options === 'number' ? { kernel: options } : options) as O, table);
  if (given.kernel === undefined) throw inputError(op, 'the size of the window is missing', {}, 'Give { kernel: 2 }.');
  return given;
}

/** Checks the options of a pooling layer when it is made. */
export const poolWindow = {
  max: (op: string, options: MaxPoolOptions | number) => windowOf(op, options, MAX),
  average: (op: string, options: AveragePoolOptions | number) => windowOf(op, options, AVERAGE),
};

/**
 * Largest value of each window, as `torch.nn.functional.max_pool2d`: [N, C, H, W] → [N, C, OH, OW]. Padding counts as −∞. A number is the
 * kernel's size. Throws InputError for windows that do not fit.
 */
export function maxPool2d(x: Tensor, options: MaxPoolOptions | number): Tensor {
  return maxPool2dWithIndices(x, options).values;
}

/** `maxPool2d`, and the position of each maximum in the H·W plane (int32; the first of equals). */
export function maxPool2dWithIndices(x: Tensor, options: MaxPoolOptions | number): { values: Tensor; indices: Tensor } {
  const w = windows('max', x, poolWindow.max('maxPool2d', options));
  const y = empty('maxPool2d', w.output);
  const indices = empty('maxPool2d', w.output, 'int32');
  device().launch(maxPool(), [contiguous(x), y, indices].map(bind), [y.size, ...w.geometry], y.size);
  return { values: record('maxPool2d', [x], y, [indices], (g) => [gradient(g, w, indices)]), indices };
}

/** Mean of each window, as `torch.nn.functional.avg_pool2d`: [N, C, H, W] → [N, C, OH, OW]. Throws as `maxPool2d`. */
export const avgPool2d = (x: Tensor, options: AveragePoolOptions | number): Tensor =>
  averaged('avgPool2d', x, windows('average', x, poolWindow.average('avgPool2d', options)));

/**
 * Means of windows ⌊i·H/OH⌋ … ⌈(i+1)·H/OH⌉ − 1, so that y is [N, C, OH, OW] for any input size, as
 * `torch.nn.functional.adaptive_avg_pool2d`.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Pair): Tensor {
  const op = 'adaptiveAvgPool2d';
  checkImages(op, x);
  const [oh, ow] = pair(outputSize);
  if (![oh, ow].every((n) => Number.isInteger(n) && n > 0))
    throw inputError(op, `outputSize is [${[oh, ow]}]`, { input: x }, 'Use positive integers.');
  const [h, w] = x.shape.slice(-2);
  if (h * w === 0) throw inputError(op, 'there are no pixels', { input: x });
  const geometry = [h, w, oh, ow, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0];
  return averaged(op, x, { kind: 'adaptive', input: x.shape, output: [...x.shape.slice(0, -2), oh, ow], geometry });
}

function averaged(name: string, x: Tensor, w: Windows): Tensor {
  const means = (t: Tensor) => {
    const y = empty('avgPool2d', w.output);
    const kernel = averagePool(w.kind === 'adaptive');
    device().launch(kernel, [contiguous(t), y].map(bind), [y.size, ...w.geometry], y.size);
    return y;
  };
  return recordLinear(name, x, means, (g) => gradient(g, w));
}

/** The gradient for x from that of y; max pooling needs the positions of the maxima. */
function gradient(g: Tensor, w: Windows, indices?: Tensor): Tensor {
  const dx = empty(`${w.kind}Pool2d`, w.input);
  const reads = [contiguous(g), ...(indices ? [indices] : [])].map(bind);
  device().launch(poolGradient(w.kind), [...reads, bind(dx)], [dx.size, ...w.geometry], dx.size);
  return dx;
}

/** Mean of each plane: [N, C, H, W] → [N, C], or with `keepDims` [N, C, 1, 1]. Throws InputError for fewer than three dimensions. */
export function globalAvgPool2d(x: Tensor, options: { keepDims?: boolean } = {}): Tensor {
  const op = 'globalAvgPool2d';
  const { keepDims = false } = checked(op, options, { keepDims: is.flag });
  if (x.ndim < 3) throw inputError(op, 'the input needs a plane: [N, C, H, W]', { input: x });
  const axes = [x.ndim - 2, x.ndim - 1];
  const pixels = x.shape[axes[0]] * x.shape[axes[1]];
  const common = { name: op, scalars: [pixels], shape: x.shape };
  const pooled = (t: Tensor) =>
    reduce({ ...common, operands: { a: t }, reduction: 'sum', map: 'a', final: 'acc / s', axes, keepDims });
  const rule = (g: Tensor) => evaluate({ ...common, expression: 'g / s', operands: { g: restored(g, x, axes) } });
  return recordLinear(op, x, pooled, rule);
}
