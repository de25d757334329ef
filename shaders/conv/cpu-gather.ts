/**
 * Convolution for CPU drivers (lavapipe, SwiftShader), where invocations are SIMD lanes. A divergent load is a loop over
 * them (a vec4 costs as much as 6 vec4 FMAs) or, in newer drivers, a vector gather that takes some 3 cycles a lane, and each
 * accumulator is loaded, masked and stored in every turn of a loop (as much as 4 FMAs), but a broadcast is nearly free. So
 * both formulations hold many accumulators, do all taps of a channel in one turn, and share what lanes load, without
 * workgroup memory or barriers:
 *
 * - Gather (forward, input gradient): a lane owns 4 neighbouring x-positions (of every class) in up to 4 rows, and up to 32
 *   output channels. The weights of those channels are one vec4 per lane, spread to all by `subgroupBroadcast`.
 *   They are packed to [group][block][in][ky][kx][outBlock] beforehand, which also transposes them for the gradient.
 *   Where a row fits into a subgroup, what a window reads beyond the lane's own positions comes from its neighbours.
 * - Weight gradient: a lane owns one input channel (or one row of its kernel, where channels are few) and all taps of up
 *   to 32 output channels; per 4 pixels (of two rows, where lanes are many) it loads its stretches of x, and dy of one
 *   output channel, which is broadcast.
 *
 * The machine code shows why: an fma is a multiply and an add. Mesa 25.0 takes 8 instructions and two branches for a float
 * that is loaded, in every lane; of a 3×3 convolution of 16 channels the loads take 40 % of the time, the FMAs' block half.
 * Mesa 26.1 with 16 lanes: gathers 26 % (38 % in the weight gradient), FMAs 60 %. Uniform loads of the weights, without
 * broadcasts, are slower with both. Winograd's transform would save FMAs, but load twice the weights.
 *
 * An accumulator's FMAs stand side by side, because there are more accumulators than registers. Extents are uniforms: the
 * driver takes a second or more to compile such a body, and the layers of a network, forward and backward, then share a few.
 * Without subgroups the broadcasts become uniform loads.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { foldWorkgroups, type Kernel, uniformShape, unroll } from '../kernel';
import { segmentedKernel } from '../segments';
import { type KernelTarget, WIDE } from '../target';
import { scaleSplits, type Variant } from '../variants';
import { type Axis, type Gather, positions } from './gather';
import type { Conv2dShape } from './shape';

const MAX_FMAS = 288; // vec4 FMAs in an unrolled body; compile time grows faster than linearly beyond
const MAX_RARE_FMAS = 96; // where strides or few channels make a layer rare in a network: less is gained than compiling costs
const MAX_TALL_TAPS = 9; // of a kernel whose rows are all one lane's in the weight gradient
const MAX_CHANNELS = 4; // read in one turn
const MAX_ACCUMULATORS = 32; // vec4
const ENOUGH_FMAS = 8; // for one accumulator in one turn of the loop
const STORED = 4; // accumulators of a position in one turn of the storing loop
const ENOUGH_WORKGROUPS = 64; // for the cores of a CPU; more splits of a weight gradient are more to sum
const FEW_INVOCATIONS = 512; // below this, prefer more invocations with fewer channels each

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** `n` split into equal blocks of at most `max`, rounded up to a multiple of 4. */
function blockSize(n: number, max: number): number {
  const blocks = Math.ceil(n / max);
  return 4 * Math.ceil(n / blocks / 4);
}

export interface PackedGather {
  readonly pack: Kernel;
  readonly packedFloats: number;
  /** Bindings: the images read, the packed weights, the images written. */
  readonly gather: Kernel;
}

/** Null where the unrolled body would grow too large: very wide kernels or strides. */
export function softwareGather(name: string, g: Gather, target: KernelTarget, variant: Variant): PackedGather | null {
  const { lanes } = target;
  const { x, y } = g;
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
    taps: y.taps[r % y.classes],
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
        neighbours,
      }),
    ),
  );
  // The weights of one turn are contiguous: a vec4 per lane, or all by uniform loads.
  const weightLoads = Math.ceil((channels * plane * vecs) / (lanes || 1));
  const weight = (index: number, i: number) => {
    const vec = index * vecs + (i >> 2);
    return lanes ? `subgroupBroadcast(w${Math.floor(vec / lanes)}[${i % 4}], ${vec % lanes}u)` : `w${vec}[${i % 4}]`;
  };
  const accumulator = (r: number, cx: number, i: number) => `acc${(r * x.classes + cx) * block + i}`;
  const fmas = (c: number, i: number) =>
    unroll(x.classes, (cx) =>
      outRows
        .map((row, r) =>
          row.taps
            .flatMap((ty) =>
              x.taps[cx].map((tx) => {
                const input = `vec4f(${[0, 1, 2, 3].map((j) => inputs[c][inRow(row, ty.offset)].at(x.step * j + tx.offset)).join(', ')})`;
                return `${accumulator(r, cx, i)} = fma(s${ty.tap}_${tx.tap}, ${input}, ${accumulator(r, cx, i)});`;
              }),
            )
            .join(' '),
        )
        .join('\n'),
    );
  const spread = (c: number, i: number) =>
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
${shape.struct}
@group(0) @binding(0) var<storage, read> images: array<${unit === 4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> result: array<${x.size % (4 * x.classes) ? 'f32' : 'vec4f'}>;

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
      return `{ ${spread(c, i).join(' ')}\n${fmas(c, i)} }`;
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
        ${storeRow(x, (cx) => accumulator(r, cx, i))}
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
      workgroups: [pixelGroups[0], pixelGroups[1], blocks * g.groups],
    },
  };
}

interface RowLoads {
  readonly code: string;
  /** Names the float at `offset` from the first that the lane's first position reads with its tap of offset 0. */
  readonly at: (offset: number) => string;
}

interface RowOptions {
  /** Suffix that keeps the names of several rows apart. */
  readonly id: string;
  /** WGSL for the row's first index in `images`, and for whether the row exists: rows outside are zero. */
  readonly line: string;
  readonly inside: string;
  /** The lanes of a row are neighbours in one subgroup. */
  readonly neighbours?: boolean;
}

/**
 * Loads of everything that a lane's 4 positions read in one row of `images`; `xq` is the lane's place in the row.
 * Rows whose length is a multiple of 4 are read as vec4, each of which lies inside or outside as a whole.
 */
function loadRow(x: Axis, { id, line, inside, neighbours = false }: RowOptions): RowLoads {
  const lastSpan = Math.ceil(positions(x) / 4) - 1;
  const steps = [0, 1, 2, 3].map((j) => x.step * j);
  const offsets = [...new Set(x.taps.flat().flatMap(({ offset }) => steps.map((step) => step + offset)))];
  const width = x.inSize % 4 ? 1 : 4;
  const units = [...new Set(offsets.map((o) => Math.floor(o / width)))];
  const perSpan = (4 * x.step) / width;
  const last = 'lastUnit';
  const highest = x.inSize / width - 1;
  const label = (unit: number) => `v${id}_${unit < 0 ? 'm' : ''}${Math.abs(unit)}`;
  const used = (unit: number) => [
    ...new Set(offsets.filter((o) => Math.floor(o / width) === unit).map((o) => o - unit * width)),
  ];
  const scalar = (unit: number) => width === 1 || used(unit).length === 1;
  /** The unit of a neighbouring lane that a unit outside the lane's own span is. */
  const lender = (unit: number) => (unit < 0 ? unit + perSpan : unit - perSpan);
  const own = (unit: number) => unit >= 0 && unit < perSpan;
  const borrowed = (unit: number) =>
    neighbours && !own(unit) && own(lender(unit)) && units.includes(lender(unit)) && !scalar(lender(unit));
  const load = (unit: number) => {
    const position = `${perSpan} * xq + ${unit}`;
    const low = unit < 0;
    const high = perSpan * lastSpan + unit > highest;
    const zero = scalar(unit) ? '0.0' : 'vec4f()';
    if (lastSpan === 0 && (low || unit > highest)) return `let ${label(unit)} = ${zero};`;
    const tests = [low && `${position} >= 0`, high && `${position} <= ${last}`].filter(Boolean);
    if (borrowed(unit)) {
      const shuffle = (k: number) => `subgroupShuffle${low ? 'Up' : 'Down'}(${label(lender(unit))}[${k}], 1u)`;
      const value = scalar(unit) ? shuffle(used(unit)[0]) : `vec4f(${[0, 1, 2, 3].map(shuffle).join(', ')})`;
      return `let ${label(unit)} = ${tests.length ? `select(${zero}, ${value}, ${tests.join(' && ')})` : value};`;
    }
    const clamped = low || high ? `clamp(${position}, 0, ${last})` : position;
    const component = scalar(unit) && width === 4 ? `[${used(unit)[0]}]` : '';
    return `let ${label(unit)} = select(${zero}, images[${line} + ${clamped}]${component}, ${[inside, ...tests].join(' && ')});`;
  };
  return {
    code: [...units.filter((unit) => !borrowed(unit)), ...units.filter(borrowed)].map(load).join('\n      '),
    at: (offset) => {
      const unit = Math.floor(offset / width);
      return `${label(unit)}${scalar(unit) ? '' : `[${offset - unit * width}]`}`;
    },
  };
}

/** Stores a lane's 4 positions of every class at `result[at …]`, as vec4 where rows allow it. */
function storeRow(x: Axis, acc: (cx: number) => string): string {
  const value = (i: number) => `${acc(i % x.classes)}[${Math.floor(i / x.classes)}]`;
  const count = 4 * x.classes;
  if (x.size % count === 0) {
    return unroll(
      x.classes,
      (v) => `result[at / 4 + ${v}] = vec4f(${[0, 1, 2, 3].map((j) => value(4 * v + j)).join(', ')});`,
    );
  }
  const sure = x.size - count * (Math.ceil(positions(x) / 4) - 1); // positions that even the last lane has
  return unroll(count, (i) => {
    const store = `result[at + ${i}] = ${value(i)};`;
    return i < sure ? store : `if (${count} * xq + ${i} < outWidth) { ${store} }`;
  });
}

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
];
const packBody = (word: (name: string) => string, from: string, to: string): string => `
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
    let value = ${from} source + min(channel, ${word('outChannels')} - 1u) * ${word('outStride')} * plane];
    ${to} row * ${word('block')} + i] = select(0.0, value, channel < ${word('outChannels')});
  }`;

/** All packings of a compiled step in one launch. */
const packFamily = segmentedKernel({
  name: 'conv2d.pack.joined',
  access: 'rw',
  types: ['f32', 'f32'],
  workgroupSize: 64,
  words: PACK_WORDS.length,
  body: `let row = group * 64u + local;
  ${packBody((name) => `word(${PACK_WORDS.indexOf(name)}u)`, 'b0[at0 +', 'b1[at1 +')}`,
});

/** OIHW weights to [group][block][in][ky][kx][block of out], zeros where the last block is not full. */
function packWeights(name: string, g: Gather, block: number, rows: number): Kernel {
  const groups = Math.ceil(rows / 64);
  const workgroups = foldWorkgroups(groups);
  const values: Record<string, number> = {
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
  const code = wgsl`
${shape.struct}
@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (wid.x + wid.y * p.across) * 64u + local;
  ${packBody((name) => `p.${name}`, 'weights[', 'packed[')}
}`;
  const segment = { family: packFamily, groups, words: PACK_WORDS.map((word) => values[word]) };
  return { name, code, access: 'rw', ...shape.kernel, workgroups, segment };
}

/**
 * Partial weight gradients, [split][outChannel][inChannel][ky][kx], of `splits` equal ranges of output rows.
 * Bindings: x, dy, partials. Null where the unrolled body would grow too large.
 */
export function softwareWeightGradient(
  name: string,
  s: Conv2dShape,
  target: KernelTarget,
  variant: Variant,
): { kernel: Kernel; splits: number } | null {
  const { lanes } = target;
  const width = lanes || 8;
  const inChannels = s.inChannels / s.groups;
  const outChannels = s.outChannels / s.groups;
  const plane = s.kernelHeight * s.kernelWidth;
  // A lane with all rows of the kernel uses a broadcast dy for kernelHeight times the FMAs.
  const tall = s.strideW === 1 && inChannels >= width && plane <= MAX_TALL_TAPS ? s.kernelHeight : 1;
  const taps = tall * s.kernelWidth;
  const limit = tall > 1 ? 16 : Math.min(lanes ? 32 : 8, Math.floor(MAX_RARE_FMAS / taps));
  const most = Math.min(limit, variant.block ?? Infinity);
  if (most < 4) return null;
  const block = blockSize(outChannels, most - (most % 4));
  const blocks = Math.ceil(outChannels / block);
  const heads = s.kernelHeight / tall; // lanes that share an input channel
  const columns = inChannels * heads;
  const columnGroups = Math.ceil(columns / width);
  // Two rows of dy share what their windows have in common, and twice the FMAs go to an accumulator in one turn.
  const pair = lanes >= WIDE && tall > 1 && s.outHeight % 2 === 0 ? 2 : 1;
  const rows = s.batch * s.outHeight;
  const perSplit = columnGroups * blocks * s.groups;
  const wanted = Math.min(Math.max(1, Math.ceil(ENOUGH_WORKGROUPS / perSplit)), Math.ceil(rows / 4));
  const rowsPerSplit = pair * Math.ceil(rows / scaleSplits(wanted, variant) / pair);
  const splits = Math.ceil(rows / rowsPerSplit);
  const workgroups = foldWorkgroups(columnGroups * splits);

  const spans = Math.ceil(s.outWidth / 4);
  const tapsX = Array.from({ length: s.kernelWidth }, (_, tap) => ({ tap, offset: tap * s.dilationW - s.padLeft }));
  const axis = { size: s.outWidth, inSize: s.inWidth, classes: 1, step: s.strideW, taps: [tapsX] };
  const unit = s.inWidth % 4 ? 1 : 4; // floats of a load
  const dyUnit = s.outWidth % 4 ? 1 : 4;
  const shape = uniformShape({
    columns,
    columnGroups,
    across: workgroups[0],
    parts: columnGroups * splits,
    blocks,
    rows,
    rowsPerSplit,
    inChannels,
    inAll: s.inChannels,
    outChannels,
    outAll: s.outChannels,
    inHeight: s.inHeight,
    inWidth: s.inWidth / unit,
    outHeight: s.outHeight,
    outWidth: s.outWidth / dyUnit,
    spans,
  });
  // Rows of x, as offsets from that of the first tap: row k of the kernel meets row r of dy at k·dilation + r·stride.
  const meets = (k: number, r: number) => k * s.dilationH + r * s.strideH;
  const offsets = [...new Set(range(tall).flatMap((k) => range(pair).map((r) => meets(k, r))))];
  const images = new Map(
    offsets.map((o) => [o, loadRow(axis, { id: `${o}`, line: `line${o}`, inside: `inside${o}` })]),
  );
  // With lanes, one load covers `width` output channels; without, each is a uniform load.
  const loads = lanes ? Math.ceil(block / width) : block;
  const channelOf = (i: number) => (lanes ? `${i * width}u + lane` : `${i}u`);
  const loadDy = (i: number, r: number) => {
    const at = `dyLine + ${r} * outWidth + plane${i} + ${4 / dyUnit} * xq`;
    if (dyUnit === 4) return `let d${i}_${r} = dy[${at}];`;
    const each = (j: number) => {
      const sure = j < s.outWidth - 4 * (spans - 1);
      return sure
        ? `dy[${at} + ${j}]`
        : `select(0.0, dy[${at} + min(${j}, outWidth - 1 - 4 * xq)], 4 * xq + ${j} < outWidth)`;
    };
    return `let d${i}_${r} = vec4f(${[0, 1, 2, 3].map(each).join(', ')});`;
  };
  const dyAt = (i: number, r: number, j: number) => {
    const from = `d${lanes ? Math.floor(i / width) : i}_${r}[${j}]`;
    return lanes ? `subgroupBroadcast(${from}, ${i % width}u)` : from;
  };
  const fmas = (acc: string, k: number, offset: number) =>
    unroll(pair, (r) =>
      unroll(4, (j) => `${acc} = fma(s${r}_${j}, ${images.get(meets(k, r))!.at(s.strideW * j + offset)}, ${acc});`),
    );
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
${shape.struct}
@group(0) @binding(0) var<storage, read> images: array<${unit === 4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(1) var<storage, read> dy: array<${dyUnit === 4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(${width}) fn main(@builtin(workgroup_id) wid: vec3u, ${lanes ? '@builtin(subgroup_invocation_id)' : '@builtin(local_invocation_index)'} lane: u32) {
  let group = wid.x + wid.y * p.across;
  if (group >= p.parts) { return; }
  let part = group / p.columnGroups;
  let column = (group - part * p.columnGroups) * ${width}u + lane;
  let channel = wid.z % p.blocks * ${block}u;
  let g = wid.z / p.blocks;
  let known = min(column, p.columns - 1u);
  let c = known / ${heads}u;
  let head = known % ${heads}u;
  // Uniforms are read here: the driver would read them again in every turn.
  let inHeight = i32(p.inHeight);
  let inWidth = i32(p.inWidth);
  let lastUnit = inWidth - 1;
  let outWidth = i32(p.outWidth);
  let outHeight = p.outHeight;
  let dyPlane = outHeight * p.outWidth;
  let spans = i32(p.spans);
  ${unroll(loads, (i) => `let plane${i} = i32(min(channel + ${channelOf(i)}, p.outChannels - 1u) * dyPlane);`)}
  let xChannels = p.inAll;
  let xChannel = g * p.inChannels + c;
  let dyChannels = p.outAll;
  let dyChannel = g * p.outChannels;
  ${unroll(block * taps, (i) => `var acc${i} = 0.0;`)}
  let first = part * p.rowsPerSplit;
  let end = min(first + p.rowsPerSplit, p.rows);
  var n = first / outHeight;
  var oy = first % outHeight;
  for (var r = first; r < end; r += ${pair}u) {
    let plane = i32(n * xChannels + xChannel) * inHeight;
    ${offsets
      .map(
        (o) => `let y${o} = i32(oy * ${s.strideH}u + head * ${s.dilationH}u) + ${o - s.padTop};
    let inside${o} = y${o} >= 0 && y${o} < inHeight;
    let line${o} = (plane + clamp(y${o}, 0, inHeight - 1)) * inWidth;`,
      )
      .join('\n')}
    let dyLine = i32((n * dyChannels + dyChannel) * outHeight + oy) * outWidth;
    for (var xq = 0; xq < spans; xq++) {
      ${[...images.values()].map((row) => row.code).join('\n')}
      ${unroll(pair, (r) => unroll(loads, (i) => loadDy(i, r)))}
      ${unroll(block, (i) => {
        const spread = unroll(pair, (r) => unroll(4, (j) => `let s${r}_${j} = ${dyAt(i, r, j)};`));
        const each = unroll(taps, (t) => {
          const [k, kx] = [Math.floor(t / s.kernelWidth), t % s.kernelWidth];
          return fmas(`acc${i * taps + t}`, k, tapsX[kx].offset);
        });
        return `{ ${spread}\n${each} }`;
      })}
    }
    oy += ${pair}u;
    if (oy == outHeight) { oy = 0u; n++; }
  }
  if (column >= p.columns) { return; }
  for (var i = 0u; i < min(${block}u, p.outChannels - channel); i++) {
    let at = ((part * p.outAll + g * p.outChannels + channel + i) * p.columns + column) * ${taps}u;
    ${unroll(taps, (k) => `partials[at + ${k}u] = acc${k};`)}
    ${unroll((block - 1) * taps, (i) => `acc${i} = acc${i + taps};`)}
  }
}`;
  const kernel: Kernel = {
    name,
    code,
    access: 'rrw',
    ...shape.kernel,
    workgroups: [workgroups[0], workgroups[1], blocks * s.groups],
  };
  return { kernel, splits };
}
