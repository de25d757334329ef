// Copies a strided tensor into strided places of another: the building block of concatenation, padding and gradients of slices.
//   out[offset + Σ_d i_d·outStride_d] = x[xOffset + Σ_d i_d·xStride_d]   for every index i of the source
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import { decode } from './decode';
import type { Kernel } from './kernel';

const PLACE_TILE = 64;

const build = (few: boolean, type: 'Word' | 'f16'): Kernel => {
  const { head, io } = declare(
    'n: u32, rank: u32, readAt: i32, writeAt: i32, run: i32, readStep: i32, writeStep: i32, gap: u32, ' +
      'dims: array<vec4u, 2>, strides: array<vec4i, 4>',
    `r x: ${type}`,
    `x out: ${type}`,
  );
  const code = wgsl`
${head}
@compute @workgroup_size(${PLACE_TILE})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  var rest = (w.y * groups.x + w.x) * ${PLACE_TILE}u + l;
  if (rest >= p.n) { return; }
  ${decode(['p.readAt', 'p.writeAt'], few)}
  for (var j = 0; j < p.run; j++) { out[at1 + j * p.writeStep] = x[at0 + j * p.readStep]; }
}`;
  return { name: 'place', ...io, grid: { tile: PLACE_TILE }, code };
};

/**
 * Moves 32-bit words, whatever their type, or halves: `run` neighbours along the last dimension in a thread (4 where its size allows, since decoding the
 * index costs most). Constants: runs, rank, both offsets, run, steps of x and out within a run, unused, and padded to eight each:
 * dimensions, strides of x, strides of out, counted in runs. `few`: at most FEW dimensions, padded in front.
 */
export const place = {
  words: { few: build(true, 'Word'), many: build(false, 'Word') },
  halves: { few: build(true, 'f16'), many: build(false, 'f16') },
};
