// The Tensor: a typed, strided view of GPU memory. Operations live in files of their own; `ops/methods.ts` hangs them on as methods.
// What is read back is walked element by element, within what was read: `as number` says so without a check.
import { at } from '../../shaders/checked';
import type { Storage } from '../gpu';
import { device } from '../gpu';
import { inputError } from './context';
import type { DType, TypedArray } from './dtype';
import { byteSize, bytesOf, hostArray, hostNumbers, isFloat } from './dtype';
import { Memory, trackComputed } from './memory';
import type { Shape } from './shape';
import { contiguousStrides, isContiguous, sameShape, size } from './shape';

/** What autograd hangs on a tensor: the operation that computed it. */
export interface GradientNode {
  readonly name: string;
}

/** Sees which fields of tensors a traced step reads and changes. */
export interface Watcher {
  /** What was a gradient, if only for a while. */
  readonly gradients: Set<Memory>;
  made(tensor: Tensor): void;
  /** `value` is that before the access. */
  use<N extends 'grad' | 'requiresGrad'>(name: N, tensor: Tensor, value: Tensor[N], writes: boolean): void;
}

let watching: Watcher | null = null;

/** Sets who sees the accesses from now on. */
export function watchWith(watcher: Watcher | null): void {
  watching = watcher;
}

/** A tensor's memory, which `launch` does not take without the tensor's type. */
type TensorStorage = Omit<Storage, 'element'>;

/** An array on the GPU, as `torch.Tensor`: operations are its methods, most of them also functions of `F`. */
export class Tensor {
  /** Size of each dimension; [] for one number. */
  readonly shape: readonly number[];
  /** Elements in memory between neighbours along each dimension; 0 where one is repeated. */
  readonly strides: readonly number[];
  /** First element, counted from the start of the memory. */
  readonly offset: number;
  /** Element type. */
  readonly dtype: DType;
  /** The memory on the GPU; views share it. @internal */
  readonly memory: Memory;
  #requiresGrad = false;
  #grad: Tensor | null = null;
  /** The operation that computed it; null of leaves. @internal */
  gradNode: GradientNode | null = null;

  constructor(
    memory: Memory,
    dtype: DType,
    shape: Shape,
    strides: readonly number[] = contiguousStrides(shape),
    offset = 0,
  ) {
    this.memory = memory;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    memory.shape ??= shape;
    watching?.made(this);
  }

  /** Whether operations on it are recorded; of a leaf: whether `backward()` fills `grad`. */
  get requiresGrad(): boolean {
    watching?.use('requiresGrad', this, this.#requiresGrad, false);
    return this.#requiresGrad;
  }

  set requiresGrad(value: boolean) {
    watching?.use('requiresGrad', this, this.#requiresGrad, true);
    this.#requiresGrad = value;
  }

  /** ∂loss/∂this after `backward()`, for leaves and after `retainGrad()`. Set by hand it must have the shape and type of the tensor. */
  get grad(): Tensor | null {
    watching?.use('grad', this, this.#grad, false);
    return this.#grad;
  }

  set grad(gradient: Tensor | null) {
    if (gradient) {
      requireTensors('grad', { gradient });
      if (gradient === (this as Tensor))
        throw inputError('grad', 'a tensor cannot be its own gradient', { tensor: this });
      if (gradient.dtype !== this.dtype)
        throw inputError(
          'grad',
          `the gradient is ${gradient.dtype}, the tensor ${this.dtype}`,
          { tensor: this, gradient },
          `Convert it: gradient.to('${this.dtype}').`,
        );
      if (!sameShape(gradient.shape, this.shape))
        throw inputError(
          'grad',
          'a gradient has the shape of its tensor',
          { tensor: this, gradient },
          'Reshape or expand it.',
        );
    }
    watching?.use('grad', this, this.#grad, true);
    if (gradient) watching?.gradients.add(gradient.memory);
    this.#grad = gradient ?? null;
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return size(this.shape);
  }

  /** True when no operation computed it: its gradient, if any, is collected in `grad`. */
  get isLeaf(): boolean {
    return this.gradNode === null;
  }

  /** Whether elements lie in row-major order without gaps. */
  get isContiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }

  /** The GPU memory; kernels bind it with its type, through `bind`. Throws ReleasedError when it was released. @internal */
  get storage(): TensorStorage {
    return this.memory.storage;
  }

  /** Holds the memory until `dispose()` or until nothing can reach it, whatever computed it. Returns the tensor. */
  keep(): this {
    this.memory.keep();
    return this;
  }

  /** Gives the memory back now. Never needed; later use throws. */
  dispose(): void {
    this.memory.release();
  }

  /** Marks a leaf as trained, as in PyTorch's `requires_grad_()`. */
  requiresGrad_(value = true): this {
    if (value && !isFloat(this.dtype))
      throw inputError(
        'requiresGrad_',
        `a tensor of ${this.dtype} has no gradient`,
        { tensor: this },
        "Convert with to('float32').",
      );
    if (!this.isLeaf)
      throw inputError(
        'requiresGrad_',
        'the tensor was computed and is no leaf',
        { tensor: this },
        'detach() gives one without history.',
      );
    this.requiresGrad = value;
    return this;
  }

  /** `count` elements from the one at `from`, where they lie. */
  async #read(from: number, count: number): Promise<TypedArray> {
    const each = bytesOf(this.dtype);
    const skip = (from * each) % 4; // a half may begin in the middle of a word
    const bytes = Math.ceil((skip + each * count) / 4) * 4;
    const words = await device().read(this.storage, each * from - skip, bytes);
    return hostNumbers(
      hostArray(this.dtype, skip || bytes > each * count ? words.slice(skip, skip + each * count) : words),
    );
  }

  /** The elements on the host, row-major; of float16 as a Float32Array. Waits for the GPU. */
  async data(): Promise<TypedArray> {
    const n = this.size;
    if (n === 0) return hostNumbers(hostArray(this.dtype, new ArrayBuffer(0)));
    if (this.isContiguous) return this.#read(this.offset, n);
    // A strided view: read the span it covers and pick the elements on the host.
    let low = this.offset;
    let high = this.offset;
    this.shape.forEach((size, i) => {
      const reach = at(this.strides, i) * (size - 1);
      if (reach < 0) low += reach;
      else high += reach;
    });
    const span = await this.#read(low, high - low + 1);
    const out = hostNumbers(hostArray(this.dtype, new ArrayBuffer(bytesOf(this.dtype) * n)));
    // From the last dimension on: how many steps are left in it.
    const axes = this.shape.map((size, d) => ({ size, stride: at(this.strides, d), left: size })).reverse();
    for (let i = 0, place = this.offset - low; i < n; i++) {
      out[i] = span[place] as number;
      for (const axis of axes) {
        place += axis.stride;
        if (--axis.left > 0) break;
        place -= axis.stride * axis.size;
        axis.left = axis.size;
      }
    }
    return out;
  }

  /** The value of a tensor with one element (a boolean as 0 or 1). */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw inputError('item', `the tensor has ${this.size} elements`, { tensor: this }, 'Use data() or toArray().');
    return (await this.data())[0] as number;
  }

  /** Nested arrays of the shape of the tensor; booleans for bool. */
  async toArray(): Promise<NestedArray> {
    const data = await this.data();
    const value = (x: number) => (this.dtype === 'bool' ? x !== 0 : x);
    const nest = (depth: number, from: number, count: number): NestedArray => {
      if (depth === this.ndim) return value(data[from] as number);
      const n = at(this.shape, depth);
      const inner = n ? count / n : 0;
      return Array.from({ length: n }, (_, i) => nest(depth + 1, from + i * inner, inner));
    };
    return nest(0, 0, data.length);
  }
}

/** Another view of the same memory, whatever it shows: the caller sees to it that it stays inside. */
export const strided = (x: Tensor, shape: Shape, strides: readonly number[], offset = x.offset): Tensor =>
  new Tensor(x.memory, x.dtype, shape, strides, offset);

/** Refuses operands that are no tensors, before anything reads their shapes. */
export function requireTensors(op: string, operands: Readonly<Record<string, unknown>>): void {
  const odd = Object.entries(operands).find(([, x]) => !(x instanceof Tensor));
  if (!odd) return;
  const [name, x] = odd;
  const kind = x === null || typeof x !== 'object' ? String(x) : x.constructor.name;
  const others = Object.entries(operands).filter((entry): entry is [string, Tensor] => entry[1] instanceof Tensor);
  const hint = 'Make one with tensor(data).';
  throw inputError(op, `${name} is no tensor, it is ${kind}`, Object.fromEntries(others), hint);
}

/** Those of several tensors that are given. */
export const present = (tensors: Readonly<Record<string, Tensor | null | undefined>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(tensors).filter((entry): entry is [string, Tensor] => !!entry[1]));

/** Refuses operands that are no tensors of float32. */
export function requireFloats(op: string, operands: Readonly<Record<string, Tensor>>, half = false): void {
  requireTensors(op, operands);
  for (const [name, { dtype }] of Object.entries(operands))
    if (dtype !== 'float32' && !(half && dtype === 'float16'))
      throw inputError(op, `${name} is ${dtype}, not float32`, operands, "Convert with to('float32').");
}

/** Refuses those of the tensors that are there and do not have `shape`: what `meaning` says. */
export function requireShape(
  op: string,
  input: Tensor,
  tensors: Readonly<Record<string, Tensor | null | undefined>>,
  shape: Shape,
  meaning: string,
): void {
  for (const [name, t] of Object.entries(tensors))
    if (t && !sameShape(t.shape, shape)) throw inputError(op, `${name} must have ${meaning}`, { input, [name]: t });
}

/** A number, or an array of such of equal lengths: rows of rows, as `toArray()` gives them. */
export type NestedArray = number | boolean | NestedArray[];

/** A new contiguous tensor for the result of `what`; its content is undefined until a kernel writes it. */
export function empty(what: string, shape: Shape, dtype: DType = 'float32'): Tensor {
  const memory = new Memory(device().allocate(byteSize(what, dtype, size(shape)), what), what);
  trackComputed(memory);
  return new Tensor(memory, dtype, shape);
}
