// Particles: the residual step of the mean-field ResNet with its gradient, and sorting particles by their times.
//
//   step        y = x + Δ_l·f,  Δ_l = τ_l − τ_{l−1},  τ_{−1} = 0                                  (Lu et al. 2020, eq. 4.1)
//   gradient    ∂E/∂f = Δ_l·g,  s_l = Σ ⟨g, f⟩,  ∂E/∂τ_l = s_l − s_{l+1}; ∂E/∂x = g
//   sort        order[r] = the particle whose time has rank r (ascending, stable; −0 equals 0, NaN comes last)
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, storage } from './build';
import { foldWorkgroups, type Kernel } from './kernel';
import { segmentedKernel } from './segments';

const WORKGROUP = 64;
/** Numbers that one workgroup of `residualStep` covers. */
const STEP_TILE = WORKGROUP * 4;
/** Threads of `residualStepGradient`: each sums a strided share, so the number of partial sums is fixed. */
export const SUMS = 2048;

const delta = `fn delta(l: u32) -> f32 { return tau[l] - select(0.0, tau[max(l, 1u) - 1u], l > 0u); }`;
/** WGSL of x + Δ·f, where a convolution adds it as well (conv/residual.ts). */
const stepSum = (x: string, f: string) => `fma(vec4f(delta(p.l)), ${f}, ${x})`;
/** The same for a kernel that has τ at a binding. */
export const stepAt = (binding: number) => ({
  declarations: `struct Params { n: u32, l: u32 }
@group(0) @binding(${binding}) var<storage, read> tau: array<f32>;
@group(1) @binding(0) var<uniform> p: Params;
${delta}
`,
  sum: stepSum,
});

const step = declare('n: u32, l: u32', 'r x: vec4f', 'r f: vec4f', 'r tau: f32', 'w y: vec4f');

/** Bytes of its constants. */
export const STEP_BYTES = step.io.uniforms;

/** Bindings: x, f, τ, y. Constants: elements, l. */
export const residualStep: Kernel = {
  name: 'meanfield.step',
  ...step.io,
  grid: { tile: STEP_TILE },
  code: wgsl`
${step.head}
${delta}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (w.y * groups.x + w.x) * ${WORKGROUP}u + t;
  if (i * 4u >= p.n) { return; }
  y[i] = ${stepSum('x[i]', 'f[i]')};
}`,
  adds: 'step',
};

const gradient = declare('n: u32, l: u32', 'r g: vec4f', 'r f: vec4f', 'r tau: f32', 'w df: vec4f', 'w sums: f32');

/** Bindings: g, f, τ, ∂E/∂f, SUMS partial sums of ⟨g, f⟩. Constants: elements, l. */
export const residualStepGradient: Kernel = {
  name: 'meanfield.step.gradient',
  ...gradient.io,
  grid: [SUMS / WORKGROUP, 1, 1],
  code: wgsl`
${gradient.head}
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

/** WGSL that makes ∂E/∂τ of n partial sums, in one workgroup. */
const timeGradients = (sums: string, gradient: string) => `
  for (var l = 0u; l < n; l++) {
    var sum = 0.0;
    if (l <= top) { for (var i = local; i < ${SUMS}u; i += ${WORKGROUP}u) { sum += ${sums}[at0 + l * ${SUMS}u + i]; } }
    cells[local] = sum;
    for (var half = ${WORKGROUP / 2}u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (local < half) { cells[local] += cells[local + half]; }
    }
    workgroupBarrier();
    if (local == 0u) {
      ${gradient}[at1 + l] = cells[0];
      if (l > 0u) { ${gradient}[at1 + l - 1u] -= cells[0]; }
    }
    workgroupBarrier();
  }`;

const cells = `var<workgroup> cells: array<f32, ${WORKGROUP}>;`;

const timeFamily = segmentedKernel({
  name: 'meanfield.time.gradient.joined',
  access: 'rw',
  types: ['f32', 'f32'],
  workgroupSize: WORKGROUP,
  words: 2,
  declarations: `${cells}\nvar<workgroup> shape: vec2u;`,
  // A record is read by all threads alike, which the compiler cannot see: workgroupUniformLoad tells it.
  body: `if (local == 0u) { shape = vec2u(word(0u), word(1u)); }
  let size_ = workgroupUniformLoad(&shape);
  let n = size_.x; let top = size_.y; ${timeGradients('b0', 'b1')}`,
});

/** ∂E/∂τ [n] from the partial sums [n, SUMS] of all steps up to `top`, the last that was differentiated. Bindings: sums, gradient. */
export const timeGradient = (n: number, top: number): Kernel =>
  cached(['meanfield.time.gradient', n, top], () => {
    const { bindings, access } = storage('r sums: f32', 'w gradient: f32');
    const code = wgsl`
${bindings}
${cells}
const n = ${n}u;
const top = ${top}u;
const at0 = 0u; const at1 = 0u;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) local: u32) {
  ${timeGradients('sums', 'gradient')}
}`;
    const segment = { family: timeFamily, groups: 1, words: [n, top] };
    return { name: 'meanfield.time.gradient', code, access, grid: [1, 1, 1], segment };
  });

/**
 * WGSL that ranks n times from `TAU[AT …]`, for kernels of one workgroup. Times are compared as integers in the order of the floats: a comparison
 * of floats would lose particles if a time were NaN.
 */
const rank = (tau: string, order: string, inversions: string) => `
  if (local == 0u) { atomicStore(&found, 0u); }
  workgroupBarrier();
  for (var i = local; i < n; i += ${WORKGROUP}u) {
    let mine = key(${tau}[at0 + i]);
    var place = 0u;
    var later = 0u;
    for (var j = 0u; j < n; j++) {
      let other = key(${tau}[at0 + j]);
      if (other < mine || (other == mine && j < i)) { place++; }
      if (j < i && other > mine) { later++; }
    }
    ${order}[at1 + place] = i;
    atomicAdd(&found, later);
  }
  workgroupBarrier();
  if (local == 0u) { ${inversions}[at2] += atomicLoad(&found); }`;

const rankDeclarations = `
var<workgroup> found: atomic<u32>;
fn key(time: f32) -> u32 {
  let bits = bitcast<u32>(time);
  let clean = select(bits, 0u, bits == 0x80000000u);
  return select(clean | 0x80000000u, ~clean, clean > 0x7fffffffu);
}`;

const rankFamily = segmentedKernel({
  name: 'meanfield.rank.joined',
  access: 'rwx',
  types: ['f32', 'u32', 'u32'],
  workgroupSize: WORKGROUP,
  words: 1,
  declarations: rankDeclarations,
  body: `let n = word(0u); ${rank('b0', 'b1', 'b2')}`,
});

/** The order of n particles. Bindings: τ [n], order [n], inversions [1] (added to). */
export const rankParticles = (n: number): Kernel =>
  cached(['meanfield.rank', n], () => {
    const { bindings, access } = storage('r tau: f32', 'w order: u32', 'x inversions: u32');
    const code = wgsl`
${bindings}
${rankDeclarations}
const n = ${n}u;
const at0 = 0u; const at1 = 0u; const at2 = 0u;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) local: u32) {
  ${rank('tau', 'order', 'inversions')}
}`;
    const segment = { family: rankFamily, groups: 1, words: [n] };
    return { name: 'meanfield.rank', code, access, grid: [1, 1, 1], segment };
  });

/** Most particles whose rows a joined launch holds in registers. */
const JOINED_ROWS = 32;

/** WGSL that moves column `c` of `columns`, unless the order is the one there is already. `most` sizes the registers. */
const permute = (data: string, order: string, most: number) => `
  var moved = false;
  for (var i = 0u; i < n; i++) { moved = moved || ${order}[at1 + i] != i; }
  let c = group * ${WORKGROUP}u + local;
  if (!moved || c >= columns) { return; }
  var column: array<u32, ${most}>;
  for (var i = 0u; i < n; i++) { column[i] = ${data}[at0 + i * columns + c]; }
  for (var i = 0u; i < n; i++) { ${data}[at0 + i * columns + c] = column[${order}[at1 + i]]; }`;

const permuteFamily = segmentedKernel({
  name: 'meanfield.permute.joined',
  access: 'xr',
  types: ['Word', 'u32'],
  workgroupSize: WORKGROUP,
  words: 2,
  body: `let n = word(0u); let columns = word(1u); ${permute('b0', 'b1', JOINED_ROWS)}`,
});

/** Rows into a new order, in place: row r becomes what was row order[r]. Bindings: data [n, columns], order [n]. */
export const permuteRows = (n: number, columns: number): Kernel =>
  cached(['meanfield.permute', n, columns], () => {
    const groups = Math.ceil(columns / WORKGROUP);
    const { bindings, access } = storage('x data: Word', 'r order: u32');
    const code = wgsl`
${bindings}
const n = ${n}u;
const columns = ${columns}u;
const at0 = 0u; const at1 = 0u;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) size: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = wid.y * size.x + wid.x;
  ${permute('data', 'order', n)}
}`;
    const segment = n <= JOINED_ROWS ? { family: permuteFamily, groups, words: [n, columns] } : undefined;
    return { name: 'meanfield.permute', code, access, grid: foldWorkgroups(groups), segment };
  });
