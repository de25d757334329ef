// Pooling over windows, over planes, and to a given size; resizing.

import { at } from '../../../shaders/checked';
import { callWith } from '../../autograd/operation';
import type { gridSample } from '../../ops/grid-sample';
import { type InterpolateOptions, type interpolate, meanOf } from '../../ops/interpolate';
import type { globalAvgPool2d } from '../../ops/pool';
import type { AvgPool3dOptions, MaxPool3dOptions } from '../../ops/pool-nd';
import type { Sizes } from '../../ops/sizes';
import { size } from '../../tensor/shape';
import { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { batched, bothSides, each } from './conv';
import { type Instead, insteadOf, type Mapping, type Mappings, of, unmapped, whole } from './mapping';
import { resampled } from './shapes';

type PoolOptions = MaxPool3dOptions & AvgPool3dOptions;

type Pooling = (x: Tensor, window: PoolOptions | Sizes, options?: PoolOptions) => unknown;

/** The window's attributes, and the options. */
function windowOf(dims: number, window: PoolOptions | Sizes, more: PoolOptions | undefined) {
  const isSizes = typeof window === 'number' || Array.isArray(window);
  const o: PoolOptions = isSizes ? { ...more, kernel: window as Sizes } : (window as PoolOptions);
  const kernel = each(o.kernel ?? o.kernelSize ?? 1, dims);
  const attributes = {
    kernel_shape: kernel,
    strides: o.stride === undefined ? kernel : each(o.stride, dims),
    pads: bothSides(o.padding ?? 0, dims),
    ceil_mode: Number(o.ceilMode ?? false),
  };
  return { o, attributes };
}

const maximum = (dims: number): Mapping =>
  of<Pooling>((e, _, x, window, more) => {
    const { o, attributes } = windowOf(dims, window, more);
    const dilations = each(o.dilation ?? 1, dims);
    return batched(e, x, dims, (images) => e.node('MaxPool', [images], { ...attributes, dilations }));
  });

/** The same with the positions, which ONNX counts over the whole tensor: here they are those in the plane. */
const maximumWithPositions = (dims: number): Mapping =>
  of<Pooling>((e, _, x, window, more) => {
    const { o, attributes } = windowOf(dims, window, more);
    if (x.ndim !== dims + 2) throw unmapped(e, 'gives positions in one image without a batch');
    const all = { ...attributes, dilations: each(o.dilation ?? 1, dims) };
    const [values = '', positions = ''] = e.several('MaxPool', [e.of(x)], all, 2);
    const plane = size(x.shape.slice(2));
    return [values, e.cast(e.node('Mod', [positions, e.data('int64', [], [plane])]), 'int32')];
  });

const average = (dims: number): Mapping =>
  of<Pooling>((e, _, x, window, more) => {
    const { o, attributes } = windowOf(dims, window, more);
    const count = { count_include_pad: Number(o.countIncludePad ?? true) };
    if (o.divisorOverride == null)
      return batched(e, x, dims, (images) => e.node('AveragePool', [images], { ...attributes, ...count }));
    if (o.ceilMode) throw unmapped(e, 'has ceilMode with a divisor of its own');
    const size = attributes.kernel_shape.reduce((a, b) => a * b, 1);
    const factor = e.number(size / o.divisorOverride);
    const padded = { ...attributes, count_include_pad: 1 };
    return batched(e, x, dims, (images) => e.node('Mul', [e.node('AveragePool', [images], padded), factor]));
  });

/** Means of windows of the whole axes, of equal parts, or of parts that overlap. */
function adaptiveMean(e: Draft, x: Tensor, dims: number, outputs: readonly number[]): string {
  const inputs = x.shape.slice(-dims);
  const axes = inputs.map((_, d) => x.ndim - dims + d);
  if (outputs.every((n) => n === 1)) return e.node('ReduceMean', [e.of(x), whole(e, axes)], { keepdims: 1 });
  if (inputs.every((n, d) => n % at(outputs, d) === 0)) {
    const kernel = inputs.map((n, d) => n / at(outputs, d));
    const attributes = { kernel_shape: kernel, strides: kernel };
    return batched(e, x, dims, (images) => e.node('AveragePool', [images], attributes));
  }
  return axes.reduce((y, axis, d) => {
    const [n, m] = [at(inputs, d), at(outputs, d)];
    const rows = Array.from({ length: m }, (_, o) => meanOf(Math.floor((o * n) / m), Math.ceil(((o + 1) * n) / m)));
    return resampled(e, y, x.ndim, axis, rows, n);
  }, e.of(x));
}

function adaptiveMaximum(e: Draft, x: Tensor, dims: number, outputs: readonly number[]): string {
  const inputs = x.shape.slice(-dims);
  if (outputs.every((n) => n === 1)) {
    const axes = inputs.map((_, d) => x.ndim - dims + d);
    return e.node('ReduceMax', [e.of(x), whole(e, axes)], { keepdims: 1 });
  }
  if (inputs.some((n, d) => n % at(outputs, d))) throw unmapped(e, 'takes maxima of windows that overlap');
  const kernel = inputs.map((n, d) => n / at(outputs, d));
  return batched(e, x, dims, (images) => e.node('MaxPool', [images], { kernel_shape: kernel, strides: kernel }));
}

const adaptive = (dims: number, pool: typeof adaptiveMean): Mapping =>
  of<(x: Tensor, outputSize: number | readonly (number | null)[]) => unknown>((e, result, x) => {
    // The values come first where positions do too.
    const y = result instanceof Tensor ? result : (result as { values: Tensor }).values;
    return pool(e, x, dims, y.shape.slice(-dims));
  });

/** Modes that `Resize` has; the others are products with matrices of weights. */
const MODES: Readonly<Record<string, string>> = {
  ...{ nearest: 'nearest', 'nearest-exact': 'nearest' },
  ...{ linear: 'linear', bilinear: 'linear', trilinear: 'linear', bicubic: 'cubic' },
};

const isResize = ({ mode = 'nearest', antialias }: InterpolateOptions): boolean => mode in MODES && !antialias;

const resize = of<typeof interpolate>((e, y, x, options) => {
  const { mode = 'nearest', alignCorners, scaleFactor, recomputeScaleFactor } = options;
  const positions = alignCorners ? 'align_corners' : mode === 'nearest' ? 'asymmetric' : 'half_pixel';
  const attributes = {
    mode: MODES[mode] ?? '',
    coordinate_transformation_mode: positions,
    ...(mode === 'nearest' && { nearest_mode: 'floor' }),
    ...(mode === 'nearest-exact' && { nearest_mode: 'round_prefer_ceil' }),
    ...(mode === 'bicubic' && { cubic_coeff_a: { float: -0.75 } }),
  };
  const dims = x.ndim - 2;
  const axes = Array.from({ length: dims }, (_, d) => d + 2);
  if (scaleFactor !== undefined && !recomputeScaleFactor && !alignCorners) {
    const scales = e.data('float32', [dims], each(scaleFactor, dims));
    return e.node('Resize', [e.of(x), null, scales], { ...attributes, axes });
  }
  return e.node('Resize', [e.of(x), null, null, e.sizes(y.shape.slice(2))], { ...attributes, axes });
});

export const pools: Mappings = {
  ...Object.fromEntries(
    [1, 2, 3].flatMap((dims) => [
      [`maxPool${dims}d`, maximum(dims)],
      [`maxPool${dims}dWithIndices`, maximumWithPositions(dims)],
      [`avgPool${dims}d`, average(dims)],
      [`adaptiveAvgPool${dims}d`, adaptive(dims, adaptiveMean)],
      [`adaptiveMaxPool${dims}d`, adaptive(dims, adaptiveMaximum)],
      [`adaptiveMaxPool${dims}dWithIndices`, adaptive(dims, adaptiveMaximum)],
    ]),
  ),
  globalAvgPool2d: of<typeof globalAvgPool2d>((e, _, x, options) =>
    e.node('ReduceMean', [e.of(x), whole(e, [x.ndim - 2, x.ndim - 1])], {
      keepdims: Number(options?.keepDims ?? false),
    }),
  ),
  interpolate: resize,
  gridSample: of<typeof gridSample>((e, _, x, grid, options) => {
    const { mode = 'bilinear', paddingMode = 'zeros', alignCorners = false } = options ?? {};
    const name = { nearest: 'nearest', bilinear: 'linear', bicubic: 'cubic' }[mode];
    const attributes = { mode: name, padding_mode: paddingMode, align_corners: Number(alignCorners) };
    return e.node('GridSample', [e.of(x), e.of(grid)], attributes);
  }),
};

export const insteadOfPools: Readonly<Record<string, Instead>> = {
  interpolate: insteadOf<typeof interpolate>((f, x, options) =>
    isResize(options) ? null : () => callWith(f, [x, options]),
  ),
};
