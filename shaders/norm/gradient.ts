/** Gradient of batch norm in three launches: partial sums of chunks, dγ and dβ with the coefficients of dx, and dx. shared.ts has the maths. */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry, perGroup } from '../build';
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
  inputGradient,
  masked,
  type NormOptions,
  products,
  rowsOfGradient,
  scaledGradient,
  sumsOfVectors,
  trainingCoefficients,
  vector,
  walk,
  writesChunk,
} from './shared';

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
    return { name: 'batchNorm.gradientPartials', code, ...io, grid: { tile: team.size / team.width }, sums };
  });

/**
 * dγ, dβ and for each channel two rows: (a, b, c, mean) of dx = a·g + b·(x − mean) + c, with running statistics b = c = 0; and that of `stats`.
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
  coefficients[2u * c] = ${trainingCoefficients};
#else
  coefficients[2u * c] = vec4f(row.z, 0.0, 0.0, row.x);
#endif
  coefficients[2u * c + 1u] = row;
}`;
    return { name: 'batchNorm.gradientFinish', code, ...io, grid: { tile: 1 } };
  });

/**
 * dx = a·g + b·(x − mean) + c in training, else a·g, which x has nothing to do with: NaN there stays out. Bindings: gradient, x where it is read (in training,
 * or for ReLU), coefficients, what dx is added to if anything, dx. Uniform: units.
 */
export const normGradientApply = (o: ApplyOptions, training: boolean, onto: boolean): Kernel =>
  cached(['norm.gradientApply', training, ...applyKey(o), onto], () => {
    const { type } = vector(o.plane);
    const x = (training || o.relu) && `r x: ${type}`;
    const load = x ? 'let v = x[i];' : '';
    const reads = [`r gradient: ${type}`, x, 'r coefficients: vec4f'];
    const { head, io } = declare('n: u32', ...reads, onto && `r onto: ${type}`, `w dx: ${type}`);
    const code = wgsl`
${head}
${eachUnit(
  o,
  rowsOfGradient(o.relu),
  `${load} let g = ${masked(o.relu, type, 'gradient[i]')}; dx[i] = ${(training ? inputGradient : scaledGradient)(onto, type)};`,
)}`;
    const differentiates = training && { differentiates: { plane: o.plane, relu: o.relu, onto } };
    const { tile } = applyShape(o.target, o.plane);
    return { name: 'batchNorm.gradientApply', code, ...io, grid: { tile }, ...differentiates };
  });
