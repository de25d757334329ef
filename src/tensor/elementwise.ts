// Elementwise operations without gradients: picks the kernel for the operands' layout and launches it.

import { fromEnd } from '../../shaders/checked';
import { FEW } from '../../shaders/decode';
import type { ElementwiseOptions } from '../../shaders/elementwise';
import { elementwise as kernelFor, STRIDES_AT, scalarType } from '../../shaders/elementwise';
import type { Library } from '../../shaders/functions';
import { heldLike } from '../../shaders/holding';
import type { Kernel } from '../../shaders/kernel';
import type { Constant, TypedBinding } from '../gpu';
import { device, f32, Scalar } from '../gpu';
import { inputError } from './context';
import type { DType } from './dtype';
import { bytesOf, elementOf, wgslType } from './dtype';
import type { Shape } from './shape';
import { broadcastStrides, collapse, groupLast, leadWithOnes, sameShape, size } from './shape';
import type { Tensor } from './tensor';
import { empty } from './tensor';

export interface Expression {
  name: string;
  expression: string;
  operands: Record<string, Tensor>;
  /** Numbers of the type computed in, or else of the result's: a fraction for integers is refused. */
  scalars?: readonly (number | Scalar)[];
  shape: Shape;
  /** float32 by default. */
  result?: DType;
  /** The type operands are converted to; absent: each keeps its own. */
  compute?: DType;
  /** Functions that the expression calls beyond those for every one. */
  library?: Library;
}

/** Evaluates an expression for every element of `shape`, each operand broadcast to it. Returns a contiguous tensor. */
export function evaluate(e: Expression): Tensor {
  const out = empty(e.name, e.shape, e.result);
  evaluateInto(out, e);
  return out;
}

/** The same, into an existing bindable tensor that no operand views; its type is the result's. */
function evaluateInto(out: Tensor, e: Expression): void {
  const tensors = Object.values(e.operands);
  const flat = tensors.every((t) => sameShape(t.shape, e.shape) && isBindable(t));
  const walk = flat ? null : walkOf(tensors, e.shape);
  const options: ElementwiseOptions = {
    name: e.name,
    expression: e.expression,
    operands: Object.entries(e.operands).map(([name, { dtype }]) => ({ name, type: wgslType(dtype) })),
    compute: e.compute ? wgslType(e.compute) : 'own',
    result: wgslType(out.dtype),
    mode: !walk ? 'flat' : walk.quads ? 'quads' : 'strided',
    few: !walk || walk.shape.length <= FEW,
  };
  const kernel = kernelFor(options, e.library);
  const n = size(e.shape);
  const constants: Constant[] = [n, 0, 0, 0];
  if (e.scalars?.length) {
    const words = scalarType(options);
    for (const s of e.scalars) constants.push(word(e, s, words));
  }
  if (walk) {
    const { shape, strides } = walk;
    while (constants.length < kernel.uniforms / 4) constants.push(0);
    constants[1] = shape.length;
    shape.forEach((dim, d) => (constants[8 + d] = dim));
    strides.forEach((list, k) => list.forEach((stride, d) => (constants[STRIDES_AT + 8 * k + d] = stride)));
    tensors.forEach((t, k) => (constants[STRIDES_AT + 8 * Math.max(1, tensors.length) + k] = t.offset));
  }
  const bindings = tensors.map((t) => (flat ? bind(t) : bindAll(t)));
  bindings.push(bind(out));
  device().launch(kernel, bindings, constants, n);
}

/** How a strided kernel walks the operands: dimensions and strides, as few as there can be, in groups of four elements where it can. */
function walkOf(tensors: readonly Tensor[], shape: Shape) {
  const walk = collapse(
    shape,
    tensors.map((t) => broadcastStrides(t.shape, t.strides, shape)),
  );
  const quads = fromEnd(walk.shape, 1) % 4 === 0;
  if (quads) groupLast(walk, 4);
  leadWithOnes(walk, FEW);
  return { ...walk, quads };
}

const RANGE = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1] } as const;

/** A scalar as a kernel's constant of `type`. */
function word({ name, compute, result }: Expression, s: number | Scalar, type: 'f32' | 'i32' | 'u32'): Constant {
  if (s instanceof Scalar) return (s.type === 'f32') === (type === 'f32') ? s : convertedScalar(s, type);
  if (typeof s !== 'number') throw inputError(name, `a number is needed, not ${String(s)}`);
  if (type === 'f32') return f32(s);
  if (compute === 'bool') return Number(s !== 0);
  const [least, most] = RANGE[type];
  if (!(Number.isInteger(s) && s >= least && s <= most))
    throw inputError(name, `the number ${s} is no ${compute ?? result}`, {}, "Convert first: x.to('float32').");
  return s;
}

/** The value of `s` at the time of each launch, as another type. */
export const convertedScalar = (s: Scalar, type: 'f32' | 'i32' | 'u32'): Scalar =>
  Object.create(Scalar.prototype, {
    type: { value: type === 'f32' ? 'f32' : 'u32' },
    value: { get: () => s.value },
  });

/** True when kernels can bind it as a plain array: contiguous, and starting where the adapter allows a binding to start. */
export const isBindable = (x: Tensor): boolean =>
  x.isContiguous && (bytesOf(x.dtype) * x.offset) % device().limits.minStorageBufferOffsetAlignment === 0;

/** The range of memory that a bindable tensor covers. */
export function bind(x: Tensor): TypedBinding {
  const { block, offset, bytes } = x.storage;
  const each = bytesOf(x.dtype);
  const [from, length] = [each * x.offset, 4 * Math.ceil((each * x.size) / 4)];
  const whole = from + length === bytes;
  return { block, offset: offset + from, bytes: length, whole, element: elementOf[x.dtype] };
}

/** All the memory behind a tensor, for kernels that know its strides and offset. */
export function bindAll(x: Tensor): TypedBinding {
  const { block, offset, bytes, whole } = x.storage;
  return { block, offset, bytes, whole, element: elementOf[x.dtype] };
}

/** Launches a kernel on bindable tensors. Those of float16 it reads and writes as such where its text says float32: it computes in that. */
export function launchOn(
  kernel: Kernel,
  tensors: readonly Tensor[],
  constants: readonly Constant[],
  extent?: number,
): void {
  const bindings = tensors.map(bind);
  device().launch(heldLike(kernel, bindings), bindings, constants, extent);
}

/** A tensor with the same elements that kernels can bind as a plain array: itself, or a copy. */
export const contiguous = (x: Tensor): Tensor => (isBindable(x) ? x : copy(x));

/** A new contiguous tensor with the same elements, converted to `dtype`. */
export function copy(x: Tensor, dtype: DType = x.dtype): Tensor {
  return evaluate({ name: 'copy', expression: 'a', operands: { a: x }, shape: x.shape, result: dtype });
}

/** `f` of float32 for a float16 tensor, its result as float16 too, where a kernel has 32-bit elements alone. */
export function throughFloat32(x: Tensor, f: (wide: Tensor) => Tensor): Tensor {
  const wide = copy(x, 'float32');
  const y = f(wide);
  wide.dispose();
  if (y.dtype !== 'float32') return y;
  const half = copy(y, 'float16');
  y.dispose();
  return half;
}

/** Overwrites the elements of `target`, which must be bindable, with those of `source` (broadcast, converted). */
export function copyInto(target: Tensor, source: Tensor): void {
  // One launch cannot read and write one buffer, even at different places.
  const from = source.storage.block === target.storage.block ? copy(source) : source;
  evaluateInto(target, { name: 'copy', expression: 'a', operands: { a: from }, shape: target.shape });
  target.memory.written();
}
