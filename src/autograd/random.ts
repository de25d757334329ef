// Dropout with its gradient.
import { checked, is } from '../gpu/options';
import { inputError } from '../tensor/context';
import * as raw from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { record, SYMMETRIC } from './tape';

/**
 * In training sets elements to 0 with probability p and divides the others by 1 − p; otherwise returns x.
 * The mask is a function of the draw, so the gradient draws it again instead of keeping it.
 */
export function dropout(x: Tensor, options: { p?: number; training?: boolean } = {}): Tensor {
  const { p = 0.5, training = true } = checked('dropout', options, { p: is.number, training: is.flag });
  if (!(p >= 0 && p <= 1)) throw inputError('dropout', `p is ${p}`, { input: x }, 'Use a probability in 0 … 1.');
  requireFloats('dropout', { input: x });
  if (!training || p === 0) return x;
  const draw = raw.takeDraw();
  return record('dropout', [x], raw.dropout(x, p, draw), [], (gradient) => [raw.dropout(gradient, p, draw)], {
    push: SYMMETRIC,
  });
}
