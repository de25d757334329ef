// Packs the weights of a convolution for CPU drivers: a lane then loads the channels that it spreads to the others with one vec4.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { foldWorkgroups, type Kernel, uniformShape } from '../kernel';
import { type Held, held, operandsHeld } from '../precision';
import { segmentedKernel } from '../segments';
import type { Gather } from './gather';

// A thread packs the block of channels of one tap: divisions are dear on a CPU, and this needs one set for up to 32 numbers.
const PACK_WORDS = [
  'block',
  'blocks',
  'plane',
  'inChannels',
  'outChannels',
  'groupStride',
  'outStride',
  'inStride',
  'flipped',
  'rows',
] as const;
const packBody = (
  word: (name: (typeof PACK_WORDS)[number]) => string,
  from: (at: string) => string,
  to: string,
): string => `
  if (row >= ${word('rows')}) { return; }
  let plane = ${word('plane')};
  let tap = row % plane;
  let line = row / plane;
  let c = line % ${word('inChannels')};
  let part = line / ${word('inChannels')};
  let first = part % ${word('blocks')} * ${word('block')};
  let source = (part / ${word('blocks')} * ${word('groupStride')} + c * ${word('inStride')}) * plane + select(tap, plane - 1u - tap, ${word('flipped')} != 0u);
  for (var i = 0u; i < ${word('block')}; i++) {
    let channel = first + i;
    let value = ${from(`source + min(channel, ${word('outChannels')} - 1u) * ${word('outStride')} * plane`)};
    ${to} row * ${word('block')} + i] = select(0.0, value, channel < ${word('outChannels')});
  }`;

/** All packings of a compiled step in one launch; a word is one float or two halves. */
const packFamily = (held: Held) =>
  segmentedKernel({
    name: 'conv2d.pack.joined',
    access: 'rw',
    types: [held.type, 'f32'],
    workgroupSize: 64,
    words: PACK_WORDS.length,
    body: `let row = group * 64u + local;
  ${packBody(
    (name) => `word(${PACK_WORDS.indexOf(name)}u)`,
    (at) => held.read(`b0[at0 * ${4 / held.bytes}u + ${at}]`),
    'b1[at1 +',
  )}`,
  });

const packFamilies = { f32: packFamily(held(false)), f16: packFamily(held(true)) };

/** OIHW weights to [group][block][in][ky][kx][block of out], zeros where the last block is not full. */
export function packWeights(name: string, g: Gather, block: number, rows: number): Kernel {
  const groups = Math.ceil(rows / 64);
  const workgroups = foldWorkgroups(groups);
  const values: Record<(typeof PACK_WORDS)[number], number> = {
    block,
    blocks: Math.ceil(g.outChannels / block),
    plane: g.kernelHeight * g.kernelWidth,
    inChannels: g.inChannels,
    outChannels: g.outChannels,
    groupStride: g.weightStride.group,
    outStride: g.weightStride.out,
    inStride: g.weightStride.in,
    flipped: g.flipped ? 1 : 0,
    rows,
  };
  const shape = uniformShape({ ...values, across: workgroups[0] });
  const read = operandsHeld(g.half);
  const code = wgsl`
${read.enable}${shape.struct}
@group(0) @binding(0) var<storage, read> weights: array<${read.type}>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (wid.x + wid.y * p.across) * 64u + local;
  ${packBody(
    (name) => `p.${name}`,
    (at) => read.read(`weights[${at}]`),
    'packed[',
  )}
}`;
  const segment = { family: packFamilies[read.type], groups, words: PACK_WORDS.map((word) => values[word]) };
  return { name, code, access: 'rw', ...shape.kernel, grid: workgroups, segment };
}
