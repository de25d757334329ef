// Scaled gradients of mixed precision: dividing them by the scale while looking for infinities and NaN, and the next scale. All on the GPU, so
// that a step needs no read-back. `found` [1] is 1 where a gradient was not finite, else 0.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { arithmetic } from './arithmetic';
import { declare, perThread } from './build';
import type { Kernel } from './kernel';

const TILE = 256;

const unscaled = declare('n: u32', 'x g: f32', 'r scale: f32', 'x found: atomic<u32>');

/** g ← g / scale, found ← 1 where a g is not finite. Constants: elements. A power of two divides exactly. */
export const unscale: Kernel = {
  name: 'unscale gradient',
  ...unscaled.io,
  grid: { tile: TILE },
  code: wgsl`
${unscaled.head}
${arithmetic.over}
${perThread('i', TILE, 'p.n')}
  let x = g[i];
  if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) { atomicStore(&found[0], 1u); }
  let bits = bitcast<u32>(scale[0]);
  let exponent = bits >> 23u;
  if ((bits & 0x7fffffu) == 0u && exponent > 0u && exponent < 254u) {
    g[i] = x * bitcast<f32>((254u - exponent) << 23u);
  } else {
    g[i] = over(x, scale[0]);
  }
}`,
};

const merged = declare('n: u32', 'x into: u32', 'r found: u32');

/** into ← 1 where found is 1. */
export const mergeFound: Kernel = {
  name: 'merge found',
  ...merged.io,
  grid: { tile: 1 },
  code: wgsl`
${merged.head}
@compute @workgroup_size(1) fn main() { into[0] = max(into[0], found[0]); }`,
};

const updated = declare('growth: f32, backoff: f32, interval: u32', 'x scale: f32', 'x tracker: i32', 'r found: u32');

/**
 * As PyTorch's `_amp_update_scale_`: the scale shrinks by `backoff` after a step with infinities, and grows by `growth` after `interval` steps without, unless it
 * would be infinite. `tracker` [1] counts these. Constants: growth, backoff, interval.
 */
export const updateScale: Kernel = {
  name: 'update scale',
  ...updated.io,
  grid: { tile: 1 },
  code: wgsl`
${updated.head}
@compute @workgroup_size(1) fn main() {
  if (found[0] != 0u) {
    scale[0] *= p.backoff;
    tracker[0] = 0;
  } else {
    let steps = tracker[0] + 1;
    let grown = scale[0] * p.growth;
    if (u32(steps) == p.interval) {
      if ((bitcast<u32>(grown) & 0x7f800000u) != 0x7f800000u) { scale[0] = grown; }
      tracker[0] = 0;
    } else {
      tracker[0] = steps;
    }
  }
}`,
};
