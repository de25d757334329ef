/**
 * Segmented kernels: many small launches of one family as a single launch. A table tells every workgroup its segment, and each segment where
 * its operands start in buffers that all segments share. Used by compiled steps, which lay the buffers side by side (src/gpu/fuse.ts).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import type { Kernel } from './kernel';

/** What a kernel tells about itself so that its launches can be joined with others of its family. */
export interface Segment {
  /** The joined kernel: bindings as the kernel's own, then the table. Constants: number of workgroups, the records' first word. */
  readonly family: Kernel;
  /** Workgroups of this launch. */
  readonly groups: number;
  /** The family's own words. */
  readonly words: readonly number[];
}

export interface Family {
  name: string;
  /** Letters of the operands, as in Kernel.access. */
  access: string;
  /** Their element types. */
  types: readonly string[];
  workgroupSize: number;
  /** Words of a segment beside where it starts. */
  words: number;
  declarations?: string;
  /**
   * WGSL of one workgroup: operands are `b0`, `b1` …, starting at `at0`, `at1` … in words of four bytes; `group` counts the workgroups of the segment, `local` the
   * threads, `word(i)` are the segment's own words.
   */
  body: string;
}

/** The joined kernel of a family. A record holds where each operand starts, the first workgroup, and the segment's own words. */
export function segmentedKernel({
  name,
  access,
  types,
  workgroupSize,
  words,
  declarations = '',
  body,
}: Family): Kernel {
  const n = types.length;
  const operands = types.map((type, i) => `${access[i]} b${i}: ${type}`);
  const { head, io } = declare('groups: u32, records: u32', ...operands, 'r table: u32');
  const code = wgsl`
${head}
var<private> record: u32;
fn word(i: u32) -> u32 { return table[record + ${n + 1}u + i]; }
${declarations}
@compute @workgroup_size(${workgroupSize})
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) size: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = wid.y * size.x + wid.x;
  if (index >= p.groups) { return; }
  record = p.records + table[index] * ${n + 1 + words}u;
  ${types.map((_, i) => `let at${i} = table[record + ${i}u];`).join(' ')}
  let group = index - table[record + ${n}u];
  ${body}
}`;
  return { name, code, ...io };
}
