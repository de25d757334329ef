// How the kernels of products hold numbers in memory. They compute in f32: halves are widened where they are read, and a sum is rounded to a
// half once, where it is stored.
import { functionsFor } from './functions';

/** Which tensors of a product are float16: its operands, or its result too. Absent: none. */
export type Half = 'operands' | 'all';

export interface Held {
  /** WGSL types of an element and of four. */
  readonly type: 'f32' | 'f16';
  /** Of an element. */
  readonly bytes: 4 | 2;
  readonly vec4: 'vec4f' | 'vec4<f16>';
  /** WGSL of what was read, in f32. */
  read(value: string): string;
  read4(value: string): string;
  /** WGSL of what is stored, from f32. */
  store(value: string): string;
  store4(value: string): string;
  /** The directive before all else in the code, and the functions that storing needs. */
  readonly enable: string;
  readonly functions: string;
}

const SINGLE: Held = {
  type: 'f32',
  bytes: 4,
  vec4: 'vec4f',
  read: (value) => value,
  read4: (value) => value,
  store: (value) => value,
  store4: (value) => value,
  enable: '',
  functions: '',
};

const HALF: Held = {
  type: 'f16',
  bytes: 2,
  vec4: 'vec4<f16>',
  read: (value) => `f32(${value})`,
  read4: (value) => `vec4f(${value})`,
  store: (value) => `toHalf(${value})`,
  store4: (value) => `toHalf4(${value})`,
  enable: 'enable f16;\n',
  functions: functionsFor('toHalf(x) toHalf4(x)'),
};

/** How halves, or floats, are held. */
export const held = (half: boolean): Held => (half ? HALF : SINGLE);

/** How the operands of a product are held. */
export const operandsHeld = (half?: Half): Held => held(half !== undefined);

/** How its result is held; partial results, which are still to be summed, are float32. */
export const resultHeld = (half?: Half, splits = 1): Held => held(half === 'all' && splits === 1);
