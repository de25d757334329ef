// Conversions between float32 and float16, recorded: the gradient is converted back.

import type { Storage } from '../gpu';
import { type DType, isFloat } from '../tensor/dtype';
import { copy } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { operation } from './operation';
import { recordLinear } from './tape';

/**
 * float16 in float32, for the operation `body` that computes in it. What the tape keeps of it is kept in float16 and made again when the gradient
 * is computed. The release of the rest is up to the caller.
 */
export function widened(x: Tensor): { wide: Tensor; park(): void } {
  const wide = recordLinear(
    'cast',
    x,
    (t) => copy(t, 'float32'),
    (g) => castTo(g, 'float16'),
    [x],
  );
  const park = () => {
    const { memory } = wide;
    if (wide.gradNode && memory.pins > 0 && memory.live && !memory.kept) memory.parkInner(() => again(x));
  };
  return { wide, park };
}

/** The memory of a fresh float32 copy. */
function again(x: Tensor): Storage {
  const { memory } = copy(x, 'float32');
  const storage = memory.storage.retain();
  memory.release();
  return storage;
}

/** The elements as another type, rounded to nearest where it is float16; x itself where it has the type. No gradient passes integers. */
export const castTo = operation('cast', function castTo(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  if (!(isFloat(x.dtype) && isFloat(dtype))) return copy(x, dtype);
  return recordLinear(
    'cast',
    x,
    (t) => copy(t, dtype),
    (g) => castTo(g, x.dtype),
  );
});
