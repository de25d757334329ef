/**
 * Convolution for CPU drivers (lavapipe, SwiftShader), where invocations are SIMD lanes and a divergent load is a
 * loop over them: what counts is loads per FMA. Two formulations keep it low, both without workgroup memory.
 *
 * - Gather (forward, input gradient): a lane owns 4 neighbouring x-positions (of every class) and up to 32 output
 *   channels. The weights of those channels are one vec4 per lane, spread to all by `subgroupBroadcast`.
 *   They are packed to [group][block][ky][in][kx][outBlock] beforehand, which also transposes them for the gradient.
 * - Weight gradient: a lane owns one column (input channel, ky) and all kx of up to 32 output channels; per 4 pixels it
 *   loads its stretch of x, and dy of one output channel, which is broadcast.
 *
 * An accumulator's FMAs stand side by side, because there are more accumulators than registers.
 * Without subgroups the broadcasts become uniform loads, which drivers also do once.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { type Axis, type Gather, planeIndex, positions, tapProgression } from './conv2d-gather';
import type { Conv2dShape } from './conv2d-shape';
import { type Back, foldedIndex, foldWorkgroups, type Kernel, opaqueZero, unroll } from './kernel';
import { segmentedKernel } from './segments';

const MAX_FMAS = 256; // vec4 FMAs in an unrolled body; compile time grows faster than linearly beyond
const MAX_ACCUMULATORS = 32;
const FEW_INVOCATIONS = 512; // below this, prefer more invocations with fewer channels each

const lanesOf = (back: Back): number => (back.subgroups && back.subgroupSize >= 4 ? back.subgroupSize : 0);

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
export function softwareGather(name: string, g: Gather, back: Back): PackedGather | null {
  const lanes = lanesOf(back);
  const classes = g.x.classes;
  const tapsX = g.x.taps.reduce((sum, taps) => sum + taps.length, 0);
  const quads = Math.ceil(positions(g.x) / 4);
  const rows = positions(g.y);
  const total = g.batch * rows * quads;
  let most = Math.min(4 * (lanes || 4), MAX_ACCUMULATORS / classes, MAX_FMAS / Math.max(tapsX, 1));
  while (most > 8 && total * g.groups * g.y.classes * Math.ceil(g.outChannels / most) < FEW_INVOCATIONS) most /= 2;
  most -= most % 4;
  if (most < 4) return null;

  const block = blockSize(g.outChannels, most);
  const blocks = Math.ceil(g.outChannels / block);
  const vecs = block / 4;
  const size = total * blocks * g.groups * g.y.classes >= 2 * FEW_INVOCATIONS ? 64 : Math.max(16, lanes);
  const pixelGroups = Math.ceil(total / size);
  const groups = pixelGroups * blocks * g.groups * g.y.classes;

  // Left alone, the driver unrolls short loops into bodies that are slow to compile; an unknown bound costs a few percent.
  const short = g.inChannels * block * tapsX <= 512;
  const channels = short ? `${g.inChannels}u + ${opaqueZero('weights', 'vec4f')}` : `${g.inChannels}u`;
  const row = loadRow(g.x);
  // The weights of one kernel row, kernelWidth × block floats, are contiguous: a vec4 per lane, or all by uniform loads.
  const weightLoads = Math.ceil((g.kernelWidth * vecs) / (lanes || 1));
  const weight = (tap: number, i: number) => {
    const vec = tap * vecs + (i >> 2);
    return lanes ? `subgroupBroadcast(w${Math.floor(vec / lanes)}[${i % 4}], ${vec % lanes}u)` : `w${vec}[${i % 4}]`;
  };
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
@group(0) @binding(0) var<storage, read> images: array<${row.vec4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> result: array<${g.x.size % (4 * classes) ? 'f32' : 'vec4f'}>;

@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32${lanes ? ', @builtin(subgroup_invocation_id) lane: u32' : ''}) {
  ${foldedIndex(groups)}
  let index = group % ${pixelGroups}u * ${size}u + local;
  let id = min(index, ${total - 1}u);
  let part = group / ${pixelGroups}u;
  let block = part % ${blocks * g.groups}u;
  let classY = part / ${blocks * g.groups}u;
  let channel = block % ${blocks}u * ${block}u; // the first written, within its group
  let g = block / ${blocks}u;
  let xq = i32(id % ${quads}u);
  let yq = i32(id / ${quads}u % ${rows}u);
  let n = id / ${quads * rows}u;
  ${tapProgression(g.y, 'y', 'classY')}
  ${unroll(classes * block, (i) => `var acc${i} = vec4f();`)}
  let image = (n * ${g.groups * g.inChannels}u + g * ${g.inChannels}u) * ${g.y.inSize}u;
  for (var t = 0; t < yCount; t++) {
    let yy = ${g.y.step} * yq + yOffset + t * yOffsetStep;
    let inside = yy >= 0 && yy < ${g.y.inSize};
    var line = i32(image + u32(clamp(yy, 0, ${g.y.inSize - 1}))) * ${g.x.inSize};
    var w = (block * ${g.kernelHeight}u + u32(yTap + t * yTapStep)) * ${g.inChannels * g.kernelWidth * vecs}u;
    for (var c = 0u; c < ${channels}; c++) {
      ${row.code}
      ${unroll(weightLoads, (i) => `let w${i} = weights[w + ${lanes ? `${i * lanes}u + lane` : `${i}u`}];`)}
      ${g.x.taps
        .map((taps, cx) => {
          const at = (offset: number) => [0, 1, 2, 3].map((j) => row.at(g.x.step * j + offset)).join(', ');
          const inputs = taps.map(({ tap, offset }) => `let p${tap} = vec4f(${at(offset)});`).join('\n      ');
          const fma = (acc: string, i: number) =>
            taps.map(({ tap }) => `${acc} = fma(vec4f(${weight(tap, i)}), p${tap}, ${acc});`).join(' ');
          return `${inputs}
      ${unroll(block, (i) => fma(`acc${cx * block + i}`, i))}`;
        })
        .join('\n')}
      line += ${g.y.inSize * g.x.inSize};
      w += ${g.kernelWidth * vecs}u;
    }
  }
  let y = ${g.y.classes} * yq + i32(classY);
  if (index >= ${total}u || y >= ${g.y.size}) { return; }
  // A store costs the driver's compiler as much as 16 FMAs: store a few accumulators, shift the others down.
  for (var i = 0u; i < ${Math.min(block, g.outChannels)}u + ${opaqueZero('weights', 'vec4f')}; i += 4u) {
    ${unroll(
      4,
      (i) => `if (channel + i + ${i}u < ${g.outChannels}u) {
      let at = i32((n * ${g.groups * g.outChannels}u + g * ${g.outChannels}u + channel + i + ${i}u) * ${g.y.size}u + u32(y)) * ${g.x.size} + ${4 * classes} * xq;
      ${storeRow(g.x, (cx) => `acc${cx * block + i}`)}
    }`,
    )}
    ${unroll(classes * block, (i) => (i % block < block - 4 ? `acc${i} = acc${i + 4};` : ''))}
  }
}`;
  const count = g.groups * blocks * g.inChannels * g.kernelHeight * g.kernelWidth * block;
  const packedFloats = count + 4 * lanes; // the last load may reach beyond the weights
  return {
    pack: packWeights(`${name}.pack`, g, block, count),
    packedFloats,
    gather: { name, code, access: 'rrw', workgroups: foldWorkgroups(groups) },
  };
}

/**
 * Loads of everything that a lane's 4 positions read in one row: `at(offset)` names the float at `step * 4 * xq + offset`.
 * Uses `images`, `line` (the row's first index), `xq` and `inside`: rows outside are zero.
 * Rows whose length is a multiple of 4 are read as vec4, each of which lies inside or outside as a whole.
 */
function loadRow(x: Axis): { code: string; at: (offset: number) => string; vec4: boolean } {
  const lane = Math.ceil(positions(x) / 4) - 1; // the last xq
  const offsets = new Set(x.taps.flat().flatMap(({ offset }) => [0, 1, 2, 3].map((j) => x.step * j + offset)));
  const vec4 = x.inSize % 4 === 0;
  const width = vec4 ? 4 : 1;
  const units = [...new Set([...offsets].map((o) => Math.floor(o / width)))].sort((a, b) => a - b);
  const label = (unit: number) => `v${unit < 0 ? 'm' : ''}${Math.abs(unit)}`;
  const perLane = (4 * x.step) / width;
  const last = x.inSize / width - 1;
  const lines = units.map((unit) => {
    const used = [...offsets].filter((o) => Math.floor(o / width) === unit);
    const position = `${perLane} * xq + ${unit}`;
    const low = unit < 0;
    const high = perLane * lane + unit > last;
    const tests = ['inside', low && `${position} >= 0`, high && `${position} <= ${last}`].filter(Boolean);
    const clamped = low || high ? `clamp(${position}, 0, ${last})` : position;
    const scalar = !vec4 || used.length === 1;
    const component = vec4 && scalar ? `[${((used[0] % 4) + 4) % 4}]` : '';
    const load = `images[${vec4 ? 'line / 4' : 'line'} + ${clamped}]${component}`;
    const zero = scalar ? '0.0' : 'vec4f()';
    const value = `select(${zero}, ${load}, ${tests.join(' && ')})`;
    return { scalar, code: `let ${label(unit)} = ${value};` };
  });
  const at = (offset: number) => {
    const unit = Math.floor(offset / width);
    const scalar = lines[units.indexOf(unit)].scalar;
    return `${label(unit)}${scalar ? '' : `[${offset - 4 * unit}]`}`;
  };
  return { code: lines.map((l) => l.code).join('\n      '), at, vec4 };
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
    return i < sure ? store : `if (${count} * xq + ${i} < ${x.size}) { ${store} }`;
  });
}

/** All packings of a compiled step in one launch. The words are what `packWeights` bakes in. */
const packFamily = segmentedKernel({
  name: 'conv2d.pack.joined',
  access: 'rw',
  types: ['f32', 'f32'],
  workgroupSize: 64,
  words: 11,
  // A thread packs the block of channels of one tap: divisions are dear on a CPU, and this needs one set for up to 32 numbers.
  body: `let row = group * 64u + local;
  if (row >= word(10u)) { return; }
  let block = word(0u); let blocks = word(1u); let kernelWidth = word(2u); let inChannels = word(3u); let kernelHeight = word(4u); let outChannels = word(5u);
  let plane = kernelHeight * kernelWidth;
  let kx = row % kernelWidth;
  let c = row / kernelWidth % inChannels;
  let ky = row / (kernelWidth * inChannels) % kernelHeight;
  let part = row / (plane * inChannels);
  let tap = ky * kernelWidth + kx;
  let first = part % blocks * block;
  let source = at0 + (part / blocks * word(6u) + c * word(8u)) * plane + select(tap, plane - 1u - tap, word(9u) != 0u);
  for (var i = 0u; i < block; i++) {
    let channel = first + i;
    b1[at1 + row * block + i] = select(0.0, b0[source + min(channel, outChannels - 1u) * word(7u) * plane], channel < outChannels);
  }`,
});

/** OIHW weights to [group][block][ky][in][kx][block of out], zeros where the last block is not full. */
function packWeights(name: string, g: Gather, block: number, count: number): Kernel {
  const plane = g.kernelHeight * g.kernelWidth;
  const blocks = Math.ceil(g.outChannels / block);
  const code = wgsl`
@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(Math.ceil(count / 64))}
  let id = group * 64u + local;
  if (id >= ${count}u) { return; }
  let kx = id / ${block}u % ${g.kernelWidth}u;
  let c = id / ${block * g.kernelWidth}u % ${g.inChannels}u;
  let ky = id / ${block * g.kernelWidth * g.inChannels}u % ${g.kernelHeight}u;
  let block = id / ${block * plane * g.inChannels}u;
  let channel = block % ${blocks}u * ${block}u + id % ${block}u;
  let source = block / ${blocks}u * ${g.weightStride.group}u + min(channel, ${g.outChannels - 1}u) * ${g.weightStride.out}u + c * ${g.weightStride.in}u;
  packed[id] = select(0.0, weights[source * ${plane}u + ${planeIndex(g, `ky * ${g.kernelWidth}u + kx`)}], channel < ${g.outChannels}u);
}`;
  const { group, out, in: step } = g.weightStride;
  const words = [
    block,
    blocks,
    g.kernelWidth,
    g.inChannels,
    g.kernelHeight,
    g.outChannels,
    group,
    out,
    step,
    g.flipped ? 1 : 0,
    count / block,
  ];
  const segment = { family: packFamily, groups: Math.ceil(count / block / 64), words };
  return { name, code, access: 'rw', workgroups: foldWorkgroups(Math.ceil(count / 64)), segment };
}

/**
 * Partial weight gradients, [split][outChannel][inChannel][ky][kx], of `splits` equal ranges of output rows.
 * Bindings: x, dy, partials. Null where the unrolled body would grow too large.
 */
export function softwareWeightGradient(
  name: string,
  s: Conv2dShape,
  back: Back,
): { kernel: Kernel; splits: number } | null {
  const lanes = lanesOf(back);
  const width = lanes || 8;
  const inChannels = s.inChannels / s.groups;
  const outChannels = s.outChannels / s.groups;
  const most = Math.min(lanes ? 32 : 8, Math.floor(MAX_FMAS / (4 * s.kernelWidth)));
  if (most < 4) return null;
  const block = blockSize(outChannels, most - (most % 4));
  const blocks = Math.ceil(outChannels / block);
  const columns = inChannels * s.kernelHeight;
  const columnGroups = Math.ceil(columns / width);
  const rows = s.batch * s.outHeight;
  const perSplit = columnGroups * blocks * s.groups;
  const rowsPerSplit = Math.ceil(rows / Math.min(Math.max(1, Math.ceil(192 / perSplit)), Math.ceil(rows / 4)));
  const splits = Math.ceil(rows / rowsPerSplit);
  const groups = perSplit * splits;

  const quads = Math.ceil(s.outWidth / 4);
  const short = quads * block * s.kernelWidth * 4 <= 256; // as in the gather
  const lineQuads = short ? `${quads} + i32(${opaqueZero('partials', 'f32')})` : `${quads}`;
  const taps = Array.from({ length: s.kernelWidth }, (_, tap) => ({ tap, offset: tap * s.dilationW - s.padLeft }));
  const row = loadRow({ size: s.outWidth, inSize: s.inWidth, classes: 1, step: s.strideW, taps: [taps] });
  const dyVec4 = s.outWidth % 4 === 0;
  const plane = s.outHeight * s.outWidth;
  // With lanes, one load covers `width` output channels; without, each is a uniform load.
  const loads = lanes ? Math.ceil(block / width) : block;
  const loadDy = (i: number) => {
    const first = lanes
      ? `min(channel + ${i * width}u + lane, ${outChannels - 1}u)`
      : `min(channel + ${i}u, ${outChannels - 1}u)`;
    const at = `dyLine + i32(${first}) * ${plane} + 4 * q`;
    if (dyVec4) return `let d${i} = dy[(${at}) / 4];`;
    const each = (j: number) => {
      const sure = j < s.outWidth - 4 * (quads - 1);
      return sure
        ? `dy[${at} + ${j}]`
        : `select(0.0, dy[${at} + min(${j}, ${s.outWidth - 1} - 4 * q)], 4 * q + ${j} < ${s.outWidth})`;
    };
    return `let d${i} = vec4f(${[0, 1, 2, 3].map(each).join(', ')});`;
  };
  const dyAt = (i: number, j: number) =>
    lanes ? `subgroupBroadcast(d${Math.floor(i / width)}[${j}], ${i % width}u)` : `d${i}[${j}]`;
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
@group(0) @binding(0) var<storage, read> images: array<${row.vec4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(1) var<storage, read> dy: array<${dyVec4 ? 'vec4f' : 'f32'}>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(${width}) fn main(@builtin(workgroup_id) wid: vec3u, ${lanes ? '@builtin(subgroup_invocation_id)' : '@builtin(local_invocation_index)'} lane: u32) {
  ${foldedIndex(groups)}
  let column = group % ${columnGroups}u * ${width}u + lane;
  let block = group / ${columnGroups}u % ${blocks * s.groups}u;
  let part = group / ${columnGroups * blocks * s.groups}u;
  let channel = block % ${blocks}u * ${block}u;
  let g = block / ${blocks}u;
  let c = min(column, ${columns - 1}u) / ${s.kernelHeight}u;
  let ky = min(column, ${columns - 1}u) % ${s.kernelHeight}u;
  ${unroll(block * s.kernelWidth, (i) => `var acc${i} = 0.0;`)}
  for (var r = part * ${rowsPerSplit}u; r < min((part + 1u) * ${rowsPerSplit}u, ${rows}u); r++) {
    let n = r / ${s.outHeight}u;
    let oy = r % ${s.outHeight}u;
    let yy = i32(oy * ${s.strideH}u + ky * ${s.dilationH}u) - ${s.padTop};
    let inside = yy >= 0 && yy < ${s.inHeight};
    let line = i32((n * ${s.inChannels}u + g * ${inChannels}u + c) * ${s.inHeight}u + u32(clamp(yy, 0, ${s.inHeight - 1}))) * ${s.inWidth};
    let dyLine = i32((n * ${s.outChannels}u + g * ${outChannels}u) * ${s.outHeight}u + oy) * ${s.outWidth};
    for (var q = 0; q < ${lineQuads}; q++) {
      let xq = q;
      ${row.code}
      ${unroll(loads, loadDy)}
      ${unroll(block, (i) => {
        const fma = (acc: string, k: number) =>
          unroll(4, (j) => `${acc} = fma(d${i}_${j}, ${row.at(s.strideW * j + taps[k].offset)}, ${acc});`);
        return `${unroll(4, (j) => `let d${i}_${j} = ${dyAt(i, j)};`)}
      ${unroll(s.kernelWidth, (k) => fma(`acc${i * s.kernelWidth + k}`, k))}`;
      })}
    }
  }
  if (column >= ${columns}u) { return; }
  for (var i = 0u; i < min(${block}u, ${outChannels}u - channel) + ${opaqueZero('partials', 'f32')}; i++) {
    let at = ((part * ${s.outChannels}u + g * ${outChannels}u + channel + i) * ${columns}u + column) * ${s.kernelWidth}u;
    ${unroll(s.kernelWidth, (k) => `partials[at + ${k}u] = acc${k};`)}
    ${unroll((block - 1) * s.kernelWidth, (i) => `acc${i} = acc${i + s.kernelWidth};`)}
  }
}`;
  return { kernel: { name, code, access: 'rrw', workgroups: foldWorkgroups(groups) }, splits };
}
