// Products of vectors, matrices and batches of them, made of matmul: PyTorch's names, with its demands on shapes.

import { at, fromEnd, tuple } from '../../shaders/checked';
import { needsGradient } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { isFloat } from '../tensor/dtype';
import { normalizeAxes, normalizeAxis, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { choose } from './choose';
import { add, mul, sub } from './elementwise';
import { requireFactors } from './integer-product';
import { stack } from './join';
import { matmul } from './matmul';
import { mixed, native } from './mixed';
import { expression } from './operands';
import { sum } from './reduce';
import { expand, permute, reshape, select } from './views';

const WORDS = ['a number', 'a vector', 'a matrix', 'a batch of matrices'];

/** Refuses operands that have not the number of dimensions that they need. */
function requireRanks(op: string, ranks: readonly number[], operands: Record<string, Tensor>): void {
  requireTensors(op, operands);
  for (const [i, [name, x]] of Object.entries(operands).entries())
    if (x.ndim !== ranks[i])
      throw inputError(
        op,
        `${name} has to be ${WORDS[at(ranks, i)]}`,
        operands,
        'matmul takes any dimensions, and broadcasts.',
      );
}

/** Products of a batch of matrices each, as `torch.bmm`: [b, m, k]·[b, k, n] → [b, m, n]. */
export const bmm = native('bmm', function bmm(a: Tensor, b: Tensor): Tensor {
  requireRanks('bmm', [3, 3], { a, b });
  if (a.shape[0] !== b.shape[0]) throw inputError('bmm', 'the batches differ', { a, b }, 'matmul broadcasts.');
  return matmul(a, b);
});

/** A matrix times a vector, as `torch.mv`: [m, k]·[k] → [m]. */
export const mv = native('mv', function mv(a: Tensor, v: Tensor): Tensor {
  requireRanks('mv', [2, 1], { a, v });
  return matmul(a, v);
});

/** The scalar product of two vectors, as `torch.dot`: [n], [n] → []. Both are floats, or int32, which are multiplied as such. */
export const dot = mixed('dot', function dot(a: Tensor, b: Tensor): Tensor {
  requireRanks('dot', [1, 1], { a, b });
  requireFactors('dot', { a, b });
  if (a.size !== b.size) throw inputError('dot', 'the vectors differ in length', { a, b });
  return sum(mul(a, b));
});

/** `dot`: of real numbers the same, as `torch.vdot`. */
export const vdot = dot;

/** The products of all pairs of elements of two vectors, as `torch.outer`: [m], [n] → [m, n]. */
export const outer = mixed('outer', function outer(a: Tensor, b: Tensor): Tensor {
  requireRanks('outer', [1, 1], { a, b });
  return mul(reshape(a, [a.size, 1]), b);
});

/** Scalar products over the last dimensions, as `torch.inner`: […, k], [….., k] → […, …..]; of a number and a tensor their product. */
export const inner = mixed('inner', function inner(a: Tensor, b: Tensor): Tensor {
  requireTensors('inner', { a, b });
  if (a.ndim === 0 || b.ndim === 0) return mul(a, b);
  return contract('inner', a, b, [a.ndim - 1], [b.ndim - 1]);
});

/** Σ over pairs of dimensions of a and b; what is left of a comes before what is left of b. */
function contract(op: string, a: Tensor, b: Tensor, ofA: readonly number[], ofB: readonly number[]): Tensor {
  requireFactors(op, { a, b });
  const sizes = (x: Tensor, axes: readonly number[]) => axes.map((i) => at(x.shape, i));
  if (ofA.length !== ofB.length || ofA.some((i, k) => a.shape[i] !== b.shape[at(ofB, k)]))
    throw inputError(
      op,
      `dimensions [${ofA}] of a and [${ofB}] of b do not agree in size`,
      { a, b },
      'They are summed over in pairs.',
    );
  const rest = (x: Tensor, axes: readonly number[]) => x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const [keptA, keptB] = [rest(a, ofA), rest(b, ofB)];
  const n = size(sizes(a, ofA));
  const left = reshape(permute(a, [...keptA, ...ofA]), [size(sizes(a, keptA)), n]);
  const right = reshape(permute(b, [...ofB, ...keptB]), [n, size(sizes(b, keptB))]);
  return reshape(matmul(left, right), [...sizes(a, keptA), ...sizes(b, keptB)]);
}

/** `contract` where a pair may be of one element and of many, which are then summed first. */
function paired(a: Tensor, b: Tensor, ofA: readonly number[], ofB: readonly number[]): Tensor {
  const oneOf = (x: Tensor, axes: readonly number[], other: Tensor, of: readonly number[]) =>
    axes.filter((d, k) => other.shape[at(of, k)] === 1 && x.shape[d] !== 1);
  const [alone, others] = ofA.length === ofB.length ? [oneOf(a, ofA, b, ofB), oneOf(b, ofB, a, ofA)] : [[], []];
  const summed = (x: Tensor, axes: readonly number[]) => (axes.length ? sum(x, axes, true) : x);
  return contract('tensordot', summed(a, alone), summed(b, others), ofA, ofB);
}

/**
 * Σ over dimensions of a and b, as `torch.tensordot`: `dims` is how many, of the last of a and the first of b (2 by default), or two lists that
 * name them. What is left of a comes before what is left of b.
 */
export const tensordot = mixed(
  'tensordot',
  function tensordot(a: Tensor, b: Tensor, dims: number | readonly (readonly number[])[] = 2): Tensor {
    const op = 'tensordot';
    requireTensors(op, { a, b });
    if (typeof dims === 'number') {
      if (!Number.isInteger(dims) || dims < 0 || dims > Math.min(a.ndim, b.ndim))
        throw inputError(op, `dims is ${dims}`, { a, b }, 'Use a number of dimensions that both have, or two lists.');
      const count = Array.from({ length: dims }, (_, i) => i);
      return paired(
        a,
        b,
        count.map((i) => a.ndim - dims + i),
        count,
      );
    }
    const lists: readonly (readonly number[])[] = dims;
    if (!Array.isArray(dims) || dims.length !== 2 || !dims.every(Array.isArray))
      throw inputError(op, 'dims is no number and no two lists', { a, b }, 'As [[1, 0], [0, 1]].');
    const axes = (x: Tensor, list: readonly number[]) => {
      normalizeAxes(op, list, x.shape); // refuses repetitions
      return list.map((axis) => normalizeAxis(op, axis, x.shape));
    };
    const [ofA, ofB] = tuple(lists, 2);
    return paired(a, b, axes(a, ofA), axes(b, ofB));
  },
);

/** The Kronecker product, as `torch.kron`: every element of a times all of b; the sizes are multiplied. */
export const kron = mixed('kron', function kron(a: Tensor, b: Tensor): Tensor {
  requireTensors('kron', { a, b });
  const rank = Math.max(a.ndim, b.ndim);
  const wide = (x: Tensor) => [...new Array<number>(rank - x.ndim).fill(1), ...x.shape];
  const [p, q] = [wide(a), wide(b)];
  if (2 * rank <= 8) {
    const left = reshape(
      a,
      p.flatMap((n) => [n, 1]),
    );
    const right = reshape(
      b,
      q.flatMap((n) => [1, n]),
    );
    return reshape(
      mul(left, right),
      p.map((n, i) => n * at(q, i)),
    );
  }
  throw inputError('kron', `${rank} dimensions, at most 4 are supported`, { a, b }, 'Merge some with reshape.');
});

/** Factors of the sum: `beta` of the first tensor (0: it is not read), `alpha` of the product. Both are 1 by default. */
export interface SumOptions {
  /** Factor of the tensor that is added to (default 1); with 0 it is not read. */
  beta?: number;
  /** Factor of the product (default 1). */
  alpha?: number;
}

const SUM: OptionTable<SumOptions> = { beta: is.number, alpha: is.number };

/** beta·x + alpha·product, x broadcast to the product's shape. The options are checked before the product is launched. */
function plus(op: string, x: Tensor, multiply: () => Tensor, options: SumOptions): Tensor {
  const { beta = 1, alpha = 1 } = checked(op, options, SUM);
  if (!isFloat(x.dtype) && !(Number.isInteger(beta) && Number.isInteger(alpha)))
    throw inputError(op, `beta is ${beta}, alpha ${alpha}`, { x }, 'Integers are multiplied by whole numbers.');
  const product = multiply();
  const scaled = alpha === 1 ? product : mul(product, alpha);
  const wide = expand(x, product.shape);
  if (beta !== 0) return add(scaled, beta === 1 ? wide : mul(wide, beta));
  if (!needsGradient(x)) return scaled;
  return choose(full([], 0, { dtype: 'bool' }), wide, scaled); // x is not read, and has a gradient of zeros
}

/** beta·x + alpha·(a·b), as `torch.addmm`: a [m, k], b [k, n], x broadcasts to [m, n]. With beta 0 NaN in x does not matter. */
export const addmm = mixed('addmm', function addmm(x: Tensor, a: Tensor, b: Tensor, options: SumOptions = {}): Tensor {
  requireRanks('addmm', [2, 2], { a, b });
  requireFactors('addmm', { x, a, b });
  return plus('addmm', x, () => matmul(a, b), options);
});

/** beta·x + alpha·(a·v), as `torch.addmv`: a [m, k], v [k], x broadcasts to [m]. */
export const addmv = mixed('addmv', function addmv(x: Tensor, a: Tensor, v: Tensor, options: SumOptions = {}): Tensor {
  requireFactors('addmv', { x, a, v });
  return plus('addmv', x, () => mv(a, v), options);
});

/** beta·x + alpha·(a ⊗ b), as `torch.addr`: a [m], b [n], x broadcasts to [m, n]. */
export const addr = mixed(
  'addr',
  (x: Tensor, a: Tensor, b: Tensor, options: SumOptions = {}): Tensor => plus('addr', x, () => outer(a, b), options),
);

/** beta·x + alpha·(a·b) for each of a batch, as `torch.baddbmm`: a [b, m, k], b [b, k, n], x broadcasts to [b, m, n]. */
export const baddbmm = mixed(
  'baddbmm',
  function baddbmm(x: Tensor, a: Tensor, b: Tensor, options: SumOptions = {}): Tensor {
    requireFactors('baddbmm', { x, a, b });
    return plus('baddbmm', x, () => bmm(a, b), options);
  },
);

/** beta·x + alpha·Σ a·b over a batch, as `torch.addbmm`: a [b, m, k], b [b, k, n], x broadcasts to [m, n]. */
export const addbmm = mixed(
  'addbmm',
  function addbmm(x: Tensor, a: Tensor, b: Tensor, options: SumOptions = {}): Tensor {
    requireRanks('addbmm', [3, 3], { a, b });
    requireFactors('addbmm', { x, a, b });
    if (a.shape[0] !== b.shape[0]) throw inputError('addbmm', 'the batches differ', { a, b });
    return plus('addbmm', x, () => contract('addbmm', a, b, [0, 2], [0, 1]), options);
  },
);

/** a·b·c… in the order of the fewest multiplications, as `torch.linalg.multi_dot`; the first and the last may be vectors. */
export const multiDot = mixed('multiDot', function multiDot(matrices: readonly Tensor[]): Tensor {
  const op = 'multiDot';
  if (!Array.isArray(matrices) || matrices.length < 2)
    throw inputError(op, 'at least two matrices are needed', {}, 'Give a list.');
  requireTensors(op, Object.fromEntries(matrices.map((x, i) => [`matrix ${i}`, x])));
  const last = matrices.length - 1;
  const odd = matrices.findIndex((x, i) => x.ndim !== 2 && !(x.ndim === 1 && (i === 0 || i === last)));
  if (odd >= 0) throw inputError(op, `operand ${odd} is no matrix`, { [`operand ${odd}`]: at(matrices, odd) });
  const [first, end] = [at(matrices, 0), fromEnd(matrices, 1)];
  const list = matrices.map((x, i) => (x.ndim === 2 ? x : i === 0 ? reshape(x, [1, x.size]) : reshape(x, [x.size, 1])));
  const y = bestOrder(list);
  const [m, n] = tuple(y.shape, 2);
  const shape = [...(first.ndim === 1 ? [] : [m]), ...(end.ndim === 1 ? [] : [n])];
  return reshape(y, shape);
});

/** The same of matrices alone, as `torch.chain_matmul`; of one matrix itself. */
export const chainMatmul = mixed(
  'chainMatmul',
  (...matrices: Tensor[]): Tensor => (matrices.length === 1 ? at(matrices, 0) : multiDot(matrices)),
);

/** The product by the cheapest parentheses: dynamic programming over the sizes. */
function bestOrder(list: readonly Tensor[]): Tensor {
  const sizes = [at(list, 0), ...list].map((x, i) => at(x.shape, i && 1));
  const best = new Map<string, { cost: number; cut: number }>();
  const plan = (i: number, j: number): { cost: number; cut: number } => {
    const key = `${i} ${j}`;
    const known = best.get(key);
    if (known) return known;
    let found = { cost: i === j ? 0 : Infinity, cut: i };
    for (let k = i; k < j; k++) {
      const cost = plan(i, k).cost + plan(k + 1, j).cost + at(sizes, i) * at(sizes, k + 1) * at(sizes, j + 1);
      if (cost < found.cost) found = { cost, cut: k };
    }
    best.set(key, found);
    return found;
  };
  const product = (i: number, j: number): Tensor => {
    if (i === j) return at(list, i);
    const { cut } = plan(i, j);
    return matmul(product(i, cut), product(cut + 1, j));
  };
  return product(0, list.length - 1);
}

/**
 * y[…, o] = Σ a[…, i]·W[o, i, j]·b[…, j] + bias[o], as `torch.nn.functional.bilinear`: `weight` [out, in1, in2], `bias` [out] or none; all dimensions but the
 * last of a and b agree.
 */
export const bilinear = mixed(
  'bilinear',
  function bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
    const op = 'bilinear';
    requireFactors(op, { a, b, weight, ...(bias && { bias }) });
    const shapes = { a, b, weight };
    if (weight.ndim !== 3) throw inputError(op, 'the weight has no three dimensions', shapes, 'It is [out, in1, in2].');
    const [outputs, m, n] = tuple(weight.shape, 3);
    const lead = a.shape.slice(0, -1);
    const fits = a.ndim > 0 && a.ndim === b.ndim && lead.every((k, i) => k === b.shape[i]);
    if (!fits || a.shape[a.ndim - 1] !== m || b.shape[b.ndim - 1] !== n)
      throw inputError(op, 'the inputs do not fit', shapes, `They are […, ${m}] and […, ${n}], alike before that.`);
    if (bias && (bias.ndim !== 1 || bias.size !== outputs))
      throw inputError(op, 'the bias does not fit the weight', { weight, bias }, `It is [${outputs}].`);
    const rows = size(lead);
    // Σ_i a[r, i]·W[o, i, j] for every o and j, then the scalar product with b[r].
    const half = reshape(matmul(reshape(a, [rows, m]), reshape(permute(weight, [1, 0, 2]), [m, outputs * n])), [
      rows,
      outputs,
      n,
    ]);
    const y = reshape(matmul(half, reshape(b, [rows, n, 1])), [...lead, outputs]);
    return bias ? add(y, bias) : y;
  },
);

/**
 * The cross product of vectors of three elements along a dimension, as `torch.cross`: without `dim` along the first of size 3. a and b broadcast.
 * Throws InputError where the dimension has another size.
 */
export const cross = mixed('cross', function cross(a: Tensor, b: Tensor, dim: number | null = null): Tensor {
  const op = 'cross';
  requireTensors(op, { a, b });
  if (a.ndim !== b.ndim || !a.ndim)
    throw inputError(op, 'the numbers of dimensions differ, or there are none', { a, b });
  const axis = dim === null ? a.shape.indexOf(3) : normalizeAxis(op, dim, a.shape);
  if (a.shape[axis] !== 3 || b.shape[axis] !== 3)
    throw inputError(op, 'there is no dimension of size 3', { a, b }, 'Vectors of three elements lie along `dim`.');
  const parts = (i: number) => {
    const [j, k] = [(i + 1) % 3, (i + 2) % 3];
    return { a: select(a, axis, j), b: select(b, axis, k), c: select(a, axis, k), d: select(b, axis, j) };
  };
  const component = (i: number): Tensor => {
    const x = parts(i);
    if ([a, b].every((t) => t.dtype !== 'float32')) return sub(mul(x.a, x.b), mul(x.c, x.d));
    return expression(op, 'a * b - c * d', x);
  };
  return stack([0, 1, 2].map(component), axis);
});
