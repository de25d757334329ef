/**
 * Factors of square matrices a [matrices, n, n] and solutions with triangular ones, for many small matrices.
 *
 *   lu          P·A = L·U with partial pivoting: lu holds U and below it L without its diagonal of ones; row i of P·A is row perm[i] of A
 *   cholesky    A = L·Lᵀ; the upper triangle of A is not read
 *   triangular  T·X = B, a thread for each column of X
 *
 * A factor is made by one workgroup a matrix, in place in the result. A matrix that has none is reported (report.ts) by its number in the batch.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perGroup, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

const THREADS = 64;

/** Bindings: a, lu, perm (int32 [matrices, n]), sign (of the permutation, [matrices]), reports where `report`. Uniforms: matrices, n, number for reports. */
export const lu = (report: boolean): Kernel =>
  cached(['lu', report], () => {
    const buffers = ['r a: f32', 'w lu: f32', 'w perm: i32', 'w sign: f32', report && REPORTS];
    const { head, io } = declare('matrices: u32, n: u32, slot: u32', ...buffers);
    const code = wgsl`
${head}
${report ? reportFunction : ''}
var<workgroup> largest: array<f32, ${THREADS}>;
var<workgroup> rowOf: array<u32, ${THREADS}>;
${perGroup('matrix', THREADS, 'p.matrices')}
  let n = p.n;
  let at = matrix * n * n;
  for (var i = local; i < n * n; i += ${THREADS}u) { lu[at + i] = a[at + i]; }
  for (var i = local; i < n; i += ${THREADS}u) { perm[matrix * n + i] = i32(i); }
  var swaps = 0u;
  var singular = false;
  for (var k = 0u; k < n; k++) {
    storageBarrier();
    var most = -1.0;
    var row = k;
    for (var i = k + local; i < n; i += ${THREADS}u) {
      let size = abs(lu[at + i * n + k]);
      if (size > most) { most = size; row = i; }
    }
    largest[local] = most;
    rowOf[local] = row;
    workgroupBarrier();
    most = largest[0];
    row = rowOf[0];
    for (var t = 1u; t < ${THREADS}u; t++) {
      if (largest[t] > most || (largest[t] == most && rowOf[t] < row)) { most = largest[t]; row = rowOf[t]; }
    }
    if (row != k) {
      swaps++;
      for (var j = local; j < n; j += ${THREADS}u) {
        let upper = lu[at + k * n + j];
        lu[at + k * n + j] = lu[at + row * n + j];
        lu[at + row * n + j] = upper;
      }
      if (local == 0u) {
        let upper = perm[matrix * n + k];
        perm[matrix * n + k] = perm[matrix * n + row];
        perm[matrix * n + row] = upper;
      }
    }
    storageBarrier();
    let pivot = lu[at + k * n + k];
    singular = singular || pivot == 0.0;
    for (var i = k + 1u + local; i < n; i += ${THREADS}u) {
      let x = lu[at + i * n + k];
      lu[at + i * n + k] = select(x / pivot, x, pivot == 0.0);
    }
    storageBarrier();
    let left = n - k - 1u;
    for (var e = local; e < left * left; e += ${THREADS}u) {
      let i = at + (k + 1u + e / left) * n;
      let j = k + 1u + e % left;
      lu[i + j] -= lu[i + k] * lu[at + k * n + j];
    }
    workgroupBarrier();
  }
  if (local == 0u) {
    sign[matrix] = select(1.0, -1.0, (swaps & 1u) == 1u);
#if ${report}
    if (singular) { report(i32(matrix)); }
#endif
  }
}`;
    return { name: 'lu', code, ...io, grid: { tile: 1 } };
  });

/** Bindings: a, l, reports. Uniforms: matrices, n, number for reports. Where there is no factor it is NaN from the column on that has none. */
export const cholesky = (): Kernel =>
  cached(['cholesky'], () => {
    const { head, io } = declare('matrices: u32, n: u32, slot: u32', 'r a: f32', 'w l: f32', REPORTS);
    const code = wgsl`
${head}
${reportFunction}
${functionsFor('isPositive() nan()')}
${perGroup('matrix', THREADS, 'p.matrices')}
  let n = p.n;
  let at = matrix * n * n;
  for (var i = local; i < n * n; i += ${THREADS}u) { l[at + i] = select(0.0, a[at + i], i % n <= i / n); }
  var positive = true;
  for (var k = 0u; k < n; k++) {
    storageBarrier();
    let square = l[at + k * n + k];
    positive = positive && isPositive(square);
    let root = select(nan(), sqrt(square), positive);
    storageBarrier();
    if (local == 0u) { l[at + k * n + k] = root; }
    for (var i = k + 1u + local; i < n; i += ${THREADS}u) { l[at + i * n + k] = l[at + i * n + k] / root; }
    storageBarrier();
    let left = n - k - 1u;
    for (var e = local; e < left * left; e += ${THREADS}u) {
      let i = k + 1u + e / left;
      let j = k + 1u + e % left;
      if (j <= i) { l[at + i * n + j] -= l[at + i * n + k] * l[at + j * n + k]; }
    }
  }
  if (local == 0u && !positive) { report(i32(matrix)); }
}`;
    return { name: 'cholesky', code, ...io, grid: { tile: 1 } };
  });

export interface TriangularOptions {
  readonly upper: boolean;
  /** The diagonal counts as ones, and is not read. */
  readonly unit: boolean;
  /** Row i of B is row perm[i] of what is bound. */
  readonly permuted: boolean;
  /** A diagonal element of 0 counts as 2⁻²³. */
  readonly safe: boolean;
}

/** Bindings: t [matrices, n, n], b [matrices, n, m], perm where `permuted`, x. Uniforms: columns of all, n, m. Sums are compensated. */
export const triangular = (o: TriangularOptions): Kernel =>
  cached(['triangular', o], () => {
    const buffers = ['r t: f32', 'r b: f32', o.permuted && 'r perm: i32', 'w x: f32'];
    const { head, io } = declare('columns: u32, n: u32, m: u32', ...buffers);
    const code = wgsl`
${head}
${functionsFor('addTo() totalOf() over()')}
${perThread('column', THREADS, 'p.columns')}
  let n = p.n;
  let matrix = column / p.m;
  let at = matrix * n * n;
  let base = matrix * n * p.m + column % p.m;
  for (var step = 0u; step < n; step++) {
    let r = ${o.upper ? 'n - 1u - step' : 'step'};
    var sum = vec3f();
    for (var k = ${o.upper ? 'r + 1u' : '0u'}; k < ${o.upper ? 'n' : 'r'}; k++) {
      sum = addTo(sum, t[at + r * n + k] * x[base + k * p.m], p.n >> 31u);
    }
    let rest = b[base + ${o.permuted ? 'u32(perm[matrix * n + r])' : 'r'} * p.m] - totalOf(sum);
#if ${o.unit}
    x[base + r * p.m] = rest;
#else
    let d = t[at + r * n + r];
    x[base + r * p.m] = over(rest, ${o.safe ? `select(d, ${2 ** -23}, d == 0.0)` : 'd'});
#endif
  }
}`;
    return { name: 'triangular', code, ...io, grid: { tile: THREADS } };
  });
