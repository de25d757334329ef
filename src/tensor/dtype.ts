// Element types. All are stored in four bytes; a bool is a u32 that is 0 or 1.
import { F32, I32, U32 } from '../../shaders/elements';
import { inputError } from './context';

export type DType = 'float32' | 'int32' | 'uint32' | 'bool';
export type TypedArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** The WGSL type of an element as kernels compute with it. */
export const wgslType = (dtype: DType) =>
  ({ float32: 'f32', int32: 'i32', uint32: 'u32', bool: 'bool' })[dtype] as 'f32' | 'i32' | 'u32' | 'bool';

/** What the memory of a tensor holds, as `launch` compares it with what a kernel reads and writes. */
export const elementOf: Record<DType, number> = { float32: F32, int32: I32, uint32: U32, bool: U32 };

/** A typed array for the raw bytes of a tensor. */
export function hostArray(dtype: DType, buffer: ArrayBuffer): TypedArray {
  if (dtype === 'float32') return new Float32Array(buffer);
  return dtype === 'int32' ? new Int32Array(buffer) : new Uint32Array(buffer);
}

/** Host numbers as the tensor stores them. Integers out of range or fractions for an integer type are refused. */
export function toHost(values: ArrayLike<number | boolean>, dtype: DType, op = 'tensor'): TypedArray {
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
  const out = hostArray(dtype, new ArrayBuffer(4 * n));
  if (dtype === 'bool') for (let i = 0; i < n; i++) out[i] = values[i] ? 1 : 0;
  else for (let i = 0; i < n; i++) out[i] = Number(values[i]);
  if (dtype === 'int32' || dtype === 'uint32')
    for (let i = 0; i < n; i++)
      if (out[i] !== Number(values[i]))
        throw inputError(op, `${String(values[i])} at position ${i} is no ${dtype}`, {}, 'Round it first.');
  return out;
}

const RANK: Record<DType, number> = { bool: 0, uint32: 1, int32: 2, float32: 3 };

/** Refuses types that there are not, such as PyTorch's other ones. */
export function checkDType(op: string, dtype: DType): void {
  if (!(dtype in RANK))
    throw inputError(op, `there is no dtype '${dtype}'`, {}, `Use ${Object.keys(RANK).join(', ')}.`);
}

/** The type that an operation on two types computes in, as in PyTorch: bool < uint32 < int32 < float32. */
export const promote = (a: DType, b: DType): DType => (RANK[a] >= RANK[b] ? a : b);
