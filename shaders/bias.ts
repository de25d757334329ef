// Adds a bias per channel to y[batch, channels, inner], in place.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import type { Kernel } from './kernel';

/** Elements that a workgroup covers. */
const BIAS_TILE = 256;

const { head, io } = declare('n: u32, channels: u32, inner: u32', 'r bias: f32', 'x y: f32');

/** Constants: elements, channels, inner. */
export const addBias: Kernel = {
  name: 'bias',
  ...io,
  grid: { tile: BIAS_TILE },
  code: wgsl`
${head}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let first = (w.y * groups.x + w.x) * ${BIAS_TILE}u + l;
  for (var i = first; i < min(first + ${BIAS_TILE}u, p.n); i += 64u) { y[i] += bias[i / p.inner % p.channels]; }
}`,
};
