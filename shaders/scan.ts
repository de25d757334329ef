// Running sums and products along the middle dimension of x[outer, length, inner]:  y[j] = x[0] ⊕ … ⊕ x[j], exclusive without x[j].
//
// Sums of floats are compensated: every one is good to a unit in the last place. A line has a team of threads: each reduces its segment, starts from what the segments before it give, and walks the segment again.
// 'slope' is the gradient of a running product, right where factors are zero: with P[k] = Π_{j<k} x[j],
//   dx[k] = P[k] · S[k],   S[k] = Σ_{i≥k} g[i] Π_{k<j≤i} x[j] = g[k] + x[k+1] · S[k+1],   exclusive: S[k] = g[k+1] + x[k+1] · S[k+1].
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

export interface ScanKernelOptions {
  kind: 'sum' | 'prod' | 'slope';
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
  const plus = (x: string) =>
    compensated ? `addTo(acc, ${x}, p.length >> 31u)` : `acc ${kind === 'sum' ? '+' : '*'} ${x}`;
  const value = compensated ? 'totalOf(acc)' : 'acc';
  const neutral = compensated ? 'vec3f()' : `${type}(${kind === 'prod' ? 1 : 0})`;
  const alone = team === 1;
  const buffers = [`r x: ${type}`, slope && 'r g: f32', slope && 'r before: f32', `w y: ${type}`];
  const { head, io } = declare('lines: u32, length: u32, inner: u32', ...buffers);
  const code = wgsl`
${head}
${compensated ? functionsFor('addTo() totalOf()') : ''}
#if ${!alone}
var<workgroup> totals: array<${type}, ${team}>;
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
    let at = base + ${reverse ? '(p.length - 1u - j)' : 'j'} * p.inner;
    acc = ${plus('x[at]')};
  }
  totals[l] = ${value};
  workgroupBarrier();
  acc = ${neutral};
  for (var k = 0u; k < l; k++) { acc = ${plus('totals[k]')}; }
#endif
  for (var j = begin; j < end; j++) {
    let at = base + ${reverse ? '(p.length - 1u - j)' : 'j'} * p.inner;
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
    acc = ${plus('x[at]')};
    y[at] = ${value};
#endif
  }
}`;
  return { name: `scan.${kind}`, code, ...io, grid: { tile: alone ? SCAN_WORKGROUP : 1 } };
}
