/**
 * Singular values of small matrices b [matrices, k, l] with k ≤ l, by one-sided Jacobi rotations (Hestenes): rows are turned in pairs until all are
 * orthogonal, R·B = diag(s)·U, so that B = Rᵀ·diag(s)·U. Singular values in no order.
 *
 * A workgroup has a matrix. The k rows (and one of nothing where k is odd) meet each other like players of a tournament: in each of the rounds of a
 * sweep every row is in one pair, and a thread turns a pair. Rotations converge quadratically; SWEEPS are enough for float32 at any size here.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perGroup } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const THREADS = 64;
const SWEEPS = 12;

/** Bindings: b, u (orthonormal rows [matrices, k, l], or zeros for a singular value of 0), r [matrices, k, k], s [matrices, k]. Uniforms: matrices, k, l. */
export const singular = (): Kernel =>
  cached(['singular'], () => {
    const { head, io } = declare('matrices: u32, k: u32, l: u32', 'r b: f32', 'x u: f32', 'x r: f32', 'w s: f32');
    const code = wgsl`
${head}
${functionsFor('addTo() totalOf()')}
/** The product of rows i and j of u. */
fn product(i: u32, j: u32) -> f32 {
  var sum = vec3f();
  for (var c = 0u; c < p.l; c++) { sum = addTo(sum, u[i + c] * u[j + c], p.l >> 31u); }
  return totalOf(sum);
}
${perGroup('matrix', THREADS, 'p.matrices')}
  let k = p.k;
  let l = p.l;
  let at = matrix * k * l;
  let turns = matrix * k * k;
  for (var i = local; i < k * l; i += ${THREADS}u) { u[at + i] = b[at + i]; }
  for (var i = local; i < k * k; i += ${THREADS}u) { r[turns + i] = select(0.0, 1.0, i % (k + 1u) == 0u); }
  let players = k + k % 2u;
  for (var round = 0u; round < ${SWEEPS}u * (max(players, 1u) - 1u); round++) {
    storageBarrier();
    for (var pair = local; pair < players / 2u; pair += ${THREADS}u) {
      // The last player stays, the others go round.
      let others = players - 1u;
      let first = select((round + pair) % others, others, pair == 0u);
      let second = (round + others - pair) % others;
      if (first >= k || second >= k) { continue; }
      let i = at + min(first, second) * l;
      let j = at + max(first, second) * l;
      let a = product(i, i);
      let d = product(j, j);
      let c = product(i, j);
      if (abs(c) <= 6e-8 * sqrt(a) * sqrt(d)) { continue; }
      let zeta = (d - a) / (2.0 * c);
      let size = abs(zeta);
      let t = select(-1.0, 1.0, zeta >= 0.0) / (size + select(sqrt(1.0 + zeta * zeta), size, size > 1e9));
      let cosine = 1.0 / sqrt(1.0 + t * t);
      let sine = cosine * t;
      for (var e = 0u; e < l; e++) {
        let x = u[i + e];
        let y = u[j + e];
        u[i + e] = cosine * x - sine * y;
        u[j + e] = sine * x + cosine * y;
      }
      let m = turns + min(first, second) * k;
      let n = turns + max(first, second) * k;
      for (var e = 0u; e < k; e++) {
        let x = r[m + e];
        let y = r[n + e];
        r[m + e] = cosine * x - sine * y;
        r[n + e] = sine * x + cosine * y;
      }
    }
  }
  storageBarrier();
  for (var i = local; i < k; i += ${THREADS}u) {
    let value = sqrt(product(at + i * l, at + i * l));
    s[matrix * k + i] = value;
    let scale = select(1.0 / value, 0.0, value == 0.0);
    for (var e = 0u; e < l; e++) { u[at + i * l + e] *= scale; }
  }
}`;
    return { name: 'singular', code, ...io, grid: { tile: 1 } };
  });
