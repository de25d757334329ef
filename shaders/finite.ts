// Looks for numbers that are not finite:  found ← min(found, number)  if any x[i] is NaN or infinite.
//
// `number` says which tensor x is, so `found` ends as the first of many. The test is on the bits, since WGSL lets drivers assume finite
// numbers; the minimum of integers does not depend on the order.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare, perThread } from './build';
import type { Kernel } from './kernel';

const FINITE_TILE = 256;

const { head, io } = declare('n: u32, number: u32', 'r x: f32', 'x found: atomic<u32>');

/** Bindings: x, found [1]. Constants: elements, number. */
export const findNonFinite: Kernel = {
  name: 'find non-finite',
  ...io,
  grid: { tile: FINITE_TILE },
  code: wgsl`
${head}
${perThread('i', FINITE_TILE, 'p.n')}
  if ((bitcast<u32>(x[i]) & 0x7f800000u) == 0x7f800000u) { atomicMin(&found[0], p.number); }
}`,
};
