// Matrix products of int32, modulo 2³², as PyTorch has them on CPUs: a sum over a broadcast product, without tiles. They have no gradient.
import { fromEnd, tuple } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import { promote } from '../tensor/dtype';
import { reduce } from '../tensor/reduce';
import { type Shape, size } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { expand, permute, reshape } from '../tensor/views';

const FACTORS = ['float32', 'float16', 'int32'];

/** Refuses operands of a product that are not of one type, float32, float16 or int32, as PyTorch does: products promote nothing. */
export function requireFactors(op: string, operands: Readonly<Record<string, Tensor>>): void {
  requireTensors(op, operands);
  const types = [...new Set(Object.values(operands).map(({ dtype }) => dtype))];
  const told = Object.entries(operands).map(([name, { dtype }]) => `${name} is ${dtype}`);
  if (types.length > 1)
    throw inputError(
      op,
      `the operands differ in type: ${told.join(', ')}`,
      operands,
      `Convert one: x.to('${types.reduce(promote)}').`,
    );
  if (types.some((type) => !FACTORS.includes(type)))
    throw inputError(op, `not defined for ${types[0]}`, operands, "Convert first: x.to('float32') or x.to('int32').");
}

/** C[…, m, n] = A[…, m, k] · B[…, k, n] of int32, the leading dimensions broadcast to `batch`. Not recorded. */
export function multiplyIntegers(a: Tensor, b: Tensor, batch: Shape): Tensor {
  const [m, k] = tuple(a.shape.slice(-2), 2);
  const n = fromEnd(b.shape, 1);
  const count = size(batch);
  const flat = (x: Tensor, ...matrix: number[]) => reshape(expand(x, [...batch, ...x.shape.slice(-2)]), matrix);
  const rows = flat(a, count, m, 1, k);
  const columns = permute(flat(b, count, 1, k, n), [0, 1, 3, 2]);
  const options = { name: 'matmul', reduction: 'sum', map: 'a * b', compute: 'int32' } as const;
  const y = reduce({ ...options, operands: { a: rows, b: columns }, shape: [count, m, n, k], axes: [3] });
  return reshape(y, [...batch, m, n]);
}
