// Matrix products without gradients. Transposed and batch-strided operands are read as they lie, without a copy.

import { planMatmul } from '../../shaders/matmul/lower';
import type { KernelTarget } from '../../shaders/target';
import type { Variant } from '../../shaders/variants';
import type { TypedBinding } from '../gpu';
import { device } from '../gpu';
import { inputError } from './context';
import { bind, copy } from './elementwise';
import type { Shape } from './shape';
import { broadcastShapes, collapse, size } from './shape';
import type { Tensor } from './tensor';
import { empty } from './tensor';
import { expand } from './views';

interface Operand {
  binding: TypedBinding;
  transposed: boolean;
  batchStride: number;
}

/** How a kernel reads the matrices [rows, columns] of `x`, repeated to `batch`; null when their layout needs a copy. */
function layout(x: Tensor, batch: Shape): Operand | null {
  const [rows, columns] = x.shape.slice(-2);
  const [rowStride, columnStride] = x.strides.slice(-2);
  const plain = (columnStride === 1 || columns === 1) && (rowStride === columns || rows === 1);
  const transposed = !plain && (rowStride === 1 || rows === 1) && (columnStride === rows || columns === 1);
  const wide = expand(x, [...batch, rows, columns]);
  const { shape, strides } = collapse(batch, [wide.strides.slice(0, -2)]);
  const [batchStride] = strides[0];
  const aligned = (4 * x.offset) % device().limits.minStorageBufferOffsetAlignment === 0;
  if (!(plain || transposed) || shape.length > 1 || batchStride < 0 || !aligned) return null;
  const bytes = 4 * ((shape[0] - 1) * batchStride + rows * columns);
  return { binding: { ...bind(x), bytes }, transposed, batchStride };
}

const operand = (x: Tensor, batch: Shape): Operand =>
  layout(x, batch) ?? layout(copy(x), batch) ?? layout(copy(expand(x, [...batch, ...x.shape.slice(-2)])), batch)!;

/** C[…, m, n] = A[…, m, k] · B[…, k, n], leading dimensions broadcast. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.ndim - 1];
  const batch = batchShape(a, b);
  const out = empty('matmul', [...batch, m, n]);
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
  };
  const operands = [A.binding, B.binding, bind(out)] as const;
  const plan = (target: KernelTarget, variant: Variant) => planMatmul(shape, target, variant);
  device().launchPlan(device().tuning.plan('matmul', shape, operands, plan), ...operands);
  return out;
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

/** Refuses operands that no matrix product takes. */
export function checkMatmul(op: string, a: Tensor, b: Tensor, k: number, kOfB: number, hint: string): void {
  const shapes = { a, b };
  if (a.ndim === 0 || b.ndim === 0) throw inputError(op, 'a number is no matrix', shapes, 'Use mul.');
  if (k !== kOfB) throw inputError(op, `the inner dimensions ${k} and ${kOfB} differ`, shapes, hint);
}
