/**
 * Weight gradient of a convolution for CPU drivers (cpu-rows.ts says what is dear there): a lane owns one input channel (or one row of its
 * kernel, where channels are few) and all taps of up to 32 output channels; per 4 pixels (of two rows, where lanes are many) it loads its
 * stretches of x, and dy of one output channel, which is broadcast.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { at } from '../checked';
import { foldWorkgroups, type Kernel, spread, uniformShape, unroll } from '../kernel';
import { operandsHeld, resultHeld } from '../precision';
import { type Partials, partsOfPixels } from '../sum-partials';
import { type KernelTarget, WIDE } from '../target';
import { scaleSplits, type Variant } from '../variants';
import { blockSize, loadRow, MAX_RARE_FMAS } from './cpu-rows';
import type { Conv2dShape } from './shape';

const MAX_TALL_TAPS = 9; // of a kernel whose rows are all one lane's
const ENOUGH_WORKGROUPS = 16; // for the cores of a CPU; 64 took 4 to 15 % longer on two, as there is more to sum

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/**
 * Partial weight gradients, [split][outChannel][inChannel][ky][kx], of `splits` equal ranges of output rows.
 * Bindings: x, dy, partials. Null where the unrolled body would grow too large.
 */
export function cpuWeightGradient(
  name: string,
  s: Conv2dShape,
  target: KernelTarget,
  variant: Variant,
): Partials | null {
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
  const least = partsOfPixels(rows * s.outWidth, s.outChannels * inChannels * plane);
  const wanted = Math.max(least, Math.min(Math.max(1, Math.ceil(ENOUGH_WORKGROUPS / perSplit)), Math.ceil(rows / 4)));
  const rowsPerSplit = pair * Math.ceil(rows / scaleSplits(wanted, variant) / pair);
  const splits = Math.ceil(rows / rowsPerSplit);
  const workgroups = foldWorkgroups(columnGroups * splits);
  const [read, stored] = [operandsHeld(s.half), resultHeld(s.half, splits)];

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
  const images = offsets.map((o) => loadRow(axis, { id: `${o}`, line: `line${o}`, inside: `inside${o}`, held: read }));
  // With lanes, one load covers `width` output channels; without, each is a uniform load.
  const loads = lanes ? Math.ceil(block / width) : block;
  const channelOf = (i: number) => (lanes ? `${i * width}u + lane` : `${i}u`);
  const loadDy = (i: number, r: number) => {
    const first = `dyLine + ${r} * outWidth + plane${i} + ${4 / dyUnit} * xq`;
    if (dyUnit === 4) return `let d${i}_${r} = ${read.read4(`dy[${first}]`)};`;
    const each = (j: number) => {
      const sure = j < s.outWidth - 4 * (spans - 1);
      return sure
        ? read.read(`dy[${first} + ${j}]`)
        : `select(0.0, ${read.read(`dy[${first} + min(${j}, outWidth - 1 - 4 * xq)]`)}, 4 * xq + ${j} < outWidth)`;
    };
    return `let d${i}_${r} = vec4f(${[0, 1, 2, 3].map(each).join(', ')});`;
  };
  const dyAt = (i: number, r: number, j: number) => spread(lanes, 'd', i, `_${r}[${j}]`);
  const fmas = (acc: string, k: number, offset: number) =>
    unroll(pair, (r) => {
      const row = at(images, offsets.indexOf(meets(k, r)));
      return unroll(4, (j) => `${acc} = fma(s${r}_${j}, ${row.at(s.strideW * j + offset)}, ${acc});`);
    });
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
${read.enable}${shape.struct}
@group(0) @binding(0) var<storage, read> images: array<${unit === 4 ? read.vec4 : read.type}>;
@group(0) @binding(1) var<storage, read> dy: array<${dyUnit === 4 ? read.vec4 : read.type}>;
@group(0) @binding(2) var<storage, read_write> partials: array<${stored.type}>;
${stored.functions}

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
      ${images.map((row) => row.code).join('\n')}
      ${unroll(pair, (r) => unroll(loads, (i) => loadDy(i, r)))}
      ${unroll(block, (i) => {
        const slopes = unroll(pair, (r) => unroll(4, (j) => `let s${r}_${j} = ${dyAt(i, r, j)};`));
        const each = unroll(taps, (t) => {
          const [k, kx] = [Math.floor(t / s.kernelWidth), t % s.kernelWidth];
          return fmas(`acc${i * taps + t}`, k, at(tapsX, kx).offset);
        });
        return `{ ${slopes}\n${each} }`;
      })}
    }
    oy += ${pair}u;
    if (oy == outHeight) { oy = 0u; n++; }
  }
  if (column >= p.columns) { return; }
  for (var i = 0u; i < min(${block}u, p.outChannels - channel); i++) {
    let at = ((part * p.outAll + g * p.outChannels + channel + i) * p.columns + column) * ${taps}u;
    ${unroll(taps, (k) => `partials[at + ${k}u] = ${stored.store(`acc${k}`)};`)}
    ${unroll((block - 1) * taps, (i) => `acc${i} = acc${i + taps};`)}
  }
}`;
  const kernel: Kernel = {
    name,
    code,
    access: 'rrw',
    ...shape.kernel,
    grid: [workgroups[0], workgroups[1], blocks * s.groups],
  };
  return { kernel, splits };
}
