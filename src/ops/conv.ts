// Convolutions of images [N, C, H, W], and their transposes; conv-nd.ts has those of lines and volumes.
import { at, type Tuple, tuple } from '../../shaders/checked';
import type { Conv2dKind, Conv2dShape } from '../../shaders/conv/lower';
import { lowerConv2d } from '../../shaders/conv/lower';
import type { KernelTarget } from '../../shaders/target';
import type { Variant } from '../../shaders/variants';
import type { PushForward, Rule } from '../autograd/tape';
import { record, sumOfAll } from '../autograd/tape';
import { device } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { bind, contiguous } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, present, requireFloats, strided } from '../tensor/tensor';
import { expand, filled } from '../tensor/views';
import { addBias, halfOf } from './matmul';
import { native } from './mixed';
import { sum } from './reduce';
import { sizesOf } from './sizes';
import { reshape, unsqueeze } from './views';

type Pair = number | readonly [number, number];

/** Options of `conv2d`. */
export interface Conv2dOptions {
  /** Step of the window; 1 by default. */
  stride?: Pair;
  /** Zeros around the image: everywhere, [vertical, horizontal], [top, bottom, left, right], or 'same' for an output of the input's size. */
  padding?: Pair | readonly [number, number, number, number] | 'same' | 'valid';
  /** Distance between the taps of the kernel; 1 by default. */
  dilation?: Pair;
  /** Channels are split into this many groups that do not mix. */
  groups?: number;
}

/** Options of `convTranspose2d`. */
export interface ConvTranspose2dOptions {
  /** Distance in the result between two pixels of the input: one number, or [vertical, horizontal] (default 1). */
  stride?: Pair;
  /** Rows and columns cut from each side of the result (default 0). */
  padding?: Pair;
  /** Rows and columns added at the end of the output, to choose among the sizes that a strided convolution maps to the same. */
  outputPadding?: Pair;
  /** Distance between the taps of the kernel (default 1). */
  dilation?: Pair;
  /** Channels are split into this many groups that do not mix (default 1). */
  groups?: number;
}

const size = { stride: is.size, padding: either(is.size, word('same', 'valid')), dilation: is.size };
/** What the options of `conv2d` may be. */
export const CONV: OptionTable<Conv2dOptions> = { ...size, groups: is.number };
/** What the options of `convTranspose2d` may be. */
export const TRANSPOSED: OptionTable<ConvTranspose2dOptions> = { ...CONV, padding: is.size, outputPadding: is.size };

const pair = (op: string, name: string, value: Pair, least: number, x: Tensor) =>
  sizesOf(op, name, value, 2, { least, shapes: { input: x } });

function checkOperands(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  channels: number,
  outputs: number,
  groups: number,
): void {
  const shapes = { input: x, weight, ...(bias && { bias }) };
  if (x.ndim !== 4 || weight.ndim !== 4)
    throw inputError(op, 'input and weight have four dimensions', shapes, 'Images are [N, C, H, W] or [C, H, W].');
  const given = at(x.shape, 1);
  if (!Number.isInteger(groups) || groups < 1 || outputs % groups || given % groups)
    throw inputError(
      op,
      `${given} input and ${outputs} output channels do not divide into ${groups} groups`,
      shapes,
      'Both must be multiples of groups.',
    );
  if (given !== channels)
    throw inputError(
      op,
      `the weight is for ${channels} input channels, the input has ${given}`,
      shapes,
      'Images are [N, C, H, W].',
    );
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== outputs))
    throw inputError(op, 'the bias does not fit', shapes, `It has one element for each output channel: [${outputs}].`);
}

/** Checks the operands of a convolution and works out its shape. `weight` is [outChannels, inChannels/groups, kH, kW]. */
export function conv2dShape(op: string, x: Tensor, weight: Tensor, bias: Tensor | null, o: Conv2dOptions): Conv2dShape {
  const { groups = 1, padding = 0 } = o;
  const [outputs = 0, perGroup = 0] = weight.shape;
  checkOperands(op, x, weight, bias, perGroup * groups, outputs, groups);
  const [strideH, strideW] = pair(op, 'stride', o.stride ?? 1, 1, x);
  const [dilationH, dilationW] = pair(op, 'dilation', o.dilation ?? 1, 1, x);
  const [batch, inChannels, inHeight, inWidth] = tuple(x.shape, 4);
  const [outChannels, , kernelHeight, kernelWidth] = tuple(weight.shape, 4);
  const spanH = dilationH * (kernelHeight - 1) + 1;
  const spanW = dilationW * (kernelWidth - 1) + 1;
  const shapes = { input: x, weight };
  let sides: Tuple<number, 4>;
  if (padding === 'same') {
    if (strideH > 1 || strideW > 1)
      throw inputError(op, "padding 'same' needs stride 1", shapes, 'Give the padding as a number.');
    sides = [(spanH - 1) >> 1, spanH >> 1, (spanW - 1) >> 1, spanW >> 1];
  } else if (padding === 'valid') sides = [0, 0, 0, 0];
  else if (typeof padding !== 'number' && padding.length === 4)
    sides = sizesOf(op, 'padding', padding, 4, { shapes: { input: x } });
  else {
    const [h, w] = pair(op, 'padding', padding, 0, x);
    sides = [h, h, w, w];
  }
  const [padTop, padBottom, padLeft, padRight] = sides;
  const outHeight = Math.floor((inHeight + padTop + padBottom - spanH) / strideH) + 1;
  const outWidth = Math.floor((inWidth + padLeft + padRight - spanW) / strideW) + 1;
  if (!(outHeight > 0 && outWidth > 0 && kernelHeight > 0 && kernelWidth > 0))
    throw inputError(
      op,
      `a kernel that spans ${spanH}×${spanW} does not fit into ${inHeight + padTop + padBottom}×${inWidth + padLeft + padRight} pixels (with padding)`,
      shapes,
      'Use a smaller kernel or dilation, or more padding.',
    );
  const steps = [strideH, strideW, padTop, padLeft, dilationH, dilationW] as const;
  return shapeOf(
    [batch, inChannels, inHeight, inWidth],
    [outChannels, outHeight, outWidth],
    [kernelHeight, kernelWidth],
    steps,
    groups,
  );
}

/** The numbers of a convolution by name, in the order that tuning tables note them in. */
function shapeOf(
  [batch, inChannels, inHeight, inWidth]: Tuple<number, 4>,
  [outChannels, outHeight, outWidth]: Tuple<number, 3>,
  [kernelHeight, kernelWidth]: Tuple<number, 2>,
  [strideH, strideW, padTop, padLeft, dilationH, dilationW]: Tuple<number, 6>,
  groups: number,
): Conv2dShape {
  const image = { batch, inChannels, inHeight, inWidth, outChannels, kernelHeight, kernelWidth };
  const steps = { strideH, strideW, padTop, padLeft, dilationH, dilationW, groups };
  return { ...image, ...steps, outHeight, outWidth };
}

/** The convolution whose input gradient a transposed convolution is. `weight` is [inChannels, outChannels/groups, kH, kW]. */
function transposedShape(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  o: ConvTranspose2dOptions,
): Conv2dShape {
  const { groups = 1 } = o;
  const [channels = 0, perGroup = 0] = weight.shape;
  const outputs = perGroup * groups;
  checkOperands(op, x, weight, bias, channels, outputs, groups);
  const [strideH, strideW] = pair(op, 'stride', o.stride ?? 1, 1, x);
  const [dilationH, dilationW] = pair(op, 'dilation', o.dilation ?? 1, 1, x);
  const [padTop, padLeft] = pair(op, 'padding', o.padding ?? 0, 0, x);
  const [moreH, moreW] = pair(op, 'outputPadding', o.outputPadding ?? 0, 0, x);
  const [batch, inputs, outHeight, outWidth] = tuple(x.shape, 4);
  const [, , kernelHeight, kernelWidth] = tuple(weight.shape, 4);
  const shapes = { input: x, weight };
  if (moreH >= Math.max(strideH, dilationH) || moreW >= Math.max(strideW, dilationW))
    throw inputError(op, 'outputPadding is too large', shapes, 'It has to be smaller than stride or dilation.');
  const inHeight = (outHeight - 1) * strideH - 2 * padTop + dilationH * (kernelHeight - 1) + 1 + moreH;
  const inWidth = (outWidth - 1) * strideW - 2 * padLeft + dilationW * (kernelWidth - 1) + 1 + moreW;
  if (!(inHeight > 0 && inWidth > 0))
    throw inputError(op, `the output would be ${inHeight}×${inWidth}`, shapes, 'Use less padding.');
  const steps = [strideH, strideW, padTop, padLeft, dilationH, dilationW] as const;
  const image = [batch, outputs, inHeight, inWidth] as const;
  return shapeOf(image, [inputs, outHeight, outWidth], [kernelHeight, kernelWidth], steps, groups);
}

/** The convolution (from x, weight) or a gradient of it: for the input from (dy, weight), for the weight from (x, dy); operands of one type. Not recorded. */
export function convolve(kind: Conv2dKind, a: Tensor, b: Tensor, s: Conv2dShape, result: DType = a.dtype): Tensor {
  const shapes: Record<Conv2dKind, Shape> = {
    forward: [s.batch, s.outChannels, s.outHeight, s.outWidth],
    inputGradient: [s.batch, s.inChannels, s.inHeight, s.inWidth],
    weightGradient: [s.outChannels, s.inChannels / s.groups, s.kernelHeight, s.kernelWidth],
  };
  if (a.size === 0 || b.size === 0) return filled('conv2d', shapes[kind], 0, result);
  const out = empty('conv2d', shapes[kind], result);
  const operands = [bind(contiguous(a)), bind(contiguous(b)), bind(out)] as const;
  const shape = { ...s, ...halfOf(a, result) };
  const lower = (target: KernelTarget, variant: Variant) => lowerConv2d(kind, shape, target, variant);
  device().launchLowering(device().tuning.lowering(`conv2d.${kind}`, shape, operands, lower), ...operands);
  return out;
}

/** The gradients of each kind of product for its operands a and b, g being that of the result: products of the other kinds. */
const PARTNERS: Record<Conv2dKind, readonly [Conv2dKind, Conv2dKind]> = {
  forward: ['inputGradient', 'weightGradient'],
  inputGradient: ['forward', 'weightGradient'],
  weightGradient: ['inputGradient', 'forward'],
};

/** `convolve`, recorded. */
function product(kind: Conv2dKind, a: Tensor, b: Tensor, shape: Conv2dShape): Tensor {
  const [forA, forB] = PARTNERS[kind];
  const rule =
    (apply: typeof convolve): Rule =>
    (g, needs) => {
      const [left, right] = kind === 'weightGradient' ? [b, g] : [g, b];
      const [first, second] = kind === 'inputGradient' ? [g, a] : [a, g];
      return [needs[0] && apply(forA, left, right, shape), needs[1] && apply(forB, first, second, shape)];
    };
  const push: PushForward = (s, t) => sumOfAll(s && convolve(kind, s, b, shape), t && convolve(kind, a, t, shape));
  const options = { push, differentiable: rule(product) };
  return record(`conv2d ${kind}`, [a, b], convolve(kind, a, b, shape), [a, b], rule(convolve), options);
}

/** The convolution plus bias, recorded; `transposed` exchanges it with its input gradient. */
function convolution(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  shape: Conv2dShape,
  transposed: boolean,
): Tensor {
  const [forward, back] = transposed
    ? (['inputGradient', 'forward'] as const)
    : (['forward', 'inputGradient'] as const);
  const products = convolve(forward, x, weight, shape, bias ? 'float32' : x.dtype);
  const [, , height, width] = tuple(products.shape, 4);
  const y = bias ? addBias(products, bias, height * width) : products;
  const rule: Rule = (g, needs) => [
    needs[0] && convolve(back, g, weight, shape),
    needs[1] && (transposed ? convolve('weightGradient', g, x, shape) : convolve('weightGradient', x, g, shape)),
    needs[2] && sum(g, [0, 2, 3]),
  ];
  const differentiable: Rule = (g, needs) => [
    needs[0] && product(back, g, weight, shape),
    needs[1] && (transposed ? product('weightGradient', g, x, shape) : product('weightGradient', x, g, shape)),
    needs[2] && sum(g, [0, 2, 3]),
  ];
  const push: PushForward = (s, t, b) => {
    const planes = b && expand(strided(b, [1, b.size, 1, 1], [0, at(b.strides, 0), 0, 0]), y.shape);
    return sumOfAll(s && convolve(forward, s, weight, shape), t && convolve(forward, x, t, shape), planes);
  };
  return record(op, bias ? [x, weight, bias] : [x, weight], y, [x, weight], rule, { push, differentiable });
}

/** The only image of a batch. */
const single = (y: Tensor): Tensor => reshape(y, y.shape.slice(1));

/**
 * Convolution (cross-correlation, as `torch.nn.functional.conv2d`) of images x [N, C, H, W] or [C, H, W] with weight [O, C/groups, kH, kW] and bias [O]:
 *   y[n,o,p] = bias[o] + Σ_{c,k} weight[o,c,k] · x[n,c, stride·p + dilation·k − padding].
 * Throws InputError for operands and options that do not fit.
 */
export const conv2d = native(
  'conv2d',
  function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor {
    checked('conv2d', options, CONV);
    requireFloats('conv2d', { input: x, weight, ...present({ bias }) }, true);
    if (x.ndim === 3) return single(conv2d(unsqueeze(x, 0), weight, bias, options));
    const shape = conv2dShape('conv2d', x, weight, bias, options);
    return convolution('conv2d', x, weight, bias, shape, false);
  },
);

/** As `conv_transpose2d`: the transpose of a convolution, its input gradient as an operation: x [N, C, H, W], weight [C, O/groups, kH, kW], bias [O]. */
export const convTranspose2d = native(
  'convTranspose2d',
  function convTranspose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null = null,
    options: ConvTranspose2dOptions = {},
  ): Tensor {
    checked('convTranspose2d', options, TRANSPOSED);
    requireFloats('convTranspose2d', { input: x, weight, ...(bias && { bias }) }, true);
    if (x.ndim === 3) return single(convTranspose2d(unsqueeze(x, 0), weight, bias, options));
    const shape = transposedShape('convTranspose2d', x, weight, bias, options);
    return convolution('convTranspose2d', x, weight, bias, shape, true);
  },
);
