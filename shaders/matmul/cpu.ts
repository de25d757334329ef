/**
 * Matrix product for CPU drivers: C[r, c] = Σ_k R(k, r) · L(k, c), both operands with k as the slow index.
 *
 * A lane owns 4 columns, an invocation up to 32 rows, or 64 where lanes are 16 (8 % faster at 512³). Per k a lane loads one
 * vec4 of L for itself and one vec4 of R for all (spread by broadcasts): two loads feed 32 vec4 FMAs or more.
 * Operands that are not laid out like this are packed first to [batch][block of elements][k][block]. Without subgroups R is
 * read by uniform loads.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { foldedIndex, foldWorkgroups, type Kernel, opaqueZero, type Stage, spread, unroll } from '../kernel';
import { type Half, type Held, operandsHeld, resultHeld } from '../precision';
import { type Partials, partsForAccuracy } from '../sum-partials';
import { type KernelTarget, WIDE } from '../target';
import { scaleSplits, type Variant } from '../variants';

/** One factor as element(batch, k, e) = buffer[batch · batchStride + k · kStride + e · stride], e < extent. */
export interface Operand {
  readonly name: 'a' | 'b';
  readonly extent: number;
  readonly stride: number;
  readonly kStride: number;
  readonly batchStride: number;
}

export interface CpuProduct {
  readonly batch: number;
  readonly k: number;
  readonly rows: Operand;
  readonly columns: Operand;
  /** Strides of the result, per row and per column; the other is 1. */
  readonly outRow: number;
  readonly outColumn: number;
  readonly half?: Half;
}

const FEW_INVOCATIONS = 256;
/** Rows of sums that are stored before the others are shifted: a shift moves all that is left through memory, as costly as a turn of the loop. */
const STORED = 8;

/** The product in `splits` partial results, behind what packs its operands. */
export function cpuProduct(p: CpuProduct, target: KernelTarget, variant: Variant): Partials {
  const { lanes } = target;
  const wide = lanes >= WIDE;
  const panel = 4 * (lanes || 8);
  // Of k in one turn, their FMAs side by side: there are more accumulators than registers.
  const step = wide ? 4 : 2;
  const quads = Math.ceil(p.columns.extent / 4);
  let block = Math.min(variant.block ?? (wide ? 64 : 32), panel, 4 * Math.ceil(p.rows.extent / 4));
  while (!variant.block && block > 8 && p.batch * quads * Math.ceil(p.rows.extent / block) < FEW_INVOCATIONS)
    block = 4 * Math.ceil(block / 8);
  const rowBlocks = Math.ceil(p.rows.extent / block);
  const invocations = p.batch * quads * rowBlocks;
  const busy = scaleSplits(Math.min(Math.ceil(FEW_INVOCATIONS / invocations), Math.floor(p.k / 64)), variant);
  const wanted = Math.max(busy, partsForAccuracy(p.k, p.batch * p.rows.extent * p.columns.extent));
  const kPerSplit = step * Math.ceil(p.k / wanted / step);
  const splits = Math.ceil(p.k / kPerSplit);

  const source = operandsHeld(p.half);
  const stored = resultHeld(p.half, splits);
  const pack: Stage[] = [];
  const scratch: number[] = [];
  /** WGSL for the vec4 that holds elements 4·vec … of the operand, given `batch`, and where to read it. */
  const place = (o: Operand, width: number, direct: boolean) => {
    const blocks = Math.ceil(o.extent / width);
    const at = (vec: string, blockIndex: string, kk: string) =>
      direct
        ? `(batch * ${o.batchStride}u + ${kk} * ${o.kStride}u) / 4u + ${blockIndex} * ${width / 4}u + ${vec}`
        : `((${o.batchStride ? `batch * ${blocks}u + ` : ''}${blockIndex}) * ${p.k}u + ${kk}) * ${width / 4}u + ${vec}`;
    if (direct) return { at, held: source, input: o.name };
    const batch = o.batchStride ? p.batch : 1;
    pack.push({ kernel: packOperand(o, batch, p.k, width, source), inputs: [o.name], output: scratch.length });
    return { at, held: operandsHeld(), input: scratch.push(batch * blocks * p.k * width) - 1 };
  };
  const aligned = (o: Operand) => o.stride === 1 && o.kStride % 4 === 0 && o.batchStride % 4 === 0;
  // Rows of R in which k runs fastest are read as they lie: a lane loads four k of a row, as many numbers in as many loads as from packed ones.
  const alongK =
    step === 4 &&
    p.rows.kStride === 1 &&
    block % lanes === 0 &&
    [p.k, p.rows.stride, p.rows.batchStride].every((n) => n % 4 === 0);
  const rows = place(p.rows, block, alongK || (aligned(p.rows) && p.rows.extent % block === 0));
  // Far apart rows of L cost cache and TLB misses; packing pays once it is read several times.
  const columns = place(p.columns, panel, aligned(p.columns) && (rowBlocks < 4 || p.columns.kStride <= 2 * panel));

  const size = Math.min(32, (lanes || 8) * Math.ceil(quads / (lanes || 8)));
  const across = Math.ceil(quads / size);
  const groups = across * rowBlocks * p.batch * splits;
  const vecs = block / 4;
  // A load of R covers as many k as there are lanes for; what lies beyond the last k counts as zero.
  const load = (k: string, value: (k: string) => string) =>
    p.k % step ? `select(vec4f(), ${value(`min(${k}, ${p.k - 1}u)`)}, ${k} < ${p.k}u)` : value(k);
  const rowLoads = Math.ceil((step * vecs) / (lanes || 1));
  const loadRows = (j: number) => {
    if (alongK) {
      const row = `min(rowBlock * ${block}u + ${j * lanes}u + lane, ${p.rows.extent - 1}u)`;
      return `let r${j} = ${rows.held.read4(`rows[(batch * ${p.rows.batchStride}u + ${row} * ${p.rows.stride}u + kk) / 4u]`)};`;
    }
    const vec = lanes ? `(${j * lanes}u + lane)` : `${j}u`;
    const k = `(kk + min(${vec} / ${vecs}u, ${step - 1}u))`;
    return `let r${j} = ${load(k, (at) => rows.held.read4(`rows[${rows.at(`${vec} % ${vecs}u`, 'rowBlock', at)}]`))};`;
  };
  const loadColumns = (u: number) =>
    `let l${u} = ${load(`(kk + ${u}u)`, (at) => columns.held.read4(`columns[${columns.at(`quad % ${panel / 4}u`, `quad / ${panel / 4}u`, at)}]`))};`;
  const weight = (u: number, i: number) =>
    alongK ? spread(lanes, 'r', i, `[${u}]`) : spread(lanes, 'r', u * vecs + (i >> 2), `[${i % 4}]`);
  const fma = (u: number, i: number) => `acc${i} = fma(vec4f(${weight(u, i)}), l${u}, acc${i});`;
  const vec4 = p.outColumn === 1 && p.columns.extent % 4 === 0;
  const turn = Math.min(STORED, block);
  const guarded = p.rows.extent % turn > 0;
  const storeRow = (i: number) => {
    const at = `${i * p.outRow}u + at`;
    const column = (j: number) =>
      `if (quad * 4u + ${j}u < ${p.columns.extent}u) { result[${at} + ${j * p.outColumn}u] = ${stored.store(`acc${i}[${j}]`)}; }`;
    const store = vec4 ? `result[(${at}) / 4u] = ${stored.store4(`acc${i}`)};` : unroll(4, column);
    return guarded && i ? `if (row + i + ${i}u < ${p.rows.extent}u) { ${store} }` : store;
  };
  const code = wgsl`
#if ${lanes > 0}
enable subgroups;
#endif
${rows.held.enable || columns.held.enable || stored.enable}
@group(0) @binding(0) var<storage, read> rows: array<${rows.held.vec4}>;
@group(0) @binding(1) var<storage, read> columns: array<${columns.held.vec4}>;
@group(0) @binding(2) var<storage, read_write> result: array<${vec4 ? stored.vec4 : stored.type}>;
${stored.functions}

@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32${lanes ? ', @builtin(subgroup_invocation_id) lane: u32' : ''}) {
  ${foldedIndex(groups)}
  let index = group % ${across}u * ${size}u + local;
  let quad = min(index, ${quads - 1}u);
  let rowBlock = group / ${across}u % ${rowBlocks}u;
  let batch = group / ${across * rowBlocks}u % ${p.batch}u;
  let part = group / ${across * rowBlocks * p.batch}u;
  ${unroll(block, (i) => `var acc${i} = vec4f();`)}
  for (var kk = part * ${kPerSplit}u; kk < min((part + 1u) * ${kPerSplit}u, ${p.k}u) + ${opaqueZero('columns', columns.held.vec4)}; kk += ${step}u) {
    ${unroll(rowLoads, loadRows)}
    ${unroll(step, loadColumns)}
    ${unroll(block, (i) => unroll(step, (u) => fma(u, i)))}
  }
  if (index >= ${quads}u) { return; }
  let row = rowBlock * ${block}u;
  // Stores are dear to compile, and shifting sums is dear to run: a few sums are stored, then the others are shifted down by as many.
  for (var i = 0u; i < min(${block}u, ${p.rows.extent}u - row) + ${opaqueZero('columns', columns.held.vec4)}; i += ${turn}u) {
    let at = (part * ${p.batch}u + batch) * ${p.rows.extent * p.columns.extent}u + (row + i) * ${p.outRow}u + quad * ${4 * p.outColumn}u;
    ${unroll(turn, storeRow)}
    ${unroll(block - turn, (i) => `acc${i} = acc${i + turn};`)}
  }
}`;
  const kernel = { name: 'matmul', code, access: 'rrw', grid: foldWorkgroups(groups) };
  return { kernel, splits, inputs: [rows.input, columns.input], pack, scratch };
}

/** [batch][block][k][width of block], zeros where the last block is not full. A thread packs one block of one k: divisions are dear on a CPU. */
function packOperand(o: Operand, batch: number, k: number, width: number, held: Held): Kernel {
  const blocks = Math.ceil(o.extent / width);
  const items = batch * blocks * k;
  const groups = Math.ceil(items / 64);
  const vecs = width / 4;
  const element = (j: number) =>
    o.extent % width
      ? `select(0.0, ${held.read(`source[at + min(e + ${j}u, ${o.extent - 1}u) * ${o.stride}u]`)}, e + ${j}u < ${o.extent}u)`
      : held.read(`source[at + (e + ${j}u) * ${o.stride}u]`);
  const code = wgsl`
${held.enable}@group(0) @binding(0) var<storage, read> source: array<${held.type}>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let id = group * 64u + local;
  if (id >= ${items}u) { return; }
  let first = id / ${k}u % ${blocks}u * ${width}u;
  let at = id / ${k * blocks}u * ${o.batchStride}u + id % ${k}u * ${o.kStride}u;
  for (var v = 0u; v < ${vecs}u; v++) {
    let e = first + 4u * v;
    packed[id * ${vecs}u + v] = vec4f(${[0, 1, 2, 3].map(element).join(', ')});
  }
}`;
  return { name: 'matmul.pack', code, access: 'rw', grid: foldWorkgroups(groups) };
}
