/** The second phase of a deterministic two-phase sum: result[i] = Σ_p partials[p][i], in the order of p, compensated. */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { functionsFor } from './functions';
import { foldWorkgroups, type Kernel, type Lowering, type Stage, uniformShape } from './kernel';
import { type Half, type Held, held, resultHeld } from './precision';
import { segmentedKernel } from './segments';

const SIZE = 64;

const family = (stored: Held) =>
  segmentedKernel({
    name: 'sumPartials.joined',
    access: 'rw',
    types: ['f32', stored.type],
    workgroupSize: SIZE,
    words: 2,
    declarations: `${functionsFor('addTo() totalOf()')}\n${stored.functions}`,
    body: `let count = word(0u);
  let id = group * ${SIZE}u + local;
  if (id >= count) { return; }
  var sum = vec3f();
  for (var part = 0u; part < word(1u); part++) { sum = addTo(sum, b0[at0 + part * count + id], count >> 31u); }
  b1[at1 * ${4 / stored.bytes}u + id] = ${stored.store('totalOf(sum)')};`,
  });
const families = { f32: family(held(false)), f16: family(held(true)) };

/** Bindings: partials [parts][count] in f32, result [count]. */
export function sumPartials(name: string, parts: number, count: number, half?: Half): Kernel {
  const groups = Math.ceil(count / SIZE);
  const workgroups = foldWorkgroups(groups);
  const shape = uniformShape({ parts, count, across: workgroups[0] });
  const stored = resultHeld(half);
  const code = wgsl`
${stored.enable}${shape.struct}
${functionsFor('addTo() totalOf()')}
${stored.functions}
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<${stored.type}>;

@compute @workgroup_size(${SIZE}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  let id = (wid.x + wid.y * p.across) * ${SIZE}u + local;
  if (id >= p.count) { return; }
  var sum = vec3f();
  for (var part = 0u; part < p.parts; part++) { sum = addTo(sum, partials[part * p.count + id], p.count >> 31u); }
  result[id] = ${stored.store('totalOf(sum)')};
}`;
  return {
    name,
    code,
    access: 'rw',
    ...shape.kernel,
    grid: workgroups,
    segment: { family: families[stored.type], groups, words: [count, parts] },
  };
}

/** Terms of products beyond which a serial sum is split for its rounding errors, and most floats that partial results may take for that. */
const SERIAL = 4096;
const ROOM = 2 ** 22;

/** At least so many parts of a sum of `terms` for each of `count` results keep long serial sums short. */
export const partsForAccuracy = (terms: number, count: number): number =>
  terms <= SERIAL ? 1 : Math.max(1, Math.min(Math.ceil(terms / 128), Math.floor(ROOM / count)));

/** Products in one sum of a convolution beyond which its rounding errors are bounded: networks have fewer, and their kernels stay as they are. */
export const LONG = 2 ** 15;

/** At least so many parts of a weight gradient, whose sums are over `pixels`. */
export const partsOfPixels = (pixels: number, count: number): number =>
  pixels <= LONG ? 1 : Math.max(1, Math.min(Math.ceil(pixels / (SERIAL / 2)), Math.floor(ROOM / count)));

/** A kernel that computes `splits` partial results of an operation, and the launches before it. */
export interface Partials {
  readonly kernel: Kernel;
  readonly splits: number;
  /** What it reads; by default both operands. */
  readonly inputs?: Stage['inputs'];
  readonly pack?: readonly Stage[];
  /** Floats of the scratch buffers of `pack`. */
  readonly scratch?: readonly number[];
}

/**
 * The lowering of an operation with `count` results; several partial ones are summed by a launch called `name`. One part alone is the result, and
 * its kernel holds it as `resultHeld(half, splits)` says.
 */
export function lowerSum(
  name: string,
  { kernel, splits, inputs = ['a', 'b'], pack = [], scratch = [] }: Partials,
  count: number,
  half?: Half,
): Lowering {
  const product = pack.length;
  if (splits === 1) return { scratch, stages: [...pack, { kernel, inputs, output: 'out' }], product };
  const partials = scratch.length;
  return {
    scratch: [...scratch, splits * count],
    stages: [
      ...pack,
      { kernel, inputs, output: partials },
      { kernel: sumPartials(name, splits, count, half), inputs: [partials], output: 'out' },
    ],
    product,
  };
}
