// Particles: the residual step of the mean-field ResNet with its gradient, and sorting particles by their times.
//
//   step        y = x + Δ_l·f,  Δ_l = τ_l − τ_{l−1},  τ_{−1} = 0                                  (Lu et al. 2020, eq. 4.1)
//   gradient    ∂E/∂f = Δ_l·g,  s_l = Σ ⟨g, f⟩,  ∂E/∂τ_l = s_l − s_{l+1}; ∂E/∂x = g
//   sort        order[r] = the particle whose time has rank r (ascending, stable; −0 equals 0, NaN comes last)
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import type { Kernel } from './kernel';

const WORKGROUP = 64;
/** Numbers that one workgroup of `residualStep` covers. */
export const STEP_TILE = WORKGROUP * 4;
/** Threads of `residualStepGradient`: each sums a strided share, so the number of partial sums is fixed. */
export const SUMS = 2048;

const delta = `fn delta(l: u32) -> f32 { return tau[l] - select(0.0, tau[max(l, 1u) - 1u], l > 0u); }`;

/** Bindings: x, f, τ, y. Constants: elements, l. */
export const residualStep: Kernel = {
  name: 'meanfield.step',
  access: 'rrrw',
  uniforms: 16,
  code: wgsl`
struct Params { n: u32, l: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> f: array<vec4f>;
@group(0) @binding(2) var<storage, read> tau: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(1) @binding(0) var<uniform> p: Params;
${delta}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (w.y * groups.x + w.x) * ${WORKGROUP}u + t;
  if (i * 4u >= p.n) { return; }
  y[i] = x[i] + delta(p.l) * f[i];
}`,
};

/** Bindings: g, f, τ, ∂E/∂f, SUMS partial sums of ⟨g, f⟩. Constants: elements, l. Grid: SUMS / 64. */
export const residualStepGradient: Kernel = {
  name: 'meanfield.step.gradient',
  access: 'rrrww',
  uniforms: 16,
  workgroups: [SUMS / WORKGROUP, 1, 1],
  code: wgsl`
struct Params { n: u32, l: u32 }
@group(0) @binding(0) var<storage, read> g: array<vec4f>;
@group(0) @binding(1) var<storage, read> f: array<vec4f>;
@group(0) @binding(2) var<storage, read> tau: array<f32>;
@group(0) @binding(3) var<storage, read_write> df: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(1) @binding(0) var<uniform> p: Params;
${delta}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let step = delta(p.l);
  let last = p.n / 4u;
  var sum = vec4f();
  for (var i = id.x; i < last; i += ${SUMS}u) {
    let a = g[i];
    df[i] = step * a;
    sum += a * f[i];
  }
  if (id.x == 0u && p.n % 4u != 0u) {
    let a = g[last];
    df[last] = step * a;
    sum += select(vec4f(), a * f[last], vec4u(0, 1, 2, 3) < vec4u(p.n % 4u));
  }
  sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}`,
};

/** Bindings: the partial sums, ∂E/∂τ [n]. Constants: n, l. */
export const timeGradient: Kernel = {
  name: 'meanfield.time.gradient',
  access: 'rw',
  uniforms: 16,
  workgroups: [1, 1, 1],
  code: wgsl`
struct Params { n: u32, l: u32 }
@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(1) @binding(0) var<uniform> p: Params;
var<workgroup> shared_: array<f32, ${WORKGROUP}>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) t: u32) {
  var sum = 0.0;
  for (var i = t; i < ${SUMS}u; i += ${WORKGROUP}u) { sum += sums[i]; }
  shared_[t] = sum;
  for (var half = ${WORKGROUP / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (t < half) { shared_[t] += shared_[t + half]; }
  }
  workgroupBarrier();
  let s = shared_[0];
  for (var i = t; i < p.n; i += ${WORKGROUP}u) { gradient[i] = select(select(0.0, -s, i + 1u == p.l), s, i == p.l); }
}`,
};

/** Bindings: τ [n], order [n], inversions [1] (added to). Constants: n. */
export const rankParticles: Kernel = {
  name: 'meanfield.rank',
  access: 'rwx',
  uniforms: 16,
  workgroups: [1, 1, 1],
  code: wgsl`
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> tau: array<f32>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> inversions: array<u32>;
@group(1) @binding(0) var<uniform> p: Params;
var<workgroup> found: atomic<u32>;
// Integers in the order of the floats: a comparison of floats would lose particles if a time were NaN.
fn key(i: u32) -> u32 {
  let bits = bitcast<u32>(tau[i]);
  let clean = select(bits, 0u, bits == 0x80000000u);
  return select(clean | 0x80000000u, ~clean, clean > 0x7fffffffu);
}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) t: u32) {
  // The fast profile does not clear workgroup memory.
  if (t == 0u) { atomicStore(&found, 0u); }
  workgroupBarrier();
  for (var i = t; i < p.n; i += ${WORKGROUP}u) {
    let mine = key(i);
    var rank = 0u;
    var later = 0u;
    for (var j = 0u; j < p.n; j++) {
      let other = key(j);
      if (other < mine || (other == mine && j < i)) { rank++; }
      if (j < i && other > mine) { later++; }
    }
    order[rank] = i;
    atomicAdd(&found, later);
  }
  workgroupBarrier();
  if (t == 0u) { inversions[0] += atomicLoad(&found); }
}`,
};

const memo = new Map<number, Kernel>();

/** Rows into a new order, in place: row r becomes what was row order[r]. Bindings: data [n, columns], order [n]. Constants: columns. */
export function permuteRows(n: number): Kernel {
  let kernel = memo.get(n);
  if (kernel) return kernel;
  kernel = {
    name: 'meanfield.permute',
    access: 'xr',
    uniforms: 16,
    code: wgsl`
struct Params { columns: u32 }
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(1) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  var moved = false;
  for (var i = 0u; i < ${n}u; i++) { moved = moved || order[i] != i; }
  let c = (w.y * groups.x + w.x) * ${WORKGROUP}u + t;
  if (!moved || c >= p.columns) { return; }
  var column: array<u32, ${n}>;
  for (var i = 0u; i < ${n}u; i++) { column[i] = data[i * p.columns + c]; }
  for (var i = 0u; i < ${n}u; i++) { data[i * p.columns + c] = column[order[i]]; }
}`,
  };
  memo.set(n, kernel);
  return kernel;
}

/** Columns that one workgroup of `permuteRows` moves. */
export const PERMUTE_TILE = WORKGROUP;
