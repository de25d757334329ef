/**
 * How the threads of a workgroup combine what each of them has summed up.
 *
 * Software drivers run a barrier as a coroutine switch, so there a team is one subgroup and uses subgroup operations;
 * elsewhere it is a workgroup that folds halves in workgroup memory. The order of additions is fixed either way.
 */
import type { KernelTarget } from './target';

export interface Team {
  /** Threads of a workgroup; 1 for threads that work alone. */
  readonly size: number;
  /** Neighbouring threads that sum up together: all of them, or a part. */
  readonly width: number;
  /** WGSL for the top of the module: `teamSum(v: vec2f, local: u32)` and `teamMax(v: f32, local: u32)`; call them in uniform control flow. */
  readonly code: string;
}

const SIMT_SIZE = 64;

/**
 * Elements of a channel that batch norm sums up in one chunk on GPUs, and the threads that do it, one for each vec4: few enough that a
 * convolution's tile has whole chunks and can sum them up itself (conv/norm-sums.ts).
 */
export const GPU_CHUNK = 64;
export const CHUNK_THREADS = GPU_CHUNK / 4;

/**
 * The team of an adapter: WGSL that every thread of the workgroup calls; all get the result. GPUs may have workgroups of another size, and
 * several teams of `width` threads in one.
 */
export function teamFor(target: KernelTarget, size = SIMT_SIZE, width = size): Team {
  if (target.isCpu && target.subgroupSize > 0)
    return { size: target.subgroupSize, width: target.subgroupSize, code: subgroup };
  return { size, width, code: folding(size, width) };
}

/** Threads that work alone, 64 in a workgroup. */
export const alone: Team = {
  size: 1,
  width: 1,
  code: `
fn teamSum(v: vec2f, local: u32) -> vec2f { return v; }
fn teamMax(v: f32, local: u32) -> f32 { return v; }
`,
};

const subgroup = `enable subgroups;
fn teamSum(v: vec2f, local: u32) -> vec2f { return subgroupAdd(v); }
fn teamMax(v: f32, local: u32) -> f32 { return subgroupMax(v); }
`;

const folding = (size: number, width: number) => {
  const fold = (name: string, type: string, combine: (a: string, b: string) => string) => `
var<workgroup> ${name}Cells: array<${type}, ${size}>;
fn ${name}(v: ${type}, local: u32) -> ${type} {
  ${name}Cells[local] = v;
  ${foldHalves(width, (a, b) => `${name}Cells[${a}] = ${combine(`${name}Cells[${a}]`, `${name}Cells[${b}]`)};`)}
  let result = ${name}Cells[local / ${width}u * ${width}u];
  workgroupBarrier();
  return result;
}
`;
  return fold('teamSum', 'vec2f', (a, b) => `${a} + ${b}`) + fold('teamMax', 'f32', (a, b) => `max(${a}, ${b})`);
};

/** WGSL that folds what each `width` neighbouring threads hold in workgroup memory into the first of them; `step` adds one thread's to another's. */
export const foldHalves = (
  width: number,
  step: (to: string, from: string) => string,
): string => `for (var half = ${width / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local % ${width}u < half) { ${step('local', 'local + half')} }
  }
  workgroupBarrier();`;
