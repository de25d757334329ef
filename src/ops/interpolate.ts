// Resizing images: each axis is resampled by itself, with weights that the host works out in float64.
import { at } from '../../shaders/checked';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { type AxisMap, alongAxis, mapFor, type Row } from './axis-map';
import { mixed } from './mixed';

/** How values between the pixels are found. */
export type InterpolateMode = 'nearest' | 'nearest-exact' | 'linear' | 'bilinear' | 'bicubic' | 'trilinear' | 'area';

/** Options of `interpolate`: either `size` or `scaleFactor`, one number for all axes or one for each. */
export interface InterpolateOptions {
  /** Size of the result; or give `scaleFactor`. */
  size?: number | readonly number[];
  /** Factor of the size; or give `size`. */
  scaleFactor?: number | readonly number[];
  /** 'nearest' by default; 'linear' for lines, 'bilinear' and 'bicubic' for images, 'trilinear' for volumes. */
  mode?: InterpolateMode;
  /** Whether the centres of the corner pixels, instead of their corners, stay in place; for linear and cubic modes. */
  alignCorners?: boolean;
  /** Works out the scale again from the sizes, instead of using `scaleFactor` itself for positions. */
  recomputeScaleFactor?: boolean;
  /** Widens the filter when an image shrinks; for 'bilinear' and 'bicubic'. */
  antialias?: boolean;
}

/** What the options of `interpolate` may be. */
export const INTERPOLATE: OptionTable<InterpolateOptions> = {
  size: is.size,
  scaleFactor: is.size,
  mode: word('nearest', 'nearest-exact', 'linear', 'bilinear', 'bicubic', 'trilinear', 'area'),
  alignCorners: is.flag,
  recomputeScaleFactor: is.flag,
  antialias: is.flag,
};

/** Dimensions of the input of the modes that fix them. */
const DIMENSIONS: Partial<Record<InterpolateMode, number>> = { linear: 3, bilinear: 4, bicubic: 4, trilinear: 5 };

type Filter = 'nearest' | 'nearest-exact' | 'linear' | 'cubic' | 'area';

const FILTERS: Record<InterpolateMode, Filter> = {
  nearest: 'nearest',
  'nearest-exact': 'nearest-exact',
  area: 'area',
  linear: 'linear',
  bilinear: 'linear',
  trilinear: 'linear',
  bicubic: 'cubic',
};

/** The cubic convolution kernel with parameter a (Keys 1981). */
function cubic(distance: number, a: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
}

/** Entries at positions that are moved inside of 0 … n − 1; those that meet are added up. */
function clamped(entries: Row, n: number): Row {
  const weights = new Map<number, number>();
  for (const [position, weight] of entries) {
    const at = Math.max(0, Math.min(n - 1, position));
    weights.set(at, (weights.get(at) ?? 0) + weight);
  }
  return [...weights].filter(([, weight]) => weight !== 0);
}

/** The weights of output o, where the distance of outputs is `scale` inputs. */
function resample(filter: Filter, o: number, n: number, outputs: number, scale: number, align: boolean): Row {
  if (filter === 'nearest') return clamped([[Math.floor(o * scale), 1]], n);
  if (filter === 'nearest-exact') return clamped([[Math.floor((o + 0.5) * scale), 1]], n);
  if (filter === 'area') return meanOf(Math.floor((o * n) / outputs), Math.ceil(((o + 1) * n) / outputs));
  const center = align ? o * scale : (o + 0.5) * scale - 0.5;
  const at = filter === 'linear' ? Math.max(0, center) : center;
  const first = Math.floor(at);
  const part = at - first;
  if (filter === 'linear')
    return clamped(
      [
        [first, 1 - part],
        [first + 1, part],
      ],
      n,
    );
  return clamped(
    [-1, 0, 1, 2].map((k) => [first + k, cubic(part - k, -0.75)]),
    n,
  );
}

/** The mean of positions start … end − 1. */
export const meanOf = (start: number, end: number): Row =>
  Array.from({ length: end - start }, (_, k) => [start + k, 1 / (end - start)]);

/** The same with a filter that is as wide as an output when the image shrinks. */
function antialiased(filter: Filter, o: number, n: number, scale: number): Row {
  const stretch = Math.max(1, scale);
  const support = (filter === 'linear' ? 1 : 2) * stretch;
  const center = scale * (o + 0.5);
  const start = Math.max(0, Math.floor(center - support + 0.5));
  const end = Math.min(n, Math.floor(center + support + 0.5));
  const weightAt = (position: number) => {
    const distance = (position - center + 0.5) / stretch;
    return filter === 'linear' ? Math.max(0, 1 - Math.abs(distance)) : cubic(distance, -0.5);
  };
  const entries = Array.from({ length: end - start }, (_, k) => [start + k, weightAt(start + k)] as const);
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
  return entries.filter(([, weight]) => weight !== 0).map(([position, weight]) => [position, weight / total]);
}

function axisMapFor(
  filter: Filter,
  n: number,
  outputs: number,
  factor: number | undefined,
  align: boolean,
  antialias: boolean,
  dims: number,
): AxisMap {
  // As in PyTorch, an axis that keeps its size stays as it is, whatever the factor: of linear and antialiased weights, and 'nearest' of images.
  const stays = filter === 'linear' || filter === 'area' || antialias || (filter === 'nearest' && dims === 2);
  const given = outputs === n && stays ? undefined : factor;
  const scale = align ? (outputs > 1 ? (n - 1) / (outputs - 1) : 0) : given ? 1 / given : n / outputs;
  return mapFor(['interpolate', filter, align, antialias, scale], n, outputs, (o) =>
    antialias ? antialiased(filter, o, n, scale) : resample(filter, o, n, outputs, scale, align),
  );
}

/** Checks options that do not depend on the input. `op` names the function or layer. */
export function checkInterpolate(op: string, options: InterpolateOptions): InterpolateOptions {
  const { mode = 'nearest', size, scaleFactor, ...o } = checked(op, options, INTERPOLATE);
  if ((size === undefined) === (scaleFactor === undefined))
    throw inputError(op, 'either size or scaleFactor is needed', {}, 'Give { size: [H, W] } or { scaleFactor: 2 }.');
  if (o.alignCorners !== undefined && !DIMENSIONS[mode])
    throw inputError(op, `alignCorners means nothing to mode '${mode}'`, {}, 'It is for linear and cubic modes.');
  if (o.antialias && mode !== 'bilinear' && mode !== 'bicubic')
    throw inputError(op, `antialias is not for mode '${mode}'`, {}, "Use 'bilinear' or 'bicubic'.");
  if (o.recomputeScaleFactor && size !== undefined)
    throw inputError(op, 'recomputeScaleFactor needs scaleFactor, not size');
  return options;
}

/**
 * x [N, C, …] with its last one, two or three dimensions resized, as `torch.nn.functional.interpolate`: to `size`, or to ⌊n · scaleFactor⌋ each.
 * Throws InputError for modes and options that do not belong together.
 */
export const interpolate = mixed('interpolate', function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  const op = 'interpolate';
  checkInterpolate(op, options);
  requireFloats(op, { input: x });
  const { mode = 'nearest', size, scaleFactor, alignCorners = false, antialias = false } = options;
  const dims = x.ndim - 2;
  if (dims < 1 || dims > 3 || (DIMENSIONS[mode] ?? x.ndim) !== x.ndim)
    throw inputError(
      op,
      `mode '${mode}' does not fit`,
      { input: x },
      "'linear' is for [N, C, L], 'bilinear' and 'bicubic' for [N, C, H, W], 'trilinear' for [N, C, D, H, W].",
    );
  const all = (value: number | readonly number[]) =>
    typeof value === 'number' ? new Array<number>(dims).fill(value) : value;
  const factors = scaleFactor === undefined ? undefined : all(scaleFactor);
  const spatial = x.shape.slice(2);
  const to = factors ? spatial.map((n, i) => Math.floor(n * (factors[i] ?? NaN))) : all(size ?? []);
  if ((factors ?? to).length !== dims || to.some((n) => !Number.isInteger(n) || n < 1) || spatial.includes(0))
    throw inputError(
      op,
      `the size would be [${to}]`,
      { input: x },
      `Give one positive number for each of ${dims} dimensions of an input that has elements there.`,
    );
  const exact = options.recomputeScaleFactor || !factors;
  const axes = spatial.map((n, i) => {
    const [outputs, factor] = [at(to, i), exact ? undefined : factors?.[i]];
    const map = axisMapFor(FILTERS[mode], n, outputs, factor, alignCorners, antialias, dims);
    return { axis: i + 2, share: outputs / n, map };
  });
  // First what shrinks most: less is left for the others.
  axes.sort((a, b) => a.share - b.share);
  return axes.reduce((y, { axis, map }) => (map.isIdentity ? y : alongAxis(op, y, axis, map)), x);
});
