// Convolutions of lines [N, C, L] and volumes [N, C, D, H, W], and their transposes, by those of images.
import { tuple } from '../../shaders/checked';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { present, requireFloats } from '../tensor/tensor';
import { alongAxis, windowMap } from './axis-map';
import { conv2d, convTranspose2d } from './conv';
import { add } from './elementwise';
import { mixed, native } from './mixed';
import { type Sizes, sizesOf } from './sizes';
import { permute, reshape, unsqueeze } from './views';

/** Options of `conv1d`. */
export interface Conv1dOptions {
  /** Distance between two positions of the kernel (default 1). */
  stride?: Sizes;
  /** Zeros on both sides, [left, right], or 'same'. */
  padding?: Sizes | 'same' | 'valid';
  /** Distance between the taps of the kernel (default 1). */
  dilation?: Sizes;
  /** Channels are split into this many groups that do not mix (default 1). */
  groups?: number;
}

/** Options of `conv3d`, one number for all axes or [depth, height, width]. */
export interface Conv3dOptions {
  /** Distance between two positions of the kernel: one number, or [depth, height, width] (default 1). */
  stride?: Sizes;
  /** Zeros on both sides of each axis, or 'same' for an output of the input's size. */
  padding?: Sizes | 'same' | 'valid';
  /** Distance between the taps of the kernel: one number, or [depth, height, width] (default 1). */
  dilation?: Sizes;
  /** Channels are split into this many groups that do not mix (default 1). */
  groups?: number;
}

/** Options of `convTranspose1d` and `convTranspose3d`. */
export interface ConvTransposeOptions {
  /** Distance in the result between two elements of the input (default 1). */
  stride?: Sizes;
  /** Elements cut from each side of the result (default 0). */
  padding?: Sizes;
  /** Elements added at the end of the output, to choose among the sizes that a strided convolution maps to the same. */
  outputPadding?: Sizes;
  /** Distance between the taps of the kernel (default 1). */
  dilation?: Sizes;
  /** Channels are split into this many groups that do not mix (default 1). */
  groups?: number;
}

/** What the options of `conv1d` and `conv3d` may be. */
export const CONV_ND: OptionTable<Conv3dOptions> = {
  stride: is.size,
  padding: either(is.size, word('same', 'valid')),
  dilation: is.size,
  groups: is.number,
};
/** What the options of their transposes may be. */
export const TRANSPOSED_ND: OptionTable<ConvTransposeOptions> = {
  ...CONV_ND,
  padding: is.size,
  outputPadding: is.size,
};

/** What strides and dilations have to be. */
const POSITIVE = { least: 1 };

/** Checks the operands, and lets a single input without a batch pass as a batch of one. */
function batched(
  op: string,
  dims: number,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  run: (x: Tensor) => Tensor,
): Tensor {
  const shapes = { input: x, weight, ...present({ bias }) };
  requireFloats(op, shapes, true);
  const axes = dims === 1 ? 'L' : 'D, H, W';
  const known = x.ndim === dims + 2 || x.ndim === dims + 1;
  if (!known || weight.ndim !== dims + 2)
    throw inputError(
      op,
      `input and weight have ${dims === 1 ? 'three' : 'five'} dimensions`,
      shapes,
      `The input is [N, C, ${axes}] or [C, ${axes}].`,
    );
  if (x.ndim === dims + 2) return run(x);
  const y = run(unsqueeze(x, 0));
  return reshape(y, y.shape.slice(1));
}

const row = (t: Tensor): Tensor => unsqueeze(t, 2);
function line(y: Tensor): Tensor {
  const [n, channels, , length] = tuple(y.shape, 4);
  return reshape(y, [n, channels, length]);
}

/** Convolution along a line, as `conv1d`: x [N, C, L] or [C, L], weight [O, C/groups, K], bias [O]. */
export const conv1d = native(
  'conv1d',
  function conv1d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv1dOptions = {}): Tensor {
    const op = 'conv1d';
    const { stride = 1, padding = 0, dilation = 1, groups } = checked(op, options, CONV_ND);
    const one = (name: string, value: Sizes) => sizesOf(op, name, value, 1, POSITIVE)[0];
    const sides = typeof padding === 'string' ? padding : sizesOf(op, 'padding', padding, 2);
    return batched(op, 1, x, weight, bias, (lines) =>
      line(
        conv2d(row(lines), row(weight), bias, {
          stride: [1, one('stride', stride)],
          padding: typeof sides === 'string' ? sides : [0, 0, ...sides],
          dilation: [1, one('dilation', dilation)],
          groups,
        }),
      ),
    );
  },
);

/** The transpose of a convolution along a line, as `conv_transpose1d`: x [N, C, L] or [C, L], weight [C, O/groups, K], bias [O]. */
export const convTranspose1d = native(
  'convTranspose1d',
  function convTranspose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null = null,
    options: ConvTransposeOptions = {},
  ): Tensor {
    const op = 'convTranspose1d';
    const { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups } = checked(op, options, TRANSPOSED_ND);
    const along = (name: string, value: Sizes, least: number) =>
      [least, sizesOf(op, name, value, 1, { least })[0]] as const;
    return batched(op, 1, x, weight, bias, (lines) =>
      line(
        convTranspose2d(row(lines), row(weight), bias, {
          stride: along('stride', stride, 1),
          padding: along('padding', padding, 0),
          outputPadding: along('outputPadding', outputPadding, 0),
          dilation: along('dilation', dilation, 1),
          groups,
        }),
      ),
    );
  },
);

/**
 * Convolution of volumes, as `torch.nn.functional.conv3d`: x [N, C, D, H, W] or [C, D, H, W], weight [O, C/groups, kD, kH, kW], bias [O]. The planes
 * that a tap of depth meets become channels of one convolution of images.
 */
export const conv3d = native(
  'conv3d',
  function conv3d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv3dOptions = {}): Tensor {
    const op = 'conv3d';
    const { stride = 1, padding = 0, dilation = 1, groups } = checked(op, options, CONV_ND);
    return batched(op, 3, x, weight, bias, (volumes) => {
      const s = sizesOf(op, 'stride', stride, 3, POSITIVE);
      const d = sizesOf(op, 'dilation', dilation, 3, POSITIVE);
      const p = typeof padding === 'string' ? ([0, 0, 0] as const) : sizesOf(op, 'padding', padding, 3);
      if (padding === 'same' && s.some((n) => n > 1))
        throw inputError(op, "padding 'same' needs stride 1", { input: x, weight }, 'Give the padding as a number.');
      const [N, C, D, H, W] = tuple(volumes.shape, 5);
      const [O, perGroup, k, kh, kw] = tuple(weight.shape, 5);
      const span = d[0] * (k - 1);
      const [before, after] = padding === 'same' ? ([span >> 1, span - (span >> 1)] as const) : ([p[0], p[0]] as const);
      const depth = Math.floor((D + before + after - span - 1) / s[0]) + 1;
      if (!(depth > 0))
        throw inputError(op, `a kernel that spans ${span + 1} planes does not fit`, { input: x, weight });
      const taps = alongAxis(op, volumes, 2, windowMap(D, depth, k, s[0], before, d[0]));
      const images = permute(reshape(taps, [N, C, k, depth, H, W]), [0, 3, 1, 2, 4, 5]);
      const y = conv2d(reshape(images, [N * depth, C * k, H, W]), reshape(weight, [O, perGroup * k, kh, kw]), bias, {
        stride: [s[1], s[2]],
        padding: typeof padding === 'string' ? padding : [p[1], p[2]],
        dilation: [d[1], d[2]],
        groups,
      });
      return permute(reshape(y, [N, depth, O, ...y.shape.slice(-2)]), [0, 2, 1, 3, 4]);
    });
  },
);

/** The transpose of a convolution of volumes, as `conv_transpose3d`: x [N, C, D, H, W] or [C, D, H, W], weight [C, O/groups, kD, kH, kW], bias [O]. */
export const convTranspose3d = mixed(
  'convTranspose3d',
  function convTranspose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null = null,
    options: ConvTransposeOptions = {},
  ): Tensor {
    const op = 'convTranspose3d';
    const {
      stride = 1,
      padding = 0,
      outputPadding = 0,
      dilation = 1,
      groups = 1,
    } = checked(op, options, TRANSPOSED_ND);
    return batched(op, 3, x, weight, bias, (volumes) => {
      const [s, p] = [sizesOf(op, 'stride', stride, 3, POSITIVE), sizesOf(op, 'padding', padding, 3)];
      const d = sizesOf(op, 'dilation', dilation, 3, POSITIVE);
      const more = sizesOf(op, 'outputPadding', outputPadding, 3);
      const [N, C, D, H, W] = tuple(volumes.shape, 5);
      const [inputs, perGroup, k, kh, kw] = tuple(weight.shape, 5);
      const outputs = perGroup * groups;
      const depth = (D - 1) * s[0] - 2 * p[0] + d[0] * (k - 1) + 1 + more[0];
      if (!(depth > 0)) throw inputError(op, `the output would be ${depth} planes deep`, { input: x, weight });
      if (more[0] >= Math.max(s[0], d[0]))
        throw inputError(
          op,
          'outputPadding is too large',
          { input: x },
          'It has to be smaller than stride or dilation.',
        );
      const images = reshape(permute(volumes, [0, 2, 1, 3, 4]), [N * D, C, H, W]);
      const y = convTranspose2d(images, reshape(weight, [inputs, perGroup * k, kh, kw]), null, {
        stride: [s[1], s[2]],
        padding: [p[1], p[2]],
        outputPadding: [more[1], more[2]],
        dilation: [d[1], d[2]],
        groups,
      });
      const [oh, ow] = tuple(y.shape.slice(-2), 2);
      const taps = permute(reshape(y, [N, D, outputs, k, oh * ow]), [0, 2, 3, 1, 4]);
      const map = windowMap(depth, D, k, s[0], p[0], d[0]).transposed;
      const sums = alongAxis(op, reshape(taps, [N, outputs, k * D, oh * ow]), 2, map);
      const whole = reshape(sums, [N, outputs, depth, oh, ow]);
      if (!bias) return whole;
      if (bias.ndim !== 1 || bias.size !== outputs)
        throw inputError(
          op,
          'the bias does not fit',
          { bias, weight },
          `It has one element for each output channel: [${outputs}].`,
        );
      return add(whole, reshape(bias, [outputs, 1, 1, 1]));
    });
  },
);
