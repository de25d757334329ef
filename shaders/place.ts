// Copies a strided tensor into strided places of another: the building block of concatenation, padding and gradients of slices.
//   out[offset + Σ_d i_d·outStride_d] = x[xOffset + Σ_d i_d·xStride_d]   for every index i of the source
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import type { Kernel } from './kernel';

export const PLACE_TILE = 64;

/** Moves 32-bit words, whatever their type. Constants: count, rank, both offsets, and padded to eight: dimensions, strides of x, of out. */
export const place: Kernel = {
  name: 'place',
  access: 'rx',
  uniforms: 4 * 28,
  code: wgsl`
struct Params { n: u32, rank: u32, readAt: i32, writeAt: i32, dims: array<vec4u, 2>, read: array<vec4i, 2>, write: array<vec4i, 2> }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(1) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(${PLACE_TILE})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  var rest = (w.y * groups.x + w.x) * ${PLACE_TILE}u + l;
  if (rest >= p.n) { return; }
  var readAt = p.readAt;
  var writeAt = p.writeAt;
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let dim = p.dims[d >> 2][d & 3];
    let c = i32(rest % dim);
    rest = rest / dim;
    readAt += c * p.read[d >> 2][d & 3];
    writeAt += c * p.write[d >> 2][d & 3];
  }
  out[writeAt] = x[readAt];
}`,
};
