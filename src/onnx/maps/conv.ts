// Convolutions of lines, images and volumes, and their transposes.
import { at } from '../../../shaders/checked';
import type { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { type Mapping, type Mappings, of, whole } from './mapping';

type Sizes = number | readonly number[];

/** What the options of all convolutions may have. */
interface ConvOptions {
  stride?: Sizes;
  padding?: Sizes | 'same' | 'valid';
  outputPadding?: Sizes;
  dilation?: Sizes;
  groups?: number;
}

type Convolution = (x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions) => Tensor;

export const each = (value: Sizes, dims: number): number[] =>
  typeof value === 'number' ? new Array<number>(dims).fill(value) : [...value];

/** Padding before and after each axis, as ONNX lists it. */
function pads(padding: ConvOptions['padding'], kernel: readonly number[], dilation: readonly number[]): number[] {
  const dims = kernel.length;
  if (padding === 'same') {
    const totals = kernel.map((k, d) => (k - 1) * at(dilation, d));
    return [...totals.map((n) => Math.floor(n / 2)), ...totals.map((n) => Math.ceil(n / 2))];
  }
  if (padding === 'valid' || padding === undefined) return new Array<number>(2 * dims).fill(0);
  return bothSides(padding, dims);
}

/** [before, after] of every axis as such, in the order of the axes; or the same on both sides. */
export function bothSides(padding: Sizes, dims: number): number[] {
  if (typeof padding !== 'number' && padding.length === 2 * dims && dims < 3)
    return [...padding.filter((_, i) => i % 2 === 0), ...padding.filter((_, i) => i % 2 === 1)];
  return [...each(padding, dims), ...each(padding, dims)];
}

/** Runs `body` on a batch, also where x is one image alone. */
export function batched(e: Draft, x: Tensor, dims: number, body: (x: string) => string): string {
  if (x.ndim === dims + 2) return body(e.of(x));
  return e.node('Squeeze', [body(e.node('Unsqueeze', [e.of(x), whole(e, [0])])), whole(e, [0])]);
}

const convolution = (dims: number, transposed: boolean): Mapping =>
  of<Convolution>((e, _, x, weight, bias, options = {}) => {
    const kernel = weight.shape.slice(2);
    const dilations = each(options.dilation ?? 1, dims);
    const attributes = {
      kernel_shape: kernel,
      strides: each(options.stride ?? 1, dims),
      dilations,
      pads: pads(options.padding, kernel, dilations),
      group: options.groups ?? 1,
      ...(transposed && { output_padding: each(options.outputPadding ?? 0, dims) }),
    };
    const op = transposed ? 'ConvTranspose' : 'Conv';
    return batched(e, x, dims, (images) => e.node(op, [images, e.of(weight), bias ? e.of(bias) : null], attributes));
  });

export const convolutions: Mappings = Object.fromEntries(
  [1, 2, 3].flatMap((dims) => [
    [`conv${dims}d`, convolution(dims, false)],
    [`convTranspose${dims}d`, convolution(dims, true)],
  ]),
);
