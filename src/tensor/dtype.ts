// Element types. All are stored in four bytes, but for float16 in two; a bool is a u32 that is 0 or 1.
import { F16, F32, I32, U32 } from '../../shaders/elements';
import { fromHalf, halfBits } from '../../shaders/half';
import { inputError } from './context';
import { requireHalf } from './half';

/** Element types. A bool takes 4 bytes on the GPU, a float16 two; float16 needs the feature 'shader-f16'. */
export type DType = 'float32' | 'float16' | 'int32' | 'uint32' | 'bool';
/** What `data()` reads a tensor into: by its dtype floats, or integers of 32 bits. */
export type TypedArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
/** Elements as the memory holds them: of float16 the bits. */
type StoredArray = TypedArray | Uint16Array<ArrayBuffer>;

/** The WGSL type of an element as kernels compute with it. */
export const wgslType = (dtype: DType) => WGSL_TYPES[dtype];

const WGSL_TYPES = { float32: 'f32', float16: 'f16', int32: 'i32', uint32: 'u32', bool: 'bool' } as const;

/** The type that a kernel of 32-bit elements is made for; float16 is refused in the name of `op`. */
export function kernelType(op: string, dtype: DType): 'f32' | 'i32' | 'u32' {
  const type = { float32: 'f32', float16: null, int32: 'i32', uint32: 'u32', bool: 'u32' } as const;
  const found = type[dtype];
  if (found) return found;
  throw inputError(op, 'not defined for float16', {}, "Convert first: x.to('float32').");
}

/** What the memory of a tensor holds, as `launch` compares it with what a kernel reads and writes. */
export const elementOf: Record<DType, number> = { float32: F32, float16: F16, int32: I32, uint32: U32, bool: U32 };

/** Whether a tensor of the type can have a gradient. */
export const isFloat = (dtype: DType): boolean => dtype === 'float32' || dtype === 'float16';

/** The type of a result of real numbers from operands of `dtype`: halves stay halves. */
export const floatOf = (dtype: DType): 'float32' | 'float16' => (dtype === 'float16' ? 'float16' : 'float32');

/** Bytes of an element. */
export const bytesOf = (dtype: DType): number => (dtype === 'float16' ? 2 : 4);

/** Bytes of memory for `n` elements, a multiple of four. Throws AdapterError for float16 where the device has none. */
export function byteSize(what: string, dtype: DType, n: number): number {
  if (dtype !== 'float16') return 4 * n;
  requireHalf(what);
  return 4 * Math.ceil(n / 2);
}

/** A typed array for the raw bytes of a tensor. */
export function hostArray(dtype: DType, buffer: ArrayBuffer): StoredArray {
  if (dtype === 'float32') return new Float32Array(buffer);
  if (dtype === 'float16') return new Uint16Array(buffer);
  return dtype === 'int32' ? new Int32Array(buffer) : new Uint32Array(buffer);
}

/** What is stored, as numbers: halves as float32. */
export const hostNumbers = (stored: StoredArray): TypedArray =>
  stored instanceof Uint16Array ? Float32Array.from(stored, fromHalf) : (stored as TypedArray);

/** Host numbers as the tensor stores them, in whole words. Integers out of range or fractions for an integer type are refused. */
export function toHost(values: ArrayLike<number | boolean>, dtype: DType, op = 'tensor'): StoredArray {
  checkDType(op, dtype);
  const n = values.length;
  if (!ArrayBuffer.isView(values))
    for (let i = 0; i < n; i++)
      if (typeof values[i] !== 'number' && typeof values[i] !== 'boolean')
        throw inputError(
          op,
          `${JSON.stringify(values[i]) ?? values[i]} at position ${i}`,
          {},
          'Use numbers or booleans.',
        );
  const out = hostArray(dtype, new ArrayBuffer(dtype === 'float16' ? 4 * Math.ceil(n / 2) : 4 * n));
  if (dtype === 'bool') for (let i = 0; i < n; i++) out[i] = values[i] ? 1 : 0;
  else if (dtype === 'float16') for (let i = 0; i < n; i++) out[i] = halfBits(Number(values[i]));
  else for (let i = 0; i < n; i++) out[i] = Number(values[i]);
  if (dtype === 'int32' || dtype === 'uint32')
    for (let i = 0; i < n; i++)
      if (out[i] !== Number(values[i]))
        throw inputError(op, `${String(values[i])} at position ${i} is no ${dtype}`, {}, 'Round it first.');
  return out;
}

/** The largest finite number of a type. */
const MOST: Record<DType, number> = {
  float32: 3.4028234663852886e38,
  float16: 65504,
  int32: 2 ** 31 - 1,
  uint32: 2 ** 32 - 1,
  bool: Infinity,
};

/**
 * A number as operations that fill write it into a tensor of `dtype`, by PyTorch's rule: integers lose the fraction, for bool all but 0 is true. Refuses,
 * in the name of `op`, what the type does not hold: NaN and infinities among integers, finite numbers beyond the largest.
 */
export function fillNumber(op: string, value: number | boolean, dtype: DType): number {
  const number = Number(value);
  if (dtype === 'bool') return Number(number !== 0);
  if (isFloat(dtype) && !Number.isFinite(number)) return number;
  const whole = isFloat(dtype) ? number : Math.trunc(number);
  const least = { int32: -(2 ** 31), uint32: 0 }[dtype as string] ?? -MOST[dtype];
  if (whole >= least && whole <= MOST[dtype]) return whole;
  throw inputError(op, `${number} is no ${dtype}`, {}, `Use ${least} … ${MOST[dtype]}, or convert the tensor first.`);
}

const RANK: Record<DType, number> = { bool: 0, uint32: 1, int32: 2, float16: 3, float32: 4 };

/** Refuses types that there are not, such as PyTorch's other ones. */
export function checkDType(op: string, dtype: DType): void {
  if (!(dtype in RANK))
    throw inputError(op, `there is no dtype '${dtype}'`, {}, `Use ${Object.keys(RANK).join(', ')}.`);
}

/** The type that an operation on two types computes in, as in PyTorch: bool < uint32 < int32 < float16 < float32. */
export const promote = (a: DType, b: DType): DType => (RANK[a] >= RANK[b] ? a : b);
