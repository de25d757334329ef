/** Forward batch norm in three launches: partial statistics of chunks, the rows of `stats`, and y = x · scale + shift. shared.ts has the maths. */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry, perGroup, perThread, storage } from '../build';
import { functionsFor } from '../functions';
import type { Kernel } from '../kernel';
import type { KernelTarget } from '../target';
import { teamFor } from '../team';
import {
  type ApplyOptions,
  applyKey,
  applyShape,
  CHUNKED,
  chunkTeam,
  eachUnit,
  FINISH_THREADS,
  mergeThreads,
  moveRunning,
  type NormOptions,
  normalizedFunction,
  statsRow,
  sumsOfVectors,
  type Tracking,
  trackedBuffer,
  vector,
  walk,
  welford,
  welfordUpdate,
  width,
  writesChunk,
} from './shared';

/** Channels that a workgroup finishes from running statistics. */
const FINISH_TILE = 64;

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
    return { name: 'batchNorm.partials', code, ...io, grid: { tile: team.size / team.width }, sums };
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

export interface FinishOptions {
  readonly target: KernelTarget;
  readonly plane: number;
  /** Merge partials (training) or take the running statistics as they are. */
  readonly training: boolean;
  readonly affine: boolean;
  /** Update the running statistics with the batch's: mean, and variance divided by M − 1. */
  readonly running: boolean;
  /** Of running statistics in training. */
  readonly tracking?: Tracking;
}

/** The `stats` rows. Bindings: partials where training, weight and bias where affine, running mean and variance where running or not training, their count where tracked, stats. */
export const normFinish = ({ target, plane, training, affine, running, tracking = 'none' }: FinishOptions): Kernel =>
  cached(['norm.finish', target, width(plane), training, affine, running, tracking], () => {
    const team = teamFor(target, FINISH_THREADS);
    const state = training ? 'x' : 'r';
    const statistics = running || !training ? [`${state} runningMean: f32`, `${state} runningVar: f32`] : [];
    const parameters = affine ? ['r weight: f32', 'r bias: f32'] : [];
    const kept = [...statistics, trackedBuffer(tracking)];
    const buffers = [training && 'r partials: vec2f', ...parameters, ...kept, 'w stats: vec4f'];
    const { head, io } = declare(CHUNKED, ...buffers);
    const code = wgsl`${training ? team.code : ''}
${head}
${training ? functionsFor('addTo() totalOf()') : ''}
${training ? perGroup('c', team.size, 'p.channels') : perThread('c', FINISH_TILE, 'p.channels')}
#if ${training}
  ${mergeStatistics(team.size, plane)}
  if (local > 0u) { return; }
  ${running ? moveRunning('mean', 'm2', tracking) : ''}
#else
  let mean = runningMean[c];
  let variance = runningVar[c];
#endif
  let rstd = 1.0 / sqrt(variance + p.eps);
  stats[c] = ${statsRow(affine, 'mean')};
}`;
    return { name: 'batchNorm.finish', code, ...io, grid: { tile: training ? 1 : FINISH_TILE } };
  });

/** One batch more, where the statistics are means over all batches: each channel reads the number afterwards. Binding: tracked. */
export const normCount: Kernel = (() => {
  const { bindings, access } = storage('x tracked: i32');
  const code = `${bindings}\n@compute @workgroup_size(1) fn main() { tracked[0] += 1; }`;
  return { name: 'batchNorm.count', code, access, grid: [1, 1, 1] };
})();

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
    return { name: 'batchNorm.apply', code, ...io, grid: { tile: applyShape(o.target, o.plane).tile }, normalizes };
  });
