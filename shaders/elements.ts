// The element types of a kernel's bindings, read off its WGSL: the code is the one declaration, so no kernel can forget or falsify it.
// `launch` compares them with what is bound (src/gpu/device.ts).
import type { Kernel } from './kernel';

/** Sets of element types as bits, so that a launch compares integers. A bool is stored as a u32 that is 0 or 1. */
export const F32 = 1;
export const I32 = 2;
export const U32 = 4;
/** Half precision, two bytes. */
export const F16 = 8;
/** Memory that belongs to no tensor, and kernels that move 32-bit words of any type. */
export const ANY = F32 | I32 | U32;

/** Types that kernels declare for more than one dtype: words that are only moved, and positions of either integer type. */
export const aliases = { Word: 'u32', Index: 'i32' } as const;

const ACCEPTED: Record<string, number> = {
  f32: F32,
  i32: I32,
  u32: U32,
  f16: F16,
  f: F32,
  h: F16,
  i: I32,
  u: U32,
  Word: ANY,
  Index: I32 | U32,
};

export interface Declared {
  readonly name: string;
  /** What the binding accepts. */
  readonly element: number;
}

const DECLARATION = /@group\(0\)\s*@binding\((\d+)\)\s*var<storage[^>]*>\s*(\w+)\s*:\s*([^;]+);/g;
const declared = new WeakMap<Kernel, readonly Declared[]>();

/** Name and elements of every storage binding, in order. Throws where the code declares one in a form that cannot be read. */
export function elementsOf(kernel: Kernel): readonly Declared[] {
  let found = declared.get(kernel);
  if (!found) declared.set(kernel, (found = read(kernel)));
  return found;
}

function read({ name, code, access }: Kernel): Declared[] {
  const list: Declared[] = [];
  for (const [, at = '', variable = '', type = ''] of code.matchAll(DECLARATION)) {
    const [, vector, scalar] = /\b(?:vec[234]([fihu])|(f32|f16|i32|u32|Word|Index))\b/.exec(type) ?? [];
    const element = ACCEPTED[vector ?? scalar ?? ''];
    if (element) list[Number(at)] = { name: variable, element };
  }
  for (let i = 0; i < access.length; i++)
    if (!list[i])
      throw new Error(`${name}: the WGSL declares no storage binding ${i} of f32, f16, i32, u32 or vectors of them`);
  return list;
}

/** Names of the types in a set, for messages. */
export const showElements = (element: number): string =>
  ['float32', 'int32', 'uint32', 'float16'].filter((_, i) => element & (1 << i)).join(' or ');
