/**
 * One time step of a recurrent layer in one launch: the product of the state with the recurrent weights, and the gates.
 *
 *   forward    sum = b + Σ_k a[n, k] W[c, k],    a: the state before;          then the gates and the state after
 *   gradient   sum = Σ_k a[n, k] W[k, c],        a: the gates' gradients after; then the gradients of the gates
 *   project    the same for the projection of an LSTM; 'add' adds what comes from outside
 *
 * Weights are packed once a layer to [1 + K][quads] vec4, K filled up with zeros to a multiple of 4, row 0 the bias. A quad holds what one
 * invocation works on: the gates of one unit in the forward pass of LSTM and GRU, else four neighbouring columns.
 *
 * On GPUs a workgroup has UNITS quads, and `parts` threads for each that share the sum over k. On CPU drivers a thread has all of k for up to 32
 * rows, and the lanes of a subgroup tell each other by broadcasts what they load of `a`.
 *
 * Steps work in place in buffers over all time steps, so that all launches of a layer bind the same memory; `t` says where.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry, perThread } from './build';
import { functionsFor } from './functions';
import { type Kernel, spread, unroll } from './kernel';
import type { KernelTarget } from './target';

export type Cell = 'tanh' | 'relu' | 'lstm' | 'gru';

/** Gates of a unit. */
export const gatesOf: Readonly<Record<Cell, number>> = { tanh: 1, relu: 1, lstm: 4, gru: 3 };
/** Numbers of a unit that the gradient reads: LSTM i, f, g, o and the cell before; GRU r, z, n, the product in n and the state before. */
export const savedOf: Readonly<Record<Cell, number>> = { tanh: 0, relu: 0, lstm: 5, gru: 5 };

/** A step's bindings behind `weights` and its WGSL. `a` is what the sum runs over: a buffer of its own, or the one that is written. */
interface Step {
  readonly buffers: readonly string[];
  readonly a: string;
  /** Statements for row n and unit j: `sum` is a vec4 of its gates (`gates`) or a number. `at` is j in a row of `units` of this step. */
  readonly body: string;
  readonly gates?: boolean;
}

const saveAll = (values: readonly string[]) => values.map((v, i) => `saved[s + ${i}u * p.units] = ${v};`).join('\n  ');
const loadAll = (names: readonly string[]) =>
  names.map((v, i) => `let ${v} = saved[s + ${i}u * p.units];`).join('\n  ');
/** Where the unit's numbers lie for the gradient. */
const SAVED = 'let s = p.savedAt + n * 5u * p.units + j;';
/** The first of the unit's gates in this step's row of `count` gates. */
const gate = (count: number) => `let first = (p.t * p.rows + n) * ${count}u * p.units + j;`;
/** ∂E/∂h: from the step after, from y, and for GRU past its gates; `carry` starts with the gradient of the last state. */
const ALL = 'let d = sum + dy[p.t * p.rows * p.units + here] + carry[here];';

const plain = (value: string): Step => ({
  buffers: ['r gates: f32', 'x out: f32'],
  a: 'out',
  body: `let x = gates[p.t * p.rows * p.units + here] + sum;
  out[p.outAt + here] = ${value};`,
});
const plainGradient = (value: string): Step => ({
  buffers: ['r dy: f32', 'r saved: f32', 'x carry: f32', 'x out: f32'],
  a: 'out',
  body: `${ALL}
  let y = saved[p.savedAt + here];
  carry[here] = 0.0;
  out[p.outAt + here] = ${value};`,
});

/** The forward pass of an LSTM; projected, the state before is no output of this step. */
const lstm = (projected: boolean): Step => ({
  buffers: [...(projected ? ['r a: f32'] : []), 'r gates: f32', 'x cell: f32', 'x saved: f32', 'x out: f32'],
  a: projected ? 'a' : 'out',
  gates: true,
  body: `${gate(4)}
  let i = sigmoid(gates[first] + sum.x);
  let f = sigmoid(gates[first + p.units] + sum.y);
  let g = tanh(gates[first + 2u * p.units] + sum.z);
  let o = sigmoid(gates[first + 3u * p.units] + sum.w);
  let before = cell[here];
  let after = f * before + i * g;
  cell[here] = after;
  ${SAVED}
  ${saveAll(['i', 'f', 'g', 'o', 'before'])}
  out[p.outAt + here] = o * tanh(after);`,
});

/** Its gradient; projected, `sum` is all of ∂E/∂h, from the gradient `a` of the projected state. */
const lstmGradient = (projected: boolean): Step => ({
  buffers: [
    ...(projected ? ['r a: f32'] : ['r dy: f32']),
    'r saved: f32',
    ...(projected ? [] : ['x carry: f32']),
    'x dcell: f32',
    'x out: f32',
  ],
  a: projected ? 'a' : 'out',
  body: `${projected ? 'let d = sum;' : `${ALL}\n  carry[here] = 0.0;`}
  ${SAVED}
  ${loadAll(['i', 'f', 'g', 'o', 'before'])}
  let c = tanh(f * before + i * g);
  let dc = dcell[here] + d * o * (1.0 - c) * (1.0 + c);
  dcell[here] = dc * f;
  let first = p.outAt + n * 4u * p.units + j;
  out[first] = dc * g * i * (1.0 - i);
  out[first + p.units] = dc * before * f * (1.0 - f);
  out[first + 2u * p.units] = dc * i * (1.0 - g) * (1.0 + g);
  out[first + 3u * p.units] = d * c * o * (1.0 - o);`,
});

const steps = {
  tanh: plain('tanh(x)'),
  relu: plain('relu(x)'),
  lstm: lstm(false),
  lstmProjected: lstm(true),
  gru: {
    buffers: ['r gates: f32', 'x saved: f32', 'x out: f32'],
    a: 'out',
    gates: true,
    body: `${gate(3)}
  let r = sigmoid(gates[first] + sum.x);
  let z = sigmoid(gates[first + p.units] + sum.y);
  let c = tanh(gates[first + 2u * p.units] + r * sum.z);
  let before = out[p.aAt + here];
  ${SAVED}
  ${saveAll(['r', 'z', 'c', 'sum.z', 'before'])}
  out[p.outAt + here] = (1.0 - z) * c + z * before;`,
  },
  project: { buffers: ['r a: f32', 'x out: f32'], a: 'a', body: 'out[p.outAt + here] = sum;' },
  tanhGradient: plainGradient('d * (1.0 - y) * (1.0 + y)'),
  reluGradient: plainGradient('select(d, 0.0, y <= 0.0)'),
  lstmGradient: lstmGradient(false),
  lstmProjectedGradient: lstmGradient(true),
  /** `gates`: gradients of the input's share of the gates. `out`: of the state's share, which differs in n. */
  gruGradient: {
    buffers: ['r dy: f32', 'r saved: f32', 'x carry: f32', 'x gates: f32', 'x out: f32'],
    a: 'out',
    body: `${ALL}
  ${SAVED}
  ${loadAll(['r', 'z', 'c', 'm', 'before'])}
  carry[here] = d * z;
  let dn = d * (1.0 - z) * (1.0 - c) * (1.0 + c);
  let dr = dn * m * r * (1.0 - r);
  let dz = d * (before - c) * z * (1.0 - z);
  let first = p.outAt + n * 3u * p.units + j;
  gates[first] = dr;
  gates[first + p.units] = dz;
  gates[first + 2u * p.units] = dn;
  out[first] = dr;
  out[first + p.units] = dz;
  out[first + 2u * p.units] = dn * r;`,
  },
  /** ∂E/∂h of the projected state. */
  add: {
    buffers: ['r a: f32', 'r dy: f32', 'x carry: f32', 'x out: f32'],
    a: 'a',
    body: `${ALL}\n  carry[here] = 0.0;\n  out[p.outAt + here] = d;`,
  },
} satisfies Record<string, Step>;

export type StepName = keyof typeof steps;

/** Rows, terms of the sum in this launch (0 where there is no step before), units or columns, quads; the row length of `a`; places in buffers. */
const PARAMS =
  'rows: u32, k: u32, units: u32, quads: u32, aRow: u32, aAt: u32, outAt: u32, t: u32, savedAt: u32, gap0: u32, gap1: u32, gap2: u32';

/** Quads of a workgroup on GPUs. */
const UNITS = 16;
/** Terms that a thread adds up before it adds the sum to the rest. */
const CHUNK = 256;

/** How many rows an invocation has, for a launch of so many rows and quads. */
export function rowsPerThread({ isCpu }: KernelTarget, rows: number, quads: number): number {
  if (rows === 1) return 1;
  if (!isCpu) return rows < 64 ? 4 : 8;
  let block = 32;
  while (block > 4 && (block >= 2 * rows || (block > 8 && quads * Math.ceil(rows / block) < 256))) block /= 2;
  return block;
}

/** Invocations for so many quads of one block of rows, and of the workgroup that shares them. */
const spanOf = ({ isCpu, lanes }: KernelTarget) => (isCpu ? lanes || 8 : UNITS);

/** Workgroups of a launch. */
export const stepGroups = (target: KernelTarget, rows: number, quads: number): number =>
  Math.ceil(rows / rowsPerThread(target, rows, quads)) * Math.ceil(quads / spanOf(target));

/** Bindings: weights, then those of the step. Constants: PARAMS. */
export const recurrentStep = (target: KernelTarget, name: StepName, rows: number): Kernel =>
  cached(['recurrent', target, name, rows], () => {
    const { buffers, a, body, gates }: Step = steps[name];
    const { head, io } = declare(PARAMS, 'r weights: vec4f', ...buffers);
    const unit = `fn unit(n: u32, j: u32, sum: ${gates ? 'vec4f' : 'f32'}) {
  let here = n * p.units + j;
  ${body}
}
fn finish(n: u32, q: u32, sums: vec4f) {
  let sum = sums + weights[q];
  ${gates ? 'unit(n, q, sum);' : 'for (var i = 0u; i < min(4u, p.units - 4u * q); i++) { unit(n, 4u * q + i, sum[i]); }'}
}`;
    const load = (base: string, k: string) => `select(0.0, ${a}[${base} + min(${k}, p.k - 1u)], ${k} < p.k)`;
    const kernel = (target.isCpu ? forCpu : forGpu)({ target, rows, load });
    const code = wgsl`${target.isCpu && target.lanes ? 'enable subgroups;' : ''}
${head}
${functionsFor(body)}
${unit}
${kernel}`;
    return { name: `recurrent.${name}`, code, ...io, grid: { tile: 1 } };
  });

interface Loop {
  target: KernelTarget;
  rows: number;
  /** WGSL of a[base + k], 0 beyond the last k. */
  load: (base: string, k: string) => string;
}

/** The row of block row r, no further than the last. */
const rowAt = (r: string) => `p.aAt + min(row + ${r}, p.rows - 1u) * p.aRow`;
const columns = (q: string) => unroll(4, (u) => `let w${u} = weights[(k + ${u + 1}u) * p.quads + ${q}];`);

function forGpu({ rows, load }: Loop): string {
  const parts = rows > 4 ? 8 : 16;
  const block = rows * UNITS;
  return `
var<workgroup> cells: array<vec4f, ${parts * block}>;
${entry(UNITS * parts)} {
  let group = wid.y * grid.x + wid.x;
  let across = (p.quads + ${UNITS - 1}u) / ${UNITS}u;
  let quad = group % across * ${UNITS}u;
  let row = group / across * ${rows}u;
  if (row >= p.rows) { return; }
  let q = min(quad + local % ${UNITS}u, p.quads - 1u);
  let part = local / ${UNITS}u;
  ${unroll(rows, (r) => `var acc${r} = vec4f(); let at${r} = ${rowAt(`${r}u`)};`)}
  for (var k = 4u * part; k < p.k; k += ${4 * parts}u) {
    ${columns('q')}
    ${unroll(rows, (r) => unroll(4, (u) => `acc${r} = fma(vec4f(${load(`at${r}`, `(k + ${u}u)`)}), w${u}, acc${r});`))}
  }
  ${unroll(rows, (r) => `cells[part * ${block}u + ${r * UNITS}u + local % ${UNITS}u] = acc${r};`)}
  for (var half = ${parts / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    for (var i = local; i < half * ${block}u; i += ${UNITS * parts}u) { cells[i] += cells[i + half * ${block}u]; }
  }
  workgroupBarrier();
  let n = row + local / ${UNITS}u;
  let own = quad + local % ${UNITS}u;
  if (local < ${block}u && n < p.rows && own < p.quads) { finish(n, own, cells[local]); }
}`;
}

function forCpu({ target, rows, load }: Loop): string {
  const { lanes } = target;
  const span = spanOf(target);
  // Values of `a` for four k: value v is that of row v mod rows and of k + v / rows.
  const loads = Math.ceil((4 * rows) / (lanes || 1));
  const value = (j: number) => (lanes ? `min(${j * lanes}u + lane, ${4 * rows - 1}u)` : `${j}u`);
  return `
@compute @workgroup_size(${span}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32${lanes ? ', @builtin(subgroup_invocation_id) lane: u32' : ''}) {
  let group = wid.y * grid.x + wid.x;
  let across = (p.quads + ${span - 1}u) / ${span}u;
  let own = group % across * ${span}u + local;
  let q = min(own, p.quads - 1u);
  let row = group / across * ${rows}u;
  if (row >= p.rows) { return; }
  ${unroll(loads, (j) => `let u${j} = ${value(j)} / ${rows}u; let at${j} = ${rowAt(`${value(j)} % ${rows}u`)};`)}
  ${unroll(rows, (r) => `var sum${r} = vec4f();`)}
  for (var chunk = 0u; chunk < p.k; chunk += ${CHUNK}u) {
    ${unroll(rows, (r) => `var acc${r} = vec4f();`)}
    for (var k = chunk; k < min(chunk + ${CHUNK}u, p.k); k += 4u) {
      ${unroll(loads, (j) => `let a${j} = ${load(`at${j}`, `(k + u${j})`)};`)}
      ${columns('q')}
      ${unroll(rows, (r) => unroll(4, (u) => `acc${r} = fma(vec4f(${spread(lanes, 'a', u * rows + r)}), w${u}, acc${r});`))}
    }
    ${unroll(rows, (r) => `sum${r} += acc${r};`)}
  }
  if (own >= p.quads) { return; }
  // The gates are dear to compile: those of the first sum, then the others are shifted down.
  for (var r = 0u; r < min(${rows}u, p.rows - row); r++) {
    finish(row + r, q, sum0);
    ${unroll(rows - 1, (r) => `sum${r} = sum${r + 1};`)}
  }
}`;
}

const PACK = 'n: u32, k: u32, quads: u32, rowStride: u32, quadStride: u32, stride: u32, quadColumns: u32, columns: u32';

/**
 * Weights as the steps read them. Element i of quad q of row k is at k · rowStride + q · quadStride + i · stride, and counts where
 * q · quadColumns + i < columns. Bindings: weights, biases to be added up (one
 * for k weights), packed. Constants: PACK.
 */
export const packRecurrent = (biases: number): Kernel =>
  cached(['recurrent.pack', biases], () => {
    const given = Array.from({ length: biases }, (_, i) => `bias${i}`);
    const { head, io } = declare(PACK, 'r source: f32', ...given.map((bias) => `r ${bias}: f32`), 'w packed: vec4f');
    const code = wgsl`
${head}
${perThread('id', 64, 'p.n')}
  let q = id % p.quads;
  let row = id / p.quads;
  var v = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let place = q * p.quadStride + i * p.stride;
    if (q * p.quadColumns + i >= p.columns) { continue; }
    if (row > 0u && row <= p.k) { v[i] = source[(row - 1u) * p.rowStride + place]; }
#if ${biases > 0}
    if (row == 0u) { v[i] = ${given.map((bias) => `${bias}[place / p.k]`).join(' + ')}; }
#endif
  }
  packed[id] = v;
}`;
    return { name: 'recurrent.pack', code, ...io, grid: { tile: 64 } };
  });
