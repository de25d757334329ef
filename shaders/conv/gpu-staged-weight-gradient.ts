/**
 * Weight gradient of a convolution for GPUs over staged rows (gpu-staged.ts): a workgroup has 16 written times 8 or 16 read channels with all
 * taps; a thread has 4 × 1 channels and walks down a column of vec4s with the rows above in registers. Workgroups split the images and threads
 * the columns; both are summed in a fixed order.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { at } from '../checked';
import { foldedIndex, foldWorkgroups, unroll } from '../kernel';
import { type Partials, partsOfPixels } from '../sum-partials';
import { ENOUGH_WORKGROUPS, scaleSplits, type Variant } from '../variants';
import { type Gather, gatherOf } from './gather';
import {
  BLOCK,
  MEMORY,
  numberAt,
  type Rows,
  reach,
  rowsOf,
  slides,
  stageRows,
  THREADS,
  tapsOf,
  unitsOf,
} from './gpu-staged';
import { type ImageNorm, imageLoad } from './norm-load';
import type { Conv2dShape } from './shape';

interface GradientLayout {
  readonly rows: Rows;
  /** Read channels of a workgroup. */
  readonly inputs: number;
  readonly window: number;
  /** vec4s between the numbers of two blocks of written channels. */
  readonly pitch: number;
}

const OUTPUTS = 16; // written channels of a workgroup
const OUTPUT_BLOCK = 4; // of a thread

/** As many rows as fit, and more channels rather than more rows. */
function gradientLayout(g: Gather, inputs: number, outputs: number): GradientLayout | null {
  if (!slides(g) || outputs < BLOCK || reach(g.y).high - reach(g.y).low !== g.kernelHeight - 1) return null;
  const most = Math.min(16, 2 ** Math.ceil(Math.log2(inputs)));
  for (let rows = Math.max(2, Math.floor(128 / g.x.size)); rows >= 1; rows = Math.floor(rows / 2))
    for (const across of [most, Math.min(8, most)]) {
      const r = rowsOf(g, rows);
      if (!r) continue;
      const window = across * gradientPitch(r);
      const pitch = r.rows * 4 * r.quads + 1;
      if (window + (OUTPUTS / OUTPUT_BLOCK) * pitch <= MEMORY) return { rows: r, inputs: across, window, pitch };
    }
  return null;
}

/** vec4s between two staged channels: an odd number, so that neighbouring channels lie in other memory banks. */
const gradientPitch = (r: Rows): number => (r.blocks * r.staged * r.pitch) | 1;

/** Partial weight gradients, [split][outChannel][inChannel][ky][kx]; bindings as those of `tiledWeightGradient`. */
export function stagedWeightGradient(
  name: string,
  s: Conv2dShape,
  variant: Variant,
  norm?: ImageNorm,
): Partials | null {
  const g = gatherOf('forward', s);
  const layout = gradientLayout(g, g.inChannels, g.outChannels);
  if (!layout) return null;
  const { rows: r, inputs, window, pitch } = layout;
  const taps = g.kernelHeight * g.kernelWidth;
  const perSlice = inputs * (OUTPUTS / OUTPUT_BLOCK);
  const columns = r.blocks * r.quads;
  const slices = Math.max(1, Math.min(Math.floor(THREADS / perSlice), columns));
  const threads = slices * perSlice;
  const [mTiles, nTiles] = [Math.ceil(g.outChannels / OUTPUTS), Math.ceil(g.inChannels / inputs)];
  const tiles = mTiles * nTiles * g.groups;
  const units = Math.ceil((g.batch * g.y.size) / r.rows);
  const count = g.groups * g.outChannels * g.inChannels * taps;
  const least = partsOfPixels(g.batch * g.y.size * g.x.size, count);
  const wanted = scaleSplits(Math.min(units, Math.max(least, Math.ceil(ENOUGH_WORKGROUPS / tiles))), variant);
  const perSplit = Math.ceil(units / Math.min(units, wanted));
  const splits = Math.ceil(units / perSplit);
  const channelPitch = gradientPitch(r);
  const load = imageLoad({ operand: 'dy', norm, quads: true, half: s.half, splits });
  const around = unitsOf(g);
  const last = g.kernelHeight - 1;
  const read = (i: number, line: string) =>
    around.map((u, k) => `let x${i}_${k} = window[${line} + ${u + r.left}u];`).join(' ');
  /** Values of all slices, for as many taps at once as the window has room for. */
  const atOnce = Math.min(taps, Math.floor(window / threads));
  if (slices > 1 && atOnce < 1) return null;
  const folds = Math.ceil(taps / atOnce);
  const code = wgsl`
${load.bindings}${load.declarations}
var<workgroup> window: array<vec4f, ${window}>;
var<workgroup> slopes: array<vec4f, ${(OUTPUTS / OUTPUT_BLOCK) * pitch}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(tiles * splits)}
  let m0 = group % ${mTiles}u * ${OUTPUTS}u;
  let n0 = group / ${mTiles}u % ${nTiles}u * ${inputs}u;
  let z = group / ${mTiles * nTiles}u % ${g.groups}u;
  let split = group / ${tiles}u;
  let channel = local % ${inputs}u;
  let block = local / ${inputs}u % ${OUTPUTS / OUTPUT_BLOCK}u;
  let slice = local / ${perSlice}u;
  ${unroll(taps, (t) => `var acc${t} = vec4f();`)}
  for (var e = local; e < ${window}u; e += ${threads}u) { window[e] = vec4f(); }
  for (var unit = split * ${perSplit}u; unit < min((split + 1u) * ${perSplit}u, ${units}u); unit++) {
    let top = unit * ${r.rows}u;
    workgroupBarrier();
    ${stageRows(g, r, load, { channels: inputs, first: 'n0', channelPitch, threads })}
    for (var e = local; e < ${(OUTPUTS / OUTPUT_BLOCK) * (pitch - 1)}u; e += ${threads}u) {
      let pixel = top * ${g.x.size}u + e % ${pitch - 1}u;
      let m = m0 + e / ${pitch - 1}u * ${OUTPUT_BLOCK}u;
      let image = pixel / ${g.y.size * g.x.size}u;
      let at = (min(image, ${g.batch - 1}u) * ${g.groups * g.outChannels}u + z * ${g.outChannels}u) * ${g.y.size * g.x.size}u + pixel % ${g.y.size * g.x.size}u;
      slopes[e / ${pitch - 1}u * ${pitch}u + e % ${pitch - 1}u] = select(vec4f(), vec4f(${[0, 1, 2, 3].map((k) => load.operand(`at + min(m + ${k}u, ${g.outChannels - 1}u) * ${g.y.size * g.x.size}u`)).join(', ')}), image < ${g.batch}u);
    }
    workgroupBarrier();
    for (var column = slice; column < ${columns}u; column += ${slices}u) {
      let base = channel * ${channelPitch}u + column / ${r.quads}u * ${r.staged * r.pitch}u + column % ${r.quads}u;
      let slope = block * ${pitch}u + column / ${r.quads}u * ${r.height * g.x.size}u + column % ${r.quads}u * 4u;
      ${unroll(last, (i) => around.map((u, k) => `var x${i}_${k} = window[base + ${i * r.pitch + u + r.left}u];`).join(' '))}
      for (var y = 0u; y < ${r.height}u; y++) {
        ${read(last, `base + (y + ${last}u) * ${r.pitch}u`)}
        ${unroll(4, (p) => `let d${p} = slopes[slope + y * ${g.x.size}u + ${p}u];`)}
        ${unroll(g.kernelHeight, (i) =>
          unroll(g.kernelWidth, (j) =>
            unroll(4, (p) => {
              const t = i * g.kernelWidth + j;
              return `acc${t} = fma(d${p}, vec4f(${numberAt(`x${i}_`, around, at(tapsOf(g.x), j).offset + p)}), acc${t});`;
            }),
          ),
        )}
        ${unroll(last, (i) => around.map((_, k) => `x${i}_${k} = x${i + 1}_${k};`).join(' '))}
      }
    }
  }
  ${
    slices === 1
      ? ''
      : unroll(folds, (f) => {
          const some = Array.from({ length: Math.min(atOnce, taps - f * atOnce) }, (_, i) => f * atOnce + i);
          return `workgroupBarrier();
  ${some.map((t, i) => `window[${i * threads}u + local] = acc${t};`).join(' ')}
  workgroupBarrier();
  if (slice == 0u) { for (var i = 1u; i < ${slices}u; i++) { ${some.map((t, k) => `acc${t} += window[${k * threads}u + i * ${perSlice}u + local];`).join(' ')} } }`;
        })
  }
  if (slice > 0u || n0 + channel >= ${g.inChannels}u) { return; }
  let m = m0 + block * ${OUTPUT_BLOCK}u;
  let at = ((split * ${g.groups * g.outChannels}u + z * ${g.outChannels}u + m) * ${g.inChannels}u + n0 + channel) * ${taps}u;
  ${unroll(OUTPUT_BLOCK, (k) => `if (m + ${k}u < ${g.outChannels}u) { ${Array.from({ length: taps }, (_, t) => `partials[at + ${k * g.inChannels * taps + t}u] = ${load.store(`acc${t}[${k}]`)};`).join(' ')} }`)}
}`;
  return { kernel: { name, code, access: load.access, grid: foldWorkgroups(tiles * splits) }, splits };
}
