// Kernels of float32 that hold some of their tensors as halves: the element type as a parameter of a kernel's text. A derived kernel computes what
// the given one does, bit for bit: halves are widened where they are read, and what is stored is rounded once.
import { at } from './checked';
import { elementsOf, F16, F32 } from './elements';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const derived = new WeakMap<Kernel, Map<string, Kernel>>();

/**
 * The kernel whose bindings of float32 are halves where `bound`, what it is launched on, has them; itself where there are none. What rewrites of
 * compiled steps know of it is not taken over: they count in words of four bytes.
 */
export function heldLike(kernel: Kernel, bound: readonly { readonly element: number }[]): Kernel {
  if (!bound.some(({ element }) => element === F16)) return kernel; // every eager launch asks
  const names = elementsOf(kernel).flatMap(({ name, element }, i) =>
    element === F32 && at(bound, i).element === F16 ? [name] : [],
  );
  if (!names.length) return kernel;
  const variants = derived.get(kernel) ?? new Map<string, Kernel>();
  derived.set(kernel, variants);
  const key = names.join();
  const known = variants.get(key) ?? derive(kernel, names);
  variants.set(key, known);
  return known;
}

function derive({ name, code, access, uniforms, constants, grid, flops }: Kernel, names: readonly string[]): Kernel {
  const text = names.reduce((all, binding) => holdHalves(name, all, binding), code);
  const functions = text.includes('fn toHalf(') ? '' : functionsFor('toHalf(x) toHalf4(x)');
  const about = { uniforms, constants, flops };
  const known = Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined));
  return { name, code: `enable f16;\n${text}\n${functions}`, access, grid, ...known };
}

/** WGSL in which the storage binding `name`, of f32 or vec4f, is of halves. */
function holdHalves(kernel: string, code: string, name: string): string {
  const wrong = (why: string) => new Error(`internal error: ${kernel} cannot hold '${name}' as halves: ${why}`);
  const declaration = new RegExp(`(var<storage[^>]*>\\s*${name}\\s*:\\s*array<)(f32|vec4f|vec4<f32>)(>\\s*;)`);
  const found = declaration.exec(code);
  if (!found) throw wrong('it is no array of f32 or vec4f');
  const vec4 = found[2] !== 'f32';
  const [widen, round] = vec4 ? ['vec4f', 'toHalf4'] : ['f32', 'toHalf'];
  const declared = code.replace(declaration, `$1${vec4 ? 'vec4<f16>' : 'f16'}$3`);
  // opaqueZero: as many bytes are twice as many halves.
  const length = new RegExp(`(arrayLength\\(&${name}\\) >> )(\\d+)u`, 'g');
  if (new RegExp(`&${name}\\b`).test(declared.replace(length, ''))) throw wrong('it is used by its address');
  const use = new RegExp(`(?<![\\w.])${name}\\[`);
  const hold = (text: string): string => {
    const start = text.search(use);
    if (start < 0) return text;
    const end = closing(text, start + name.length) + 1;
    const [element, rest] = [text.slice(start, end), text.slice(end)];
    const [stored, operator] = /^\s*([-+*/]?)=(?!=)/.exec(rest) ?? [];
    if (operator) throw wrong('it is changed in place');
    if (/^(\.\w+|\[[^\]]*\])\s*[-+*/]?=(?!=)/.test(rest)) throw wrong('a component of it is stored');
    if (stored === undefined) return `${text.slice(0, start)}${widen}(${element})${hold(rest)}`;
    const value = rest.slice(stored.length, rest.indexOf(';')).trim();
    return `${text.slice(0, start)}${element} = ${round}(${hold(value)})${hold(rest.slice(rest.indexOf(';')))}`;
  };
  return hold(declared.replace(length, (_, before: string, bits: string) => `${before}${Number(bits) + 1}u`));
}

/** Where the bracket at `open` is closed. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '[') depth++;
    else if (text[i] === ']' && --depth === 0) return i;
  }
  throw new Error('internal error: a bracket is not closed');
}
