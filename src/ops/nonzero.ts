// Where the elements are that are not zero. How many there are is known to the GPU alone, so these wait for it.
import { at } from '../../shaders/checked';
import { arange, tensor } from '../tensor/create';
import { evaluate } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { contiguousStrides } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { cast, ne } from './elementwise';
import { cumsum } from './scan';
import { searched } from './search';
import { reshape, select } from './views';

/** The positions (int32 [N]) in the flattened tensor of the elements that are not zero. Waits for the GPU. */
export async function nonzeroFlat(x: Tensor): Promise<Tensor> {
  if (!x.size) return tensor(new Int32Array(0));
  const flat = reshape(x, [-1]);
  const number = cumsum(cast(ne(flat, 0), 'int32'), 0);
  const count = await select(number, 0, flat.size - 1).item();
  // The k-th is where the running number comes to k.
  return searched(number, arange(1, count + 1), false);
}

/** Positions in a flattened tensor of a shape as positions along each dimension. */
function unravel(flat: Tensor, shape: Shape): Tensor[] {
  const strides = contiguousStrides(shape);
  return shape.map((n, d) =>
    evaluate({
      name: 'nonzero',
      expression: 'a / s % t',
      operands: { a: flat },
      scalars: [at(strides, d), n],
      shape: flat.shape,
      result: 'int32',
    }),
  );
}

/** The positions of the elements that are not zero, a tensor (int32 [N]) for each dimension: `torch.nonzero(x, as_tuple=True)` and `torch.where(x)`. Waits for the GPU. */
export async function nonzeroTuple(x: Tensor): Promise<Tensor[]> {
  requireTensors('nonzero', { input: x });
  const flat = await nonzeroFlat(x);
  return unravel(flat, x.ndim ? x.shape : [1]);
}

/** The positions of the elements that are not zero, a row for each: int32 [N, dimensions], as `torch.nonzero`. Waits for the GPU, as N depends on the elements. */
export async function nonzero(x: Tensor): Promise<Tensor> {
  requireTensors('nonzero', { input: x });
  const flat = await nonzeroFlat(x);
  if (!x.ndim) return tensor(new Int32Array(0), { shape: [flat.size, 0] });
  const strides = tensor(Int32Array.from(contiguousStrides(x.shape)));
  const dims = tensor(Int32Array.from(x.shape));
  const operands = { a: reshape(flat, [flat.size, 1]), b: strides, c: dims };
  return evaluate({ name: 'nonzero', expression: 'a / b % c', operands, shape: [flat.size, x.ndim], result: 'int32' });
}
