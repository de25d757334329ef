// Running logarithms of sums of exponentials along a dimension.
import { byDefinition } from '../autograd/backward';
import { record } from '../autograd/tape';
import { full } from '../tensor/create';
import { normalizeAxis } from '../tensor/shape';
import { requireFloats, type Tensor } from '../tensor/tensor';
import { add, eq, exp, logaddexp, maximum, sub } from './elementwise';
import { concat } from './join';
import { mixed } from './mixed';
import { expression } from './operands';
import { scan } from './scan';
import { flip, narrow } from './views';
import { where } from './where';

/** Running log Σ eˣ along a dimension, without overflow, as `torch.logcumsumexp`. */
export const logcumsumexp = mixed('logcumsumexp', function logcumsumexp(x: Tensor, axis: number): Tensor {
  requireFloats('logcumsumexp', { input: x });
  return logScan(x, normalizeAxis('logcumsumexp', axis, x.shape), false);
});

function logScan(x: Tensor, axis: number, reverse: boolean): Tensor {
  const y = scan('logsum', x, axis, { reverse });
  // Σ g · e^(x − y) over the results that x is part of, by logarithms of the positive and of the negative g. Where x is −∞ it is 0.
  const rule = (g: Tensor) => {
    const part = (sign: number) => {
      const term = expression('logcumsumexp gradient', `select(-infinity(), log(s * g) - y, s * g > 0.0)`, { g, y }, [
        sign,
      ]);
      return exp(add(logScan(term, axis, !reverse), x));
    };
    return [sub(part(1), part(-1))];
  };
  // The logarithms of g have no derivative where g is 0, so for that the operation is taken apart.
  const differentiable = byDefinition([x], (t) => logSumsOf(t, axis, reverse));
  return record('logcumsumexp', [x], y, [x, y], rule, { differentiable });
}

/** Running log Σ eˣ in recorded operations, by doubling. −∞ gives and takes no gradient. */
export function logSumsOf(x: Tensor, axis: number, reverse: boolean): Tensor {
  const n = x.shape[axis] ?? 1;
  const low = Number.NEGATIVE_INFINITY;
  let y = reverse ? flip(x, axis) : x;
  for (let by = 1; by < n; by *= 2) {
    const before = concat([full(y.shape.with(axis, by), low), narrow(y, axis, 0, n - by)], axis);
    const none = eq(maximum(y, before), low);
    y = where(none, low, logaddexp(y, where(none, 0, before)));
  }
  return reverse ? flip(y, axis) : y;
}
