// What a mapping is: it writes nodes for one call of an operation.
import type { Operation } from '../../autograd/operation';
import { normalizeAxes, normalizeAxis } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { type Draft, placeOf, refusal, typeOf } from '../draft';
import type { ElementType } from '../format';

/** Gives the values of the tensors in the operation's result, in their order; later ones may be left out. */
export type Mapping = (e: Draft, result: unknown, ...args: readonly unknown[]) => string | readonly string[];
export type Mappings = Readonly<Record<string, Mapping>>;

/** What runs in the place of a call, with its parts recorded; null where the operation has its mapping. */
export type Instead = (f: Operation, ...args: readonly unknown[]) => (() => unknown) | null;

/** A mapping that knows the types of its operation `F`. */
export const of = <F extends Operation>(
  mapping: (e: Draft, result: ReturnType<F>, ...args: Parameters<F>) => string | readonly string[],
): Mapping => mapping as Mapping;

/** The same for `Instead`. */
export const insteadOf = <F extends Operation>(
  choose: (f: Operation, ...args: Parameters<F>) => (() => unknown) | null,
): Instead => choose as Instead;

export const unmapped = (e: Draft, why: string): Error =>
  refusal(`the operation ${placeOf(e.origin)} ${why}, which has no mapping to ONNX`);

/** A tensor's value in another type. */
export const as = (e: Draft, x: Tensor, type: ElementType): string =>
  typeOf(x) === type ? e.of(x) : e.cast(e.of(x), type);

export const axis = (x: Tensor, of: number): number => normalizeAxis('exportOnnx', of, x.shape);
export const axesOf = (x: Tensor, of: number | readonly number[] | null | undefined): number[] => [
  ...normalizeAxes('exportOnnx', of, x.shape),
];

export const whole = (e: Draft, values: readonly number[]): string => e.data('int64', [values.length], values);

/** A vector of equal numbers. */
export const filled = (e: Draft, n: number, value: number): string =>
  e.data('float32', [n], new Float32Array(n).fill(value));
