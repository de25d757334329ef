// What kernel families share when they put WGSL together.
import { tuple } from './checked';
import { aliases } from './elements';
import type { Kernel } from './kernel';

const made = new Map<string, unknown>();

/** What `make` gives for `key` (family and options), made on first use, so that a kernel's pipeline is found again by identity. */
export function cached<T>(key: readonly unknown[], make: () => T): T {
  const text = textOf(key);
  if (!made.has(text)) made.set(text, make());
  return made.get(text) as T;
}

/**
 * Plain data as text, the same for equal data; what is undefined is left out. Every eager launch asks: for a convolution JSON took ten times as long,
 * a fifth of the host's time in an eager step.
 */
function textOf(data: unknown): string {
  if (typeof data === 'string') return `${data.length}'${data}`;
  if (typeof data !== 'object' || data === null) return String(data);
  let text = '';
  if (Array.isArray(data)) for (const item of data) text += `${textOf(item)},`;
  else
    for (const name in data) {
      const value = (data as Record<string, unknown>)[name];
      if (value !== undefined) text += `${name}:${textOf(value)},`;
    }
  return `[${text}]`;
}

/**
 * A storage binding: its letter of `Kernel.access`, name and type of element, such as `r x: vec4f`; false leaves it out. `Word` (a u32 to
 * WGSL) is any type that is only moved, `Index` (an i32) either integer type.
 */
type Buffer = string | false;

/** WGSL of storage bindings in their order, and the directive that they need, which stands before all declarations. */
export function storage(...buffers: readonly Buffer[]): { enable: string; bindings: string; access: string } {
  const parts = buffers.filter((b) => b !== false).map((b) => tuple(b.split(/:? /), 3));
  const bindings = parts.map(
    ([letter, name, type], i) =>
      `@group(0) @binding(${i}) var<storage, ${letter === 'r' ? 'read' : 'read_write'}> ${name}: array<${type}>;`,
  );
  const named = Object.entries(aliases).filter(([alias]) => parts.some(([, , type]) => type === alias));
  const head = named.map(([alias, type]) => `alias ${alias} = ${type};`);
  const enable = parts.some(([, , type]) => /f16|vec[234]h/.test(type)) ? 'enable f16;\n' : '';
  return { enable, bindings: [...head, ...bindings].join('\n'), access: parts.map(([letter]) => letter).join('') };
}

/** WGSL of storage bindings and of the uniform struct `p` with `fields`: numbers, vec4s, arrays of vec4s. */
export function declare(
  fields: string,
  ...buffers: readonly Buffer[]
): { head: string; io: Required<Pick<Kernel, 'access' | 'uniforms'>> } {
  const { enable, bindings, access } = storage(...buffers);
  const sizes = [...fields.matchAll(/: (?:array<)?(vec4)?\w*(?:<\w+>)?(?:, (\d+))?/g)];
  const uniforms = sizes.reduce((sum, [, vec4, length]) => sum + (vec4 ? 16 : 4) * Number(length ?? 1), 0);
  const head = `${enable}struct Params { ${fields} }\n${bindings}\n@group(1) @binding(0) var<uniform> p: Params;`;
  return { head, io: { access, uniforms } };
}

/** The head of `main` over a grid folded into two dimensions: `wid`, `grid` and `local`, and `lane` where lanes of a subgroup share what they load. */
export const entry = (size: number, lanes = 0): string =>
  `@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32${lanes ? ', @builtin(subgroup_invocation_id) lane: u32' : ''})`;

/** Opens such a `main` with a thread, or a workgroup, for each `name` below `count`. */
export const perThread = (name: string, size: number, count: string): string =>
  `${entry(size)} {
  let ${name} = (wid.y * grid.x + wid.x) * ${size}u + local;
  if (${name} >= ${count}) { return; }`;
export const perGroup = (name: string, size: number, count: string, lanes = 0): string =>
  `${entry(size, lanes)} {
  let ${name} = wid.y * grid.x + wid.x;
  if (${name} >= ${count}) { return; }`;
