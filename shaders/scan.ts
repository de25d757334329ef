// Running sums, products, extremes and logarithms of sums along the middle dimension of x[outer, length, inner]:  y[j] = x[0] ⊕ … ⊕ x[j], exclusive
// without x[j]. 'argmax' and 'argmin' give the position of the extreme, of ties the last one; NaN is the most extreme. 'logsum' is log Σ eˣ.
//
// Sums of floats are compensated: every one is good to a unit in the last place. A line has a team of threads: each reduces its segment, starts from what the segments before it give, and walks the segment again.
// 'slope' is the gradient of a running product, right where factors are zero: with P[k] = Π_{j<k} x[j],
//   dx[k] = P[k] · S[k],   S[k] = Σ_{i≥k} g[i] Π_{k<j≤i} x[j] = g[k] + x[k+1] · S[k+1],   exclusive: S[k] = g[k+1] + x[k+1] · S[k+1].
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

export interface ScanKernelOptions {
  kind: 'sum' | 'prod' | 'slope' | 'argmax' | 'argmin' | 'logsum';
  type: 'f32' | 'i32' | 'u32';
  exclusive: boolean;
  /** Walks from the end. */
  reverse: boolean;
  /** Threads of a line: 1 or SCAN_WORKGROUP. */
  team: number;
}

export const SCAN_WORKGROUP = 64;

/** Bindings: x, for 'slope' also g and P, then y. Constants: lines, length, inner. */
export const scan = (o: ScanKernelOptions): Kernel => cached(['scan', o], () => build(o));

function build({ kind, type, exclusive, reverse, team }: ScanKernelOptions): Kernel {
  const slope = kind === 'slope';
  const compensated = kind === 'sum' && type === 'f32';
  const arg = kind === 'argmax' || kind === 'argmin';
  const logs = kind === 'logsum';
  const plus = (x: string) =>
    arg
      ? `later(acc, ${x}, base)`
      : logs
        ? `logPlus(acc, ${x})`
        : compensated
          ? `addTo(acc, ${x}, p.length >> 31u)`
          : `acc ${kind === 'sum' ? '+' : '*'} ${x}`;
  const value = compensated ? 'totalOf(acc)' : logs ? 'logOf(acc)' : 'acc';
  const neutral = logs
    ? 'vec4f(-infinity(), vec3f())'
    : compensated
      ? 'vec3f()'
      : arg
        ? '-1'
        : `${type}(${kind === 'prod' ? 1 : 0})`;
  const result = arg ? 'i32' : type;
  /** What is combined: positions of extremes, or elements. */
  const element = arg ? 'i32(place)' : 'x[at]';
  const alone = team === 1;
  const buffers = [`r x: ${type}`, slope && 'r g: f32', slope && 'r before: f32', `w y: ${result}`];
  const { head, io } = declare('lines: u32, length: u32, inner: u32', ...buffers);
  const over = kind === 'argmax' ? 'b >= a' : 'b <= a';
  const worse = type === 'f32' ? `isNan(b) || (!isNan(a) && ${over})` : over;
  const code = wgsl`
${head}
${compensated ? functionsFor('addTo() totalOf()') : ''}
#if ${arg}
${functionsFor(worse)}
fn later(best: i32, place: i32, base: u32) -> i32 {
  if (best < 0 || place < 0) { return max(best, place); }
  let a = x[base + u32(best) * p.inner];
  let b = x[base + u32(place) * p.inner];
  return select(best, place, ${worse});
}
#elif ${logs}
${logarithms}
#endif
#if ${!alone}
var<workgroup> totals: array<${result}, ${team}>;
#endif
@compute @workgroup_size(${SCAN_WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let group = w.y * groups.x + w.x;
#if ${alone}
  let line = group * ${SCAN_WORKGROUP}u + l;
  if (line >= p.lines) { return; }
  let begin = 0u;
  let end = p.length;
#else
  let line = group;
  if (line >= p.lines) { return; }
  let segment = (p.length + ${team - 1}u) / ${team}u;
  let begin = min(l * segment, p.length);
  let end = min(begin + segment, p.length);
#endif
  let base = (line / p.inner) * p.length * p.inner + line % p.inner;
  var acc = ${neutral};
#if ${!alone}
  for (var j = begin; j < end; j++) {
    let place = ${reverse ? 'p.length - 1u - j' : 'j'};
    let at = base + place * p.inner;
    acc = ${plus(element)};
  }
  totals[l] = ${value};
  workgroupBarrier();
  acc = ${neutral};
  for (var k = 0u; k < l; k++) { acc = ${plus('totals[k]')}; }
#endif
  for (var j = begin; j < end; j++) {
    let place = ${reverse ? 'p.length - 1u - j' : 'j'};
    let at = base + place * p.inner;
#if ${slope && exclusive}
    y[at] = before[at] * acc;
    acc = g[at] + x[at] * acc;
#elif ${slope}
    acc = g[at] + acc;
    y[at] = before[at] * acc;
    acc = x[at] * acc;
#elif ${exclusive}
    let value = x[at];
    y[at] = ${value};
    acc = ${plus('value')};
#else
    acc = ${plus(element)};
    y[at] = ${value};
#endif
  }
}`;
  return { name: `scan.${kind}`, code, ...io, grid: { tile: alone ? SCAN_WORKGROUP : 1 } };
}

/**
 * The logarithm of a sum as (m, Σ e^(x − m)), the sum as in `addTo`. m follows the largest x only where that is far beyond it, so that the sum is rarely
 * scaled.
 */
const logarithms = `${functionsFor('addTo() totalOf() exp() log() isNan() isFinite() infinity() nan()')}
fn logPlus(acc: vec4f, x: f32) -> vec4f {
  if (isNan(acc.x) || isNan(x)) { return vec4f(nan(), vec3f()); }
  let infinite = !isFinite(x);
  if (acc.x == infinity() || (infinite && x < 0.0)) { return acc; }
  if (infinite || !isFinite(acc.x)) { return vec4f(x, 1.0, 0.0, 1.0); }
  let further = x > acc.x + 8.0;
  let m = select(acc.x, x, further);
  let sum = acc.yzw * select(1.0, exp(acc.x - m), further);
  return vec4f(m, addTo(sum, exp(x - m), p.length >> 31u));
}
fn logOf(acc: vec4f) -> f32 {
  if (isNan(acc.x)) { return nan(); }
  if (!isFinite(acc.x)) { return acc.x; }
  return acc.x + log(totalOf(acc.yzw));
}`;
