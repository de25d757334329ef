// The reduction of an elementwise expression, not recorded: chooses how the work is divided, and launches one kernel, or one more for every split of
// a long range. `ops/reduce.ts` has the operations.

import { cached } from '../../shaders/build';
import { at } from '../../shaders/checked';
import type { Library } from '../../shaders/functions';
import type { ReduceOptions, Reduction } from '../../shaders/reduce';
import { reduce as kernelFor, ROWS_WORKGROUP } from '../../shaders/reduce';
import { sumPartials } from '../../shaders/sum-partials';
import type { Constant, Scalar } from '../gpu';
import { device, f32 } from '../gpu';
import type { DType } from './dtype';
import { wgslType } from './dtype';
import type { Expression } from './elementwise';
import { bind, bindAll, evaluate } from './elementwise';
import type { Shape } from './shape';
import { broadcastStrides, collapse, contiguousStrides, padded, reducedShape, sameShape, size } from './shape';
import type { Tensor } from './tensor';
import { empty, strided } from './tensor';

/** The types that are reduced in. */
export type Computed = Exclude<DType, 'bool'>;

/** What `reduce` computes. */
export interface ReduceExpression {
  name: string;
  reduction: Reduction;
  /** WGSL of what is reduced, in the operands' names and s, t. */
  map: string;
  operands: Record<string, Tensor>;
  scalars?: readonly (number | Scalar)[];
  /** The shape that operands are broadcast to, and which of its dimensions are reduced. */
  shape: Shape;
  axes: readonly number[];
  keepDims?: boolean;
  /** The type of the mapped values: float32 by default. Halves are reduced in float32, and give float16 unless `result` says otherwise. */
  compute?: Computed;
  /** Whether operands are converted to that type before they are mapped. */
  convert?: boolean;
  /** WGSL of the result in terms of `acc`, s, t. */
  final?: string;
  result?: DType;
  /** Functions that `map` calls beyond those for every expression. */
  library?: Library;
}

/** Most elements that one thread adds up in a row: bounds the rounding error of long sums. */
const ROWS_CHUNK = 256 * ROWS_WORKGROUP;
const COLUMNS_CHUNK = 512;
/** Elements from which a second launch costs less than decoding indices. */
const MANY = 16384;
/** Threads that fill a device: fewer results than this get more splits. */
const ENOUGH_THREADS = 16384;

/** Partial sums that one thread adds up. */
const FEW_PARTS = 32;

/** What a reduction starts from. */
function identity(reduction: Reduction, compute: Exclude<Computed, 'float16'>): Constant {
  const [least, most] = (
    { float32: [-Infinity, Infinity], int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, -1] } as const
  )[compute];
  const first = { sum: 0, prod: 1, max: least, min: most, argmax: 0, argmin: 0 }[reduction];
  return compute === 'float32' ? f32(first) : first;
}

/** Reduces an elementwise expression over dimensions of its (broadcast) shape. An empty range gives the identity of sum and prod. */
export function reduce(e: ReduceExpression): Tensor {
  if (e.compute === 'float16') return reduce({ ...e, compute: 'float32', result: e.result ?? 'float16' });
  const { name, reduction, axes, shape } = e;
  const compute = e.compute ?? 'float32';
  const arg = reduction.startsWith('arg');
  const result = arg ? 'int32' : (e.result ?? compute);
  const outShape = reducedShape(shape, axes, e.keepDims ?? false);
  const n = size(outShape);
  const tensors = Object.values(e.operands);
  const strides = tensors.map((t) => broadcastStrides(t.shape, t.strides, shape));
  const pick = (keep: boolean) => {
    const isPicked = (_: number, i: number) => axes.includes(i) !== keep && shape[i] !== 1;
    const picked = strides.map((list) => list.filter(isPicked));
    const dims = shape.filter(isPicked);
    return dims.length ? collapse(dims, picked) : { shape: dims, strides: picked };
  };
  const kept = pick(true);
  const reduced = pick(false);
  const count = size(reduced.shape);

  if (reduced.shape.length > 1 && !arg && count * n > MANY) {
    // The last run of neighbouring dimensions first: with one reduced dimension at a time no index has to be decoded.
    const wide = axes.filter((axis) => shape[axis] !== 1);
    const inner = wide.filter((axis, i) => wide.slice(i).every((a, k) => a === axis + k));
    const rest = wide.filter((axis) => !inner.includes(axis));
    if (rest.length) {
      const first = reduce({ ...e, axes: inner, keepDims: true, final: undefined, result: compute });
      const y = reduce({ ...e, map: 'a', operands: { a: first }, shape: first.shape });
      first.dispose();
      return y;
    }
  }

  // A thread per result where neighbouring threads then read neighbouring elements, or where ranges are short. On the CPU drivers, whose
  // barriers are dear, wherever there are results enough.
  const reach = (list: number[][]) => list.reduce((sum, s) => sum + Math.min(16, Math.abs(s[s.length - 1] ?? 0)), 0);
  const serial = device().target.isCpu && n >= 256;
  const columns = serial || count <= 32 || (n >= 32 && reach(kept.strides) < reach(reduced.strides));
  const most = columns ? COLUMNS_CHUNK : ROWS_CHUNK;
  const least = columns ? 32 : 8 * ROWS_WORKGROUP;
  const wanted = Math.ceil(ENOUGH_THREADS / (Math.max(1, n) * (columns ? 1 : ROWS_WORKGROUP)));
  const chunk = Math.max(1, arg ? count : Math.min(most, Math.max(least, Math.ceil(count / wanted))));
  const splits = Math.max(1, Math.ceil(count / chunk));

  const last = splits === 1;
  const out = empty(name, last ? outShape : [splits, n], last ? result : compute);
  const options: ReduceOptions = {
    name,
    reduction,
    map: e.map,
    operands: Object.entries(e.operands).map(([name, { dtype }]) => ({ name, type: wgslType(dtype) })),
    compute: wgslType(compute) as 'f32' | 'i32' | 'u32',
    convert: (e.convert ?? false) && tensors.some((t) => t.dtype !== compute),
    final: last && e.final ? e.final : 'acc',
    result: wgslType(last ? result : compute),
    mode: columns ? 'columns' : 'rows',
    decode: reduced.shape.length > 1,
  };
  const kernel = kernelFor(options, e.library);
  const head = [n, kept.shape.length, reduced.shape.length, count, chunk, identity(reduction, compute), 0, 0];
  const scalars = (e.scalars ?? []).map((s) => (typeof s === 'number' ? f32(s) : s));
  const dims = padded([...kept.shape, ...reduced.shape]);
  const steps = kept.strides.flatMap((list, k) => padded([...list, ...at(reduced.strides, k)]));
  const constants = [...head, ...padded(scalars, 4), ...dims, ...steps, ...tensors.map((t) => t.offset)];
  device().launch(kernel, [...tensors.map(bindAll), bind(out)], constants, n * splits);
  if (last) return out;
  const plain = reduction === 'sum' && compute === 'float32' && result === 'float32' && !e.final && splits <= FEW_PARTS;
  const whole = plain
    ? empty(name, [n])
    : reduce({ ...e, map: 'a', operands: { a: out }, shape: [splits, n], axes: [0], keepDims: false });
  // In compiled steps this launch is joined with its like, among them the sums of weight gradients.
  if (plain)
    device().launch(
      cached(['reduce', name, splits, n], () => sumPartials(name, splits, n)),
      [out, whole].map(bind),
    );
  out.dispose();
  return strided(whole, outShape, contiguousStrides(outShape));
}

/** Evaluates an elementwise expression and sums it down to `shape`: gradients of operands that were broadcast. */
export function evaluateTo(shape: Shape, e: Expression): Tensor {
  if (sameShape(shape, e.shape)) return evaluate(e);
  const { name, expression, operands, scalars, compute, result, library } = e;
  const axes = broadcastAxes(shape, e.shape);
  const from = { name, map: expression, operands, scalars, shape: e.shape, axes, convert: compute === 'float32' };
  const summed = reduce({ ...from, library, reduction: 'sum', ...(result === 'float16' && { result }) });
  return strided(summed, shape, contiguousStrides(shape));
}

/** A reduced tensor seen with size 1 again in the dimensions that were reduced, so that it broadcasts against the input. */
export function restored(y: Tensor, input: Tensor, axes: readonly number[]): Tensor {
  let next = 0;
  const spread = () => input.shape.map((_, i) => (axes.includes(i) ? 0 : at(y.strides, next++)));
  return strided(y, reducedShape(input.shape, axes, true), y.ndim === input.ndim ? y.strides : spread());
}

/** Dimensions of `to` along which a tensor of `shape` is repeated by broadcasting. */
const broadcastAxes = (shape: Shape, to: Shape): number[] =>
  to.map((_, i) => i).filter((i) => i < to.length - shape.length || shape[i - to.length + shape.length] !== to[i]);

/** Sums over the dimensions along which a tensor of `shape` was broadcast to x's. Returns x itself when none was. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const e = { name: 'sumTo', expression: 'a', operands: { a: x }, shape: x.shape, result: x.dtype };
  return evaluateTo(shape, e);
}
