/** Batch norm in one launch, forward or backward, for CPU drivers: a workgroup walks a whole channel. shared.ts has the maths. */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perGroup } from '../build';
import type { Kernel } from '../kernel';
import type { KernelTarget } from '../target';
import {
  applyShape,
  CHUNKED,
  inputGradient,
  masked,
  mergeThreads,
  moveRunning,
  type NormOptions,
  normalizedFunction,
  planeTeam,
  SERIAL,
  statsRow,
  sumsOfVectors,
  type Tracking,
  trackedBuffer,
  trainingCoefficients,
  vector,
  welford,
  welfordUpdate,
  width,
} from './shared';

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

/** `normPartials`, `normFinish` and `normApply` of a batch in one. Bindings: weight, bias, running mean and variance, their count where tracked, x, stats, y. */
export const normForward = ({ target, plane, relu }: NormOptions, tracking: Tracking): Kernel =>
  cached(['norm.forward', target, width(plane), relu, tracking], () => {
    const team = planeTeam(target);
    const { type } = vector(plane);
    const perChannel = [
      'r weight: f32',
      'r bias: f32',
      'x runningMean: f32',
      'x runningVar: f32',
      trackedBuffer(tracking),
    ];
    const { head, io } = declare(CHUNKED, ...perChannel, `r x: ${type}`, 'w stats: vec4f', `w y: ${type}`);
    const code = wgsl`${team.code}
${head}
${normalizedFunction(type, relu)}
${sumsOfVectors}
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
    ${moveRunning('center', 'm2Total', tracking)}
  }
  ${eachOfChannel(team.size, 'y[i] = normalized(x[i], row);')}
}`;
    return { name: 'batchNorm.forward', code, ...io, grid: { tile: 1 } };
  });

/** `normGradientPartials`, `-Finish` in training and `-Apply` in one. Bindings: stats, gradient, x, what dx is added to if anything, dWeight, dBias, dx. */
export const normBackward = ({ target, plane, relu }: NormOptions, onto: boolean): Kernel =>
  cached(['norm.backward', target, width(plane), relu, onto], () => {
    const team = planeTeam(target);
    const { type, sum } = vector(plane);
    const load = `let v = x[i]; let g = ${masked(relu, type, 'gradient[i]')};`;
    const reads = ['r stats: vec4f', `r gradient: ${type}`, `r x: ${type}`, onto && `r onto: ${type}`];
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
  ${eachOfChannel(team.size, `${load} dx[i] = ${inputGradient(onto, type)};`)}
}`;
    return { name: 'batchNorm.backward', code, ...io, grid: { tile: 1 } };
  });
