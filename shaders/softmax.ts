/**
 * Softmax and cross-entropy over the middle axis of x [outer, n, inner]: a line is the n values with the same outer and inner index.
 *
 *   softmax   y = exp(x − m) / s,          dx = y · (g − Σ g·y),       m = max x,  s = Σ exp(x − m)
 *   log       y = x − m − log s,           dx = g − exp(y) · Σ g
 *   cross-entropy of label t, class weights w, smoothing ε (PyTorch's):
 *             l = (1 − ε) · w_t · (m + log s − x_t) + ε/n · Σ_c w_c · (m + log s − x_c)
 *             dx_c = (1 − ε) · w_t · (p_c − [c = t]) + ε/n · (p_c · Σ_k w_k − w_c),       p = softmax(x)
 *
 * Long contiguous lines get a team of threads, others one thread each.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry, perGroup, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';
import type { KernelTarget } from './target';
import { alone, type Team, teamFor } from './team';

const LINES_TILE = 64;

/** Line lengths from which a team pays. */
const TEAM_FROM = 32;

/** Lines that one workgroup covers. */
export const linesPerGroup = (n: number, inner: number) => (inner === 1 && n >= TEAM_FROM ? 1 : LINES_TILE);

const teamOf = (target: KernelTarget, lines: number): Team => (lines === 1 ? teamFor(target) : alone);

const PARAMS = 'lines: u32, n: u32, inner: u32';

/** Opens `main` with `line`, its `base` in x and this thread's first position `lane`. */
const lineEntry = (
  team: Team,
  lines: number,
) => `${lines === 1 ? perGroup('line', team.size, 'p.lines') : perThread('line', lines, 'p.lines')}
  let base = line / p.inner * p.n * p.inner + line % p.inner;
  let lane = ${lines === 1 ? 'local' : '0u'};`;

const each = (team: Team, body: string) =>
  `for (var k = lane; k < p.n; k += ${team.size}u) { let at = base + k * p.inner; ${body} }`;

const functions = functionsFor('exp() log() addTo() totalOf()');
/** WGSL that adds to a compensated sum. */
const add = (sum: string, x: string) => `${sum} = addTo(${sum}, ${x}, p.n >> 31u);`;

/** Declares m and s of the line. */
const maxAndSum = (team: Team) => `
  var m = -3.4028234e38;
  ${each(team, 'm = max(m, x[at]);')}
  m = teamMax(m, local);
  var exponentials = vec3f();
  ${each(team, add('exponentials', 'exp(x[at] - m)'))}
  let s = teamSum(vec2f(totalOf(exponentials), 0.0), local).x;`;

/** Bindings: x, y. Uniforms: lines, n, inner. */
export const softmax = (target: KernelTarget, log: boolean, lines: number): Kernel =>
  cached(['softmax', target, log, lines], () => {
    const team = teamOf(target, lines);
    const { head, io } = declare(PARAMS, 'r x: f32', 'w y: f32');
    const code = wgsl`${team.code}
${head}
${functions}
${lineEntry(team, lines)}
  ${maxAndSum(team)}
#if ${log}
  let shift = log(s);
  ${each(team, 'y[at] = x[at] - m - shift;')}
#else
  let scale = 1.0 / s;
  ${each(team, 'y[at] = exp(x[at] - m) * scale;')}
#endif
}`;
    return { name: log ? 'logSoftmax' : 'softmax', code, ...io, grid: { tile: lines } };
  });

/** Bindings: y, gradient, dx. Uniforms: lines, n, inner. */
export const softmaxGradient = (target: KernelTarget, log: boolean, lines: number): Kernel =>
  cached(['softmaxGradient', target, log, lines], () => {
    const team = teamOf(target, lines);
    const { head, io } = declare(PARAMS, 'r y: f32', 'r gradient: f32', 'w dx: f32');
    const code = wgsl`${team.code}
${head}
${functions}
${lineEntry(team, lines)}
  var terms = vec3f();
  ${each(team, add('terms', `gradient[at]${log ? '' : ' * y[at]'}`))}
  let sum = teamSum(vec2f(totalOf(terms), 0.0), local).x;
  ${each(team, `dx[at] = ${log ? 'gradient[at] - exp(y[at]) * sum' : 'y[at] * (gradient[at] - sum)'};`)}
}`;
    return { name: `${log ? 'logSoftmax' : 'softmax'}.gradient`, code, ...io, grid: { tile: lines } };
  });

export interface CrossEntropyOptions {
  readonly target: KernelTarget;
  /** Lines of a workgroup, from `linesPerGroup`. */
  readonly lines: number;
  /** x are log-probabilities already: l = −w_t · x_t. */
  readonly nll: boolean;
  readonly weights: boolean;
  readonly smoothing: boolean;
}

/** `nan` holds the bits of NaN: the shader compiler refuses constants that are not finite. */
const CROSS_ENTROPY_PARAMS = `${PARAMS}, ignore: i32, smoothing: f32, nan: u32, slot: u32`;

/**
 * The loss of each line, and what its gradient needs: (m, log s, weight of the label, Σ class weights). A label that is neither a class nor
 * `ignore` makes both loss and weight NaN, and is reported (report.ts). Bindings: x, labels, weights where given, losses, saved, reports.
 */
export const crossEntropy = (o: CrossEntropyOptions): Kernel =>
  cached(['crossEntropy', o], () => {
    const team = teamOf(o.target, o.lines);
    const classWeight = o.weights ? 'weights[k]' : '1.0';
    const buffers = ['r x: f32', 'r labels: Index', o.weights && 'r weights: f32', 'w losses: f32', 'w saved: vec4f'];
    const { head, io } = declare(CROSS_ENTROPY_PARAMS, ...buffers, REPORTS);
    const code = wgsl`${team.code}
${head}
${reportFunction}
${functions}
${lineEntry(team, o.lines)}
  let label = labels[line];
#if ${o.nll}
  let m = 0.0;
  let s = 1.0;
#else
  ${maxAndSum(team)}
#endif
  let shift = log(s);
  var all = vec3f();
  var weights_ = vec3f();
#if ${o.smoothing}
  ${each(team, `${add('all', `${classWeight} * (m - x[at] + shift)`)} ${add('weights_', classWeight)}`)}
  let spread = teamSum(vec2f(totalOf(all), totalOf(weights_)), local);
#else
  let spread = vec2f();
#endif
  if (lane > 0u) { return; }
  let ignored = label == p.ignore;
  let good = label >= 0 && label < i32(p.n);
  if (!good && !ignored) { report(label); }
  let t = u32(select(0, label, good));
  let nan = bitcast<f32>(p.nan);
  let weight = select(select(nan, ${o.weights ? 'weights[t]' : '1.0'}, good), 0.0, ignored);
  let surprise = m - x[base + t * p.inner] + shift;
  let loss = weight * (1.0 - p.smoothing) * surprise + p.smoothing / f32(p.n) * spread.x;
  losses[line] = select(select(nan, loss, good), 0.0, ignored);
  saved[line] = vec4f(m, shift, weight, spread.y);
}`;
    return { name: o.nll ? 'nllLoss' : 'crossEntropy', code, ...io, grid: { tile: o.lines } };
  });

/** Σ losses, over Σ weights where `mean`, and Σ weights. Bindings: losses, saved, result, total. Uniforms: as `crossEntropy`. One workgroup. */
export const crossEntropyReduce = (target: KernelTarget, mean: boolean): Kernel =>
  cached(['crossEntropyReduce', target, mean], () => {
    const team = teamFor(target);
    const buffers = ['r losses: f32', 'r saved: vec4f', 'w result: f32', 'w total: f32'];
    const { head, io } = declare(CROSS_ENTROPY_PARAMS, ...buffers);
    const code = wgsl`${team.code}
${head}
${functions}
${entry(team.size)} {
  var given = vec3f();
  var weights = vec3f();
  for (var i = local; i < p.lines; i += ${team.size}u) { ${add('given', 'losses[i]')} ${add('weights', 'saved[i].z')} }
  let sum = teamSum(vec2f(totalOf(given), totalOf(weights)), local);
  if (local > 0u) { return; }
  total[0] = sum.y;
  result[0] = ${mean ? 'select(sum.x / sum.y, bitcast<f32>(p.nan), sum.y == 0.0)' : 'sum.x'};
}`;
    return { name: 'crossEntropy.reduce', code, ...io, grid: [1, 1, 1] };
  });

/**
 * Bindings: x, labels, saved, gradient (per line, or one number), total where `reduction` is mean, weights where given with smoothing, dx.
 * One thread an element.
 */
export const crossEntropyGradient = (
  o: Omit<CrossEntropyOptions, 'target' | 'lines'>,
  reduction: 'none' | 'sum' | 'mean',
): Kernel =>
  cached(['crossEntropyGradient', o.nll, o.weights, o.smoothing, reduction], () => {
    const mean = reduction === 'mean';
    const weights = o.weights && o.smoothing;
    const scale = reduction === 'none' ? 'gradient[line]' : 'gradient[0]';
    const given = ['r x: f32', 'r labels: Index', 'r saved: vec4f', 'r gradient: f32'];
    const buffers = [...given, mean && 'r total: f32', weights && 'r weights: f32', 'w dx: f32'];
    const { head, io } = declare(CROSS_ENTROPY_PARAMS, ...buffers);
    const code = wgsl`
${head}
${functions}
${perThread('i', LINES_TILE, 'p.lines * p.n')}
  let c = i / p.inner % p.n;
  let line = i / (p.inner * p.n) * p.inner + i % p.inner;
  let row = saved[line];
  let label = labels[line];
#if ${o.nll}
  var d = -row.z * f32(i32(c) == label);
#else
  let probability = exp(x[i] - row.x - row.y);
  var d = (1.0 - p.smoothing) * row.z * (probability - f32(i32(c) == label));
#endif
#if ${o.smoothing}
  d += p.smoothing / f32(p.n) * (probability * row.w - ${weights ? 'weights[c]' : '1.0'});
#endif
  dx[i] = select(d * ${mean ? `(${scale} / total[0])` : scale}, 0.0, label == p.ignore);
}`;
    return { name: o.nll ? 'nllLoss.gradient' : 'crossEntropy.gradient', code, ...io, grid: { tile: LINES_TILE } };
  });
