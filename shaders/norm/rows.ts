/**
 * Layer norm (`centered`) and norm by the root of the mean square over rows that the threads of one team can hold in registers, in one launch
 * forward and one for all gradients. Of row x [n] with weight w and bias b:
 *
 *   xhat = (x − mean) · rstd,  rstd = 1/√(var + ε)        (mean = 0 where not centered: var is then the mean of x²)
 *   y = xhat · w + b
 *   dx = rstd · (t − Σt/n − xhat · Σ(t·xhat)/n),  t = g · w        (without Σt where not centered)
 *   dw = Σ_rows g · xhat,  db = Σ_rows g
 *
 * A workgroup has some rows, one after the other, and each of its threads the same few columns of all of them: weights are loaded once, the row
 * once, the variance is of the differences from the mean, and the thread's shares of dw and db stay in registers. They are
 * written as one row of partial sums a workgroup, to be added up by a second launch in a fixed order.
 *
 * Longer rows take the launches of forward.ts and gradient.ts. `stats` has their rows, so that either can go on from the other's:
 * (mean, rstd, rstd, −mean · rstd).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry } from '../build';
import { type Kernel, unroll } from '../kernel';
import type { KernelTarget } from '../target';
import { teamFor } from '../team';
import { products, sumsOfVectors, vector } from './shared';

export interface RowsOptions {
  readonly target: KernelTarget;
  /** Elements of a row. */
  readonly n: number;
  readonly centered: boolean;
}

/** Loads of a row that a thread keeps. */
const MOST_LOADS = 16;
/** Threads of a row on GPUs. */
const [LEAST_THREADS, MOST_THREADS] = [32, 256];
/** Workgroups that write partial sums, as long as none of them has more rows than ROWS: few enough for one launch to add them up. */
const PARTS = 32;
const GPU_PARTS = 256;
/** Rows of a workgroup that share what is loaded once, the most of one that writes sums, and the rows that are added up before their sum is to the rest. */
const [SHARED_ROWS, ROWS, BLOCK] = [8, 256, 16];

/** The team of a row, and the loads of each of its threads. */
function shapeOf(target: KernelTarget, n: number) {
  const { units } = vector(n);
  let threads = LEAST_THREADS;
  while (threads < Math.min(units, MOST_THREADS)) threads *= 2;
  const team = teamFor(target, threads);
  return { team, units, loads: Math.ceil(units / team.size) };
}

/** Whether rows of `n` elements are short enough. */
export const fitsRows = (target: KernelTarget, n: number): boolean => n > 0 && shapeOf(target, n).loads <= MOST_LOADS;

/** Rows of a workgroup: those that write sums are fewer, with more rows each. */
export function rowsOfGroup({ isCpu }: KernelTarget, rows: number, sums: boolean): number {
  if (!sums) return isCpu ? SHARED_ROWS : 1;
  return Math.max(1, Math.min(ROWS, Math.ceil(rows / (isCpu ? PARTS : GPU_PARTS))));
}

const PARAMS = 'rows: u32, each: u32, eps: f32';

/** What both kernels share: `main` over the rows of a workgroup, and the loads and stores of a thread's columns. */
function frame({ target, n }: RowsOptions) {
  const { team, units, loads } = shapeOf(target, n);
  const { type, sum } = vector(n);
  const even = units % team.size === 0;
  const inside = (u: number) => `local + ${u * team.size}u < ${units}u`;
  const column = (u: number) => (even ? `local + ${u * team.size}u` : `min(local + ${u * team.size}u, ${units - 1}u)`);
  const last = (u: number) => !even && u === loads - 1;
  return {
    type,
    team,
    loads,
    units,
    /** WGSL for each of the thread's loads. */
    each: (f: (u: number) => string) => unroll(loads, f),
    load: (from: string, u: number, at = 'at') => `${from}[${at} + ${column(u)}]`,
    /** `value`, or zero beyond the row's end. */
    kept: (value: string, u: number) => (last(u) ? `select(${type}(), ${value}, ${inside(u)})` : value),
    store: (to: string, u: number, value: string, at = 'at') => {
      const store = `${to}[${at} + local + ${u * team.size}u] = ${value};`;
      return last(u) ? `if (${inside(u)}) { ${store} }` : store;
    },
    total: (f: (u: number) => string) =>
      Array.from({ length: loads }, (_, u) => f(u)).reduce((a, b) => `(${a} + ${b})`),
    sum,
    /** WGSL of `main`: `row` for each row, in blocks with `open` before and `close` after them. */
    main: ({
      before,
      open = '',
      row,
      close = '',
      after = '',
    }: Record<'before' | 'row', string> & Partial<Record<'open' | 'close' | 'after', string>>) => `${entry(team.size)} {
  let group = wid.y * grid.x + wid.x;
  if (group * p.each >= p.rows) { return; }
  ${before}
  let end = min((group + 1u) * p.each, p.rows);
  for (var block = group * p.each; block < end; block += ${BLOCK}u) {
    ${open}
    for (var row = block; row < min(block + ${BLOCK}u, end); row++) {
    let at = row * ${units}u;
    ${row}
    }
    ${close}
  }
  ${after}
}`,
  };
}

export interface RowsForward extends RowsOptions {
  readonly weight: boolean;
  readonly bias: boolean;
}

/** Bindings: x, weight and bias where given, y, stats. Constants: rows, rows of a workgroup, eps; a workgroup for so many rows. */
export const rowsForward = (o: RowsForward): Kernel =>
  cached(['norm.rows', o], () => {
    const { type, team, each, load, kept, store, total, sum, main } = frame(o);
    const { weight, bias, centered, n } = o;
    const affine = [weight && `r weight: ${type}`, bias && `r bias: ${type}`];
    const { head, io } = declare(PARAMS, `r x: ${type}`, ...affine, `w y: ${type}`, 'w stats: vec4f');
    const own = each((u) =>
      [weight && `let w${u} = ${load('weight', u, '0u')};`, bias && `let b${u} = ${load('bias', u, '0u')};`]
        .filter(Boolean)
        .join(' '),
    );
    const value = (u: number) =>
      bias
        ? `fma(d${u} * rstd, ${weight ? `w${u}` : `${type}(1.0)`}, b${u})`
        : `d${u} * rstd${weight ? ` * w${u}` : ''}`;
    const code = wgsl`${team.code}
${head}
${sumsOfVectors}
${main({
  before: own,
  row: `${each((u) => `let v${u} = ${kept(load('x', u), u)};`)}
    let mean = ${centered ? `teamSum(vec2f(${sum(total((u) => `v${u}`))}, 0.0), local).x / ${n}.0` : '0.0'};
    ${each((u) => `let d${u} = ${centered ? kept(`v${u} - mean`, u) : `v${u}`};`)}
    let squares = teamSum(vec2f(${total((u) => products(n, `d${u}`, `d${u}`))}, 0.0), local).x;
    let rstd = 1.0 / sqrt(squares / ${n}.0 + p.eps);
    ${each((u) => store('y', u, value(u)))}
    if (local == 0u) { stats[row] = vec4f(mean, rstd, rstd, -mean * rstd); }`,
})}`;
    return { name: o.centered ? 'layerNorm' : 'rmsNorm', code, ...io, grid: { tile: 1 } };
  });

export interface RowsBackward extends RowsOptions {
  readonly weight: boolean;
  /** The gradient of x, and whether it is added to what x has from elsewhere. */
  readonly dx: boolean;
  readonly onto: boolean;
  /** Partial sums of the gradients of weight and bias. */
  readonly dWeight: boolean;
  readonly dBias: boolean;
}

/**
 * Bindings: gradient, x, stats, weight where given and dx, what dx is added to, then dx, and partial sums [workgroups, n] of dWeight and of dBias, each where wanted.
 * Constants as `rowsForward`.
 */
export const rowsBackward = (o: RowsBackward): Kernel =>
  cached(['norm.rowsGradient', o], () => {
    const { type, team, units, each, load, kept, store, total, sum, main } = frame(o);
    const { centered, n, dx, onto, dWeight, dBias } = o;
    const weight = o.weight && dx;
    const { head, io } = declare(
      PARAMS,
      `r gradient: ${type}`,
      `r x: ${type}`,
      'r stats: vec4f',
      weight && `r weight: ${type}`,
      onto && `r onto: ${type}`,
      dx && `w dx: ${type}`,
      dWeight && `w dWeight: ${type}`,
      dBias && `w dBias: ${type}`,
    );
    const name = `${centered ? 'layerNorm' : 'rmsNorm'} gradient`;
    const own = weight ? each((u) => `let w${u} = ${load('weight', u, '0u')};`) : '';
    /** WGSL that declares sums of the thread's columns for the weight and the bias. */
    const zeros = (w: string, b: string) =>
      each((u) => `${dWeight ? `var ${w}${u} = ${type}();` : ''} ${dBias ? `var ${b}${u} = ${type}();` : ''}`);
    const t = (u: number) => (weight ? `t${u}` : `g${u}`);
    const gradient = `${weight ? each((u) => `let t${u} = g${u} * w${u};`) : ''}
    let sums = teamSum(vec2f(${centered ? sum(total(t)) : '0.0'}, ${total((u) => products(n, t(u), `h${u}`))}), local) / ${n}.0;
    ${each((u) => store('dx', u, `${onto ? `${load('onto', u)} + ` : ''}stat.y * (${t(u)} - ${centered ? 'sums.x - ' : ''}h${u} * sums.y)`))}`;
    const code = wgsl`${team.code}
${head}
${sumsOfVectors}
${main({
  before: `${own}${zeros('dw', 'db')}`,
  open: zeros('pw', 'pb'),
  row: `let stat = stats[row];
    ${each((u) => `let g${u} = ${kept(load('gradient', u), u)};`)}
    ${each((u) => `let h${u} = (${load('x', u)} - stat.x) * stat.y;`)}
    ${dWeight ? each((u) => `pw${u} = fma(g${u}, h${u}, pw${u});`) : ''}
    ${dBias ? each((u) => `pb${u} += g${u};`) : ''}
    ${dx ? gradient : ''}`,
  close: each((u) => `${dWeight ? `dw${u} += pw${u};` : ''} ${dBias ? `db${u} += pb${u};` : ''}`),
  after: `let part = group * ${units}u;
  ${dWeight ? each((u) => store('dWeight', u, `dw${u}`, 'part')) : ''}
  ${dBias ? each((u) => store('dBias', u, `db${u}`, 'part')) : ''}`,
})}`;
    return { name, code, ...io, grid: { tile: 1 } };
  });
