// Ranges of positions along a dimension, as Python's slices.
import { at } from '../../shaders/checked';
import { inputError, requireIntegers } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import type { Steps } from '../tensor/views';

/** Which elements of a dimension: as Python's `start:stop:step`; negative positions count from the end. */
export interface Range {
  /** First position, included (default: the first, or with a negative step the last). */
  start?: number;
  /** End, excluded (default: past the last one). */
  stop?: number;
  /** Distance between two positions (default 1). */
  step?: number;
}

/** One dimension of a slice: a range, all of it (null), or one position, which drops the dimension. */
export type SliceIndex = Range | number | null;

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

/** The steps of one index of a slice. */
export function resolveRange(op: string, x: Tensor, axis: number, index: SliceIndex): Steps {
  const n = at(x.shape, axis);
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
