// Differentiable matrix products.

import { addBias } from '../tensor/bias';
import { inputError } from '../tensor/context';
import * as raw from '../tensor/matmul';
import { sum, sumTo } from '../tensor/reduce';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import * as views from '../tensor/views';
import type { PushForward, Rule } from './tape';
import { record, sumOfAll } from './tape';
import { reshape } from './views';

const swapped = (x: Tensor): Tensor =>
  views.permute(x, [...Array.from({ length: x.ndim - 2 }, (_, i) => i), x.ndim - 1, x.ndim - 2]);

/** Of at least two dimensions each. */
const product = (a: Tensor, b: Tensor): Tensor =>
  record(
    'matmul',
    [a, b],
    raw.matmul(a, b),
    [a, b],
    (g, needs) => [
      needs[0] && sumTo(raw.matmul(g, swapped(b)), a.shape),
      needs[1] && sumTo(raw.matmul(swapped(a), g), b.shape),
    ],
    { push: (s, t) => sumOfAll(s && raw.matmul(s, b), t && raw.matmul(a, t)) },
  );

/**
 * Matrix product as in NumPy: [m, k]·[k, n] → [m, n]; leading dimensions are batches and broadcast; vectors are a row on the left and a
 * column on the right, and leave no dimension in the result. Transposed views are not copied.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  requireFloats('matmul', { a, b });
  const k = a.shape[a.ndim - 1];
  raw.checkMatmul(
    'matmul',
    a,
    b,
    k,
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
  return a.ndim === 1 ? reshape(y, [...y.shape.slice(0, -2), y.shape[y.ndim - 1]]) : y;
}

/** y = x·Wᵀ + b on the last dimension. `weight` [out, in], `bias` [out] or none; x […, in] → […, out]. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  requireFloats('linear', { x, weight, ...(bias && { bias }) });
  if (weight.ndim !== 2)
    throw inputError('linear', 'the weight is no matrix', { x, weight }, 'It has the shape [out, in].');
  const [outputs, inputs] = weight.shape;
  raw.checkMatmul(
    'linear',
    x,
    weight,
    x.shape[x.ndim - 1],
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
  const products = raw.matmul(flat, swapped(weight));
  const y = bias ? addBias(products, bias, 1) : products;
  const rule: Rule = (g, needs) => [
    needs[0] && raw.matmul(g, weight),
    needs[1] && raw.matmul(swapped(g), flat),
    needs[2] && sum(g, 0),
  ];
  const push: PushForward = (s, t, b) =>
    sumOfAll(s && raw.matmul(s, swapped(weight)), t && raw.matmul(flat, swapped(t)), b && views.expand(b, y.shape));
  record('linear', bias ? [flat, weight, bias] : [flat, weight], y, [flat, weight], rule, { push });
  return x.ndim === 2 ? y : reshape(y, [...lead, outputs]);
}
