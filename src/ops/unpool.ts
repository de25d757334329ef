// Power means over windows, and what undoes a max pooling.
import { at } from '../../shaders/checked';
import { maxUnpool as unpoolKernel } from '../../shaders/pool';
import { recordLinear } from '../autograd/tape';
import { device } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, modulePath } from '../tensor/context';
import { bind, contiguous } from '../tensor/elementwise';
import { type Shape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats, requireTensors } from '../tensor/tensor';
import * as raw from '../tensor/views';
import { pick } from './gather';
import { checkIndex } from './index-checks';
import { mixed } from './mixed';
import { type Sizes, sizesOf } from './sizes';

/** Options of `maxUnpool1d`, `maxUnpool2d` and `maxUnpool3d`. */
export interface UnpoolOptions {
  /** The kernel's size by default. */
  stride?: Sizes;
  /** The padding that pooling had (default 0). */
  padding?: Sizes;
  /** The size of the result, with or without the dimensions in front; else the smallest that fits. */
  outputSize?: Shape;
}

/** What the options of the unpooling functions may be. */
export const UNPOOL: OptionTable<UnpoolOptions> = { stride: is.size, padding: is.size, outputSize: is.numbers };

function unpool(
  op: string,
  dims: number,
  x: Tensor,
  indices: Tensor,
  kernelSize: Sizes,
  options: UnpoolOptions,
): Tensor {
  const { stride = kernelSize, padding = 0, outputSize } = checked(op, options, UNPOOL);
  requireTensors(op, { input: x, indices });
  requireFloats(op, { input: x });
  checkIndex(op, indices);
  const shapes = { input: x, indices };
  if ((x.ndim !== dims + 1 && x.ndim !== dims + 2) || x.shape.join() !== indices.shape.join())
    throw inputError(op, 'input and indices do not fit', shapes, 'They are what the max pooling with indices gave.');
  const each = (name: string, value: Sizes, least: number): readonly number[] =>
    sizesOf(op, name, value, dims, { least, shapes });
  const [k, s, p] = [each('kernelSize', kernelSize, 1), each('stride', stride, 1), each('padding', padding, 0)];
  const natural = x.shape.slice(-dims).map((n, i) => (n - 1) * at(s, i) + at(k, i) - 2 * at(p, i));
  const to = outputSize?.slice(-dims) ?? natural;
  if (to.length !== dims || to.some((n, i) => !Number.isInteger(n) || Math.abs(n - at(natural, i)) >= at(s, i)))
    throw inputError(op, `outputSize is [${outputSize}]`, shapes, `It is less than a stride from [${natural}].`);
  const few = size(x.shape.slice(-dims));
  const [many, shape] = [size(to), [...x.shape.slice(0, -dims), ...to]];
  const spread = (t: Tensor): Tensor => {
    const y = raw.filled(op, shape, 0, 'float32');
    const { reports } = device();
    const constants = [t.size, few, many, reports.slot(op, many, modulePath())];
    const bindings = [...[contiguous(t), contiguous(indices), y].map(bind), reports.binding];
    device().launch(unpoolKernel(), bindings, constants, t.size);
    return y;
  };
  const lines = (t: Tensor, n: number) => raw.reshape(t, [t.size / n, n]);
  const collected = (g: Tensor) => raw.reshape(pick(lines(g, many), 1, lines(indices, few), null), x.shape);
  return recordLinear(op, x, spread, collected, [indices]);
}

/**
 * Values at the positions that a max pooling found them at, zeros elsewhere, as `torch.nn.functional.max_unpool1d`: [N, C, L] with the `indices` of
 * `maxPool1dWithIndices`. Where several values have one position, one of them is there. Throws InputError for sizes that do not fit.
 */
export const maxUnpool1d = mixed(
  'maxUnpool1d',
  (x: Tensor, indices: Tensor, kernelSize: Sizes, options: UnpoolOptions = {}): Tensor =>
    unpool('maxUnpool1d', 1, x, indices, kernelSize, options),
);

/** The same of images [N, C, H, W] and `maxPool2dWithIndices`, as `torch.nn.functional.max_unpool2d`. */
export const maxUnpool2d = mixed(
  'maxUnpool2d',
  (x: Tensor, indices: Tensor, kernelSize: Sizes, options: UnpoolOptions = {}): Tensor =>
    unpool('maxUnpool2d', 2, x, indices, kernelSize, options),
);

/** The same of volumes [N, C, D, H, W] and `maxPool3dWithIndices`, as `torch.nn.functional.max_unpool3d`. */
export const maxUnpool3d = mixed(
  'maxUnpool3d',
  (x: Tensor, indices: Tensor, kernelSize: Sizes, options: UnpoolOptions = {}): Tensor =>
    unpool('maxUnpool3d', 3, x, indices, kernelSize, options),
);
