/**
 * Forward convolution and input gradient for CPU drivers (cpu-rows.ts says what is dear there): a lane owns 4 neighbouring x-positions (of every
 * class) in up to 4 rows, and up to 32 output channels. The weights of those channels are one vec4 per lane, spread to all by
 * `subgroupBroadcast`. They are packed to [group][block][in][ky][kx][outBlock] beforehand (cpu-pack.ts), which also transposes them for the
 * gradient. Where a row fits into a subgroup, what a window reads beyond the lane's own positions comes from its neighbours.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { at } from '../checked';
import { foldWorkgroups, type Kernel, spread, uniformShape, unroll } from '../kernel';
import { operandsHeld, resultHeld } from '../precision';
import { type KernelTarget, WIDE } from '../target';
import type { Variant } from '../variants';
import { packWeights } from './cpu-pack';
import { blockSize, loadRow, MAX_RARE_FMAS, storeRow } from './cpu-rows';
import { type Axis, type Gather, positions } from './gather';

const MAX_FMAS = 288; // vec4 FMAs in an unrolled body; compile time grows faster than linearly beyond
const MAX_CHANNELS = 4; // read in one turn
const MAX_ACCUMULATORS = 32; // vec4
const ENOUGH_FMAS = 8; // for one accumulator in one turn of the loop
const STORED = 4; // accumulators of a position in one turn of the storing loop
const FEW_INVOCATIONS = 512; // below this, prefer more invocations with fewer channels each

export interface PackedGather {
  readonly pack: Kernel;
  readonly packedFloats: number;
  /** Bindings: the images read, the packed weights, the images written. */
  readonly gather: Kernel;
}

/** Null where the unrolled body would grow too large: very wide kernels or strides. */
export function cpuGather(name: string, g: Gather, target: KernelTarget, variant: Variant): PackedGather | null {
  const { lanes } = target;
  const { x, y } = g;
  const [read, stored] = [operandsHeld(g.half), resultHeld(g.half)];
  const classes = x.classes * y.classes;
  const count = (axis: Axis) => axis.taps.reduce((sum, taps) => sum + taps.length, 0);
  const taps = count(x) * count(y);
  const plane = g.kernelHeight * g.kernelWidth;
  const strided = classes > 1 || x.step > 1;
  const larger = lanes >= WIDE ? 2 : 1;
  const budget = larger * (strided ? MAX_RARE_FMAS : MAX_FMAS);
  const spans = Math.ceil(positions(x) / 4);
  const invocations = (rows: number, channels: number) =>
    g.batch * spans * Math.ceil(positions(y) / rows) * g.groups * Math.ceil(g.outChannels / channels);
  const mostChannels = (rows: number) =>
    Math.min(4 * (lanes || 4), (larger * MAX_ACCUMULATORS) / (rows * classes), budget / Math.max(1, rows * taps));
  // Rows share the input rows between them, and every weight that is loaded and spread: rows are worth more than channels.
  const rows =
    [4, 2].find(
      (n) =>
        !strided &&
        taps > 1 &&
        positions(y) % n === 0 &&
        mostChannels(n) >= 4 &&
        invocations(n, mostChannels(n)) >= FEW_INVOCATIONS,
    ) ?? 1;
  let most = Math.min(variant.block ?? Infinity, mostChannels(rows));
  while (!variant.block && most > 8 && invocations(rows, most) < FEW_INVOCATIONS) most /= 2;
  most -= most % 4;
  if (most < 4) return null;

  const block = blockSize(g.outChannels, most);
  const blocks = Math.ceil(g.outChannels / block);
  const vecs = block / 4;
  let channels = 1; // read in one turn of the loop
  while (
    channels < MAX_CHANNELS &&
    channels * taps < ENOUGH_FMAS * classes &&
    g.inChannels % (2 * channels) === 0 &&
    2 * channels * rows * taps * block <= budget
  )
    channels *= 2;
  const rowGroups = Math.ceil(positions(y) / rows);
  const total = g.batch * rowGroups * spans;
  const size = invocations(rows, block) >= 2 * FEW_INVOCATIONS ? 64 : Math.max(16, lanes);
  const pixelGroups = foldWorkgroups(Math.ceil(total / size));
  const unit = x.inSize % 4 ? 1 : 4; // floats of a load
  const shape = uniformShape({
    total,
    spans,
    rowGroups,
    across: pixelGroups[0],
    blocks,
    inChannels: g.inChannels,
    inAll: g.groups * g.inChannels,
    turns: g.inChannels / channels,
    outChannels: g.outChannels,
    outAll: g.groups * g.outChannels,
    inHeight: y.inSize,
    inWidth: x.inSize / unit,
    outHeight: y.size,
    outWidth: x.size,
  });

  // The rows that a lane reads, as offsets from `step * rows * yq`, and which of them a tap of an output row needs.
  const outRows = Array.from({ length: rows * y.classes }, (_, r) => ({
    q: Math.floor(r / y.classes),
    taps: at(y.taps, r % y.classes),
  }));
  const offsets = [...new Set(outRows.flatMap((r) => r.taps.map((t) => y.step * r.q + t.offset)))].sort(
    (a, b) => a - b,
  );
  const inRow = (r: (typeof outRows)[number], offset: number) => offsets.indexOf(y.step * r.q + offset);
  // Lanes that cover the rows read, without a rest, find in their neighbours what lies beside their own stretch; 16 lanes
  // had better load it again, because there a shuffle by one is a loop over them.
  const neighbours = lanes > 0 && lanes < WIDE && lanes % spans === 0 && 4 * spans * x.step === x.inSize;
  const inputs = Array.from({ length: channels }, (_, c) =>
    offsets.map((_, i) =>
      loadRow(x, {
        id: `${c}_${i}`,
        line: `plane + at${i}${c ? ` + ${c} * planeSize` : ''}`,
        inside: `inside${i}`,
        held: read,
        neighbours,
      }),
    ),
  );
  // The weights of one turn are contiguous: a vec4 per lane, or all by uniform loads.
  const weightLoads = Math.ceil((channels * plane * vecs) / (lanes || 1));
  const weight = (index: number, i: number) => spread(lanes, 'w', index * vecs + (i >> 2), `[${i % 4}]`);
  const accumulator = (r: number, cx: number, i: number) => `acc${(r * x.classes + cx) * block + i}`;
  const fmas = (c: number, i: number) =>
    unroll(x.classes, (cx) =>
      outRows
        .map((row, r) =>
          row.taps
            .flatMap((ty) =>
              at(x.taps, cx).map((tx) => {
                const read = at(at(inputs, c), inRow(row, ty.offset));
                const input = `vec4f(${[0, 1, 2, 3].map((j) => read.at(x.step * j + tx.offset)).join(', ')})`;
                return `${accumulator(r, cx, i)} = fma(s${ty.tap}_${tx.tap}, ${input}, ${accumulator(r, cx, i)});`;
              }),
            )
            .join(' '),
        )
        .join('\n'),
    );
  const weights = (c: number, i: number) =>
    y.taps.flatMap((ty) =>
      ty.flatMap(({ tap: ky }) =>
        x.taps.flatMap((tx) =>
          tx.map(({ tap: kx }) => `let s${ky}_${kx} = vec4f(${weight(c * plane + ky * g.kernelWidth + kx, i)});`),
        ),
      ),
    );
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
${read.enable}${shape.struct}
@group(0) @binding(0) var<storage, read> images: array<${unit === 4 ? read.vec4 : read.type}>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> result: array<${x.size % (4 * x.classes) ? stored.type : stored.vec4}>;
${stored.functions}

@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32${lanes ? ', @builtin(subgroup_invocation_id) lane: u32' : ''}) {
  let index = (wid.x + wid.y * p.across) * ${size}u + local;
  let id = min(index, p.total - 1u);
  let channel = wid.z % p.blocks * ${block}u; // the first written, within its group
  let g = wid.z / p.blocks;
  let line = id / p.spans;
  let n = line / p.rowGroups;
  let xq = i32(id - line * p.spans);
  let yq = i32(line - n * p.rowGroups) * ${rows};
  let inHeight = i32(p.inHeight);
  let inWidth = i32(p.inWidth);
  let planeSize = inHeight * inWidth;
  let lastUnit = inWidth - 1;
  let turns = p.turns;
  ${unroll(outRows.length * x.classes * block, (i) => `var acc${i} = vec4f();`)}
  ${offsets
    .map(
      (offset, i) => `let y${i} = ${y.step} * yq + ${offset};
  let inside${i} = y${i} >= 0 && y${i} < inHeight;
  let at${i} = clamp(y${i}, 0, inHeight - 1) * inWidth;`,
    )
    .join('\n')}
  var plane = i32(n * p.inAll + g * p.inChannels) * planeSize;
  var w = wid.z * p.inChannels * ${plane * vecs}u;
  for (var turn = 0u; turn < turns; turn++) {
    ${inputs.flatMap((channel) => channel.map(({ code }) => code)).join('\n')}
    ${unroll(weightLoads, (i) => `let w${i} = weights[w + ${lanes ? `${i * lanes}u + lane` : `${i}u`}];`)}
    ${unroll(channels * block, (k) => {
      const [c, i] = [k % channels, Math.floor(k / channels)];
      return `{ ${weights(c, i).join(' ')}\n${fmas(c, i)} }`;
    })}
    plane += ${channels} * planeSize;
    w += ${channels * plane * vecs}u;
  }
  if (index >= p.total) { return; }
  let outWidth = i32(p.outWidth);
  let outHeight = i32(p.outHeight);
  // A store costs the driver's compiler as much as 16 FMAs: store a few accumulators, shift the others down.
  for (var i = 0u; i < min(${block}u, p.outChannels - channel); i += ${STORED}u) {
    ${unroll(
      STORED,
      (i) => `if (channel + i + ${i}u < p.outChannels) {
      let image = i32(n * p.outAll + g * p.outChannels + channel + i + ${i}u) * outHeight;
      ${outRows
        .map(
          (_, r) => `${y.size % outRows.length ? `if (${y.classes} * yq + ${r} < outHeight) ` : ''}{
        let at = (image + ${y.classes} * yq + ${r}) * outWidth + ${4 * x.classes} * xq;
        ${storeRow(x, stored, (cx) => accumulator(r, cx, i))}
      }`,
        )
        .join('\n')}
    }`,
    )}
    ${unroll(outRows.length * x.classes * block, (i) => (i % block < block - STORED ? `acc${i} = acc${i + STORED};` : ''))}
  }
}`;
  const packed = g.groups * blocks * g.inChannels * plane * block;
  return {
    pack: packWeights(`${name}.pack`, g, block, packed / block),
    packedFloats: packed + 4 * lanes, // the last load may reach beyond the weights
    gather: {
      name,
      code,
      access: 'rrw',
      ...shape.kernel,
      grid: [pixelGroups[0], pixelGroups[1], blocks * g.groups],
    },
  };
}
