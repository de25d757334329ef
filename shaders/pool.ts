/**
 * Pooling over windows of x [planes, H, W] → y [planes, OH, OW]. Shapes are uniforms.
 *
 *   fixed windows     rows oh·stride − padding + k·dilation, k = 0 … kernel − 1
 *   adaptive windows  rows ⌊oh·H/OH⌋ … ⌈(oh + 1)·H/OH⌉ − 1
 *
 * Gradients are gathers: an input adds up what the windows that contain it send back, so no atomics and a fixed order.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

const POOL_TILE = 64;

export type PoolKind = 'max' | 'average' | 'adaptive' | 'adaptiveMax';

/** n, then (height, width) of: input, output, kernel, stride, padding before, dilation, padding after; countIncludePad; what means divide by where that is given, else 0. */
const PARAMS =
  'n: u32, h: i32, w: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, ph: i32, pw: i32, dh: i32, dw: i32, eh: i32, ew: i32, countPad: u32, divideBy: f32';

/** Windows along one axis: first and one-past-last output whose window may contain position `at`. */
const functions = (adaptive: boolean) => `
fn windowStart(o: i32, size: i32, outputs: i32, stride: i32, pad: i32) -> i32 { return ${adaptive ? 'o * size / outputs' : 'o * stride - pad'}; }
fn windowEnd(o: i32, size: i32, outputs: i32, stride: i32, pad: i32, kernel: i32, dilation: i32) -> i32 {
  return ${adaptive ? '((o + 1) * size + outputs - 1) / outputs' : 'o * stride - pad + (kernel - 1) * dilation + 1'};
}
fn firstOutput(at: i32, size: i32, outputs: i32, stride: i32, pad: i32, kernel: i32, dilation: i32) -> i32 {
  return ${adaptive ? 'at * outputs / size' : 'max(0, (at + pad - (kernel - 1) * dilation + stride - 1) / stride)'};
}
fn endOutput(at: i32, size: i32, outputs: i32, stride: i32, pad: i32) -> i32 {
  return min(outputs, ${adaptive ? '((at + 1) * outputs + size - 1) / size' : '(at + pad) / stride + 1'});
}
`;

const position = (height: string, width: string) => `
  let column = i32(i) % p.${width};
  let row = i32(i) / p.${width} % p.${height};
  let plane = i32(i) / (p.${width} * p.${height});`;

/** y and the index of each maximum in its plane of x; the last NaN wins, then the first of equals, as in PyTorch. Bindings: x, y, index. */
export const maxPool = (adaptive: boolean): Kernel =>
  cached(['maxPool', adaptive], () => {
    const { head, io } = declare(PARAMS, 'r x: f32', 'w y: f32', 'w index: i32');
    const code = wgsl`
${head}
${functions(adaptive)}
${functionsFor('isNan()')}
${perThread('i', POOL_TILE, 'p.n')}
  ${position('oh', 'ow')}
  var best = bitcast<f32>(0xff800000u | (p.n & 0u)); // −∞ as no constant: the compiler refuses those
  var found = -1;
  let bottom = min(p.h, windowEnd(row, p.h, p.oh, p.sh, p.ph, p.kh, p.dh));
  let right = min(p.w, windowEnd(column, p.w, p.ow, p.sw, p.pw, p.kw, p.dw));
  for (var r = windowStart(row, p.h, p.oh, p.sh, p.ph); r < bottom; r += p.dh) {
    if (r < 0) { continue; }
    for (var c = windowStart(column, p.w, p.ow, p.sw, p.pw); c < right; c += p.dw) {
      if (c < 0) { continue; }
      let v = x[(plane * p.h + r) * p.w + c];
      if (found < 0 || v > best || isNan(v)) {
        best = v;
        found = r * p.w + c;
      }
    }
  }
  y[i] = best;
  index[i] = found;
}`;
    return { name: 'maxPool', code, ...io, grid: { tile: POOL_TILE } };
  });

/** Mean of each window. Bindings: x, y. */
export const averagePool = (adaptive: boolean): Kernel =>
  cached(['averagePool', adaptive], () => {
    const { head, io } = declare(PARAMS, 'r x: f32', 'w y: f32');
    const code = wgsl`
${head}
${functions(adaptive)}
${functionsFor('addTo() totalOf()')}
${divisor}
${perThread('i', POOL_TILE, 'p.n')}
  ${position('oh', 'ow')}
  let top = max(0, windowStart(row, p.h, p.oh, p.sh, p.ph));
  let left = max(0, windowStart(column, p.w, p.ow, p.sw, p.pw));
  let bottom = min(p.h, windowEnd(row, p.h, p.oh, p.sh, p.ph, p.kh, 1));
  let right = min(p.w, windowEnd(column, p.w, p.ow, p.sw, p.pw, p.kw, 1));
  var sum = vec3f();
  for (var r = top; r < bottom; r++) {
    for (var c = left; c < right; c++) { sum = addTo(sum, x[(plane * p.h + r) * p.w + c], p.n >> 31u); }
  }
  y[i] = totalOf(sum) / divisor(row, column);
}`;
    return { name: 'averagePool', code, ...io, grid: { tile: POOL_TILE } };
  });

/** How many positions a window divides by: those inside of the plane, or inside of the padded plane. */
const divisor = `
fn extent(o: i32, size: i32, outputs: i32, stride: i32, pad: i32, after: i32, kernel: i32) -> i32 {
  let start = windowStart(o, size, outputs, stride, pad);
  let end = windowEnd(o, size, outputs, stride, pad, kernel, 1);
  return select(min(end, size) - max(start, 0), min(end, size + after) - start, p.countPad == 1u);
}
fn divisor(row: i32, column: i32) -> f32 {
  let inside = f32(extent(row, p.h, p.oh, p.sh, p.ph, p.eh, p.kh) * extent(column, p.w, p.ow, p.sw, p.pw, p.ew, p.kw));
  return select(p.divideBy, inside, p.divideBy == 0.0);
}
`;

/** dx of either kind of pooling. Bindings: gradient, index where `max`, dx. */
export const poolGradient = (kind: PoolKind): Kernel =>
  cached(['poolGradient', kind], () => {
    const max = kind === 'max' || kind === 'adaptiveMax';
    const { head, io } = declare(PARAMS, 'r gradient: f32', max && 'r index: i32', 'w dx: f32');
    const code = wgsl`
${head}
${functions(kind.startsWith('adaptive'))}
${functionsFor('addTo() totalOf()')}
${max ? '' : divisor}
${perThread('i', POOL_TILE, 'p.n')}
  ${position('h', 'w')}
  let endRow = endOutput(row, p.h, p.oh, p.sh, p.ph);
  let endColumn = endOutput(column, p.w, p.ow, p.sw, p.pw);
  var sum = vec3f();
  for (var r = firstOutput(row, p.h, p.oh, p.sh, p.ph, p.kh, p.dh); r < endRow; r++) {
    for (var c = firstOutput(column, p.w, p.ow, p.sw, p.pw, p.kw, p.dw); c < endColumn; c++) {
      let at = (plane * p.oh + r) * p.ow + c;
#if ${max}
      sum = addTo(sum, select(0.0, gradient[at], index[at] == row * p.w + column), p.n >> 31u);
#else
      sum = addTo(sum, gradient[at] / divisor(r, c), p.n >> 31u);
#endif
    }
  }
  dx[i] = totalOf(sum);
}`;
    return { name: `${kind}Pool.gradient`, code, ...io, grid: { tile: POOL_TILE } };
  });

/**
 * Undoes a max pooling: y[plane, index[i]] = x[i], where y holds zeros before. Of values for one place any may win. Bindings: x, index, y, reports.
 * Uniforms: elements, values a plane, positions a plane, number for reports.
 */
export const maxUnpool = (): Kernel =>
  cached(['maxUnpool'], () => {
    const { head, io } = declare(
      'n: u32, few: u32, many: i32, slot: u32',
      'r x: f32',
      'r index: Index',
      'x y: f32',
      REPORTS,
    );
    const code = wgsl`
${head}
${reportFunction}
${perThread('i', POOL_TILE, 'p.n')}
  let at = index[i];
  if (at < 0 || at >= p.many) { report(at); return; }
  y[i32(i / p.few) * p.many + at] = x[i];
}`;
    return { name: 'maxUnpool', code, ...io, grid: { tile: POOL_TILE } };
  });
