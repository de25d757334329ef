/**
 * The product of gpu-tiles.ts on an adapter's matrix units (WGSL's experimental subgroup matrices): operands of halves, sums in float32. It takes
 * the same description, so a matrix product, a convolution (implicit im2col) and a weight gradient have it alike, of any extents and strides.
 *
 * A workgroup of a few subgroups stages rows × depth of A and depth × columns of B as halves, zeros beyond the ends; each subgroup multiplies a
 * block of matrices of the size that the adapter has (8×8×8 or 16×16×16, M×N×K). Elements of a matrix cannot be reached, so sums are stored
 * through workgroup memory, a matrix at a time.
 *
 * Right on lavapipe (8×8×8, 256-bit vectors) and on an H100 (16×16×16), and slower than the ordinary kernels on both (docs/performance.md): the
 * built-in choice of no adapter has it; the autotune tries it, and `init({ subgroupMatrix: true })` asks for it.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { foldedIndex, foldWorkgroups, type Kernel, unroll } from '../kernel';
import type { Half } from '../precision';
import type { KernelTarget, MatrixUnit } from '../target';
import type { Tile, TiledProduct } from './gpu-tiles';

interface Layout {
  /** Subgroups of a workgroup, down and across. */
  readonly down: number;
  readonly across: number;
  /** Matrices of a subgroup. */
  readonly blockRows: number;
  readonly blockColumns: number;
  /** Matrices along k that are staged at once. */
  readonly steps: number;
}

/** Layouts whose staged halves and sums fit into 16 KiB at 16×16×16, which every WebGPU device has. */
export const MATRIX_LAYOUTS = {
  low: { down: 1, across: 4, blockRows: 1, blockColumns: 2, steps: 2 },
  square: { down: 2, across: 2, blockRows: 2, blockColumns: 2, steps: 2 },
  tall: { down: 2, across: 2, blockRows: 4, blockColumns: 2, steps: 1 },
} as const satisfies Record<string, Layout>;

/** A layout, the one that suits the number of rows, or no matrix units. */
export type MatrixChoice = keyof typeof MATRIX_LAYOUTS | 'fitting' | 'none';

/** A workgroup's tile on matrix units. */
export interface MatrixTile extends Pick<Tile, 'rows' | 'columns'> {
  readonly unit: MatrixUnit;
  readonly subgroupSize: number;
  readonly layout: Layout;
}

/** The tile for `m` rows, or null where a product runs without matrix units: of float32, on adapters that have none, and where `wanted` says so. */
export function matrixTile(
  half: Half | undefined,
  { matrix, subgroupSize }: KernelTarget,
  m: number,
  wanted: MatrixChoice = matrix?.first ? 'fitting' : 'none',
): MatrixTile | null {
  if (!half || !matrix || wanted === 'none') return null;
  const layout: Layout = MATRIX_LAYOUTS[wanted === 'fitting' ? (m <= matrix.m ? 'low' : 'square') : wanted];
  const rows = layout.down * layout.blockRows * matrix.m;
  const columns = layout.across * layout.blockColumns * matrix.n;
  const { m: unitM, n, k } = matrix;
  return { unit: { m: unitM, n, k }, subgroupSize, layout, rows, columns };
}

/** Halves behind a staged row, so that its neighbour begins in another memory bank, at a multiple of 16 bytes. */
const GAP = 8;

/** The product on matrix units; an epilogue is not taken. */
export function matrixProduct(name: string, p: Omit<TiledProduct, 'tile' | 'epilogue'>, tile: MatrixTile): Kernel {
  const { rows, columns, unit, layout, subgroupSize } = tile;
  const { down, across, blockRows, blockColumns, steps } = layout;
  const size = down * across * subgroupSize;
  const depth = steps * unit.k;
  const [mBlocks, nBlocks] = [Math.ceil(p.m / rows), Math.ceil(p.n / columns)];
  const groups = mBlocks * nBlocks * p.z;
  const [pitchA, pitchB] = [depth + GAP, columns + GAP];
  const cells = unit.m * unit.n;
  const left = `subgroup_matrix_left<f16, ${unit.k}, ${unit.m}>`;
  const right = `subgroup_matrix_right<f16, ${unit.n}, ${unit.k}>`;
  const result = `subgroup_matrix_result<f32, ${unit.n}, ${unit.m}>`;

  /** WGSL that stages an operand: `e` runs along what is fastest in memory. */
  const stage = (operand: 'A' | 'B', extent: number, first: string, limit: number, alongK: boolean) => {
    const load = operand === 'A' ? 'loadA(z, at, kk)' : 'loadB(z, kk, at)';
    const cell = operand === 'A' ? `i * ${pitchA}u + k` : `k * ${pitchB}u + i`;
    return `for (var e = local; e < ${extent * depth}u; e += ${size}u) {
      let k = ${alongK ? `e % ${depth}u` : `e / ${extent}u`};
      let i = ${alongK ? `e / ${depth}u` : `e % ${extent}u`};
      let inside = k0 + k < kEnd && ${first} + i < ${limit}u;
      let kk = min(k0 + k, kEnd - 1u);
      let at = min(${first} + i, ${limit - 1}u);
      tile${operand}[${cell}] = f16(select(0.0, ${load}, inside));
    }`;
  };
  const loadA = (i: number) =>
    `let a${i} = subgroupMatrixLoad<${left}, row_major>(&tileA, (row + ${i * unit.m}u) * ${pitchA}u + k, ${pitchA}u);`;
  const loadB = (j: number) =>
    `let b${j} = subgroupMatrixLoad<${right}, row_major>(&tileB, k * ${pitchB}u + column + ${j * unit.n}u, ${pitchB}u);`;
  const multiply = (i: number, j: number) =>
    `acc${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, acc${i}_${j});`;
  const store = (i: number, j: number) => `
  subgroupMatrixStore<row_major>(&sums, subgroup * ${cells}u, acc${i}_${j}, ${unit.n}u);
  workgroupBarrier();
  for (var e = lane; e < ${cells}u; e += ${subgroupSize}u) {
    let m = m0 + row + ${i * unit.m}u + e / ${unit.n}u;
    let n = n0 + column + ${j * unit.n}u + e % ${unit.n}u;
    if (m < ${p.m}u && n < ${p.n}u) { store(z, m, n, sums[subgroup * ${cells}u + e]); }
  }
  workgroupBarrier();`;
  const code = wgsl`
enable subgroups;
enable chromium_experimental_subgroup_matrix;
${p.bindings}
var<workgroup> tileA: array<f16, ${rows * pitchA}>;
var<workgroup> tileB: array<f16, ${depth * pitchB}>;
var<workgroup> sums: array<f32, ${down * across * cells}>;
${p.functions}
@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  ${foldedIndex(groups)}
  let m0 = group % ${mBlocks}u * ${rows}u;
  let n0 = group / ${mBlocks}u % ${nBlocks}u * ${columns}u;
  let z = group / ${mBlocks * nBlocks}u;
  let row = subgroup / ${across}u * ${blockRows * unit.m}u;
  let column = subgroup % ${across}u * ${blockColumns * unit.n}u;
  let kEnd = ${p.kEnd};
  ${unroll(blockRows, (i) => unroll(blockColumns, (j) => `var acc${i}_${j} = ${result}();`))}
  for (var k0 = ${p.kBegin}; k0 < kEnd; k0 += ${depth}u) {
    ${stage('A', rows, 'm0', p.m, p.fastA === 'k')}
    ${stage('B', columns, 'n0', p.n, p.fastB === 'k')}
    workgroupBarrier();
    for (var k = 0u; k < ${depth}u; k += ${unit.k}u) {
      ${unroll(blockRows, loadA)}
      ${unroll(blockColumns, loadB)}
      ${unroll(blockRows, (i) => unroll(blockColumns, (j) => multiply(i, j)))}
    }
    workgroupBarrier();
  }
  ${unroll(blockRows, (i) => unroll(blockColumns, (j) => store(i, j)))}
}`;
  return { name, code, access: p.access ?? 'rrw', grid: foldWorkgroups(groups) };
}
