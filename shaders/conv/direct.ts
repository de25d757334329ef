/**
 * Convolution with one output per invocation: correct for every shape, for those that the tiled and packed kernels
 * leave out (a few channels per group, depthwise, very wide kernels or strides).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { functionsFor } from '../functions';
import { foldedIndex, foldWorkgroups, type Kernel, uniformShape } from '../kernel';
import { LONG, type Partials, partsOfPixels } from '../sum-partials';
import { type Gather, planeIndex, tapProgression } from './gather';
import { type ImageNorm, imageLoad } from './norm-load';
import type { Conv2dShape } from './shape';

const SIZE = 64;

/**
 * How a sum of `terms` products is kept, in WGSL: a long one with what its additions have lost. Its zero is a uniform: NVIDIA's compiler knows that
 * there is no binding of 2 GiB, so that `opaqueZero` would be none.
 */
function accumulator(terms: number) {
  if (terms <= LONG)
    return {
      functions: '',
      kernel: {},
      begin: 'var sum = 0.0;',
      add: (a: string, b: string) => `sum = fma(${a}, ${b}, sum);`,
      total: 'sum',
    };
  const { struct, kernel } = uniformShape({ zero: 0 });
  return {
    functions: `${struct}\n${functionsFor('addTo() totalOf()')}`,
    kernel,
    begin: 'var sum = vec3f();',
    add: (a: string, b: string) => `sum = addTo(sum, ${a} * ${b}, p.zero);`,
    total: 'totalOf(sum)',
  };
}

/** Bindings: the images read, OIHW weights, the images written, `stats` where there is a norm. */
export function directGather(name: string, g: Gather, norm?: ImageNorm): Kernel {
  const [channels, plane] = [g.groups * g.outChannels, g.y.size * g.x.size];
  const total = g.batch * channels * plane;
  const groups = Math.ceil(total / SIZE);
  const load = imageLoad({ operand: 'weights', norm, half: g.half });
  const acc = accumulator(g.inChannels * g.kernelHeight * g.kernelWidth);
  const code = wgsl`
${load.bindings}
${load.declarations}${acc.functions}

@compute @workgroup_size(${SIZE}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let id = group * ${SIZE}u + local;
  if (id >= ${total}u) { return; }
  let x = i32(id % ${g.x.size}u);
  let y = i32(id / ${g.x.size}u % ${g.y.size}u);
  let o = id / ${plane}u % ${channels}u;
  let n = id / ${plane * channels}u;
  let g = o / ${g.outChannels}u;
  let classX = x % ${g.x.classes};
  let classY = y % ${g.y.classes};
  ${tapProgression(g.x, 'x', 'classX')}
  ${tapProgression(g.y, 'y', 'classY')}
  let x0 = x / ${g.x.classes} * ${g.x.step} + xOffset;
  let y0 = y / ${g.y.classes} * ${g.y.step} + yOffset;
  ${acc.begin}
  for (var c = 0u; c < ${g.inChannels}u; c++) {
    let channel = g * ${g.inChannels}u + c;
    let image = i32((n * ${g.groups * g.inChannels}u + channel) * ${g.y.inSize * g.x.inSize}u);
    let weight = i32((g * ${g.weightStride.group}u + o % ${g.outChannels}u * ${g.weightStride.out}u + c * ${g.weightStride.in}u) * ${g.kernelHeight * g.kernelWidth}u);
    for (var i = 0; i < yCount; i++) {
      let yy = y0 + i * yOffsetStep;
      if (yy < 0 || yy >= ${g.y.inSize}) { continue; }
      for (var j = 0; j < xCount; j++) {
        let xx = x0 + j * xOffsetStep;
        if (xx < 0 || xx >= ${g.x.inSize}) { continue; }
        let tap = ${planeIndex(g, `(yTap + i * yTapStep) * ${g.kernelWidth} + xTap + j * xTapStep`)};
        ${acc.add(load.operand('weight + tap'), load.image(`image + yy * ${g.x.inSize} + xx`, 'channel'))}
      }
    }
  }
  result[id] = ${load.store(acc.total)};
}`;
  return { name, code, access: load.access, grid: foldWorkgroups(groups), ...acc.kernel };
}

/** Partial weight gradients, [split][outChannel][inChannel][ky][kx], of `splits` equal ranges of output rows. Bindings: x, dy, partials, as above. */
export function directWeightGradient(name: string, s: Conv2dShape, norm?: ImageNorm): Partials {
  const [inChannels, outChannels] = [s.inChannels / s.groups, s.outChannels / s.groups];
  const count = s.outChannels * inChannels * s.kernelHeight * s.kernelWidth;
  const rows = s.batch * s.outHeight;
  const rowsPerSplit = Math.ceil(
    rows / Math.min(rows, Math.max(Math.ceil(16_384 / count), partsOfPixels(rows * s.outWidth, count))),
  );
  const splits = Math.ceil(rows / rowsPerSplit);
  const groups = Math.ceil((count * splits) / SIZE);
  const load = imageLoad({ operand: 'dy', norm, half: s.half, splits });
  const acc = accumulator(rows * s.outWidth);
  const code = wgsl`
${load.bindings}
${load.declarations}${acc.functions}

@compute @workgroup_size(${SIZE}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let id = group * ${SIZE}u + local;
  if (id >= ${count * splits}u) { return; }
  let kx = id % ${s.kernelWidth}u;
  let ky = id / ${s.kernelWidth}u % ${s.kernelHeight}u;
  let c = id / ${s.kernelWidth * s.kernelHeight}u % ${inChannels}u;
  let o = id / ${s.kernelWidth * s.kernelHeight * inChannels}u % ${s.outChannels}u;
  let part = id / ${count}u;
  let channel = o / ${outChannels}u * ${inChannels}u + c;
  let x0 = i32(kx * ${s.dilationW}u) - ${s.padLeft};
  let y0 = i32(ky * ${s.dilationH}u) - ${s.padTop};
  ${acc.begin}
  for (var r = part * ${rowsPerSplit}u; r < min((part + 1u) * ${rowsPerSplit}u, ${rows}u); r++) {
    let n = r / ${s.outHeight}u;
    let oy = r % ${s.outHeight}u;
    let yy = y0 + i32(oy * ${s.strideH}u);
    if (yy < 0 || yy >= ${s.inHeight}) { continue; }
    let line = i32((n * ${s.inChannels}u + channel) * ${s.inHeight}u + u32(yy)) * ${s.inWidth};
    let dyLine = ((n * ${s.outChannels}u + o) * ${s.outHeight}u + oy) * ${s.outWidth}u;
    for (var ox = 0u; ox < ${s.outWidth}u; ox++) {
      let xx = x0 + i32(ox * ${s.strideW}u);
      if (xx < 0 || xx >= ${s.inWidth}) { continue; }
      ${acc.add(load.operand('dyLine + ox'), load.image('line + xx', 'channel'))}
    }
  }
  partials[id] = ${load.store(acc.total)};
}`;
  return { kernel: { name, code, access: load.access, grid: foldWorkgroups(groups), ...acc.kernel }, splits };
}
