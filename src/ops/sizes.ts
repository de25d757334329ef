// Options that are one number for all axes of a plane or a list of one for each: kernels, strides, paddings, sizes of results. A list of another length is
// refused wherever it is given, to a function or to a layer.
import { at, type Tuple, tuple } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';

/** One number for all axes, or a list of one for each (or of one for all, as PyTorch takes it). */
export type Sizes = number | readonly number[];

interface Bounds {
  /** The smallest number (0 by default). */
  readonly least?: number;
  /** For the message. */
  readonly shapes?: Readonly<Record<string, Tensor>>;
}

/** `value` for each of `dims` axes: whole numbers of at least `least`. Refuses others, and lists of another length, in the name of `op`. */
export function sizesOf<N extends number>(
  op: string,
  name: string,
  value: Sizes,
  dims: N,
  { least = 0, shapes = {} }: Bounds = {},
): Tuple<number, N> {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const whole = list.filter((n): n is number => typeof n === 'number' && Number.isInteger(n) && n >= least);
  if (whole.length !== list.length || (list.length !== 1 && list.length !== dims))
    throw inputError(
      op,
      `${name} is ${JSON.stringify(value)}`,
      shapes,
      `Give one ${least > 0 ? 'positive integer' : 'integer of at least 0'}${dims > 1 ? `, or ${dims} of them` : ''}.`,
    );
  return tuple(whole.length === dims ? whole : new Array<number>(dims).fill(at(whole, 0)), dims);
}
