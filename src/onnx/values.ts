// Numbers of constants, and their bytes.

import { fromFloat32 } from '../formats/safetensors';
import type { Shape } from '../tensor/shape';
import { type Constant, storedType } from './draft';
import type { ElementType } from './format';

export interface Values {
  readonly type: ElementType;
  readonly dims: Shape;
  readonly values: ArrayLike<number>;
}

/** A constant's numbers; those of tensors are read back. */
export async function readConstant(constant: Constant): Promise<Values> {
  if (constant.kind === 'sizes') return { type: 'int64', dims: [constant.values.length], values: constant.values };
  if (constant.kind === 'data') return constant;
  const { tensor } = constant;
  return { type: storedType(tensor), dims: tensor.shape, values: await tensor.data() };
}

export function sameNumbers({ values: a }: Values, { values: b }: Values): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** Little-endian, as ONNX has raw data; so are the machines that WebGPU runs on. */
export function bytesOf(type: ElementType, values: ArrayLike<number>): Uint8Array {
  if (type === 'int64') return bytesIn(BigInt64Array.from(Array.from(values, BigInt)));
  if (type === 'bool') return Uint8Array.from(values, Number);
  if (type === 'float16') return bytesIn(fromFloat32(Float32Array.from(values), 'F16') as Uint16Array);
  const Numbers = { float32: Float32Array, int32: Int32Array, uint32: Uint32Array }[type];
  return bytesIn(values instanceof Numbers ? values : Numbers.from(values));
}

const bytesIn = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
