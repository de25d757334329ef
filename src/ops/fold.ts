// Windows of images as columns and back (im2col, col2im), and the rearrangements between channels and pixels.
import { at, fromEnd, mapTuple, tuple } from '../../shaders/checked';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats, requireTensors } from '../tensor/tensor';
import { alongAxis, windowMap } from './axis-map';
import { mixed } from './mixed';
import { sizesOf } from './sizes';
import { permute, reshape } from './views';

type Pair = number | readonly [number, number];

/** Options of `unfold` and `fold`, one number for both axes or [vertical, horizontal]. */
export interface FoldOptions {
  /** Distance between the elements of a window: one number, or [vertical, horizontal] (default 1). */
  dilation?: Pair;
  /** Zeros on each side of the image: one number, or [vertical, horizontal] (default 0). */
  padding?: Pair;
  /** Distance between two windows: one number, or [vertical, horizontal] (default 1). */
  stride?: Pair;
}

/** What the options of `fold` and `unfold` may be. */
export const FOLD: OptionTable<FoldOptions> = { dilation: is.size, padding: is.size, stride: is.size };

/** The windows along both axes, and how many there are. */
function windowsOf(op: string, x: Tensor, size: readonly [number, number], kernelSize: Pair, options: FoldOptions) {
  const { dilation = 1, padding = 0, stride = 1 } = checked(op, options, FOLD);
  const pair = (name: string, value: Pair, least: number) =>
    sizesOf(op, name, value, 2, { least, shapes: { input: x } });
  const k = pair('kernelSize', kernelSize, 1);
  const [d, p, s] = [pair('dilation', dilation, 1), pair('padding', padding, 0), pair('stride', stride, 1)];
  const axes = mapTuple(size, (n, i) => {
    const [kernel, step, before, gap] = mapTuple([k, s, p, d], (list) => at(list, i));
    return { n, kernel, step, before, gap, count: Math.floor((n + 2 * before - gap * (kernel - 1) - 1) / step) + 1 };
  });
  const counts = mapTuple(axes, ({ count }) => count);
  if (counts.some((count) => count < 1))
    throw inputError(op, `windows [${k}] do not fit into [${size}] pixels`, { input: x }, 'Use more padding.');
  const maps = axes.map((a) => windowMap(a.n, a.count, a.kernel, a.step, a.before, a.gap));
  return { kernel: k, counts, maps };
}

/**
 * The windows of images as columns, as `torch.nn.functional.unfold`: [N, C, H, W] → [N, C·kH·kW, L] for L windows, row by row; also without N.
 * Throws InputError for windows that do not fit.
 */
export const unfold = mixed('unfold', function unfold(x: Tensor, kernelSize: Pair, options: FoldOptions = {}): Tensor {
  const op = 'unfold';
  requireFloats(op, { input: x });
  if (x.ndim !== 4 && x.ndim !== 3)
    throw inputError(op, `${x.ndim} dimensions`, { input: x }, 'Images are [N, C, H, W] or [C, H, W].');
  const { kernel, counts, maps } = windowsOf(op, x, tuple(x.shape.slice(-2), 2), kernelSize, options);
  const [kh, kw] = kernel;
  const [oh, ow] = counts;
  const channels = fromEnd(x.shape, 3);
  const taps = maps.reduce((y, map, i) => alongAxis(op, y, x.ndim - 2 + i, map), x);
  const apart = permute(reshape(taps, [size(x.shape.slice(0, -3)), channels, kh, oh, kw, ow]), [0, 1, 2, 4, 3, 5]);
  return reshape(apart, [...x.shape.slice(0, -3), channels * kh * kw, oh * ow]);
});

/**
 * Adds up columns at the places of their windows, as `torch.nn.functional.fold`: [N, C·kH·kW, L] → [N, C, H, W] with [H, W] = `outputSize`;
 * also without N. The transpose of `unfold`. Throws InputError for columns of another number or length.
 */
export const fold = mixed(
  'fold',
  function fold(x: Tensor, outputSize: Pair, kernelSize: Pair, options: FoldOptions = {}): Tensor {
    const op = 'fold';
    requireFloats(op, { input: x });
    const size = sizesOf(op, 'outputSize', outputSize, 2, { shapes: { input: x } });
    if (x.ndim !== 3 && x.ndim !== 2)
      throw inputError(op, `${x.ndim} dimensions`, { input: x }, 'Columns are [N, C·kH·kW, L] or [C·kH·kW, L].');
    const { kernel, counts, maps } = windowsOf(op, x, size, kernelSize, options);
    const [kh, kw] = kernel;
    const [oh, ow] = counts;
    const [rows, columns] = tuple(x.shape.slice(-2), 2);
    if (rows % (kh * kw) || columns !== oh * ow)
      throw inputError(
        op,
        `columns of ${rows} elements, ${columns} of them, are no windows of that size`,
        { input: x },
        `An image of [${size}] has ${oh * ow} windows of C·${kh * kw} elements.`,
      );
    const apart = permute(reshape(x, [-1, rows / (kh * kw), kh, kw, oh, ow]), [0, 1, 2, 4, 3, 5]);
    const taps = reshape(apart, [-1, rows / (kh * kw), kh * oh, kw * ow]);
    const y = maps.reduce((image, map, i) => alongAxis(op, image, 2 + i, map.transposed), taps);
    return reshape(y, [...x.shape.slice(0, -2), ...y.shape.slice(1)]);
  },
);

/** Refuses images that do not divide into so many parts. */
function checkParts(
  op: string,
  x: Tensor,
  name: string,
  parts: number,
  dims: number,
  fits: (n: number) => boolean,
): void {
  requireTensors(op, { input: x });
  if (!Number.isInteger(parts) || parts < 1)
    throw inputError(op, `${name} is ${parts}`, { input: x }, 'Use a positive integer.');
  if (x.ndim < dims) throw inputError(op, 'too few dimensions', { input: x }, 'Images are [N, C, H, W].');
  if (!fits(parts)) throw inputError(op, `the sizes are no multiples for ${name} ${parts}`, { input: x });
}

/** [*, C·r², H, W] → [*, C, H·r, W·r] with r = `upscaleFactor`, as `torch.nn.functional.pixel_shuffle`. */
export function pixelShuffle(x: Tensor, upscaleFactor: number): Tensor {
  const r = upscaleFactor;
  checkParts('pixelShuffle', x, 'upscaleFactor', r, 3, () => fromEnd(x.shape, 3) % (r * r) === 0);
  const [C, H, W] = tuple(x.shape.slice(-3), 3);
  const c = C / (r * r);
  const y = permute(reshape(x, [size(x.shape.slice(0, -3)), c, r, r, H, W]), [0, 1, 4, 2, 5, 3]);
  return reshape(y, [...x.shape.slice(0, -3), c, H * r, W * r]);
}

/** [*, C, H·r, W·r] → [*, C·r², H, W] with r = `downscaleFactor`, as `torch.nn.functional.pixel_unshuffle`: undoes `pixelShuffle`. */
export function pixelUnshuffle(x: Tensor, downscaleFactor: number): Tensor {
  const r = downscaleFactor;
  checkParts('pixelUnshuffle', x, 'downscaleFactor', r, 3, () => x.shape.slice(-2).every((n) => n % r === 0));
  const [C, H, W] = tuple(x.shape.slice(-3), 3);
  const y = permute(reshape(x, [size(x.shape.slice(0, -3)), C, H / r, r, W / r, r]), [0, 1, 3, 5, 2, 4]);
  return reshape(y, [...x.shape.slice(0, -3), C * r * r, H / r, W / r]);
}

/** Channels of [N, C, …] in another order: the first of each group, then the second of each, as `torch.nn.functional.channel_shuffle`. */
export function channelShuffle(x: Tensor, groups: number): Tensor {
  checkParts('channelShuffle', x, 'groups', groups, 3, () => at(x.shape, 1) % groups === 0);
  const [N, C] = tuple(x.shape.slice(0, 2), 2);
  const inner = size(x.shape.slice(2));
  return reshape(permute(reshape(x, [N, groups, C / groups, inner]), [0, 2, 1, 3]), x.shape);
}
