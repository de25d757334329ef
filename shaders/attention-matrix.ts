/**
 * The passes of attention.ts on an adapter's matrix units: operands of halves, sums and the statistics of the softmax in float32. Bindings and
 * constants are the same.
 *
 * A workgroup of two subgroups owns as many rows as a matrix has, and walks the rows of the other side in blocks of two matrices. Scores, and the
 * products with the values of dq and dk, are stored to workgroup memory, where threads make weights of them; the weights, as halves, are
 * multiplied with what is summed up, into sums that stay in matrices. Rescaling those is not possible, so the forward pass computes the scores
 * twice: first for the row's log-sum-exp, then for weights that need no further factor.
 *
 * Weights of the gradients are halves here: below 6e-8 they are zero, beyond 65504 infinite. Right on lavapipe (8×8×8) and on an H100 (16×16×16).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { ATTENTION_PARAMS, type AttentionOptions, PASSES, PLACE_OF, places } from './attention';
import { cached, declare } from './build';
import { at } from './checked';
import { functionsFor } from './functions';
import { type Kernel, unroll } from './kernel';

const SUBGROUPS = 2;
/** Halves behind a staged row, so that its neighbour begins in another memory bank, at a multiple of 16 bytes. */
const GAP = 8;

type Options = Omit<AttentionOptions, 'vec4'>;

/**
 * Whether a pass over `rows` rows against `others` runs on matrix units, which is: of halves, on a device that was opened for them by request, without
 * dropout, and not of so few rows or keys that most of a matrix would be empty.
 */
export function attentionOnMatrices(
  { target, dropout }: Options,
  half: boolean,
  rows: number,
  others: number,
): boolean {
  const { matrix, subgroupSize } = target;
  if (!half || dropout || !matrix?.first || matrix.n % matrix.k || subgroupSize * SUBGROUPS < matrix.m) return false;
  return rows >= matrix.m && others >= matrix.n;
}

/** Rows of a workgroup: 1 where there are no matrix units. */
export const matrixRows = ({ target }: Options): number => target.matrix?.m ?? 1;

/** As `attention`, for the passes that `attentionOnMatrices` names. A workgroup for each `matrixRows` rows of each batch. */
export const matrixAttention = (o: Options): Kernel => cached(['attention.matrix', o], () => build(o));

function build(o: Options): Kernel {
  const { pass, mask, causal, target } = o;
  const { m, n, k } = target.matrix ?? { m: 1, n: 1, k: 1 };
  const { subgroupSize } = target;
  const { own, against, summed, reads } = PASSES[pass];
  const forward = pass === 'forward';
  const byQuery = forward || pass === 'dq';
  const weighted = pass === 'dq' || pass === 'dk';
  const size = SUBGROUPS * subgroupSize;
  /** Rows of the other side in a block, columns that are staged at once, and matrices of these that a subgroup sums up. */
  const block = SUBGROUPS * n;
  const chunk = 4 * n;
  const columns = chunk / n / SUBGROUPS;
  const [pitchOwn, pitchOther, pitchBlock] = [chunk + GAP, chunk + GAP, block + GAP];
  const cells = m * n;
  const widthOf = (name: string) => (name === 'q' || name === 'k' ? o.headDim : o.valueDim);
  const width = widthOf(summed);
  const chunks = Math.ceil(width / chunk);
  const matrix = {
    left: `subgroup_matrix_left<f16, ${k}, ${m}>`,
    right: `subgroup_matrix_right<f16, ${n}, ${k}>`,
    result: `subgroup_matrix_result<f32, ${n}, ${m}>`,
  };
  const { head, io } = declare(
    ATTENTION_PARAMS,
    ...reads.map((name) => `r ${name}: f16`),
    mask !== 'none' && `r mask: ${mask === 'bool' ? 'u32' : 'f16'}`,
    !forward && 'r lse: f32',
    weighted && 'r delta: f32',
    'w result: f16',
    forward && 'w lse: f32',
  );

  /** WGSL that stages `count` rows of `name` from `first` on, `chunk` columns from `from` on: zeros beyond the ends. */
  const stage = (name: string, to: string, cell: string, count: number, first: string, limit: string, from: string) =>
    `for (var e = local; e < ${count * chunk}u; e += ${size}u) {
      let i = e / ${chunk}u;
      let d = e % ${chunk}u;
      let at = ${name}Base + min(${first} + i, ${limit} - 1u) * ${name}Stride + min(${from} + d, ${widthOf(name) - 1}u);
      ${to}[${cell}] = select(f16(), ${name}[at], ${first} + i < ${limit} && ${from} + d < ${widthOf(name)}u);
    }`;
  /** WGSL that stores products of the own rows with those of a block. The other side is staged transposed. */
  const products = (i: number, into: string) => {
    const [mine, other] = [at(own, i), at(against, i)];
    return `var ${into}Sum = ${matrix.result}();
    for (var c0 = 0u; c0 < ${widthOf(mine)}u; c0 += ${chunk}u) {
      ${stage(mine, 'tileOwn', `i * ${pitchOwn}u + d`, m, 'start', 'p.rows', 'c0')}
      ${stage(other, 'tileOther', `d * ${pitchBlock}u + i`, block, 'first', 'p.others', 'c0')}
      workgroupBarrier();
      for (var t = 0u; t < ${chunk}u; t += ${k}u) {
        let a = subgroupMatrixLoad<${matrix.left}, row_major>(&tileOwn, t, ${pitchOwn}u);
        let b = subgroupMatrixLoad<${matrix.right}, row_major>(&tileOther, t * ${pitchBlock}u + subgroup * ${n}u, ${pitchBlock}u);
        ${into}Sum = subgroupMatrixMultiplyAccumulate(a, b, ${into}Sum);
      }
      workgroupBarrier();
    }
    subgroupMatrixStore<row_major>(&${into}, subgroup * ${n}u, ${into}Sum, ${block}u);`;
  };
  const [query, key] = byQuery ? ['row', 'other'] : ['other', 'row'];
  const maskAt = `mask[maskBase + ${query} * maskSteps.y + ${key} * maskSteps.z]`;
  const visible = [
    'start + i < p.rows && first + j < p.others',
    causal && `${key} <= ${query}`,
    mask === 'bool' && `${maskAt} != 0u`,
  ];
  /** WGSL of the score of row `i` and column `j` of a block, and whether it counts. */
  const score = `let row = min(start + i, p.rows - 1u);
      let other = min(first + j, p.others - 1u);
      let visible = ${visible.filter(Boolean).join(' && ')};
      let s = scores[i * ${block}u + j] * p.scale${mask === 'float' ? ` + f32(${maskAt})` : ''};`;
  const [begin, end] = !causal
    ? ['0u', 'p.others']
    : byQuery
      ? ['0u', `min(p.others, start + ${m}u)`]
      : [`start / ${block}u * ${block}u`, 'p.others'];
  const blocks = (body: string) => `for (var first = ${begin}; first < ${end}; first += ${block}u) {${body}
  }`;
  const stat = `batch * ${byQuery ? 'p.rows' : 'p.others'} + ${query}`;
  const factor = weighted ? ` * (slopes[e] - delta[${stat}]) * p.scale` : '';
  const sum = (t: number) => `
    ${stage(summed, 'tileOther', `i * ${pitchOther}u + d`, block, 'first', 'p.others', `${t * chunk}u`)}
    workgroupBarrier();
    for (var t = 0u; t < ${block}u; t += ${k}u) {
      let a = subgroupMatrixLoad<${matrix.left}, row_major>(&weights, t, ${pitchBlock}u);
      ${unroll(
        columns,
        (u) =>
          `let b${u} = subgroupMatrixLoad<${matrix.right}, row_major>(&tileOther, t * ${pitchOther}u + (subgroup * ${columns}u + ${u}u) * ${n}u, ${pitchOther}u);
      sum${t}_${u} = subgroupMatrixMultiplyAccumulate(a, b${u}, sum${t}_${u});`,
      )}
    }
    workgroupBarrier();`;
  const store = (t: number, u: number) => `
  subgroupMatrixStore<row_major>(&scores, subgroup * ${cells}u, sum${t}_${u}, ${n}u);
  workgroupBarrier();
  for (var e = lane; e < ${cells}u; e += ${subgroupSize}u) {
    let row = start + e / ${n}u;
    let column = ${t * chunk}u + (subgroup * ${columns}u + ${u}u) * ${n}u + e % ${n}u;
    if (row < p.rows && column < ${width}u) { result[outBase + row * outStride + column] = toHalf(scores[subgroup * ${cells}u + e]); }
  }
  workgroupBarrier();`;
  const code = wgsl`enable subgroups;
enable chromium_experimental_subgroup_matrix;
${head}
var<workgroup> tileOwn: array<f16, ${m * pitchOwn}>;
var<workgroup> tileOther: array<f16, ${Math.max(block * pitchOther, chunk * pitchBlock)}>;
var<workgroup> weights: array<f16, ${m * pitchBlock}>;
var<workgroup> scores: array<f32, ${m * block}>;
#if ${weighted}
var<workgroup> slopes: array<f32, ${m * block}>;
#endif
#if ${forward}
var<workgroup> rowLse: array<f32, ${m}>;
#endif
${functionsFor('exp() log() toHalf()')}
${PLACE_OF}
@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (p.rows + ${m - 1}u) / ${m}u;
  let index = wid.y * grid.x + wid.x;
  if (index >= p.batches * blocks) { return; }
  let batch = index / blocks;
  let start = index % blocks * ${m}u;
  ${places([...reads, 'out'], mask)}
#if ${forward}
  var top = -3.4028234e38;
  var total = 0.0;
  ${blocks(`
    ${products(0, 'scores')}
    workgroupBarrier();
    if (local < ${m}u) {
      let i = local;
      for (var j = 0u; j < ${block}u; j++) {
      ${score}
      if (visible) {
        let most = max(top, s);
        total = fma(total, exp(top - most), exp(s - most));
        top = most;
      }
      }
    }
    workgroupBarrier();`)}
  if (local < ${m}u) {
    rowLse[local] = select(top + log(total), 3.4028234e38, total == 0.0);
    if (start + local < p.rows) { lse[batch * p.rows + start + local] = rowLse[local]; }
  }
  workgroupBarrier();
#endif
  ${unroll(chunks, (t) => unroll(columns, (u) => `var sum${t}_${u} = ${matrix.result}();`))}
  ${blocks(`
    ${products(0, 'scores')}
    ${weighted ? products(1, 'slopes') : ''}
    workgroupBarrier();
    for (var e = local; e < ${m * block}u; e += ${size}u) {
      let i = e / ${block}u;
      let j = e % ${block}u;
      ${score}
      let w = select(0.0, exp(s - ${forward ? 'rowLse[i]' : `lse[${stat}]`})${factor}, visible);
      weights[i * ${pitchBlock}u + j] = toHalf(w);
    }
    ${unroll(chunks, sum)}`)}
  ${unroll(chunks, (t) => unroll(columns, (u) => store(t, u)))}
}`;
  return { name: `attention.${pass}.matrix`, code, ...io, grid: { tile: 1 } };
}
