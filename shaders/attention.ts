/**
 * Scaled dot-product attention without its matrix of weights, and its gradients (FlashAttention: Dao et al. 2022, Dao 2023). Of one head,
 * q [L, D], k [S, D], v [S, E], scores s = q·kᵀ · scale + mask, weights p = softmax(s):
 *
 *   forward   y_i = Σ_j p_ij v_j,                     by an online softmax; saves lse_i = log Σ_j exp(s_ij)
 *   dq        Σ_j p_ij (g_i·v_j − δ_i) scale · k_j,   p_ij = exp(s_ij − lse_i),  δ_i = g_i·y_i
 *   dk        Σ_i p_ij (g_i·v_j − δ_i) scale · q_i
 *   dv        Σ_i p_ij g_i
 *
 * All four are one loop: a thread owns a row (of q, or of k), holds it and its sum in registers, and walks the rows of the other side in groups of
 * a few. The threads of a workgroup read the same rows at the same time: one load for all of them on GPUs. On CPU drivers with subgroups each lane loads
 * its part of a row and all are told by broadcasts (512 × 64: 1.8 times as fast as loads of the same address, which the driver checks one by one). Products
 * of a group are summed first, then added, so that no sum is one long chain. dk and dv are two launches: together they would hold
 * twice as many numbers as there are registers.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perGroup } from './build';
import { at } from './checked';
import { functionsFor } from './functions';
import { type Kernel, opaqueZero, spread, unroll } from './kernel';
import { philoxWgsl } from './random';
import type { KernelTarget } from './target';

/** The random stream of dropout (datasets/random.ts); elementwise dropout leaves the third word of the counter 0. */
const DROPOUT_STREAM = 6;

export type AttentionPass = 'forward' | 'dq' | 'dk' | 'dv';

export interface AttentionOptions {
  readonly pass: AttentionPass;
  readonly target: KernelTarget;
  /** D and E. */
  readonly headDim: number;
  readonly valueDim: number;
  readonly mask: 'none' | 'bool' | 'float';
  /** Query i sees the keys 0 … i alone. */
  readonly causal: boolean;
  /** Weights are dropped after the softmax: w_ij · c_ij with c = 0 or 1 / (1 − p), drawn from (i, j, batch) again wherever it is needed. */
  readonly dropout: boolean;
  /** D, E, strides and offsets are multiples of four. */
  readonly vec4: boolean;
}

/** Largest D and E: the rows of a thread have to fit into its private memory. */
export const ATTENTION_MAX_WIDTH = 256;
/** Widest rows, in vec4s, whose loops are unrolled: a private array that a loop indexes costs a CPU driver more than the products with it. */
const UNROLLED = 16;
/** Leading dimensions that the kernels decode. */
export const ATTENTION_DIMS = 4;
/** Operands in the order of their places in the uniforms; `out` is y or a gradient. */
export const ATTENTION_OPERANDS = ['q', 'k', 'v', 'g', 'mask', 'out'] as const;
type Operand = (typeof ATTENTION_OPERANDS)[number];

/**
 * Rows owned, rows of the other side, batches, scale; seed and number of the draw, p and 1 / (1 − p) of dropout; for each operand a vec4 of strides of the leading dimensions, and (offset, stride of rows, stride of
 * columns): in vec4s where `vec4`, but those of the mask.
 */
export const ATTENTION_PARAMS = `rows: u32, others: u32, batches: u32, scale: f32, seed: u32, draw: u32, dropped: f32, kept: f32, dims: vec4u, at: array<vec4u, ${2 * ATTENTION_OPERANDS.length}>`;

/** Rows that a workgroup owns: one subgroup of a CPU driver. */
export const attentionRows = (target: KernelTarget): number => (target.isCpu ? target.lanes || 8 : 32);

/** What a pass owns, what it multiplies that with, what it sums up, and all of these. */
interface Pass {
  readonly own: readonly Operand[];
  readonly against: readonly Operand[];
  readonly summed: Operand;
  readonly reads: readonly Operand[];
}
export const PASSES: Readonly<Record<AttentionPass, Pass>> = {
  forward: { own: ['q'], against: ['k'], summed: 'v', reads: ['q', 'k', 'v'] },
  dq: { own: ['q', 'g'], against: ['k', 'v'], summed: 'k', reads: ['q', 'k', 'v', 'g'] },
  dk: { own: ['k', 'v'], against: ['q', 'g'], summed: 'q', reads: ['q', 'k', 'v', 'g'] },
  dv: { own: ['k'], against: ['q'], summed: 'g', reads: ['q', 'k', 'g'] },
};

/** WGSL of where an operand begins in a batch. */
export const PLACE_OF = `fn placeOf(batch: vec4u, operand: u32) -> u32 {
  let steps = p.at[2u * operand] * batch;
  return steps.x + steps.y + steps.z + steps.w + p.at[2u * operand + 1u].x;
}`;

/** WGSL of the place of `batch`, of where its operands and its mask begin, and of their steps. */
export function places(operands: readonly Operand[], mask: AttentionOptions['mask']): string {
  const starts = operands.map(
    (name) => `let ${name}Base = placeOf(place, ${index(name)}u); let ${name}Stride = p.at[${2 * index(name) + 1}].y;`,
  );
  const steps = `let maskBase = placeOf(place, ${index('mask')}u); let maskSteps = p.at[${2 * index('mask') + 1}];`;
  return [
    'let place = vec4u(batch / (p.dims.y * p.dims.z * p.dims.w), batch / (p.dims.z * p.dims.w) % p.dims.y, batch / p.dims.w % p.dims.z, batch % p.dims.w);',
    ...starts,
    ...(mask === 'none' ? [] : [steps]),
  ].join('\n  ');
}

/** Which tensors a pass binds: those of `reads`, mask where there is one, lse and δ where it needs them, then what it writes. */
export const attentionReads = (pass: AttentionPass): readonly Operand[] => PASSES[pass].reads;

const index = (operand: Operand) => ATTENTION_OPERANDS.indexOf(operand);

/**
 * Bindings: the tensors of `attentionReads`, mask where there is one, lse unless `forward`, delta for dq and dk, result, and lse where `forward`.
 * Constants: ATTENTION_PARAMS. A workgroup for each `attentionRows` rows of each batch.
 */
export const attention = (o: AttentionOptions): Kernel =>
  cached(['attention', o], () => {
    const { pass, mask, causal, dropout } = o;
    const { own, against, summed, reads } = PASSES[pass];
    const forward = pass === 'forward';
    const byQuery = forward || pass === 'dq';
    const weighted = pass === 'dq' || pass === 'dk';
    const size = attentionRows(o.target);
    const widthOf = (name: Operand) => (name === 'q' || name === 'k' ? o.headDim : o.valueDim);
    const quadsOf = (name: Operand) => Math.ceil(widthOf(name) / 4);
    /** WGSL of `f(0) … f(count − 1)`: lines, or a loop over `i` where they would be many. */
    const each = (count: number, f: (i: string) => string): string =>
      count <= UNROLLED
        ? Array.from({ length: count }, (_, i) => f(`${i}u`)).join('\n')
        : `for (var i = 0u; i < ${count}u + zero; i++) { ${f('i')} }`;
    const group = Math.max(...[...own, summed].map(quadsOf)) > UNROLLED ? 8 : 4;
    const members = Array.from({ length: group }, (_, j) => j);
    const sums = quadsOf(summed);

    const type = o.vec4 ? 'vec4f' : 'f32';
    const { head, io } = declare(
      ATTENTION_PARAMS,
      ...reads.map((name) => `r ${name}: ${type}`),
      mask !== 'none' && `r mask: ${mask === 'bool' ? 'u32' : 'f32'}`,
      !forward && 'r lse: f32',
      weighted && 'r delta: f32',
      `w result: ${type}`,
      forward && 'w lse: f32',
    );

    /** WGSL of vec4 `i` of a row that begins at `base`; zeros beyond its end. */
    const load = (name: Operand, base: string, i: string) => {
      if (o.vec4) return `${name}[${base} + ${i}]`;
      const width = widthOf(name);
      const element = (c: number) => {
        if (width % 4 === 0) return `${name}[${base} + 4u * ${i} + ${c}u]`;
        return `select(0.0, ${name}[${base} + min(4u * ${i} + ${c}u, ${width - 1}u)], 4u * ${i} + ${c}u < ${width}u)`;
      };
      return `vec4f(${[0, 1, 2, 3].map(element).join(', ')})`;
    };
    const store = (i: string, value: string) => {
      if (o.vec4) return `result[to + ${i}] = ${value};`;
      const width = widthOf(summed);
      const element = (c: number) => {
        const guard = width % 4 ? `if (4u * ${i} + ${c}u < ${width}u) ` : '';
        return `${guard}{ result[to + 4u * ${i} + ${c}u] = (${value})[${c}]; }`;
      };
      return [0, 1, 2, 3].map(element).join(' ');
    };

    const { lanes } = o.target;
    /** Whether lanes share rows of an operand: what they tell each other has constant places, so that loops must be unrolled. */
    const isShared = (name: Operand) => lanes > 0 && quadsOf(name) <= UNROLLED;
    /** WGSL that loads the group's rows, which begin at `start`0, `start`1 …, where lanes share them. */
    const loadShared = (name: Operand, start: string) =>
      unroll(isShared(name) ? group * Math.ceil(quadsOf(name) / lanes) : 0, (n) => {
        const [j, part] = [n % group, Math.floor(n / group)];
        const i = `min(${part * lanes}u + lane, ${quadsOf(name) - 1}u)`;
        return `let ${start}${j}_${part} = ${load(name, `${start}${j}`, i)};`;
      });
    /** WGSL of vec4 `i` of row j of the group. */
    const member = (name: Operand, start: string, j: number, i: string) =>
      isShared(name) ? spread(lanes, `${start}${j}_`, Number.parseInt(i, 10)) : load(name, `${start}${j}`, i);

    /** Declares dot products of own row `n` with the rows of the group, as vec4s still to be added up. */
    const dots = (n: number, into: string) => {
      const other = at(against, n);
      return `
    ${members.map((j) => `var ${into}${j} = vec4f();`).join(' ')}
    ${members.map((j) => `let ${into}At${j} = ${other}Base + row${j} * ${other}Stride;`).join(' ')}
    ${loadShared(other, `${into}At`)}
    ${each(quadsOf(at(own, n)), (i) =>
      members
        .map((j) => `${into}${j} = fma(own${n}[${i}], ${member(other, `${into}At`, j, i)}, ${into}${j});`)
        .join(' '),
    )}`;
    };

    const [query, key] = byQuery ? ['row', (j: number) => `row${j}`] : [(j: number) => `row${j}`, 'row'];
    const named = (side: string | ((j: number) => string), j: number) => (typeof side === 'string' ? side : side(j));
    const maskAt = (j: number) => `maskBase + ${named(query, j)} * maskSteps.y + ${named(key, j)} * maskSteps.z`;
    const visible = (j: number) =>
      [
        `first + ${j}u < p.others`,
        causal && `${named(key, j)} <= ${named(query, j)}`,
        mask === 'bool' && `mask[${maskAt(j)}] != 0u`,
      ]
        .filter(Boolean)
        .join(' && ');
    const score = (j: number) =>
      `let visible${j} = ${visible(j)};
    let s${j} = total(score${j}) * p.scale${mask === 'float' ? ` + mask[${maskAt(j)}]` : ''};`;
    const stat = (name: string, j: number) => (byQuery ? `own_${name}` : `${name}[rowsBefore + row${j}]`);
    const weight = (j: number) => {
      const p = `exp(s${j} - ${forward ? 'most' : stat('lse', j)})`;
      const slope = dropout ? `total(slope${j}) * chance${j}` : `total(slope${j})`;
      const factor = weighted ? ` * (${slope} - ${stat('delta', j)}) * p.scale` : '';
      return `let w${j} = select(0.0, ${p}${factor}, visible${j});`;
    };
    /** What a weight is multiplied with in the sum. */
    const used = (j: number) => (dropout && !weighted ? `(w${j} * chance${j})` : `w${j}`);
    // A group of keys begins at a multiple of four: one block of four random words serves as many of them.
    const block = (j: number, k: string) =>
      `philox4x32(vec4u(${named(query, j)} * ((keys + 3u) / 4u) + ${k} / 4u, p.draw, batch + 1u, 0u), vec2u(p.seed, ${DROPOUT_STREAM}u))`;
    const chance = (j: number) =>
      byQuery
        ? `${j % 4 ? '' : `let words${j} = ${block(j, `(first + ${j}u)`)};`} let chance${j} = chanceOf(words${j - (j % 4)}[${j % 4}]);`
        : `let chance${j} = chanceOf(${block(j, 'row')}[row % 4u]);`;
    const operands: Operand[] = [...reads];
    // Which rows of the other side the workgroup's rows can see at all.
    const [begin, end] = !causal
      ? ['0u', 'p.others']
      : byQuery
        ? ['0u', `min(p.others, start + ${size}u)`]
        : [`start / ${group}u * ${group}u`, 'p.others'];

    const code = wgsl`${lanes ? 'enable subgroups;\n' : ''}${head}
${functionsFor('exp() log()')}
#if ${dropout}
${philoxWgsl()}
fn chanceOf(word: u32) -> f32 { return select(p.kept, 0.0, f32(word >> 8u) * ${2 ** -24} < p.dropped); }
#endif
fn total(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
${PLACE_OF}
${perGroup('index', size, `p.batches * ((p.rows + ${size - 1}u) / ${size}u)`, lanes)}
  let zero = ${opaqueZero(at(reads, 0), type)};
  let blocks = (p.rows + ${size - 1}u) / ${size}u;
  let batch = index / blocks;
  let keys = ${byQuery ? 'p.others' : 'p.rows'};
  let start = index % blocks * ${size}u;
  let row = min(start + local, p.rows - 1u);
  ${places(operands, mask)}
  ${own
    .map(
      (name, n) => `var own${n}: array<vec4f, ${quadsOf(name)}>;
  let own${n}At = ${name}Base + row * ${name}Stride;
  ${each(quadsOf(name), (i) => `own${n}[${i}] = ${load(name, `own${n}At`, i)};`)}`,
    )
    .join('\n  ')}
  var sum: array<vec4f, ${sums}>;
#if ${sums > UNROLLED}
  ${each(sums, (i) => `sum[${i}] = vec4f();`)}
#endif
#if ${forward}
  var top = -3.4028234e38;
  var weights = 0.0;
#elif ${byQuery}
  let own_lse = lse[batch * p.rows + row];
  ${weighted ? 'let own_delta = delta[batch * p.rows + row];' : ''}
#else
  let rowsBefore = batch * p.others;
#endif
  for (var first = ${begin}; first < ${end} + zero; first += ${group}u) {
    ${members.map((j) => `let row${j} = min(first + ${j}u, p.others - 1u);`).join(' ')}
    ${dots(0, 'score')}
    ${members.map(score).join('\n    ')}
    ${weighted ? dots(1, 'slope') : ''}
#if ${forward}
    var most = top;
    ${members.map((j) => `most = select(most, max(most, s${j}), visible${j});`).join(' ')}
    let kept = exp(top - most);
    top = most;
#endif
#if ${dropout}
    ${members.map(chance).join('\n    ')}
#endif
    ${members.map(weight).join('\n    ')}
    ${members.map((j) => `let sumAt${j} = ${summed}Base + row${j} * ${summed}Stride;`).join(' ')}
#if ${forward}
    weights = fma(weights, kept, ${members.map((j) => `w${j}`).join(' + ')});
#endif
    ${loadShared(summed, 'sumAt')}
    ${each(sums, (i) => {
      const products = members.reduce(
        (chain, j) =>
          j === 0
            ? `${member(summed, 'sumAt', 0, i)} * ${used(0)}`
            : `fma(${member(summed, 'sumAt', j, i)}, vec4f(${used(j)}), ${chain})`,
        '',
      );
      return forward ? `sum[${i}] = fma(sum[${i}], vec4f(kept), ${products});` : `sum[${i}] = sum[${i}] + ${products};`;
    })}
  }
  if (start + local >= p.rows) { return; }
  let to = placeOf(place, ${index('out')}u) + row * p.at[${2 * index('out') + 1}].y;
#if ${forward}
  // A row that sees nothing is zero, and its gradients are: exp(s - lse) is.
  let share = select(1.0 / weights, 0.0, weights == 0.0);
  ${each(sums, (i) => store(i, `sum[${i}] * share`))}
  lse[batch * p.rows + row] = select(top + log(weights), 3.4028234e38, weights == 0.0);
#else
  ${each(sums, (i) => store(i, `sum[${i}]`))}
#endif
}`;
    return { name: `attention.${pass}`, code, ...io, grid: { tile: 1 } };
  });
