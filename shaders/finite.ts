// Looks for numbers that are not finite:  found ← min(found, number)  if any x[i] is NaN or infinite.
//
// `number` says which tensor x is, so `found` ends as the first of many. The test is on the bits, since WGSL lets drivers assume finite
// numbers; the minimum of integers does not depend on the order.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { perThread } from './build';
import type { Kernel } from './kernel';

const FINITE_TILE = 256;

/** Bindings: x, found. Constants: elements, number. */
export const findNonFinite: Kernel = {
  name: 'find non-finite',
  access: 'rx',
  uniforms: 8,
  grid: { tile: FINITE_TILE },
  code: wgsl`
struct Params { n: u32, number: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> found: atomic<u32>;
@group(1) @binding(0) var<uniform> p: Params;
${perThread('i', FINITE_TILE, 'p.n')}
  if ((bitcast<u32>(x[i]) & 0x7f800000u) == 0x7f800000u) { atomicMin(&found, p.number); }
}`,
};
