// Pooling over the last two dimensions of [N, C, H, W] or [C, H, W].
import { at, mapTuple, type Tuple, tuple } from '../../shaders/checked';
import { averagePool, maxPool, type PoolKind, poolGradient } from '../../shaders/pool';
import { record, recordLinear, sumOfAll } from '../autograd/tape';
import { device, f32 } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { bind, contiguous, evaluate } from '../tensor/elementwise';
import { reduce, restored } from '../tensor/reduce';
import { type Shape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { pick } from './gather';
import { mixed } from './mixed';
import { type Sizes, sizesOf } from './sizes';

/** One number for both axes, or [height, width]. */
export type Pair = number | readonly [number, number];

/** The window of a pooling operation; its size is `kernel`, or PyTorch's name `kernelSize`. */
export interface PoolOptions {
  /** Size of the window: one number, or [height, width]. */
  kernel?: Pair;
  /** `kernel` by PyTorch's name; give one of both. */
  kernelSize?: Pair;
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
  /** Divides the sums by this instead of by the number of elements. */
  divisorOverride?: number | null;
}

/** The window's size alone, or all options. */
export type Window<O extends PoolOptions> = O | Pair;

/** What the kernels need to know, in their order, and the shape of y. */
interface Windows {
  readonly kind: PoolKind;
  readonly input: Shape;
  readonly output: number[];
  readonly geometry: readonly number[];
  readonly divisor: number;
}

function padding4(op: string, value: NonNullable<PoolOptions['padding']>): Tuple<number, 4> {
  if (Array.isArray(value) && value.length === 4) return sizesOf(op, 'padding', value, 4);
  const [vertical, horizontal] = sizesOf(op, 'padding', value, 2);
  return [vertical, vertical, horizontal, horizontal];
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

/** Options with the window's size. */
type Sized<O extends PoolOptions> = O & { kernel: Pair };

/** The numbers of both axes. */
function axesOf(op: string, o: Sized<MaxPoolOptions>) {
  const pair = (name: string, value: Pair) => sizesOf(op, name, value, 2, { least: 1 });
  const kernel = pair('kernel', o.kernel);
  const stride = o.stride === undefined ? kernel : pair('stride', o.stride);
  return { kernel, stride, dilation: pair('dilation', o.dilation ?? 1), padding: padding4(op, o.padding ?? 0) };
}

/** The windows of max or average pooling. */
function windows(kind: 'max' | 'average', x: Tensor, o: Sized<MaxPoolOptions & AveragePoolOptions>): Windows {
  const op = kind === 'max' ? 'maxPool2d' : 'avgPool2d';
  checkImages(op, x);
  const { kernel, stride, dilation, padding } = axesOf(op, o);
  const [top, bottom, left, right] = padding;
  const extent = mapTuple(kernel, (k, i) => (k - 1) * at(dilation, i) + 1);
  if (padding.some((v, i) => !Number.isInteger(v) || v < 0 || v >= at(extent, i >> 1)))
    throw inputError(
      op,
      `padding is [${padding}]`,
      { input: x },
      `Use integers below the extent [${extent}] of a window.`,
    );
  const [h, w] = tuple(x.shape.slice(-2), 2);
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
  const divisor = o.divisorOverride ?? 0;
  if (o.divisorOverride === 0) throw inputError(op, 'divisorOverride is 0', { input: x }, 'Leave it out.');
  return { kind, input: x.shape, output: [...x.shape.slice(0, -2), oh, ow], geometry, divisor };
}

/** The numbers that the kernels read, in their order. */
const constantsOf = (n: number, { geometry, divisor }: Windows) => [n, ...geometry, f32(divisor)];

const shared = { kernel: is.size, kernelSize: is.size, stride: is.size, padding: is.size, ceilMode: is.flag };
const MAX: OptionTable<MaxPoolOptions> = { ...shared, dilation: is.size };
const AVERAGE: OptionTable<AveragePoolOptions> = {
  ...shared,
  countIncludePad: is.flag,
  divisorOverride: either(is.number, word(null)),
};

/** The window, whose size alone may stand for it, with its `kernel` there. */
function windowOf<O extends PoolOptions>(
  op: string,
  window: Window<O>,
  more: O | undefined,
  table: OptionTable<O>,
): Sized<O> {
  const alone = typeof window === 'number' || Array.isArray(window);
  const given = checked(op, (alone ? { ...more, kernel: window } : window) as O, table);
  if (alone && more) checked(op, more, table);
  const kernel = given.kernel ?? given.kernelSize;
  if (kernel === undefined || (given.kernel !== undefined && given.kernelSize !== undefined))
    throw inputError(
      op,
      kernel === undefined ? 'the size of the window is missing' : 'kernel and kernelSize are the same',
      {},
      'Give { kernel: 2 }.',
    );
  const { kernelSize: _, ...rest } = given;
  axesOf(op, { ...given, kernel });
  return { ...(rest as O), kernel };
}

/** Checks the options of a pooling layer when it is made. */
export const poolWindow = {
  max: (op: string, window: Window<MaxPoolOptions>, more?: MaxPoolOptions) => windowOf(op, window, more, MAX),
  average: (op: string, window: Window<AveragePoolOptions>, more?: AveragePoolOptions) =>
    windowOf(op, window, more, AVERAGE),
};

/**
 * Largest value of each window, as `torch.nn.functional.max_pool2d`: [N, C, H, W] → [N, C, OH, OW]. Padding counts as −∞. The size of the window
 * may stand in front of the options, or alone. Throws InputError for windows that do not fit.
 */
export const maxPool2d = mixed(
  'maxPool2d',
  function maxPool2d(x: Tensor, window: Window<MaxPoolOptions>, options?: MaxPoolOptions): Tensor {
    return maxPool2dWithIndices(x, window, options).values;
  },
);

/** Maxima, and where they were found: int32. */
export interface Maxima {
  /** The maxima, of the shape that pooling gives. */
  values: Tensor;
  /** Position of each in its flattened input plane (int32), as unpooling takes it. */
  indices: Tensor;
}

/** `maxPool2d`, and the position of each maximum in the H·W plane (int32; the first of equals). */
export const maxPool2dWithIndices = mixed(
  'maxPool2dWithIndices',
  (x: Tensor, window: Window<MaxPoolOptions>, options?: MaxPoolOptions): Maxima =>
    maxima('maxPool2d', x, windows('max', x, poolWindow.max('maxPool2d', window, options))),
);

function maxima(op: string, x: Tensor, w: Windows): Maxima {
  const y = empty(op, w.output);
  const indices = empty(op, w.output, 'int32');
  const kernel = maxPool(w.kind === 'adaptiveMax');
  device().launch(kernel, [contiguous(x), y, indices].map(bind), constantsOf(y.size, w), y.size);
  const back = (g: Tensor) => gradient(g, w, indices);
  const again = (t: Tensor) => picked(t, w, indices);
  const values = record(op, [x], y, [indices], (g) => [back(g)], {
    push: (t) => sumOfAll(t && again(t)),
    differentiable: (g) => [recordLinear(`${op} gradient`, g, back, again, [indices])],
  });
  return { values, indices };
}

/** What another tensor has where the maxima were: the transpose of the gradient. Not recorded. */
function picked(x: Tensor, w: Windows, indices: Tensor): Tensor {
  const lines = (t: Tensor, n: number) => raw.reshape(t, [t.size / n, n]);
  const y = pick(lines(x, size(w.input.slice(-2))), 1, lines(indices, size(w.output.slice(-2))), null);
  return raw.reshape(y, w.output);
}

/** Mean of each window, as `torch.nn.functional.avg_pool2d`: [N, C, H, W] → [N, C, OH, OW]. Arguments and errors as of `maxPool2d`. */
export const avgPool2d = mixed(
  'avgPool2d',
  (x: Tensor, window: Window<AveragePoolOptions>, options?: AveragePoolOptions): Tensor =>
    averaged('avgPool2d', x, windows('average', x, poolWindow.average('avgPool2d', window, options))),
);

/** The height and width of an adaptive pooling's result; null keeps that of the input. */
export type OutputSize = number | readonly [number | null, number | null];

/** The size of an adaptive pooling's result: null keeps that of the input. */
export function outputSizes<N extends number>(
  op: string,
  given: number | readonly (number | null)[],
  input: readonly number[],
  dims: N,
): Tuple<number, N> {
  const kept = Array.isArray(given) && given.length === dims;
  const size = kept ? given.map((n: number | null, i) => n ?? at(input, i)) : (given as Sizes);
  return sizesOf(op, 'outputSize', size, dims, { least: 1 });
}

function adaptiveWindows(op: string, kind: PoolKind, x: Tensor, outputSize: OutputSize): Windows {
  checkImages(op, x);
  const [h, w] = tuple(x.shape.slice(-2), 2);
  const [oh, ow] = outputSizes(op, outputSize, [h, w], 2);
  if (h * w === 0) throw inputError(op, 'there are no pixels', { input: x });
  const geometry = [h, w, oh, ow, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0];
  return { kind, input: x.shape, output: [...x.shape.slice(0, -2), oh, ow], geometry, divisor: 0 };
}

/**
 * Means of windows ⌊i·H/OH⌋ … ⌈(i+1)·H/OH⌉ − 1, so that y is [N, C, OH, OW] for any input size, as
 * `torch.nn.functional.adaptive_avg_pool2d`.
 */
export const adaptiveAvgPool2d = mixed(
  'adaptiveAvgPool2d',
  (x: Tensor, outputSize: OutputSize): Tensor =>
    averaged('adaptiveAvgPool2d', x, adaptiveWindows('adaptiveAvgPool2d', 'adaptive', x, outputSize)),
);

/** Largest values of the windows of `adaptiveAvgPool2d`, as `torch.nn.functional.adaptive_max_pool2d`. */
export const adaptiveMaxPool2d = mixed(
  'adaptiveMaxPool2d',
  (x: Tensor, outputSize: OutputSize): Tensor => adaptiveMaxPool2dWithIndices(x, outputSize).values,
);

/** `adaptiveMaxPool2d`, and the position of each maximum in the H·W plane. */
export const adaptiveMaxPool2dWithIndices = mixed(
  'adaptiveMaxPool2dWithIndices',
  (x: Tensor, outputSize: OutputSize): Maxima =>
    maxima('adaptiveMaxPool2d', x, adaptiveWindows('adaptiveMaxPool2d', 'adaptiveMax', x, outputSize)),
);

function averaged(name: string, x: Tensor, w: Windows): Tensor {
  const means = (t: Tensor) => {
    const y = empty('avgPool2d', w.output);
    const kernel = averagePool(w.kind === 'adaptive');
    device().launch(kernel, [contiguous(t), y].map(bind), constantsOf(y.size, w), y.size);
    return y;
  };
  return recordLinear(name, x, means, (g) => gradient(g, w));
}

/** The gradient for x from that of y; max pooling needs the positions of the maxima. */
function gradient(g: Tensor, w: Windows, indices?: Tensor): Tensor {
  const dx = empty(`${w.kind}Pool2d`, w.input);
  const reads = [contiguous(g), ...(indices ? [indices] : [])].map(bind);
  device().launch(poolGradient(w.kind), [...reads, bind(dx)], constantsOf(dx.size, w), dx.size);
  return dx;
}

/** Mean of each plane: [N, C, H, W] → [N, C], or with `keepDims` [N, C, 1, 1]. Throws InputError for fewer than three dimensions. */
export const globalAvgPool2d = mixed(
  'globalAvgPool2d',
  function globalAvgPool2d(
    x: Tensor,
    options: { /** Keeps height and width, of size 1 (default false). */ keepDims?: boolean } = {},
  ): Tensor {
    const op = 'globalAvgPool2d';
    const { keepDims = false } = checked(op, options, { keepDims: is.flag });
    if (x.ndim < 3) throw inputError(op, 'the input needs a plane: [N, C, H, W]', { input: x });
    const axes = [x.ndim - 2, x.ndim - 1];
    const pixels = size(x.shape.slice(-2));
    const common = { name: op, scalars: [pixels], shape: x.shape };
    const pooled = (t: Tensor) =>
      reduce({ ...common, operands: { a: t }, reduction: 'sum', map: 'a', final: 'acc / s', axes, keepDims });
    const rule = (g: Tensor) => evaluate({ ...common, expression: 'g / s', operands: { g: restored(g, x, axes) } });
    return recordLinear(op, x, pooled, rule);
  },
);
