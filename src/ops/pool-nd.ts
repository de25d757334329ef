// Pooling of lines [N, C, L] and volumes [N, C, D, H, W], by that of images.
import { at, fromEnd, mapTuple, type Tuple, tuple } from '../../shaders/checked';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { add, floorDiv, mul } from './elementwise';
import { pick } from './gather';
import { mixed } from './mixed';
import {
  adaptiveAvgPool2d,
  adaptiveMaxPool2dWithIndices,
  avgPool2d,
  type Maxima,
  type MaxPoolOptions,
  maxPool2dWithIndices,
  outputSizes,
} from './pool';
import { type Sizes, sizesOf } from './sizes';
import { reshape, unsqueeze } from './views';

function requireRank(op: string, x: Tensor, dims: number): void {
  requireFloats(op, { input: x });
  const axes = ['L', 'H, W', 'D, H, W'][dims - 1];
  if (x.ndim !== dims + 1 && x.ndim !== dims + 2)
    throw inputError(op, `${x.ndim} dimensions`, { input: x }, `The input is [N, C, ${axes}] or [C, ${axes}].`);
}

/** Options of the pooling of lines: numbers, or lists of one. */
export type MaxPool1dOptions = MaxPool3dOptions;
/** Options of `maxPool3d`: one number for all axes, or [depth, height, width]. */
export interface MaxPool3dOptions {
  /** Size of the window: one number, or one for each spatial dimension. */
  kernel?: Sizes;
  /** `kernel` by PyTorch's name; give one of both. */
  kernelSize?: Sizes;
  /** Distance between two windows (default: the size of the window). */
  stride?: Sizes;
  /** Elements added on each side (default 0): zeros for means, never a maximum. */
  padding?: Sizes;
  /** Distance between the elements of a window (default 1). */
  dilation?: Sizes;
  /** Windows may go over the far edges, as long as they start inside (default false). */
  ceilMode?: boolean;
}
/** Options of `avgPool1d`. */
export type AvgPool1dOptions = Omit<AvgPool3dOptions, 'divisorOverride'>;
/** Options of `avgPool3d`. */
export interface AvgPool3dOptions extends Omit<MaxPool3dOptions, 'dilation'> {
  /** Whether padding counts in the mean (default true). */
  countIncludePad?: boolean;
  /** Divides the sums by this instead of by the number of elements. */
  divisorOverride?: number | null;
}

const shared = { kernel: is.size, kernelSize: is.size, stride: is.size, padding: is.size, ceilMode: is.flag };
const MAX: OptionTable<MaxPool3dOptions> = { ...shared, dilation: is.size };
const AVERAGE_1D: OptionTable<AvgPool1dOptions> = { ...shared, countIncludePad: is.flag };
const AVERAGE: OptionTable<AvgPool3dOptions> = { ...AVERAGE_1D, divisorOverride: either(is.number, word(null)) };

type Given = Sizes | object;

/** [height, width] of [depth, height, width]. */
const pixels = ([, height, width]: Tuple<number, 3>) => [height, width] as const;

/** The options, with the numbers of each axis. */
function resolve<N extends number, O extends AvgPool3dOptions & MaxPool3dOptions>(
  op: string,
  window: Given,
  more: object | undefined,
  table: object,
  dims: N,
) {
  const alone = typeof window === 'number' || Array.isArray(window);
  const o = checked(op, (alone ? { ...more, kernel: window } : window) as O, table as OptionTable<O>);
  const kernel = o.kernel ?? o.kernelSize;
  if (kernel === undefined) throw inputError(op, 'the size of the window is missing', {}, 'Give { kernel: 2 }.');
  const of = (name: string, value: Sizes, least: number) => sizesOf(op, name, value, dims, { least });
  const k = of('kernel', kernel, 1);
  const stride = o.stride === undefined ? k : of('stride', o.stride, 1);
  return {
    ...o,
    kernel: k,
    stride,
    padding: of('padding', o.padding ?? 0, 0),
    dilation: of('dilation', o.dilation ?? 1, 1),
  };
}

/** Checks the options of a pooling layer of lines or volumes when it is made. */
export const checkPool = {
  max: (op: string, dims: number, window: Given, more?: object) => void resolve(op, window, more, MAX, dims),
  average: (op: string, dims: number, window: Given, more?: object) =>
    void resolve(op, window, more, dims === 1 ? AVERAGE_1D : AVERAGE, dims),
};

/** Of [C, L] an image [C, 1, L]: pooled by `pool`, and as lines again. */
const asImage = (x: Tensor): Tensor => unsqueeze(x, -2);
const asLines = (y: Tensor): Tensor => reshape(y, [...y.shape.slice(0, -2), fromEnd(y.shape, 1)]);

/** A window of lines as one of images. */
const flat = ({
  kernel: [k],
  stride: [s],
  padding: [p],
  ceilMode,
}: ReturnType<typeof resolve<1, MaxPool3dOptions>>) => ({
  kernel: [1, k] as const,
  stride: [1, s] as const,
  padding: [0, 0, p, p] as const,
  ceilMode,
});

/** Largest value of each window of lines, as `torch.nn.functional.max_pool1d`: [N, C, L] → [N, C, OL]. */
export const maxPool1d = mixed(
  'maxPool1d',
  (x: Tensor, window: Sizes | MaxPool1dOptions, options?: MaxPool1dOptions): Tensor =>
    maxPool1dWithIndices(x, window, options).values,
);

/** `maxPool1d`, and the position of each maximum (int32). */
export const maxPool1dWithIndices = mixed(
  'maxPool1dWithIndices',
  function maxPool1dWithIndices(x: Tensor, window: Sizes | MaxPool1dOptions, options?: MaxPool1dOptions): Maxima {
    requireRank('maxPool1d', x, 1);
    const o = resolve('maxPool1d', window, options, MAX, 1);
    const { values, indices } = maxPool2dWithIndices(asImage(x), { ...flat(o), dilation: [1, o.dilation[0]] });
    return { values: asLines(values), indices: asLines(indices) };
  },
);

/** Mean of each window of lines, as `torch.nn.functional.avg_pool1d`: [N, C, L] → [N, C, OL]. */
export const avgPool1d = mixed(
  'avgPool1d',
  function avgPool1d(x: Tensor, window: Sizes | AvgPool1dOptions, options?: AvgPool1dOptions): Tensor {
    requireRank('avgPool1d', x, 1);
    const o = resolve('avgPool1d', window, options, AVERAGE_1D, 1);
    return asLines(avgPool2d(asImage(x), { ...flat(o), countIncludePad: o.countIncludePad }));
  },
);

/** Means of windows chosen so that the result has `outputSize` elements, as `torch.nn.functional.adaptive_avg_pool1d`. */
export const adaptiveAvgPool1d = mixed(
  'adaptiveAvgPool1d',
  function adaptiveAvgPool1d(x: Tensor, outputSize: Sizes): Tensor {
    requireRank('adaptiveAvgPool1d', x, 1);
    return asLines(
      adaptiveAvgPool2d(asImage(x), [1, sizesOf('adaptiveAvgPool1d', 'outputSize', outputSize, 1, { least: 1 })[0]]),
    );
  },
);

/** Largest values of such windows, as `torch.nn.functional.adaptive_max_pool1d`. */
export const adaptiveMaxPool1d = mixed(
  'adaptiveMaxPool1d',
  (x: Tensor, outputSize: Sizes): Tensor => adaptiveMaxPool1dWithIndices(x, outputSize).values,
);

/** `adaptiveMaxPool1d`, and the position of each maximum. */
export const adaptiveMaxPool1dWithIndices = mixed(
  'adaptiveMaxPool1dWithIndices',
  function adaptiveMaxPool1dWithIndices(x: Tensor, outputSize: Sizes): Maxima {
    requireRank('adaptiveMaxPool1d', x, 1);
    const n = sizesOf('adaptiveMaxPool1d', 'outputSize', outputSize, 1, { least: 1 })[0];
    const { values, indices } = adaptiveMaxPool2dWithIndices(asImage(x), [1, n]);
    return { values: asLines(values), indices: asLines(indices) };
  },
);

/** Planes of a volume as images [planes, H, W], and the volume of pooled planes as images [channels, D, pixels]. */
const planesOf = (x: Tensor): Tensor => reshape(x, [size(x.shape.slice(0, -2)), ...x.shape.slice(-2)]);
const depthOf = (y: Tensor, x: Tensor): Tensor =>
  reshape(y, [size(x.shape.slice(0, -3)), fromEnd(x.shape, 3), size(y.shape.slice(-2))]);

/** Maxima over volumes: of the planes first, then over depth; the positions of the second lead to those of the first. */
function maximaOfVolumes(x: Tensor, inPlane: (x: Tensor) => Maxima, inDepth: (x: Tensor) => Maxima): Maxima {
  const planes = inPlane(planesOf(x));
  const plane = size(x.shape.slice(-2));
  const deep = inDepth(depthOf(planes.values, x));
  const [channels, od, pixels] = tuple(deep.indices.shape, 3);
  const where = reshape(deep.indices, [channels, od * pixels]);
  const inside = pick(reshape(planes.indices, [channels, fromEnd(x.shape, 3) * pixels]), 1, where, null);
  const shape = [...x.shape.slice(0, -3), od, ...planes.values.shape.slice(-2)];
  const indices = add(inside, mul(floorDiv(where, pixels), plane));
  return { values: reshape(deep.values, shape), indices: reshape(indices, shape) };
}

/** Largest value of each window of volumes, as `torch.nn.functional.max_pool3d`: [N, C, D, H, W] → [N, C, OD, OH, OW]. */
export const maxPool3d = mixed(
  'maxPool3d',
  (x: Tensor, window: Sizes | MaxPool3dOptions, options?: MaxPool3dOptions): Tensor =>
    maxPool3dWithIndices(x, window, options).values,
);

/** `maxPool3d`, and the position of each maximum in the D·H·W volume. */
export const maxPool3dWithIndices = mixed(
  'maxPool3dWithIndices',
  function maxPool3dWithIndices(x: Tensor, window: Sizes | MaxPool3dOptions, options?: MaxPool3dOptions): Maxima {
    requireRank('maxPool3d', x, 3);
    const { kernel, stride, padding, dilation, ceilMode } = resolve('maxPool3d', window, options, MAX, 3);
    const inPlane = {
      kernel: pixels(kernel),
      stride: pixels(stride),
      padding: pixels(padding),
      dilation: pixels(dilation),
    };
    const [k, s, p, d] = mapTuple([kernel, stride, padding, dilation], ([depth]) => depth);
    const inDepth: MaxPoolOptions = {
      kernel: [k, 1],
      stride: [s, 1],
      padding: [p, p, 0, 0],
      dilation: [d, 1],
      ceilMode,
    };
    return maximaOfVolumes(
      x,
      (t) => maxPool2dWithIndices(t, { ...inPlane, ceilMode }),
      (t) => maxPool2dWithIndices(t, inDepth),
    );
  },
);

type Volume = number | readonly [number | null, number | null, number | null];

const volumeSize = (op: string, x: Tensor, outputSize: Volume): Tuple<number, 3> =>
  outputSizes(op, outputSize, x.shape.slice(-3), 3);

/** Largest values of windows chosen so that the result is [N, C, OD, OH, OW], as `torch.nn.functional.adaptive_max_pool3d`. */
export const adaptiveMaxPool3d = mixed(
  'adaptiveMaxPool3d',
  (x: Tensor, outputSize: Volume): Tensor => adaptiveMaxPool3dWithIndices(x, outputSize).values,
);

/** `adaptiveMaxPool3d`, and the position of each maximum. */
export const adaptiveMaxPool3dWithIndices = mixed(
  'adaptiveMaxPool3dWithIndices',
  function adaptiveMaxPool3dWithIndices(x: Tensor, outputSize: Volume): Maxima {
    requireRank('adaptiveMaxPool3d', x, 3);
    const [od, oh, ow] = volumeSize('adaptiveMaxPool3d', x, outputSize);
    return maximaOfVolumes(
      x,
      (t) => adaptiveMaxPool2dWithIndices(t, [oh, ow]),
      (t) => adaptiveMaxPool2dWithIndices(t, [od, null]),
    );
  },
);

/** Means of such windows, as `torch.nn.functional.adaptive_avg_pool3d`. */
export const adaptiveAvgPool3d = mixed(
  'adaptiveAvgPool3d',
  function adaptiveAvgPool3d(x: Tensor, outputSize: Volume): Tensor {
    requireRank('adaptiveAvgPool3d', x, 3);
    const [od, oh, ow] = volumeSize('adaptiveAvgPool3d', x, outputSize);
    const planes = adaptiveAvgPool2d(planesOf(x), [oh, ow]);
    const deep = adaptiveAvgPool2d(depthOf(planes, x), [od, null]);
    return reshape(deep, [...x.shape.slice(0, -3), od, oh, ow]);
  },
);

/** Mean of each window of volumes, as `torch.nn.functional.avg_pool3d`: [N, C, D, H, W] → [N, C, OD, OH, OW]. */
export const avgPool3d = mixed(
  'avgPool3d',
  function avgPool3d(x: Tensor, window: Sizes | AvgPool3dOptions, options?: AvgPool3dOptions): Tensor {
    const op = 'avgPool3d';
    requireRank(op, x, 3);
    const { kernel, stride, padding, ceilMode, countIncludePad, divisorOverride } = resolve(
      op,
      window,
      options,
      AVERAGE,
      3,
    );
    const divisor = divisorOverride == null ? undefined : 1; // then the planes are sums
    const common = { ceilMode, countIncludePad };
    const planes = avgPool2d(planesOf(x), {
      ...{ ...common, kernel: pixels(kernel), stride: pixels(stride), padding: pixels(padding) },
      divisorOverride: divisor,
    });
    const deep = avgPool2d(depthOf(planes, x), {
      ...{ ...common, kernel: [kernel[0], 1], stride: [stride[0], 1], padding: [padding[0], padding[0], 0, 0] },
      divisorOverride,
    });
    return reshape(deep, [...x.shape.slice(0, -3), at(deep.shape, 1), ...planes.shape.slice(-2)]);
  },
);
