// Views and rearrangements without gradients. A view shares memory: only shape, strides and offset change.
import { FEW } from '../../shaders/decode';
import { place as placeKernels } from '../../shaders/place';
import { device } from '../gpu';
import { inputError, requireIntegers } from './context';
import type { DType } from './dtype';
import { promote } from './dtype';
import { bindAll, copy, evaluate } from './elementwise';
import type { Shape } from './shape';
import {
  broadcastStrides,
  collapse,
  contiguousStrides,
  isContiguous,
  leadWithOnes,
  normalizeAxis,
  padded,
  sameShape,
  size,
} from './shape';
import type { Tensor } from './tensor';
import { empty, requireTensors, strided } from './tensor';

/** Resolves a −1 in a wanted shape, and checks that the number of elements stays. */
export function resolveShape(op: string, x: Tensor, shape: Shape): number[] {
  if (!Array.isArray(shape)) throw inputError(op, `a shape is a list of whole numbers, got ${String(shape)}`);
  const unknown = shape.indexOf(-1);
  const known = shape.reduce((product, n, i) => (i === unknown ? product : product * n), 1);
  const filled = shape.map((n, i) => (i === unknown ? x.size / known : n));
  if (filled.some((n) => !Number.isInteger(n) || n < 0) || size(filled) !== x.size)
    throw inputError(
      op,
      `${x.size} elements do not fill the new shape`,
      { input: x, wanted: shape },
      'One −1 stands for what is left over.',
    );
  return filled;
}

/** Strides that show the elements in another shape in the same order, or null where only a copy can. */
export function viewStrides(shape: Shape, strides: readonly number[], wanted: Shape): number[] | null {
  if (isContiguous(shape, strides)) return contiguousStrides(wanted);
  // Runs of dimensions that are walked in one go; each has to be filled by whole dimensions of the new shape.
  const runs = collapse(shape, [strides]);
  const out = new Array<number>(wanted.length);
  let run = runs.shape.length - 1;
  let inside = 1;
  for (let i = wanted.length - 1; i >= 0; i--) {
    if (wanted[i] === 1) {
      out[i] = 0;
      continue;
    }
    if (inside === runs.shape[run]) {
      run--;
      inside = 1;
    }
    out[i] = runs.strides[0][run] * inside;
    inside *= wanted[i];
    if (runs.shape[run] % inside) return null;
  }
  return out;
}

/** The elements in another shape: a view where strides allow, else a copy. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const strides = viewStrides(x.shape, x.strides, shape);
  return strides ? strided(x, shape, strides) : strided(copy(x), shape, contiguousStrides(shape));
}

/** Dimensions in another order: dimension i of the result is dimension `order[i]` of x. */
export const permute = (x: Tensor, order: readonly number[]): Tensor =>
  strided(
    x,
    order.map((i) => x.shape[i]),
    order.map((i) => x.strides[i]),
  );

/** Repeats dimensions of size 1, without a copy. */
export const expand = (x: Tensor, shape: Shape): Tensor =>
  strided(x, shape, broadcastStrides(x.shape, x.strides, shape));

/** Which elements of a dimension: as Python's `start:stop:step`; negative positions count from the end. */
export interface Range {
  start?: number;
  stop?: number;
  step?: number;
}

/** One dimension of a slice: a range, all of it (null), or one position, which drops the dimension. */
export type SliceIndex = Range | number | null;

/** A resolved range: first position, number of elements, step. */
export interface Steps {
  start: number;
  count: number;
  step: number;
}

/** Refuses what is no range, such as a tensor. */
function checkRange(op: string, index: Range | null): Range {
  if (index === null) return {};
  const odd = Object.prototype.toString.call(index) !== '[object Object]' || 'shape' in index;
  if (odd)
    throw inputError(op, `an index is ${String(index)}`, {}, 'Use a whole number, { start, stop, step } or null.');
  const infinite = Object.fromEntries(
    Object.entries(index).filter(([, n]) => n !== undefined && Math.abs(n) !== Infinity),
  );
  requireIntegers(op, infinite);
  return index;
}

export function resolveRange(op: string, x: Tensor, axis: number, index: SliceIndex): Steps {
  const n = x.shape[axis];
  if (typeof index === 'number') {
    const at = index < 0 ? index + n : index;
    if (!Number.isInteger(index) || at < 0 || at >= n)
      throw inputError(
        op,
        `position ${index} of dimension ${axis}, which has size ${n}`,
        { input: x },
        'Negative positions count from the end.',
      );
    return { start: at, count: 1, step: 1 };
  }
  const range = checkRange(op, index);
  const { step = 1 } = range;
  if (!Number.isInteger(step) || step === 0)
    throw inputError(op, `a step of ${step} in dimension ${axis}`, { input: x }, 'Steps are non-zero integers.');
  const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
  const clip = (at: number | undefined, otherwise: number) =>
    at === undefined ? otherwise : Math.max(low, Math.min(high, at < 0 ? at + n : at));
  const start = clip(range.start, step > 0 ? low : high);
  const stop = clip(range.stop, step > 0 ? high : low);
  return { start, count: Math.max(0, Math.ceil((stop - start) / step)), step };
}

/** The part of `shape` that begins at `start` along an axis, and at 0 along the others. */
export const stepsFrom = (start: number, axis: number, shape: Shape): Steps[] =>
  shape.map((count, i) => ({ start: i === axis ? start : 0, count, step: 1 }));

/** The elements in the given steps of every dimension, as a view. */
export function slice(x: Tensor, steps: readonly Steps[]): Tensor {
  const offset = x.offset + steps.reduce((sum, { start }, i) => sum + start * x.strides[i], 0);
  return strided(
    x,
    steps.map((s) => s.count),
    steps.map((s, i) => s.step * x.strides[i]),
    offset,
  );
}

/** Dimensions walked from their end. */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  const steps = (n: number, i: number): Steps =>
    axes.includes(i) ? { start: Math.max(0, n - 1), count: n, step: -1 } : { start: 0, count: n, step: 1 };
  return slice(x, x.shape.map(steps));
}

/** Writes `source` into `target`, a view of the same shape and type into other memory. */
export function place(target: Tensor, source: Tensor): void {
  const { shape, strides } = collapse(source.shape, [source.strides, target.strides]);
  const last = shape.length - 1;
  const run = shape[last] % 4 === 0 ? 4 : 1;
  const steps = strides.map((list) => list[last]);
  shape[last] /= run;
  for (const list of strides) list[last] *= run;
  const runs = source.size / run;
  leadWithOnes({ shape, strides }, FEW);
  const kernel = shape.length === FEW ? placeKernels.few : placeKernels.many;
  const head = [runs, shape.length, source.offset, target.offset, run, ...steps, 0];
  const constants = [...head, ...[shape, ...strides].flatMap((list) => padded(list))];
  device().launch(kernel, [bindAll(source), bindAll(target)], constants, runs);
}

/** A new tensor of one value. */
export function filled(what: string, shape: Shape, value: number, dtype: DType): Tensor {
  return evaluate({ name: what, expression: 's', operands: {}, scalars: [value], shape, result: dtype });
}

/** A tensor of `shape` that has `x` in the given steps of its dimensions and `value` elsewhere. */
export function embed(name: string, x: Tensor, shape: Shape, steps: readonly Steps[], value = 0): Tensor {
  const out = filled(name, shape, value, x.dtype);
  place(slice(out, steps), x);
  return out;
}

/** Joins tensors along a dimension. Their other dimensions agree. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  const dtype = tensors.reduce<DType>((type, t) => promote(type, t.dtype), first.dtype);
  const length = tensors.reduce((sum, t) => sum + t.shape[axis], 0);
  const out = empty('concat', first.shape.with(axis, length), dtype);
  let start = 0;
  for (const t of tensors) {
    place(slice(out, stepsFrom(start, axis, t.shape)), t.dtype === dtype ? t : copy(t, dtype));
    start += t.shape[axis];
  }
  return out;
}

/** Checks that tensors can be joined along a dimension. */
export function checkJoin(op: string, tensors: readonly Tensor[], axis: number): number {
  if (!Array.isArray(tensors) || !tensors.length)
    throw inputError(op, 'no list of tensors, or an empty one', {}, 'Give an array of at least one.');
  requireTensors(op, Object.fromEntries(tensors.map((t, i) => [`tensor ${i}`, t])));
  const [first] = tensors;
  const at = normalizeAxis(op, axis, first.shape);
  const others = (t: Tensor) => t.shape.filter((_, i) => i !== at);
  const odd = tensors.findIndex((t) => t.ndim !== first.ndim || !sameShape(others(t), others(first)));
  if (odd > 0 || first.ndim === 0)
    throw inputError(
      op,
      `the tensors cannot be joined along dimension ${at}`,
      { 'tensor 0': first, ...(odd > 0 && { [`tensor ${odd}`]: tensors[odd] }) },
      'They agree in all other dimensions, and have at least one; stack makes a new dimension.',
    );
  return at;
}
