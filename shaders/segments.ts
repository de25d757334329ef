/**
 * Segmented kernels: many small launches of one family as a single launch. A table tells every workgroup its segment, and a segment where
 * its source and result lie in shared buffers. Used by compiled steps, which lay the buffers side by side (src/gpu/fuse.ts).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import type { Kernel } from './kernel';

/** Elements of a result that one workgroup computes; no workgroup serves two segments. */
export const SEGMENT_TILE = 64;
/** Words in front of a family's own in a segment's record: first word of source and of result, first workgroup, number of elements. */
export const RECORD_HEAD = 4;

/** What a kernel of two bindings (source, result) tells about itself so that its launches can be joined with others of its family. */
export interface Segment {
  readonly family: Kernel;
  /** Elements of the result. */
  readonly count: number;
  /** The family's own words. */
  readonly words: readonly number[];
}

/**
 * The joined kernel of a family. `body` is WGSL that writes `result[to + id]` from `source[origin + …]`, with the family's own words as
 * `word(0)`, `word(1)` …  Bindings: source, table, result. Constants: number of workgroups, records' first word.
 */
export function segmentedKernel(name: string, words: number, body: string): Kernel {
  const code = wgsl`
struct Params { groups: u32, records: u32 }
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(1) @binding(0) var<uniform> p: Params;
var<private> record: u32;
fn word(i: u32) -> u32 { return table[record + ${RECORD_HEAD}u + i]; }
@compute @workgroup_size(${SEGMENT_TILE})
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) size: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = wid.y * size.x + wid.x;
  if (group >= p.groups) { return; }
  record = p.records + table[group] * ${RECORD_HEAD + words}u;
  let origin = table[record];
  let to = table[record + 1u];
  let id = (group - table[record + 2u]) * ${SEGMENT_TILE}u + local;
  if (id >= table[record + 3u]) { return; }
  ${body}
}`;
  return { name, code, access: 'rrw', uniforms: 16 };
}
