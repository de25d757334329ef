/**
 * A sparse matrix applied along one axis of x [outer, inputs, inner]: resizing, padding, windows of images and their transposes differ in it alone.
 *
 *   y[a, o, b] = Σ_k weight[k] · x[a, index[k], b],   k = start[o] … start[o + 1] − 1
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const TILE = 64;

/**
 * Bindings: x, table, y. The table's words are starts (outputs + 1), then an index and the bits of a weight for each entry. Uniforms: elements of y,
 * inner, inputs, outputs.
 */
export const axisMap = (): Kernel =>
  cached(['axisMap'], () => {
    const { head, io } = declare(
      'n: u32, inner: u32, inputs: u32, outputs: u32',
      'r x: f32',
      'r table: i32',
      'w y: f32',
    );
    const code = wgsl`
${head}
${functionsFor('addTo() totalOf()')}
${perThread('i', TILE, 'p.n')}
  let o = i / p.inner % p.outputs;
  let base = i / (p.inner * p.outputs) * p.inputs * p.inner + i % p.inner;
  let end = table[o + 1u];
  var sum = vec3f();
  for (var k = table[o]; k < end; k++) {
    let entry = p.outputs + 1u + 2u * u32(k);
    sum = addTo(sum, bitcast<f32>(table[entry + 1u]) * x[base + u32(table[entry]) * p.inner], p.n >> 31u);
  }
  y[i] = totalOf(sum);
}`;
    return { name: 'axisMap', code, ...io, grid: { tile: TILE } };
  });
