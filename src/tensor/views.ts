// Views and writing into them, not recorded: `ops/views.ts` and `ops/join.ts` have the operations. A view shares memory: only shape, strides and offset change.
import { at, fromEnd } from '../../shaders/checked';
import { FEW } from '../../shaders/decode';
import { place as placeKernels } from '../../shaders/place';
import { type Constant, device } from '../gpu';
import type { DType } from './dtype';
import { bindAll, copy, evaluate } from './elementwise';
import type { Shape } from './shape';
import { broadcastStrides, collapse, contiguousStrides, groupLast, isContiguous, leadWithOnes, padded } from './shape';
import type { Tensor } from './tensor';
import { strided } from './tensor';

/** Strides that show the elements in another shape in the same order, or null where only a copy can. */
export function viewStrides(shape: Shape, strides: readonly number[], wanted: Shape): number[] | null {
  if (isContiguous(shape, strides)) return contiguousStrides(wanted);
  // Runs of dimensions that are walked in one go; each has to be filled by whole dimensions of the new shape.
  const runs = collapse(shape, [strides]);
  const walked = at(runs.strides, 0);
  const out = new Array<number>(wanted.length);
  let run = runs.shape.length - 1;
  let inside = 1;
  for (let i = wanted.length - 1; i >= 0; i--) {
    const n = at(wanted, i);
    if (n === 1) {
      out[i] = 0;
      continue;
    }
    if (inside === runs.shape[run]) {
      run--;
      inside = 1;
    }
    out[i] = at(walked, run) * inside;
    inside *= n;
    if (at(runs.shape, run) % inside) return null;
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
    order.map((i) => at(x.shape, i)),
    order.map((i) => at(x.strides, i)),
  );

/** Repeats dimensions of size 1, without a copy. */
export const expand = (x: Tensor, shape: Shape): Tensor =>
  strided(x, shape, broadcastStrides(x.shape, x.strides, shape));

/** A resolved range: first position, number of elements, step. */
export interface Steps {
  start: number;
  count: number;
  step: number;
}

/** The part of `shape` that begins at `start` along an axis, and at 0 along the others. */
export const stepsFrom = (start: number, axis: number, shape: Shape): Steps[] =>
  shape.map((count, i) => ({ start: i === axis ? start : 0, count, step: 1 }));

/** The elements in the given steps of every dimension, as a view. */
export function slice(x: Tensor, steps: readonly Steps[]): Tensor {
  const offset = x.offset + steps.reduce((sum, { start }, i) => sum + start * at(x.strides, i), 0);
  return strided(
    x,
    steps.map((s) => s.count),
    steps.map((s, i) => s.step * at(x.strides, i)),
    offset,
  );
}

/**
 * Writes `source` into `target`, a view of the same shape and type into other memory. `start` is where the target begins, if another place than its
 * offset, such as one that changes from call to call of a compiled step.
 */
export function place(target: Tensor, source: Tensor, start: Constant = target.offset): void {
  const walk = collapse(source.shape, [source.strides, target.strides]);
  const run = fromEnd(walk.shape, 1) % 4 === 0 ? 4 : 1;
  const steps = walk.strides.map((list) => fromEnd(list, 1));
  groupLast(walk, run);
  const runs = source.size / run;
  leadWithOnes(walk, FEW);
  const { shape, strides } = walk;
  const { few, many } = placeKernels[source.dtype === 'float16' ? 'halves' : 'words'];
  const kernel = shape.length === FEW ? few : many;
  const head: Constant[] = [runs, shape.length, source.offset, start, run, ...steps, 0];
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
