// Adds a bias per channel to y[batch, channels, inner], in place.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry } from './build';
import type { Kernel } from './kernel';
import type { KernelTarget } from './target';

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

/** Threads of a workgroup of `addBiasToRows`, and rows that it covers. */
const rowsShape = ({ isCpu, lanes }: KernelTarget) =>
  isCpu ? { threads: lanes || 8, rows: 64 } : { threads: 64, rows: 8 };

/** Workgroups of `addBiasToRows`. */
export function biasGroups(target: KernelTarget, rows: number, quads: number): number {
  const shape = rowsShape(target);
  return Math.ceil(quads / shape.threads) * Math.ceil(rows / shape.rows);
}

/**
 * The same for inner = 1 and channels in fours: a thread keeps four of the bias and walks down the rows, without a division for each element.
 * Constants: rows, channels / 4.
 */
export const addBiasToRows = (target: KernelTarget): Kernel =>
  cached(['bias.rows', target], () => {
    const { threads, rows } = rowsShape(target);
    const { head, io } = declare('rows: u32, quads: u32', 'r bias: vec4f', 'x y: vec4f');
    const code = wgsl`
${head}
${entry(threads)} {
  let group = wid.y * grid.x + wid.x;
  let across = (p.quads + ${threads - 1}u) / ${threads}u;
  let quad = group % across * ${threads}u + local;
  let first = group / across * ${rows}u;
  if (quad >= p.quads) { return; }
  let own = bias[quad];
  for (var row = first; row < min(first + ${rows}u, p.rows); row++) { y[row * p.quads + quad] += own; }
}`;
    return { name: 'bias', code, ...io, grid: { tile: 1 } };
  });
