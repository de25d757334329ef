// Shapes, strides and broadcasting: pure index arithmetic. It runs before every launch, with indices that come from loops over the lists
// themselves; `as number` says so without a check.
import { inputError } from './context';

/** Size of each dimension; [] is a tensor of one number without dimensions. */
export type Shape = readonly number[];

export const size = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

/** Row-major strides, in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] as number;
  }
  return strides;
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

/** `[2, 3]`, as messages show a shape. */
export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** Whether these strides walk the elements of `shape` in row-major order without gaps. */
export function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const n = shape[i] as number;
    if (n !== 1 && strides[i] !== expected) return size(shape) === 0;
    expected *= n;
  }
  return true;
}

/** Checks the dimensions of a new tensor. */
export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape) || shape.some((n) => !Number.isInteger(n) || n < 0))
    throw inputError(op, `a shape is a list of non-negative integers, got ${JSON.stringify(shape)}`);
  if (shape.length > MAX_RANK)
    throw inputError(
      op,
      `${shape.length} dimensions, at most ${MAX_RANK} are supported`,
      { shape },
      'Merge some with reshape.',
    );
  if (size(shape) > 2 ** 31 - 1)
    throw inputError(op, `${size(shape)} elements, at most 2147483647 are supported`, { shape }, 'Split the tensor.');
}

/** Most dimensions that kernels index. */
const MAX_RANK = 8;

/** A list with zeros up to a fixed length, as kernels' constants hold it. */
export const padded = <T>(list: readonly T[], length = MAX_RANK): (T | number)[] => [
  ...list,
  ...new Array<number>(length - list.length).fill(0),
];

/** NumPy broadcasting of two shapes; throws with both. */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const m = a[a.length - i] ?? 1;
    const n = b[b.length - i] ?? 1;
    if (m !== n && m !== 1 && n !== 1)
      throw inputError(
        op,
        `shapes ${showShape(a)} and ${showShape(b)} cannot be broadcast: dimension ${rank - i} is ${m} and ${n}`,
        {},
        'Sizes must be equal or 1, counted from the right; use reshape or unsqueeze to line them up.',
      );
    out[rank - i] = m === 1 ? n : m;
  }
  return out;
}

/** Strides that read a tensor of `shape` as if it had shape `to` (0 where it is repeated). */
export function broadcastStrides(shape: Shape, strides: readonly number[], to: Shape): number[] {
  const lead = to.length - shape.length;
  return to.map((n, i) => (i < lead || (shape[i - lead] === 1 && n !== 1) ? 0 : (strides[i - lead] as number)));
}

/** A dimension of a tensor in 0 … rank − 1; negative ones count from the end. */
export function normalizeAxis(op: string, axis: number, shape: Shape): number {
  const rank = shape.length;
  const span = Math.max(rank, 1); // a tensor without dimensions takes 0 and −1, as in PyTorch
  const at = axis < 0 ? axis + span : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= span)
    throw inputError(
      op,
      `dimension ${axis} of a tensor with ${rank} dimension${rank === 1 ? '' : 's'}`,
      { input: shape },
      `Use ${-span} … ${span - 1}.`,
    );
  return at;
}

/** The same for operations on parts along a dimension, which a tensor without dimensions does not have. */
export function existingAxis(op: string, axis: number, shape: Shape): number {
  if (shape.length === 0)
    throw inputError(op, 'a tensor without dimensions has no parts', {}, 'unsqueeze(0) gives it one.');
  return normalizeAxis(op, axis, shape);
}

/** Sorted, distinct dimensions, of those that there are; all of them when `axes` is left out. */
export function normalizeAxes(op: string, axes: number | readonly number[] | null | undefined, shape: Shape): number[] {
  if (axes === null || axes === undefined) return shape.map((_, i) => i);
  const given = Array.isArray(axes) ? (axes as readonly number[]) : [axes as number];
  const list = given.map((axis) => normalizeAxis(op, axis, shape));
  if (new Set(list).size !== list.length)
    throw inputError(
      op,
      `a dimension of ${JSON.stringify(axes)} is named twice`,
      { input: shape },
      'Name each once; negative ones count from the end.',
    );
  return shape.length ? list.sort((a, b) => a - b) : [];
}

/**
 * Merges dimensions that all of several stride lists walk in one go, and drops those of size 1: fewer dimensions for a kernel to decode.
 * Returns at least one dimension.
 */
export function collapse(
  shape: Shape,
  strides: readonly (readonly number[])[],
): { shape: number[]; strides: number[][] } {
  const dims: number[] = [];
  const walks = strides.map((from) => ({ from, to: [] as number[] }));
  for (let i = 0; i < shape.length; i++) {
    const n = shape[i] as number;
    if (n === 1) continue;
    const last = dims.length - 1;
    const isOne = last >= 0 && walks.every(({ from, to }) => to[last] === (from[i] as number) * n);
    const place = isOne ? last : last + 1;
    dims[place] = isOne ? (dims[last] as number) * n : n;
    for (const { from, to } of walks) to[place] = from[i] as number;
  }
  if (dims.length === 0) {
    dims.push(1);
    for (const { to } of walks) to.push(0);
  }
  return { shape: dims, strides: walks.map(({ to }) => to) };
}

/** Counts the last dimension in groups of `by` elements, in place. */
export function groupLast({ shape, strides }: ReturnType<typeof collapse>, by: number): void {
  const last = shape.length - 1;
  shape[last] = (shape[last] as number) / by;
  for (const list of strides) list[last] = (list[last] as number) * by;
}

/** Puts dimensions of size 1 in front, in place, until there are `least`: kernels with few dimensions need not count them. */
export function leadWithOnes({ shape, strides }: ReturnType<typeof collapse>, least: number): void {
  while (shape.length < least) for (const list of [shape, ...strides]) list.unshift(list === shape ? 1 : 0);
}

/** The shape with the given dimensions set to 1, or left out. */
export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): number[] {
  return keepDims ? shape.map((n, i) => (axes.includes(i) ? 1 : n)) : shape.filter((_, i) => !axes.includes(i));
}

/** A shape seen as [outer, n, inner] around one axis; `lines` = outer · inner. */
export interface Lines {
  lines: number;
  n: number;
  inner: number;
}

/** The lines of a shape along an axis. */
export function linesAlong(shape: Shape, axis: number): Lines {
  const n = shape[axis] ?? 1; // a scalar is one line of one element
  const inner = size(shape.slice(axis + 1));
  return { lines: size(shape.slice(0, axis)) * inner, n, inner };
}

/** Refuses what is no list of numbers where an operation takes one. */
export function requireList(op: string, list: readonly number[]): readonly number[] {
  if (Array.isArray(list)) return list;
  throw inputError(op, `a list of whole numbers was expected, got ${String(list)}`);
}
