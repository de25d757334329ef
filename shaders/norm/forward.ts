/**
 * Batch normalisation over x [N, C, plane], and with N = 1 over rows (layer and group norm).
 *
 *   y = (x − mean) · rstd · γ + β = x · scale + shift            per channel, rstd = 1/√(var + ε), var biased
 *   training:  dγ = Σ g·xhat,  dβ = Σ g,  dx = scale · (g − dβ/M − xhat · dγ/M),  M = N · plane
 *
 * Statistics are (mean, M2) pairs, M2 = Σ (x − mean)²: each thread runs Welford's update on four streams at once, threads and then chunks of
 * a channel are merged about their common mean (Chan, Golub, LeVeque). E[x²] − mean² is never formed. `stats` has one row a channel:
 * (mean, rstd, scale, shift), so that another kernel can apply the normalisation with one load.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { reluBits } from '../arithmetic';
import { cached, declare, entry, perGroup, perThread, storage } from '../build';
import { functionsFor } from '../functions';
import type { Kernel } from '../kernel';
import type { KernelTarget } from '../target';
import { CHUNK_THREADS, GPU_CHUNK, type Team, teamFor } from '../team';

export interface NormOptions {
  readonly target: KernelTarget;
  /** Elements of one channel of one sample, contiguous. */
  readonly plane: number;
  /** ReLU after the normalisation: y = max(0, …). */
  readonly relu: boolean;
}

/** Channels that a workgroup finishes from running statistics. */
export const FINISH_TILE = 64;

/** Elements that one load moves. */
export const width = (plane: number) => (plane % 4 === 0 ? 4 : 1);

/** Threads that merge the chunks of a channel on GPUs. */
const FINISH_THREADS = 256;

/** The teams that sum up chunks, several in a workgroup on GPUs. */
const chunkTeam = (target: KernelTarget) => teamFor(target, 64, CHUNK_THREADS);

/** Chunks that one workgroup sums up. */
export const chunksAtOnce = (target: KernelTarget): number => chunkTeam(target).size / chunkTeam(target).width;

/** Most loads that a thread sums up in a row: rounding errors grow with that. */
const SERIAL = 128;

/** Loads of a chunk, where a channel has `units` of them: few on GPUs, many on CPU drivers if there is enough work for all cores. */
export function chunkLength(target: KernelTarget, channels: number, units: number, plane: number): number {
  if (!target.isCpu) return GPU_CHUNK / width(plane);
  const chunks = Math.max(1, Math.min(Math.ceil(32 / channels), Math.floor(units / (8 * teamFor(target).size))));
  return Math.max(1, Math.min(Math.ceil(units / chunks), SERIAL * teamFor(target).size));
}

/** Uniforms of the kernels that walk chunks of channels: `length` and `units` count loads. */
const CHUNKED = 'channels: u32, chunks: u32, length: u32, units: u32, eps: f32, momentum: f32, count: f32';

const vector = (plane: number) =>
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
const products = (plane: number, a: string, b: string) =>
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
const walk = ({ size, width }: Team, units: number) => `
  let chunk = (wid.y * grid.x + wid.x) * ${size / width}u + local / ${width}u;
  let chunks = p.channels * p.chunks;
  let known = min(chunk, chunks - 1u);
  let c = known / p.chunks;
  let begin = (known % p.chunks) * p.length;
  let end = min(begin + p.length, p.units);
  for (var u = begin + local % ${width}u; u < end; u += ${width}u) {
    let at = ((u / ${units}u) * p.channels + c) * ${units}u + u % ${units}u;`;

/** WGSL of whether this thread writes what its team has summed up. */
const writesChunk = ({ width }: Team) => `local % ${width}u == 0u && chunk < chunks`;

/** WGSL of a thread's running (mean, m2) of `k` loads, and of taking in the load `v`. */
const welford = (type: string) => `var mean = ${type}(); var m2 = ${type}(); var k = 0.0;`;
const welfordUpdate = `k += 1.0;
    let d = v - mean;
    mean += d * (1.0 / k);
    m2 += d * (v - mean);`;

/** WGSL that merges the team's: declares center and m2Total, alike in all threads. */
const mergeThreads = (plane: number) => {
  const { type, sum, w } = vector(plane);
  return `let n = k * ${w}.0;
  let m = ${sum('mean')} * ${1 / w};
  let off = mean - ${type}(m);
  let s = ${sum('m2')} + k * (${products(plane, 'off', 'off')});
  let total = teamSum(vec2f(n * m, n), local);
  let center = total.x / max(total.y, 1.0);
  let m2Total = teamSum(vec2f(fma(n * (m - center), m - center, s), 0.0), local).x;`;
};

/** (mean, M2) of each chunk of each channel. Bindings: x, partials. */
export const normPartials = ({ target, plane }: NormOptions): Kernel =>
  cached(['norm.partials', target, plane], () => {
    const team = chunkTeam(target);
    const { type, units } = vector(plane);
    const { head, io } = declare(CHUNKED, `r x: ${type}`, 'w partials: vec2f');
    const code = wgsl`${team.code}
${head}
${sumsOfVectors}
${entry(team.size)} {
  ${welford(type)}
  ${walk(team, units)}
    let v = x[at];
    ${welfordUpdate}
  }
  ${mergeThreads(plane)}
  if (${writesChunk(team)}) { partials[chunk] = vec2f(center, m2Total); }
}`;
    const sums = { kind: 'statistics', plane, relu: false } as const;
    return { name: 'batchNorm.partials', code, ...io, sums };
  });

/** WGSL that merges the chunks of channel `c`: declares mean, m2 and variance, alike in all threads of the team. */
const mergeStatistics = (size: number, plane: number) => {
  const count = `f32(min(p.length, p.units - i * p.length)) * ${width(plane)}.0`;
  return `var means = vec3f();
  for (var i = local; i < p.chunks; i += ${size}u) { means = addTo(means, ${count} * partials[c * p.chunks + i].x, p.chunks >> 31u); }
  let mean = teamSum(vec2f(totalOf(means), 0.0), local).x / p.count;
  var squares = vec3f();
  for (var i = local; i < p.chunks; i += ${size}u) {
    let part = partials[c * p.chunks + i];
    squares = addTo(squares, part.y + ${count} * (part.x - mean) * (part.x - mean), p.chunks >> 31u);
  }
  let m2 = teamSum(vec2f(totalOf(squares), 0.0), local).x;
  let variance = m2 / p.count;`;
};

/** WGSL that moves the running statistics of channel `c` on. */
const moveRunning = (mean: string, m2: string) =>
  `runningMean[c] = (1.0 - p.momentum) * runningMean[c] + p.momentum * ${mean};
  runningVar[c] = (1.0 - p.momentum) * runningVar[c] + p.momentum * (${m2} / (p.count - 1.0));`;

/** The row of `stats`: (mean, rstd, scale, shift). */
const statsRow = (affine: boolean, mean: string) =>
  affine
    ? `vec4f(${mean}, rstd, weight[c] * rstd, bias[c] - ${mean} * (weight[c] * rstd))`
    : `vec4f(${mean}, rstd, rstd, -${mean} * rstd)`;

export interface FinishOptions {
  readonly target: KernelTarget;
  readonly plane: number;
  /** Merge partials (training) or take the running statistics as they are. */
  readonly training: boolean;
  readonly affine: boolean;
  /** Update the running statistics with the batch's: mean, and variance divided by M − 1. */
  readonly running: boolean;
}

/** The `stats` rows. Bindings: partials where training, weight and bias where affine, running mean and variance where running or not training, stats. */
export const normFinish = ({ target, plane, training, affine, running }: FinishOptions): Kernel =>
  cached(['norm.finish', target, width(plane), training, affine, running], () => {
    const team = teamFor(target, FINISH_THREADS);
    const state = training ? 'x' : 'r';
    const statistics = running || !training ? [`${state} runningMean: f32`, `${state} runningVar: f32`] : [];
    const parameters = affine ? ['r weight: f32', 'r bias: f32'] : [];
    const buffers = [training && 'r partials: vec2f', ...parameters, ...statistics, 'w stats: vec4f'];
    const { head, io } = declare(CHUNKED, ...buffers);
    const code = wgsl`${training ? team.code : ''}
${head}
${training ? functionsFor('addTo() totalOf()') : ''}
${training ? perGroup('c', team.size, 'p.channels') : perThread('c', FINISH_TILE, 'p.channels')}
#if ${training}
  ${mergeStatistics(team.size, plane)}
  if (local > 0u) { return; }
  ${running ? moveRunning('mean', 'm2') : ''}
#else
  let mean = runningMean[c];
  let variance = runningVar[c];
#endif
  let rstd = 1.0 / sqrt(variance + p.eps);
  stats[c] = ${statsRow(affine, 'mean')};
}`;
    return { name: 'batchNorm.finish', code, ...io };
  });

/** Threads of the elementwise kernels, and the units that one workgroup covers. */
export function applyShape(target: KernelTarget, plane: number): { threads: number; tile: number } {
  const { units } = vector(plane);
  const { size } = teamFor(target);
  return target.isCpu && units % size === 0 ? { threads: size, tile: units } : { threads: 64, tile: 64 };
}

/**
 * `main` that runs `body` for every unit `i`, after `rows` has loaded what belongs to its channel `c`. A GPU gives each thread a unit; on
 * software drivers a workgroup walks a plane, so that the rows are loaded once and by all lanes alike.
 */
function eachUnit({ target, plane, samples, channels }: ApplyOptions, rows: string, body: string): string {
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

const applyKey = ({ target, plane, relu, samples, channels }: ApplyOptions) => [
  target,
  plane,
  relu,
  samples > 1 && channels,
];

/** y = x · scale + shift. Bindings: x, stats, y. Uniform: units. */
export const normApply = (o: ApplyOptions): Kernel =>
  cached(['norm.apply', ...applyKey(o)], () => {
    const { type } = vector(o.plane);
    const { head, io } = declare('n: u32', `r x: ${type}`, 'r stats: vec4f', `w y: ${type}`);
    const code = wgsl`
${head}
${normalizedFunction(type, o.relu)}
${eachUnit(o, 'let row = stats[c];', 'y[i] = normalized(x[i], row);')}`;
    const normalizes = { plane: o.plane, relu: o.relu };
    return { name: 'batchNorm.apply', code, ...io, normalizes };
  });

/** (a, b, c, mean) of dx = a·g + b·(x − mean) + c in training, from the channel's sums and row. */
const trainingCoefficients = 'vec4f(row.z, -row.z * row.y * row.y * sum.y / p.count, -row.z * sum.x / p.count, row.x)';

/** Fewest channels that occupy a CPU when each is the work of one workgroup. */
const MANY_CHANNELS = 8;

/**
 * Whether one launch does all of a training step's normalisation (or its gradient): a workgroup walks a channel twice, and a CPU finds it in
 * the cache. A GPU would have too few workgroups.
 */
export const walksChannels = (target: KernelTarget, plane: number, channels: number): boolean =>
  target.isCpu && channels >= MANY_CHANNELS && applyShape(target, plane).tile === vector(plane).units;

/**
 * WGSL that runs `body` for every unit `i` of channel `c`; `length` is that of a plane, so that one kernel serves all of them. `before` and
 * `after` stand around the units of a plane that a thread takes in a row.
 */
const eachOfChannel = (size: number, body: string, before = '', after = '') => `
  for (var first = c * plane; first < p.units * p.channels; first += p.channels * plane) {
    for (var start = first + local; start < first + plane; start += ${SERIAL * size}u) {
      ${before}
      for (var i = start; i < min(start + ${SERIAL * size}u, first + plane); i += ${size}u) {
        ${body}
      }
      ${after}
    }
  }`;

/** `normPartials`, `normFinish` and `normApply` of a batch in one. Bindings: weight, bias, running mean and variance, x, stats, y. */
export const normForward = ({ target, plane, relu }: NormOptions): Kernel =>
  cached(['norm.forward', target, width(plane), relu], () => {
    const team = teamFor(target);
    const { type } = vector(plane);
    const perChannel = ['r weight: f32', 'r bias: f32', 'x runningMean: f32', 'x runningVar: f32'];
    const { bindings, access } = storage(...perChannel, `r x: ${type}`, 'w stats: vec4f', `w y: ${type}`);
    const code = wgsl`${team.code}
struct Params { ${CHUNKED} }
${bindings}
${normalizedFunction(type, relu)}
${sumsOfVectors}
@group(1) @binding(0) var<uniform> p: Params;
${perGroup('c', team.size, 'p.channels')}
  let plane = p.length;
  ${welford(type)}
  var squares = ${type}();
  ${eachOfChannel(team.size, `let v = x[i]; ${welfordUpdate}`, `m2 = ${type}();`, 'squares += m2;')}
  m2 = squares;
  ${mergeThreads(plane)}
  let variance = m2Total / p.count;
  let rstd = 1.0 / sqrt(variance + p.eps);
  let row = ${statsRow(true, 'center')};
  if (local == 0u) {
    stats[c] = row;
    ${moveRunning('center', 'm2Total')}
  }
  ${eachOfChannel(team.size, 'y[i] = normalized(x[i], row);')}
}`;
    return { name: 'batchNorm.forward', code, access, uniforms: 28 };
  });

/** `normGradientPartials`, `-Finish` in training and `-Apply` in one. Bindings: stats, gradient, x, dWeight, dBias, dx. */
export const normBackward = ({ target, plane, relu }: NormOptions): Kernel =>
  cached(['norm.backward', target, width(plane), relu], () => {
    const team = teamFor(target);
    const { type, sum } = vector(plane);
    const load = `let v = x[i]; let g = ${masked(relu, type, 'gradient[i]')};`;
    const reads = ['r stats: vec4f', `r gradient: ${type}`, `r x: ${type}`];
    const { head, io } = declare(CHUNKED, ...reads, 'w dWeight: f32', 'w dBias: f32', `w dx: ${type}`);
    const code = wgsl`${team.code}
${head}
${sumsOfVectors}
${perGroup('c', team.size, 'p.channels')}
  let plane = p.length;
  let row = stats[c];
  var s1 = ${type}();
  var s2 = ${type}();
  ${eachOfChannel(team.size, `${load} part1 += g; part2 += g * (v - row.x);`, `var part1 = ${type}(); var part2 = ${type}();`, 's1 += part1; s2 += part2;')}
  let sum = teamSum(vec2f(${sum('s1')}, ${sum('s2')}), local);
  if (local == 0u) {
    dBias[c] = sum.x;
    dWeight[c] = sum.y * row.y;
  }
  let m = ${trainingCoefficients};
  ${eachOfChannel(team.size, `${load} dx[i] = m.x * g + m.y * (v - m.w) + m.z;`)}
}`;
    return { name: 'batchNorm.backward', code, ...io };
  });

/** WGSL of the gradient `g` behind the ReLU: zero where the normalised value of `v` was not positive. */
export const masked = (relu: boolean, type: string, g: string, v = 'v', row = 'row') =>
  relu ? `select(${g}, ${type}(), fma(${v}, ${type}(${row}.z), ${type}(${row}.w)) <= ${type}())` : g;

/** (Σ g, Σ g·(x − mean)) of each chunk of each channel. Bindings: gradient, x, stats, partials. */
export const normGradientPartials = ({ target, plane, relu }: NormOptions): Kernel =>
  cached(['norm.gradientPartials', target, plane, relu], () => {
    const team = chunkTeam(target);
    const { type, sum, units } = vector(plane);
    const buffers = [`r gradient: ${type}`, `r x: ${type}`, 'r stats: vec4f', 'w partials: vec2f'];
    const { head, io } = declare(CHUNKED, ...buffers);
    const code = wgsl`${team.code}
${head}
${sumsOfVectors}
${entry(team.size)} {
  var s1 = ${type}();
  var s2 = 0.0;
  ${walk(team, units)}
    let v = x[at];
    let row = stats[c];
    let g = ${masked(relu, type, 'gradient[at]')};
    let off = v - row.x;
    s1 += g;
    s2 += ${products(plane, 'g', 'off')};
  }
  let total = teamSum(vec2f(${sum('s1')}, s2), local);
  if (${writesChunk(team)}) { partials[chunk] = total; }
}`;
    const sums = { kind: 'gradient', plane, relu } as const;
    return { name: 'batchNorm.gradientPartials', code, ...io, sums };
  });

/**
 * dγ, dβ and the rows (a, b, c, mean) of dx = a·g + b·(x − mean) + c; with running statistics b = c = 0.
 * Bindings: partials, stats, dWeight, dBias, coefficients.
 */
export const normGradientFinish = (target: KernelTarget, training: boolean): Kernel =>
  cached(['norm.gradientFinish', target, training], () => {
    const team = teamFor(target, FINISH_THREADS);
    const writes = ['w dWeight: f32', 'w dBias: f32', 'w coefficients: vec4f'];
    const { head, io } = declare(CHUNKED, 'r partials: vec2f', 'r stats: vec4f', ...writes);
    const code = wgsl`${team.code}
${head}
${functionsFor('addTo() totalOf()')}
${perGroup('c', team.size, 'p.channels')}
  var first = vec3f();
  var second = vec3f();
  for (var i = local; i < p.chunks; i += ${team.size}u) {
    let part = partials[c * p.chunks + i];
    first = addTo(first, part.x, p.chunks >> 31u);
    second = addTo(second, part.y, p.chunks >> 31u);
  }
  let sum = teamSum(vec2f(totalOf(first), totalOf(second)), local);
  if (local > 0u) { return; }
  let row = stats[c];
  dBias[c] = sum.x;
  dWeight[c] = sum.y * row.y;
#if ${training}
  coefficients[c] = ${trainingCoefficients};
#else
  coefficients[c] = vec4f(row.z, 0.0, 0.0, row.x);
#endif
}`;
    return { name: 'batchNorm.gradientFinish', code, ...io };
  });

/** dx = a·g + b·(x − mean) + c. Bindings: gradient, x, coefficients, stats where ReLU, dx. Uniform: units. */
export const normGradientApply = (o: ApplyOptions): Kernel =>
  cached(['norm.gradientApply', ...applyKey(o)], () => {
    const { type } = vector(o.plane);
    const reads = [`r gradient: ${type}`, `r x: ${type}`, 'r coefficients: vec4f', o.relu && 'r stats: vec4f'];
    const { head, io } = declare('n: u32', ...reads, `w dx: ${type}`);
    const code = wgsl`
${head}
${eachUnit(
  o,
  `let m = coefficients[c]; ${o.relu ? 'let row = stats[c];' : ''}`,
  `let v = x[i]; let g = ${masked(o.relu, type, 'gradient[i]')}; dx[i] = m.x * g + m.y * (v - m.w) + m.z;`,
)}`;
    return { name: 'batchNorm.gradientApply', code, ...io };
  });
