// Matrix products. Transposed and batch-strided operands are read as they lie, without a copy.

import { addBiasToRows, biasGroups, addBias as biasKernel } from '../../shaders/bias';
import { at, fromEnd, there, tuple } from '../../shaders/checked';
import { lowerMatmul } from '../../shaders/matmul/lower';
import type { Half } from '../../shaders/precision';
import type { KernelTarget } from '../../shaders/target';
import type { Variant } from '../../shaders/variants';
import type { PushForward, Rule } from '../autograd/tape';
import { record, sumOfAll } from '../autograd/tape';
import { device, type TypedBinding } from '../gpu';
import { inputError } from '../tensor/context';
import { bytesOf, type DType, isFloat } from '../tensor/dtype';
import { bind, contiguous, copy, evaluate } from '../tensor/elementwise';
import { sumTo } from '../tensor/reduce';
import { broadcastShapes, collapse, type Shape, sameShape, size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, strided } from '../tensor/tensor';
import { expand, permute } from '../tensor/views';
import { multiplyIntegers, requireFactors } from './integer-product';
import { native } from './mixed';
import { summedTo } from './operands';
import { sum } from './reduce';
import { reshape, transpose } from './views';

interface Operand {
  binding: TypedBinding;
  transposed: boolean;
  batchStride: number;
}

/** How a kernel reads the matrices [rows, columns] of `x`, repeated to `batch`; null when their layout needs a copy. */
function layout(x: Tensor, batch: Shape): Operand | null {
  const [rows, columns] = tuple(x.shape.slice(-2), 2);
  const [rowStride, columnStride] = tuple(x.strides.slice(-2), 2);
  const plain = (columnStride === 1 || columns === 1) && (rowStride === columns || rows === 1);
  const transposed = !plain && (rowStride === 1 || rows === 1) && (columnStride === rows || columns === 1);
  const wide = expand(x, [...batch, rows, columns]);
  const { shape, strides } = collapse(batch, [wide.strides.slice(0, -2)]);
  const batchStride = at(at(strides, 0), 0);
  const each = bytesOf(x.dtype);
  const aligned = (each * x.offset) % device().limits.minStorageBufferOffsetAlignment === 0;
  if (!(plain || transposed) || shape.length > 1 || batchStride < 0 || !aligned) return null;
  const bytes = 4 * Math.ceil((each * ((at(shape, 0) - 1) * batchStride + rows * columns)) / 4);
  return { binding: { ...bind(x), bytes }, transposed, batchStride };
}

// A copy of the whole batch lies as a kernel reads it.
const operand = (x: Tensor, batch: Shape): Operand =>
  layout(x, batch) ??
  layout(copy(x), batch) ??
  there(layout(copy(expand(x, [...batch, ...x.shape.slice(-2)])), batch), 'layout of a copy');

/** What is held as halves in a product of `operand` and its like, as an entry of its shape: shapes of float32 have none. */
export const halfOf = (operand: Tensor, result: DType): { half?: Half } =>
  operand.dtype === 'float16' ? { half: result === 'float16' ? 'all' : 'operands' } : {};

/** C[…, m, n] = A[…, m, k] · B[…, k, n] of one type, leading dimensions broadcast; not recorded. */
function multiply(a: Tensor, b: Tensor, result: DType = a.dtype): Tensor {
  const [m, k] = tuple(a.shape.slice(-2), 2);
  const n = fromEnd(b.shape, 1);
  const batch = batchShape(a, b);
  if (a.dtype === 'int32') return multiplyIntegers(a, b, batch);
  const out = empty('matmul', [...batch, m, n], result);
  if (out.size === 0) return out;
  const A = operand(a, batch);
  const B = operand(b, batch);
  const shape = {
    batch: size(batch),
    m,
    n,
    k,
    transposeA: A.transposed,
    transposeB: B.transposed,
    aBatchStride: A.batchStride,
    bBatchStride: B.batchStride,
    ...halfOf(a, result),
  };
  const operands = [A.binding, B.binding, bind(out)] as const;
  const lower = (target: KernelTarget, variant: Variant) => lowerMatmul(shape, target, variant);
  device().launchLowering(device().tuning.lowering('matmul', shape, operands, lower), ...operands);
  return out;
}

/** The product, summed over the batches that `shape` does not have; of halves too it is rounded once. */
function multiplyTo(a: Tensor, b: Tensor, shape: Shape): Tensor {
  if (sameShape(batchShape(a, b), shape.slice(0, -2))) return multiply(a, b);
  const sum = sumTo(multiply(a, b, 'float32'), shape);
  return a.dtype === 'float32' ? sum : copy(sum, a.dtype);
}

/** Leading dimensions of the product. */
function batchShape(a: Tensor, b: Tensor): number[] {
  const [first, second] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const fits = first.every((n, i) => {
    const m = second[i - first.length + second.length] ?? 1;
    return n === m || n === 1 || m === 1;
  });
  if (fits) return broadcastShapes('matmul', first, second);
  const hint = 'All but the last two dimensions are batches: equal or 1, counted from the right.';
  throw inputError('matmul', 'the batches cannot be broadcast', { a, b }, hint);
}

/** The inner dimension of a product, the last of a. Refuses operands that no matrix product takes. */
function innerOf(op: string, a: Tensor, b: Tensor, kOfB: number | undefined, hint: string): number {
  const shapes = { a, b };
  if (a.ndim === 0 || b.ndim === 0) throw inputError(op, 'a number is no matrix', shapes, 'Use mul.');
  const k = fromEnd(a.shape, 1);
  if (k !== kOfB) throw inputError(op, `the inner dimensions ${k} and ${kOfB} differ`, shapes, hint);
  return k;
}

const swapped = (x: Tensor): Tensor =>
  permute(x, [...Array.from({ length: x.ndim - 2 }, (_, i) => i), x.ndim - 1, x.ndim - 2]);

/** Of at least two dimensions each. */
const product = (a: Tensor, b: Tensor): Tensor =>
  record(
    'matmul',
    [a, b],
    multiply(a, b),
    [a, b],
    (g, needs) => [needs[0] && multiplyTo(g, swapped(b), a.shape), needs[1] && multiplyTo(swapped(a), g, b.shape)],
    {
      push: (s, t) => sumOfAll(s && multiply(s, b), t && multiply(a, t)),
      differentiable: (g, needs) => [
        needs[0] && summedTo(product(g, transpose(b)), a.shape),
        needs[1] && summedTo(product(transpose(a), g), b.shape),
      ],
    },
  );

/**
 * Matrix product as in NumPy and `torch.matmul`: [m, k]·[k, n] → [m, n]; leading dimensions are batches and broadcast; vectors are a row on the left and a
 * column on the right, and leave no dimension in the result. Transposed views are not copied. Both have one type: float32, float16, or int32, whose
 * products are modulo 2³² and have no gradient. Throws InputError for other types, for two, and for shapes that do not fit.
 */
export const matmul = native('matmul', function matmul(a: Tensor, b: Tensor): Tensor {
  requireFactors('matmul', { a, b });
  const k = innerOf(
    'matmul',
    a,
    b,
    b.shape[Math.max(0, b.ndim - 2)],
    'The last dimension of a meets the last but one of b; transpose() swaps them.',
  );
  const rows = a.ndim === 1 ? reshape(a, [1, k]) : a;
  const columns = b.ndim === 1 ? reshape(b, [k, 1]) : b;
  const lead = a.shape.slice(0, -1);
  const out = [...lead, ...b.shape.slice(1)];
  // A batch times one matrix is one tall product, and so is its gradient for the matrix.
  if (columns.ndim === 2)
    return b.ndim === 2 && a.ndim === 2
      ? product(a, b)
      : reshape(product(reshape(rows, [size(lead), k]), columns), out);
  const y = product(rows, columns);
  return a.ndim === 1 ? reshape(y, [...y.shape.slice(0, -2), fromEnd(y.shape, 1)]) : y;
});

/**
 * y[b, c, i] + bias[c] for fresh products (float32, of an int32 bias int32) y [batch, channels, …inner] that nothing else has read, in the type of the bias: in place for float32, and
 * rounded once to float16.
 */
export function addBias(y: Tensor, bias: Tensor, inner: number): Tensor {
  if (bias.dtype === 'float32') {
    const operands = [bind(contiguous(bias)), bind(y)];
    const { target } = device();
    const quads = bias.size / 4;
    if (inner === 1 && quads > 0 && Number.isInteger(quads)) {
      const rows = y.size / bias.size;
      device().launch(addBiasToRows(target), operands, [rows, quads], biasGroups(target, rows, quads));
    } else device().launch(biasKernel, operands, [y.size, bias.size, inner], y.size);
    return y;
  }
  const within = y.shape.slice(2).map(() => 1);
  const channels = strided(bias, [bias.size, ...within], [at(bias.strides, 0), ...within.map(() => 0)]);
  const operands = { a: y, b: channels };
  const sum = evaluate({ name: 'bias', expression: 'a + b', operands, shape: y.shape, result: bias.dtype });
  y.dispose();
  return sum;
}

/**
 * y = x·Wᵀ + b on the last dimension, as `torch.nn.functional.linear`. `weight` [out, in], `bias` [out] or none; x […, in] → […, out]. All are float32,
 * float16 or int32. Throws InputError where they do not fit.
 */
export const linear = native('linear', function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  requireFactors('linear', { x, weight, ...(bias && { bias }) });
  if (weight.ndim !== 2)
    throw inputError('linear', 'the weight is no matrix', { x, weight }, 'It has the shape [out, in].');
  const [outputs, inputs] = tuple(weight.shape, 2);
  innerOf(
    'linear',
    x,
    weight,
    inputs,
    'The last dimension of the input is the number of input features of weight [out, in].',
  );
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== outputs))
    throw inputError(
      'linear',
      'the bias does not fit the weight',
      { weight, bias },
      `It has one element for each of ${outputs} outputs: [${outputs}].`,
    );
  const lead = x.shape.slice(0, -1);
  const flat = x.ndim === 2 ? x : reshape(x, [size(lead), inputs]);
  const products = multiply(flat, swapped(weight), bias && isFloat(x.dtype) ? 'float32' : x.dtype);
  const y = bias ? addBias(products, bias, 1) : products;
  const rule: Rule = (g, needs) => [
    needs[0] && multiply(g, weight),
    needs[1] && multiply(swapped(g), flat),
    needs[2] && sum(g, 0),
  ];
  const push: PushForward = (s, t, b) =>
    sumOfAll(s && multiply(s, swapped(weight)), t && multiply(flat, swapped(t)), b && expand(b, y.shape));
  const differentiable: Rule = (g, needs) => [
    needs[0] && product(g, weight),
    needs[1] && product(transpose(g), flat),
    needs[2] && sum(g, 0),
  ];
  const options = { push, differentiable };
  record('linear', bias ? [flat, weight, bias] : [flat, weight], y, [flat, weight], rule, options);
  return x.ndim === 2 ? y : reshape(y, [...lead, outputs]);
});
