/**
 * Convolution for GPUs as implicit matrix products over workgroup tiles (matmul/gpu-tiles.ts); the im2col matrix exists only
 * as index arithmetic, which the compiler moves out of the loops where it can.
 *
 * - Gather: rows are output channels, columns the positions of one class of all images, k runs over (channel, ky, kx).
 * - Weight gradient: rows are output channels, columns (inChannel, ky, kx), k runs over all output pixels, in splits
 *   that make enough workgroups and are summed in a second phase.
 */

import type { Kernel } from '../kernel';
import type { Tile } from '../matmul/gpu-tiles';
import type { MatrixTile } from '../matmul/subgroup-matrix';
import { tileFor, workgroupProduct } from '../matmul/tiles';
import { type Partials, partsOfPixels } from '../sum-partials';
import type { KernelTarget } from '../target';
import { ENOUGH_WORKGROUPS, scaleSplits, type Variant } from '../variants';
import { epilogueOf, type Fused } from './epilogue';
import { type Gather, planeIndex, positions, tapProgression } from './gather';
import { type ImageNorm, imageLoad } from './norm-load';
import type { Conv2dShape } from './shape';

/** Whether tiles are filled well enough. */
export const fillsTiles = (g: Gather): boolean => g.outChannels >= 8;

/** Bindings: the images read, OIHW weights, the images written, `stats` where there is a norm, and what `sums` need (conv/norm-sums.ts). */
export function tiledGather(
  name: string,
  g: Gather,
  tile: Tile | MatrixTile,
  { norm, adds, sums }: Fused = {},
): Kernel {
  const [xs, ys] = [positions(g.x), positions(g.y)];
  const plane = g.kernelHeight * g.kernelWidth;
  const load = imageLoad({ operand: 'weights', norm, half: g.half });
  const stored = epilogueOf(g, load.access, adds, sums);
  // z = (group, classY, classX); every function that needs the classes' taps declares them again.
  const taps = `
  let classX = z % ${g.x.classes}u;
  let classY = z / ${g.x.classes}u % ${g.y.classes}u;
  ${tapProgression(g.x, 'x', 'classX')}
  ${tapProgression(g.y, 'y', 'classY')}`;
  const group = `z / ${g.x.classes * g.y.classes}u`;
  const count = (axis: typeof g.x, c: string) =>
    axis.taps
      .map((t) => t.length)
      .reduceRight((rest, n, i) => (rest ? `select(${rest}, ${n}u, ${c} == ${i}u)` : `${n}u`), '');
  const product = {
    m: g.outChannels,
    n: g.batch * ys * xs,
    z: g.groups * g.y.classes * g.x.classes,
    fastA: 'k',
    fastB: 'n',
    bindings: `${load.bindings}${load.declarations}${stored.bindings}`,
    access: stored.access,
    epilogue: stored.epilogue,
    kBegin: '0u',
    kEnd: `${g.inChannels}u * ${count(g.x, `z % ${g.x.classes}u`)} * ${count(g.y, `z / ${g.x.classes}u % ${g.y.classes}u`)}`,
    functions: `
fn loadA(z: u32, m: u32, k: u32) -> f32 {${taps}
  let j = i32(k) % xCount;
  let i = i32(k) / xCount % yCount;
  let c = k / u32(xCount * yCount);
  let tap = ${planeIndex(g, `(yTap + i * yTapStep) * ${g.kernelWidth} + xTap + j * xTapStep`)};
  return ${load.operand(`(${group} * ${g.weightStride.group}u + m * ${g.weightStride.out}u + c * ${g.weightStride.in}u) * ${plane}u + u32(tap)`)};
}
fn loadB(z: u32, k: u32, n: u32) -> f32 {${taps}
  let j = i32(k) % xCount;
  let i = i32(k) / xCount % yCount;
  let c = k / u32(xCount * yCount) + ${group} * ${g.inChannels}u;
  let x = i32(n % ${xs}u) * ${g.x.step} + xOffset + j * xOffsetStep;
  let y = i32(n / ${xs}u % ${ys}u) * ${g.y.step} + yOffset + i * yOffsetStep;
  let image = n / ${xs * ys}u * ${g.groups * g.inChannels}u + c;
  if (x < 0 || x >= ${g.x.inSize} || y < 0 || y >= ${g.y.inSize}) { return 0.0; }
  return ${load.image(`(image * ${g.y.inSize}u + u32(y)) * ${g.x.inSize}u + u32(x)`, 'c')};
}
fn store(z: u32, m: u32, n: u32, value: f32) {
  let x = n % ${xs}u * ${g.x.classes}u + z % ${g.x.classes}u;
  let y = n / ${xs}u % ${ys}u * ${g.y.classes}u + z / ${g.x.classes}u % ${g.y.classes}u;
  let image = n / ${xs * ys}u * ${g.groups * g.outChannels}u + ${group} * ${g.outChannels}u + m;
  if (x < ${g.x.size}u && y < ${g.y.size}u) { result[(image * ${g.y.size}u + y) * ${g.x.size}u + x] = ${load.store('value')}; }
}`,
  } as const;
  return workgroupProduct(name, product, tile);
}

/** Partial weight gradients, [split][outChannel][inChannel][ky][kx]. Bindings: x, dy, partials, as above. */
export function tiledWeightGradient(
  name: string,
  s: Conv2dShape,
  target: KernelTarget,
  variant: Variant,
  norm?: ImageNorm,
): Partials | null {
  const [inChannels, outChannels] = [s.inChannels / s.groups, s.outChannels / s.groups];
  const columns = inChannels * s.kernelHeight * s.kernelWidth;
  if (outChannels < 8 || columns < 8) return null;
  const tile = tileFor(s.half, target, outChannels, variant);
  const plane = s.outHeight * s.outWidth;
  const pixels = s.batch * plane;
  const tiles = Math.ceil(outChannels / tile.rows) * Math.ceil(columns / tile.columns) * s.groups;
  const busy = Math.min(Math.ceil(ENOUGH_WORKGROUPS / tiles), Math.ceil(pixels / 128));
  const wanted = scaleSplits(Math.max(busy, partsOfPixels(pixels, s.outChannels * columns)), variant);
  const perSplit = Math.ceil(pixels / wanted);
  const splits = Math.ceil(pixels / perSplit);
  const load = imageLoad({ operand: 'dy', norm, half: s.half, splits });
  const product = {
    m: outChannels,
    n: columns,
    z: s.groups * splits,
    fastA: 'k',
    fastB: 'k',
    bindings: `${load.bindings}${load.declarations}`,
    access: load.access,
    kBegin: `z / ${s.groups}u * ${perSplit}u`,
    kEnd: `min((z / ${s.groups}u + 1u) * ${perSplit}u, ${pixels}u)`,
    functions: `
fn loadA(z: u32, m: u32, k: u32) -> f32 {
  return ${load.operand(`(k / ${plane}u * ${s.outChannels}u + z % ${s.groups}u * ${outChannels}u + m) * ${plane}u + k % ${plane}u`)};
}
fn loadB(z: u32, k: u32, n: u32) -> f32 {
  let kx = n % ${s.kernelWidth}u;
  let ky = n / ${s.kernelWidth}u % ${s.kernelHeight}u;
  let c = n / ${s.kernelWidth * s.kernelHeight}u + z % ${s.groups}u * ${inChannels}u;
  let x = i32(k % ${s.outWidth}u * ${s.strideW}u + kx * ${s.dilationW}u) - ${s.padLeft};
  let y = i32(k / ${s.outWidth}u % ${s.outHeight}u * ${s.strideH}u + ky * ${s.dilationH}u) - ${s.padTop};
  if (x < 0 || x >= ${s.inWidth} || y < 0 || y >= ${s.inHeight}) { return 0.0; }
  return ${load.image(`((k / ${plane}u * ${s.inChannels}u + c) * ${s.inHeight}u + u32(y)) * ${s.inWidth}u + u32(x)`, 'c')};
}
fn store(z: u32, m: u32, n: u32, value: f32) {
  partials[(z / ${s.groups}u * ${s.outChannels}u + z % ${s.groups}u * ${outChannels}u + m) * ${columns}u + n] = ${load.store('value')};
}`,
  } as const;
  return { kernel: workgroupProduct(name, product, tile), splits };
}
