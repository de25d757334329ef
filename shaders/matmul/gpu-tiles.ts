/**
 * The tiled product behind matmul and convolution on GPUs: C[m, n] = Σ_k A(m, k) · B(k, n) for every z.
 *
 * A workgroup stages depth × rows of A and depth × columns of B in workgroup memory (4 to 10 KiB) and each invocation
 * accumulates a block of vec4s in registers. What A, B and C are is left to three WGSL functions: that makes a matrix
 * product, a convolution (implicit im2col) or its weight gradient of it.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { foldedIndex, foldWorkgroups, type Kernel, unroll } from '../kernel';
import { CHUNK_THREADS, foldHalves } from '../team';

export interface Tile {
  /** Of the workgroup's tile, and of an invocation's block; multiples of 4. */
  readonly rows: number;
  readonly columns: number;
  readonly blockRows: number;
  readonly blockColumns: number;
}

export interface TiledProduct {
  readonly m: number;
  readonly n: number;
  /** Independent products (batch, groups, splits of k …). */
  readonly z: number;
  readonly tile: Tile;
  /** Which index of A and of B runs fastest in memory: neighbouring invocations load along it. */
  readonly fastA: 'k' | 'm';
  readonly fastB: 'k' | 'n';
  /** Bindings 0 and 1 (read) and 2 (read_write), and what `access` has beyond them. */
  readonly bindings: string;
  readonly access?: string;
  /** WGSL expressions of `z: u32`, uniform over the workgroup: the range of k. */
  readonly kBegin: string;
  readonly kEnd: string;
  /**
   * `fn loadA(z: u32, m: u32, k: u32) -> f32`, `fn loadB(z: u32, k: u32, n: u32) -> f32` and
   * `fn store(z: u32, m: u32, n: u32, value: f32)`; only ever called with indices inside the product.
   */
  readonly functions: string;
  /**
   * WGSL that takes sums of an invocation's `quads` before they are stored. It may call `foldChunks(values, local)`, in uniform control flow: one
   * value a quad, four of them in a vec4f, summed over the 16 invocations that hold 64 neighbouring columns of a row.
   */
  readonly epilogue?: (quads: readonly Quad[]) => string;
}

/** WGSL of four sums, the row, and the first column (a multiple of 4); rows and columns may lie outside of the product, sums there are zero. */
export interface Quad {
  readonly sums: string;
  readonly m: string;
  readonly n: string;
}

const DEPTH = 16;

export function tiledProduct(name: string, p: TiledProduct): Kernel {
  const { rows, columns, blockRows, blockColumns } = p.tile;
  const across = columns / blockColumns;
  const size = (rows / blockRows) * across;
  const [mBlocks, nBlocks] = [Math.ceil(p.m / rows), Math.ceil(p.n / columns)];
  const groups = mBlocks * nBlocks * p.z;
  // One vec4 of padding per row keeps stores along k out of each other's memory banks.
  const [pitchA, pitchB] = [rows / 4 + 1, columns / 4 + 1];

  const stage = (operand: 'A' | 'B', extent: number, limit: number, fast: boolean) =>
    unroll(Math.ceil(((extent / 4) * DEPTH) / size), (i) => {
      const index = `local + ${i * size}u`;
      const partial = (i + 1) * size > (extent / 4) * DEPTH;
      const first = operand === 'A' ? 'm0' : 'n0';
      const load = (j: number) =>
        operand === 'A' ? `loadA(z, min(e + ${j}u, ${limit - 1}u), kk)` : `loadB(z, kk, min(e + ${j}u, ${limit - 1}u))`;
      const guarded = (j: number) => `select(0.0, ${load(j)}, inside && e + ${j}u < ${limit}u)`;
      return `${partial ? `if (${index} < ${(extent / 4) * DEPTH}u) ` : ''}{
      let k = ${fast ? `(${index}) % ${DEPTH}u` : `(${index}) / ${extent / 4}u`};
      let quad = ${fast ? `(${index}) / ${DEPTH}u` : `(${index}) % ${extent / 4}u`};
      let inside = k0 + k < kEnd;
      let kk = min(k0 + k, kEnd - 1u);
      let e = ${first} + quad * 4u;
      tile${operand}[k * ${operand === 'A' ? pitchA : pitchB}u + quad] = vec4f(${[0, 1, 2, 3].map(guarded).join(', ')});
    }`;
    });

  const quads = Array.from({ length: (blockRows * blockColumns) / 4 }, (_, q): Quad => {
    const [i, j] = [q % blockRows, Math.floor(q / blockRows)];
    return {
      sums: `acc${i}_${j}`,
      m: `(m0 + row * ${blockRows}u + ${i}u)`,
      n: `(n0 + (column + ${j * across}u) * 4u)`,
    };
  });
  const code = wgsl`
${p.bindings}
var<workgroup> tileA: array<vec4f, ${DEPTH * pitchA}>;
var<workgroup> tileB: array<vec4f, ${DEPTH * pitchB}>;
${p.functions}
${p.epilogue ? foldChunks('tileB', quads.length / 4, size) : ''}
@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32) {
  ${foldedIndex(groups)}
  let m0 = group % ${mBlocks}u * ${rows}u;
  let n0 = group / ${mBlocks}u % ${nBlocks}u * ${columns}u;
  let z = group / ${mBlocks * nBlocks}u;
  let row = local / ${across}u;
  let column = local % ${across}u;
  let kEnd = ${p.kEnd};
  ${unroll(blockRows, (i) => unroll(blockColumns / 4, (j) => `var acc${i}_${j} = vec4f();`))}
  for (var k0 = ${p.kBegin}; k0 < kEnd; k0 += ${DEPTH}u) {
    ${stage('A', rows, p.m, p.fastA === 'k')}
    ${stage('B', columns, p.n, p.fastB === 'k')}
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
      ${unroll(blockRows / 4, (i) => `let a${i} = tileA[k * ${pitchA}u + row * ${blockRows / 4}u + ${i}u];`)}
      ${unroll(blockColumns / 4, (j) => `let b${j} = tileB[k * ${pitchB}u + column + ${j * across}u];`)}
      ${unroll(blockRows, (i) =>
        unroll(blockColumns / 4, (j) => `acc${i}_${j} = fma(vec4f(a${i >> 2}[${i % 4}]), b${j}, acc${i}_${j});`),
      )}
    }
    workgroupBarrier();
  }
  ${p.epilogue?.(quads) ?? ''}
  ${unroll(blockRows, (i) =>
    unroll(blockColumns, (j) => {
      const [m, n] = [`m0 + row * ${blockRows}u + ${i}u`, `n0 + (column + ${(j >> 2) * across}u) * 4u + ${j % 4}u`];
      return `if (${m} < ${p.m}u && ${n} < ${p.n}u) { store(z, ${m}, ${n}, acc${i}_${j >> 2}[${j % 4}]); }`;
    }),
  )}
}`;
  return { name, code, access: p.access ?? 'rrw', grid: foldWorkgroups(groups) };
}

/** The function for epilogues of workgroups of `size` threads; the workgroup memory `cells` is free by then and takes the values. */
export const foldChunks = (cells: string, vecs: number, size: number): string => `
fn foldChunks(values: array<vec4f, ${vecs}>, local: u32) -> array<vec4f, ${vecs}> {
  ${unroll(vecs, (i) => `${cells}[${i * size}u + local] = values[${i}];`)}
  ${foldHalves(CHUNK_THREADS, (to, from) => unroll(vecs, (i) => `${cells}[${i * size}u + ${to}] += ${cells}[${i * size}u + ${from}];`))}
  let first = local / ${CHUNK_THREADS}u * ${CHUNK_THREADS}u;
  let result = array<vec4f, ${vecs}>(${Array.from({ length: vecs }, (_, i) => `${cells}[${i * size}u + first]`).join(', ')});
  workgroupBarrier();
  return result;
}`;

/** Tiles by rows × columns, of 64 or 128 invocations, 16 or more beside each other for epilogues; the two operands fit into 16 KiB. */
export const TILES = {
  '16x64': { rows: 16, columns: 64, blockRows: 4, blockColumns: 4 },
  '16x128': { rows: 16, columns: 128, blockRows: 4, blockColumns: 4 },
  '32x64': { rows: 32, columns: 64, blockRows: 4, blockColumns: 4 },
  '32x128': { rows: 32, columns: 128, blockRows: 4, blockColumns: 8 },
  '64x64': { rows: 64, columns: 64, blockRows: 8, blockColumns: 4 },
  '64x128': { rows: 64, columns: 128, blockRows: 8, blockColumns: 8 },
} as const satisfies Record<string, Tile>;

/** The tile asked for, unless it is far too tall or too low for `m` rows; by default one no taller than the product needs. */
export function chooseTile(m: number, wanted?: keyof typeof TILES): Tile {
  const { rows } = TILES[wanted ?? '64x64'];
  if (wanted && rows < 2 * Math.max(m, 16) && 2 * rows >= Math.min(m, 128)) return TILES[wanted];
  return TILES[m <= 16 ? '16x128' : m <= 32 ? '32x128' : '64x64'];
}
