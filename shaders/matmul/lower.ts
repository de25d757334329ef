/**
 * Batched matrix product C[b] = op(A[b]) · op(B[b]), row-major: which kernels compute it on which target.
 * Few outputs with a long sum are split along k into partial results, summed in a second phase in a fixed order.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, storage } from '../build';
import { describeProduct, foldedIndex, foldWorkgroups, type Kernel, type Lowering } from '../kernel';
import { type Half, type Held, operandsHeld, resultHeld } from '../precision';
import { lowerSum, type Partials, partsForAccuracy } from '../sum-partials';
import type { KernelTarget } from '../target';
import { ENOUGH_WORKGROUPS, scaleSplits, type Variant } from '../variants';
import { cpuProduct } from './cpu';
import type { Tile, TiledProduct } from './gpu-tiles';
import type { MatrixTile } from './subgroup-matrix';
import { tileFor, workgroupProduct } from './tiles';

export interface MatmulShape {
  readonly batch: number;
  /** op(A) is [m, k], op(B) is [k, n], C is [m, n]. A transposed operand is stored as [k, m] or [n, k]. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Elements from one matrix of the batch to the next; 0 uses the same one for all. Default: contiguous. */
  readonly aBatchStride?: number;
  readonly bBatchStride?: number;
  /** What is held as float16; sums are float32 either way. */
  readonly half?: Half;
}

/** All of it but `half`, which may be absent. */
type Full = Required<Omit<MatmulShape, 'half'>> & Pick<MatmulShape, 'half'>;

const SMALL = 1 << 15; // multiply-adds, below which packing and tiles don't pay
const ENOUGH_OUTPUTS = 2048; // invocations that keep a device busy when each computes one sum

/** The launches of one product with everything baked in. batch, m and n are at least 1; k = 0 gives zeros. */
export function lowerMatmul(shape: MatmulShape, target: KernelTarget, variant: Variant = {}): Lowering {
  return cached(['matmul', shape, target, variant], () => {
    const { m, n, k, aBatchStride = m * k, bBatchStride = k * n } = shape;
    const folded = foldBatch({ ...shape, aBatchStride, bBatchStride });
    if (k === 0) return lowerZeros(folded);
    return describeProduct(choose(folded, target, variant), { flops: 2 * shape.batch * m * n * k });
  });
}

/** One B for all of a contiguous A is one tall product. */
function foldBatch(s: Full): Full {
  const foldable = s.bBatchStride === 0 && !s.transposeA && s.aBatchStride === s.m * s.k;
  return foldable ? { ...s, batch: 1, m: s.batch * s.m } : s;
}

function choose(s: Full, target: KernelTarget, variant: Variant): Lowering {
  const count = s.batch * s.m * s.n;
  const small = count * s.k <= SMALL || Math.min(s.m, s.n) < (target.isCpu ? 4 : 16);
  const tile = tileFor(s.half, target, s.m, variant);
  const tiled = 'unit' in tile || !target.isCpu;
  const product = small ? directMatmul(s) : tiled ? tiledMatmul(s, tile, variant) : cpuMatmul(s, target, variant);
  return lowerSum('matmul.sum', product, count, s.half);
}

function cpuMatmul(s: Full, target: KernelTarget, variant: Variant): Partials {
  const a = { name: 'a', extent: s.m, batchStride: s.aBatchStride, ...strides(!s.transposeA, s.m, s.k) } as const;
  const b = { name: 'b', extent: s.n, batchStride: s.bBatchStride, ...strides(s.transposeB, s.n, s.k) } as const;
  // Lanes lie along columns: give them the longer side where n leaves many idle.
  const swap = s.n < 32 && s.m > s.n;
  const [rows, columns] = swap ? [b, a] : [a, b];
  const [outRow, outColumn] = swap ? [1, s.n] : [s.n, 1];
  return cpuProduct({ batch: s.batch, k: s.k, rows, columns, outRow, outColumn, half: s.half }, target, variant);
}

/** Strides of an operand stored as [extent, k] or as [k, extent]. */
function strides(kFastest: boolean, extent: number, k: number): { stride: number; kStride: number } {
  return kFastest ? { stride: k, kStride: 1 } : { stride: 1, kStride: extent };
}

const bound = (operands: Held, result: Held) =>
  storage(`r a: ${operands.type}`, `r b: ${operands.type}`, `w result: ${result.type}`);

/** WGSL expressions of an element of op(A) and op(B). */
const elementA = (s: Full, z: string, m: string, k: string) =>
  operandsHeld(s.half).read(
    `a[${z} * ${s.aBatchStride}u + ${s.transposeA ? `(${k}) * ${s.m}u + ${m}` : `(${m}) * ${s.k}u + ${k}`}]`,
  );
const elementB = (s: Full, z: string, k: string, n: string) =>
  operandsHeld(s.half).read(
    `b[${z} * ${s.bBatchStride}u + ${s.transposeB ? `(${n}) * ${s.k}u + ${k}` : `(${k}) * ${s.n}u + ${n}`}]`,
  );

/** k split so that `outputs × splits` reaches `enough`, with at least `least` terms in each part; more parts where the sums would get inexact. */
function splitK(k: number, outputs: number, enough: number, least: number, count: number, variant: Variant) {
  const busy = scaleSplits(Math.min(Math.ceil(enough / outputs), Math.floor(k / least)), variant);
  const wanted = Math.max(busy, partsForAccuracy(k, count));
  const perSplit = Math.ceil(k / wanted);
  return { splits: Math.ceil(k / perSplit), perSplit };
}

/** One sum per invocation: vectors, tiny matrices. */
function directMatmul(s: Full): Partials {
  const count = s.batch * s.m * s.n;
  const { splits, perSplit } = splitK(s.k, count, ENOUGH_OUTPUTS, 32, count, {});
  const groups = Math.ceil((count * splits) / 64);
  const stored = resultHeld(s.half, splits);
  const { enable, bindings, access } = bound(operandsHeld(s.half), stored);
  const code = wgsl`
${enable}${bindings}
${stored.functions}

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let id = group * 64u + local;
  if (id >= ${count * splits}u) { return; }
  let n = id % ${s.n}u;
  let m = id / ${s.n}u % ${s.m}u;
  let z = id / ${s.n * s.m}u % ${s.batch}u;
  let part = id / ${count}u;
  var sum = 0.0;
  for (var k = part * ${perSplit}u; k < min((part + 1u) * ${perSplit}u, ${s.k}u); k++) {
    sum = fma(${elementA(s, 'z', 'm', 'k')}, ${elementB(s, 'z', 'k', 'n')}, sum);
  }
  result[id] = ${stored.store('sum')};
}`;
  return { kernel: { name: 'matmul.direct', code, access, grid: foldWorkgroups(groups) }, splits };
}

function tiledMatmul(s: Full, tile: Tile | MatrixTile, variant: Variant): Partials {
  const tiles = Math.ceil(s.m / tile.rows) * Math.ceil(s.n / tile.columns) * s.batch;
  const { splits, perSplit } = splitK(s.k, tiles, ENOUGH_WORKGROUPS, 128, s.batch * s.m * s.n, variant);
  const batch = `z % ${s.batch}u`;
  const stored = resultHeld(s.half, splits);
  const { enable, bindings } = bound(operandsHeld(s.half), stored);
  const product: Omit<TiledProduct, 'tile'> = {
    m: s.m,
    n: s.n,
    z: s.batch * splits,
    fastA: s.transposeA ? 'm' : 'k',
    fastB: s.transposeB ? 'k' : 'n',
    bindings: `${enable}${bindings}\n${stored.functions}`,
    kBegin: `z / ${s.batch}u * ${perSplit}u`,
    kEnd: `min((z / ${s.batch}u + 1u) * ${perSplit}u, ${s.k}u)`,
    functions: `
fn loadA(z: u32, m: u32, k: u32) -> f32 { return ${elementA(s, batch, 'm', 'k')}; }
fn loadB(z: u32, k: u32, n: u32) -> f32 { return ${elementB(s, batch, 'k', 'n')}; }
fn store(z: u32, m: u32, n: u32, value: f32) { result[(z * ${s.m}u + m) * ${s.n}u + n] = ${stored.store('value')}; }`,
  };
  return { kernel: workgroupProduct('matmul', product, tile), splits };
}

/** An empty sum. */
function lowerZeros(s: Full): Lowering {
  const count = s.batch * s.m * s.n;
  const groups = Math.ceil(count / 64);
  const stored = resultHeld(s.half);
  const code = wgsl`
${stored.enable}@group(0) @binding(0) var<storage, read_write> result: array<${stored.type}>;

@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let id = group * 64u + local;
  if (id < ${count}u) { result[id] = ${stored.type}(0.0); }
}`;
  const kernel: Kernel = { name: 'matmul.zeros', code, access: 'w', grid: foldWorkgroups(groups) };
  return { scratch: [], stages: [{ kernel, inputs: [], output: 'out' }], product: 0 };
}
