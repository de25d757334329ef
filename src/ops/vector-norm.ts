// Norms of vectors, distances, and vectors brought to a norm: made of `norm`.

import { inputError, requireNumbers } from '../tensor/context';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { mul, sub } from './elementwise';
import { mixed } from './mixed';
import { expression } from './operands';
import type { Axes } from './reduce';
import { norm } from './reduce';

/** (Σ|x|ᵒʳᵈ)^(1/ord) over dimensions (all by default), ord 2 by default, as `torch.linalg.vector_norm`. Refuses integers. */
export const vectorNorm = mixed(
  'vectorNorm',
  function vectorNorm(x: Tensor, ord = 2, axes: Axes = null, keepDims = false): Tensor {
    requireFloats('vectorNorm', { input: x });
    return norm(x, ord, axes, keepDims);
  },
);

/** The p-norm of a − b (2 by default), which broadcast, as `torch.dist`. */
export const dist = mixed('dist', (a: Tensor, b: Tensor, p = 2): Tensor => norm(sub(a, b), p));

/**
 * Every part along `dim` whose p-norm is above `maxnorm` brought to it, as `torch.renorm`. Throws InputError for fewer than two dimensions.
 */
export const renorm = mixed('renorm', function renorm(x: Tensor, p: number, dim: number, maxnorm: number): Tensor {
  requireFloats('renorm', { input: x });
  requireNumbers('renorm', { p, maxnorm });
  if (x.ndim < 2) throw inputError('renorm', 'fewer than two dimensions', { input: x });
  if (!(p > 0) || !(maxnorm >= 0))
    throw inputError('renorm', `p is ${p}, maxnorm ${maxnorm}`, { input: x }, 'Use positive numbers.');
  const axis = normalizeAxis('renorm', dim, x.shape);
  const length = norm(
    x,
    p,
    x.shape.map((_, i) => i).filter((i) => i !== axis),
    true,
  );
  return mul(x, expression('renorm', 'select(1.0, over(s, n + 1e-7), n > s)', { n: length }, [maxnorm]));
});
