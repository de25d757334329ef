/**
 * How the threads of a workgroup combine what each of them has summed up.
 *
 * Software drivers run a barrier as a coroutine switch, so there a team is one subgroup and uses subgroup operations;
 * elsewhere it is a workgroup that folds halves in workgroup memory. The order of additions is fixed either way.
 */
import type { Back } from './kernel';

export interface Team {
  /** Threads in the team: the whole workgroup, or one. */
  readonly size: number;
  /** WGSL for the top of the module: `teamSum(v: vec2f, local: u32)` and `teamMax(v: f32, local: u32)`; call them in uniform control flow. */
  readonly code: string;
}

const SIMT_SIZE = 64;

/** The team of an adapter: WGSL that every thread of the workgroup calls; all get the result. */
export function teamFor(back: Back): Team {
  if (back.kind === 'software' && back.subgroupSize > 0) return { size: back.subgroupSize, code: subgroup };
  return { size: SIMT_SIZE, code: folding(SIMT_SIZE) };
}

/** Threads that work alone, 64 in a workgroup. */
export const alone: Team = {
  size: 1,
  code: `
fn teamSum(v: vec2f, local: u32) -> vec2f { return v; }
fn teamMax(v: f32, local: u32) -> f32 { return v; }
`,
};

const subgroup = `enable subgroups;
fn teamSum(v: vec2f, local: u32) -> vec2f { return subgroupAdd(v); }
fn teamMax(v: f32, local: u32) -> f32 { return subgroupMax(v); }
`;

const folding = (size: number) => {
  const fold = (name: string, type: string, combine: (a: string, b: string) => string) => `
var<workgroup> ${name}Cells: array<${type}, ${size}>;
fn ${name}(v: ${type}, local: u32) -> ${type} {
  ${name}Cells[local] = v;
  for (var half = ${size / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { ${name}Cells[local] = ${combine(`${name}Cells[local]`, `${name}Cells[local + half]`)}; }
  }
  workgroupBarrier();
  let result = ${name}Cells[0];
  workgroupBarrier();
  return result;
}
`;
  return fold('teamSum', 'vec2f', (a, b) => `${a} + ${b}`) + fold('teamMax', 'f32', (a, b) => `max(${a}, ${b})`);
};
