// Adds a bias per channel to y[batch, channels, inner], in place.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import type { Kernel } from './kernel';

/** Elements that a workgroup covers. */
export const BIAS_TILE = 256;

/** Constants: elements, channels, inner. */
export const addBias: Kernel = {
  name: 'bias',
  access: 'rx',
  uniforms: 12,
  code: wgsl`
struct Params { n: u32, channels: u32, inner: u32 }
@group(0) @binding(0) var<storage, read> bias: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * groups.x + w.x) * ${BIAS_TILE}u + l;
  for (var i = first; i < min(first + ${BIAS_TILE}u, p.n); i += 64u) { y[i] += bias[i / p.inner % p.channels]; }
}`,
};
