/**
 * Batch normalisation over x [N, C, plane], and with N = 1 over rows (layer and group norm).
 *
 *   y = (x − mean) · rstd · γ + β = x · scale + shift            per channel, rstd = 1/√(var + ε), var biased
 *   training:  dγ = Σ g·xhat,  dβ = Σ g,  dx = scale · (g − dβ/M − xhat · dγ/M),  M = N · plane
 *
 * Statistics are (mean, M2) pairs, M2 = Σ (x − mean)²: each thread runs Welford's update on four streams at once, threads and then chunks of
 * a channel are merged about their common mean (Chan, Golub, LeVeque). E[x²] − mean² is never formed. `stats` has one row a channel:
 * (mean, rstd, scale, shift), so that another kernel can apply the normalisation with one load.
 *
 * Here is what the files of this folder share: forward.ts and gradient.ts have the three launches (partial sums, finish, apply) that every target
 * runs; cpu.ts has the one launch that does all of it where a workgroup walks a channel.
 */
import { reluBits } from '../arithmetic';
import { entry, perThread } from '../build';
import type { KernelTarget } from '../target';
import { CHUNK_THREADS, GPU_CHUNK, type Team, teamFor } from '../team';

export interface NormOptions {
  readonly target: KernelTarget;
  /** Elements of one channel of one sample, contiguous. */
  readonly plane: number;
  /** ReLU after the normalisation: y = max(0, …). */
  readonly relu: boolean;
}

/** Elements that one load moves. */
export const width = (plane: number) => (plane % 4 === 0 ? 4 : 1);

/** Threads that merge the chunks of a channel on GPUs. */
export const FINISH_THREADS = 256;

/** The teams that sum up chunks, several in a workgroup on GPUs. */
export const chunkTeam = (target: KernelTarget) => teamFor(target, 64, CHUNK_THREADS);

/** Most loads that a thread sums up in a row: rounding errors grow with that. */
export const SERIAL = 128;

/** Loads of a chunk, where a channel has `units` of them: few on GPUs, many on CPU drivers if there is enough work for all cores. */
export function chunkLength(target: KernelTarget, channels: number, units: number, plane: number): number {
  if (!target.isCpu) return GPU_CHUNK / width(plane);
  const chunks = Math.max(1, Math.min(Math.ceil(32 / channels), Math.floor(units / (8 * teamFor(target).size))));
  return Math.max(1, Math.min(Math.ceil(units / chunks), SERIAL * teamFor(target).size));
}

/** Uniforms of the kernels that walk chunks of channels: `length` and `units` count loads. */
export const CHUNKED = 'channels: u32, chunks: u32, length: u32, units: u32, eps: f32, momentum: f32, count: f32';

export const vector = (plane: number) =>
  width(plane) === 4
    ? { type: 'vec4f', sum: (v: string) => `sumOf(${v})`, w: 4, units: Math.max(1, plane / 4) }
    : { type: 'f32', sum: (v: string) => v, w: 1, units: plane };

/**
 * WGSL of `sumOf(v)` and `sumOfProducts(a, b)`. Their order and each fma are written out: a driver may contract a · b + c, and the one of
 * NVIDIA does so or not depending on what stands around, but the sums that a convolution makes must have the bits of those made here.
 */
export const sumsOfVectors = `
fn sumOf(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn sumOfProducts(a: vec4f, b: vec4f) -> f32 { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, a.x * b.x))); }
`;

/** WGSL of Σ a · b over a load's elements; `a` and `b` are names. */
export const products = (plane: number, a: string, b: string) =>
  width(plane) === 4 ? `sumOfProducts(${a}, ${b})` : `${a} * ${b}`;

/**
 * WGSL of `normalized(v, row)`, the normalisation with a row of `stats` and the ReLU. It is an explicit fma, so that the bits are the same
 * wherever it is applied: here, or in the loads of a convolution.
 */
export const normalizedFunction = (type: string, relu: boolean) => `
fn normalized(v: ${type}, row: vec4f) -> ${type} {
  let y = fma(v, ${type}(row.z), ${type}(row.w));
  return ${relu ? reluBits('y', type, type === 'f32' ? 'u32' : 'vec4u') : 'y'};
}`;

/** WGSL of a walk over a chunk: `chunk` is its number, `u` a load of it by this thread. */
export const walk = ({ size, width }: Team, units: number) => `
  let chunk = (wid.y * grid.x + wid.x) * ${size / width}u + local / ${width}u;
  let chunks = p.channels * p.chunks;
  let known = min(chunk, chunks - 1u);
  let c = known / p.chunks;
  let begin = (known % p.chunks) * p.length;
  let end = min(begin + p.length, p.units);
  for (var u = begin + local % ${width}u; u < end; u += ${width}u) {
    let at = ((u / ${units}u) * p.channels + c) * ${units}u + u % ${units}u;`;

/** WGSL of whether this thread writes what its team has summed up. */
export const writesChunk = ({ width }: Team) => `local % ${width}u == 0u && chunk < chunks`;

/** WGSL of a thread's running (mean, m2) of `k` loads, and of taking in the load `v`. */
export const welford = (type: string) => `var mean = ${type}(); var m2 = ${type}(); var k = 0.0;`;
export const welfordUpdate = `k += 1.0;
    let d = v - mean;
    mean += d * (1.0 / k);
    m2 += d * (v - mean);`;

/** WGSL that merges the team's: declares center and m2Total, alike in all threads. */
export const mergeThreads = (plane: number) => {
  const { type, sum, w } = vector(plane);
  return `let n = k * ${w}.0;
  let m = ${sum('mean')} * ${1 / w};
  let off = mean - ${type}(m);
  let s = ${sum('m2')} + k * (${products(plane, 'off', 'off')});
  let total = teamSum(vec2f(n * m, n), local);
  let center = total.x / max(total.y, 1.0);
  let m2Total = teamSum(vec2f(fma(n * (m - center), m - center, s), 0.0), local).x;`;
};

/**
 * How batches are counted, in a binding `tracked: i32` behind the running statistics: not at all (and no such binding), by the first channel, or before, and
 * the running statistics are the mean over all of them.
 */
export type Tracking = 'none' | 'count' | 'mean';

/** The binding of the count, if there is one. */
export const trackedBuffer = (tracking: Tracking) => tracking !== 'none' && 'x tracked: i32';

/** WGSL that moves the running statistics of channel `c` on. */
export const moveRunning = (mean: string, m2: string, tracking: Tracking) =>
  `let momentum = ${tracking === 'mean' ? '1.0 / f32(tracked[0])' : 'p.momentum'};
  runningMean[c] = (1.0 - momentum) * runningMean[c] + momentum * ${mean};
  runningVar[c] = (1.0 - momentum) * runningVar[c] + momentum * (${m2} / (p.count - 1.0));
  ${tracking === 'count' ? 'if (c == 0u) { tracked[0] += 1; }' : ''}`;

/** The row of `stats`: (mean, rstd, scale, shift). */
export const statsRow = (affine: boolean, mean: string) =>
  affine
    ? `vec4f(${mean}, rstd, weight[c] * rstd, bias[c] - ${mean} * (weight[c] * rstd))`
    : `vec4f(${mean}, rstd, rstd, -${mean} * rstd)`;

/**
 * The team that walks a plane or a channel. On a CPU driver without subgroups, as in Firefox and Deno, one of 16: it fits the 16 vectors of an
 * 8×8 plane, and has few threads to switch between at a barrier.
 */
export const planeTeam = (target: KernelTarget) => teamFor(target, target.isCpu ? 16 : undefined);

/** Threads of the elementwise kernels, and the units that one workgroup covers. */
export function applyShape(target: KernelTarget, plane: number): { threads: number; tile: number } {
  const { units } = vector(plane);
  const { size } = planeTeam(target);
  return target.isCpu && units % size === 0 ? { threads: size, tile: units } : { threads: 64, tile: 64 };
}

/**
 * `main` that runs `body` for every unit `i`, after `rows` has loaded what belongs to its channel `c`. A GPU gives each thread a unit; on
 * software drivers a workgroup walks a plane, so that the rows are loaded once and by all lanes alike.
 */
export function eachUnit({ target, plane, samples, channels }: ApplyOptions, rows: string, body: string): string {
  const { threads, tile } = applyShape(target, plane);
  const { units } = vector(plane);
  const channelOf = (row: string) => (samples > 1 ? `${row} % ${channels}u` : row);
  if (tile === units)
    return `${entry(threads)} {
  let group = wid.y * grid.x + wid.x;
  if (group * ${units}u >= p.n) { return; }
  let c = ${channelOf('group')};
  ${rows}
  for (var k = local; k < ${units}u; k += ${threads}u) {
    let i = group * ${units}u + k;
    ${body}
  }
}`;
  return `${perThread('i', threads, 'p.n')}
  let c = ${channelOf(`(i / ${units}u)`)};
  ${rows}
  ${body}
}`;
}

export interface ApplyOptions extends NormOptions {
  readonly samples: number;
  readonly channels: number;
}

export const applyKey = ({ target, plane, relu, samples, channels }: ApplyOptions) => [
  target,
  plane,
  relu,
  samples > 1 && channels,
];

/** (a, b, c, mean) of dx = a·g + b·(x − mean) + c in training, from the channel's sums and row. */
export const trainingCoefficients =
  'vec4f(row.z, -row.z * (row.y * (row.y * sum.y)) / p.count, -row.z * sum.x / p.count, row.x)';

/** WGSL that loads a channel's coefficients `m`, and its row of `stats` where there is a ReLU. */
export const rowsOfGradient = (relu: boolean) =>
  `let m = coefficients[2u * c]; ${relu ? 'let row = coefficients[2u * c + 1u];' : ''}`;

/**
 * WGSL of dx in training, from the coefficients `m`, the gradient `g` and the value `v`, or of its sum with what x has from elsewhere. With an
 * explicit fma, as in `normalizedFunction`.
 */
export const inputGradient = (onto: boolean, type: string) =>
  `${onto ? 'onto[i] + ' : ''}(fma(${type}(m.y), v - m.w, m.x * g) + m.z)`;

/**
 * The same in evaluation. The product is rounded before the sum, as where another launch adds it: a 0 that compilers cannot know keeps NVIDIA's
 * from contracting the two.
 */
export const scaledGradient = (onto: boolean, type: string) => {
  const bits = type === 'f32' ? 'u32' : 'vec4u';
  return onto ? `onto[i] + bitcast<${type}>(bitcast<${bits}>(m.x * g) ^ ${bits}(p.n >> 31u))` : 'm.x * g';
};

/** WGSL of the gradient `g` behind the ReLU: zero where the normalised value of `v` was not positive. */
export const masked = (relu: boolean, type: string, g: string, v = 'v', row = 'row') =>
  relu ? `select(${g}, ${type}(), fma(${v}, ${type}(${row}.z), ${type}(${row}.w)) <= ${type}())` : g;
