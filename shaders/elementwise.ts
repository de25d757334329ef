// Elementwise kernels: out[i] = f(a[i], b[i], …) with NumPy broadcasting, made from an expression of the op table.
//
// 'flat': every operand is contiguous and starts at a binding: four elements a thread, as vec4.
// 'strided': the element's index is decoded over up to eight dimensions, each operand has strides (0 where it is repeated) and an offset.
// 'quads': the same for four neighbours along a last dimension that is a multiple of four, decoded once: integer division is what costs.

import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import { at } from './checked';
import { decode, offsetAt, offsetsType } from './decode';
import { functionsFor, type Library } from './functions';
import type { Kernel } from './kernel';

/** How an element is held. Halves are read as f32, and results rounded to them once. */
export type ElementType = 'f32' | 'f16' | 'i32' | 'u32' | 'bool';

export interface ElementwiseOptions {
  name: string;
  /** WGSL in terms of the operands' names and the scalars s, t, u, v, which have the type of `scalarType`. */
  expression: string;
  operands: { name: string; type: ElementType }[];
  /** Operands are converted to this type first; 'own' leaves each as it is. */
  compute: ElementType | 'own';
  result: ElementType;
  mode: 'flat' | 'quads' | 'strided';
  /** At most FEW dimensions. */
  few: boolean;
}

const WORKGROUP = 64;
/** Elements that one workgroup covers, four a thread. */
export const FLAT_TILE = WORKGROUP * 4;
/** The same for a strided kernel. */
export const STRIDED_TILE = WORKGROUP;

/** Words of the uniform struct in front of the strides: count, rank, 2 unused, 4 scalars, 8 dimensions. */
export const STRIDES_AT = 16;

/** Its numbers are uniforms. */
type Elementwise = Kernel & Required<Pick<Kernel, 'uniforms'>>;

/**
 * `library`: what the expression calls beyond the functions for every one. Every eager launch asks: a key of joined strings takes a tenth of the time
 * that JSON takes.
 */
export function elementwise(o: ElementwiseOptions, library?: Library): Elementwise {
  let key = `${o.name}|${o.expression}|${o.compute}|${o.result}|${o.mode}|${o.few}`;
  for (const { name, type } of o.operands) key += `|${name}:${type}`;
  let kernel = made.get(key);
  if (!kernel) made.set(key, (kernel = build(o, library)));
  return kernel;
}

const made = new Map<string, Elementwise>();

/** How a buffer holds a type. */
export const stored = (type: ElementType) => (type === 'bool' ? 'u32' : type);

/** The type that an element is computed in. */
export const wide = <T extends ElementType>(type: T) => (type === 'f16' ? 'f32' : type) as Exclude<T, 'f16'> | 'f32';

/** Scalars are of the type computed in: a float32 would not hold every integer. A bool is a u32. */
export const scalarType = ({ compute, result }: Pick<ElementwiseOptions, 'compute' | 'result'>) =>
  wide(stored(compute === 'own' ? result : compute));

function build(o: ElementwiseOptions, library: Library | undefined): Elementwise {
  const { operands, result } = o;
  const flat = o.mode === 'flat';
  const quads = o.mode === 'quads';
  const computed = (type: ElementType) => wide(o.compute === 'own' ? type : o.compute);
  const half = result === 'f16';
  const n = operands.length;
  const shape = (type: ElementType, vector: boolean) => (vector ? `vec4<${stored(type)}>` : stored(type));
  const { head, io } = declare(
    `n: u32, rank: u32, gap0: u32, gap1: u32, scalars: vec4<${scalarType(o)}>, dims: array<vec4u, 2>, strides: array<vec4i, ${Math.max(1, 2 * n)}>, offsets: ${offsetsType(n)}`,
    ...operands.map(({ type }, i) => `r in${i}: ${shape(type, flat)}`),
    `w out: ${shape(result, flat || quads)}`,
  );
  const load = (i: number, index: string) => `${computed(at(operands, i).type)}(in${i}[${index}])`;
  const parameters = operands.map((p) => `${p.name}: ${computed(p.type)}`).join(', ');
  const call = (args: string[]) => {
    const value = `f(${args.join(', ')})`;
    return result === 'bool' ? `u32(${value})` : value;
  };
  const four = (values: string[]) =>
    half ? `toHalf4(vec4f(${values.join(', ')}))` : `${shape(result, true)}(${values.join(', ')})`;
  const one = (value: string) => (half ? `toHalf(${value})` : value);
  const lanes = ['x', 'y', 'z', 'w'].map((lane) => call(operands.map((p, i) => `${computed(p.type)}(v${i}.${lane})`)));
  const neighbours = [0, 1, 2, 3].map((j) => call(operands.map((_, k) => load(k, `at${k} + ${j} * step${k}`))));
  const code = wgsl`
${head}
${functionsFor(half ? `${o.expression} toHalf(x) toHalf4(x)` : o.expression, library)}
fn f(${parameters}) -> ${wide(result)} {
  let s = p.scalars.x; let t = p.scalars.y; let u = p.scalars.z; let v = p.scalars.w;
  return ${wide(result)}(${o.expression});
}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let i = (w.y * groups.x + w.x) * ${WORKGROUP}u + l;
#if ${flat}
  if (i * 4u >= p.n) { return; }
  ${operands.map((_, k) => `let v${k} = in${k}[i];`).join(' ')}
  out[i] = ${four(lanes)};
#else
  if (i * ${quads ? 4 : 1}u >= p.n) { return; }
  var rest = i;
${decode(
  operands.map((_, k) => `i32(${offsetAt(k, n)})`),
  o.few,
)}
#if ${quads}
  // The strides of the last dimension count four elements.
  let last = ${o.few ? 'vec2u(0u, 2u)' : 'vec2u((p.rank - 1u) >> 2u, (p.rank - 1u) & 3u)'};
  ${operands.map((_, k) => `let step${k} = p.strides[${2 * k}u + last.x][last.y] / 4;`).join(' ')}
  out[i] = ${four(neighbours)};
#else
  out[i] = ${one(call(operands.map((_, k) => load(k, `at${k}`))))};
#endif
#endif
}`;
  return {
    name: o.name,
    code,
    ...io,
    grid: { tile: flat || quads ? FLAT_TILE : STRIDED_TILE },
    ...(flat &&
      o.expression === 'a + b' &&
      [...operands, { type: result }].every(({ type }) => type === 'f32') && { adds: 'sum' }),
  };
}
