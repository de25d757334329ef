// Dropout.
import { recordLinear } from '../autograd/tape';
import { f32 } from '../gpu';
import { checked, is } from '../gpu/options';
import { inputError } from '../tensor/context';
import { bind, contiguous } from '../tensor/elementwise';
import { fill, takeDraw } from '../tensor/random';
import { empty, requireFloats, type Tensor } from '../tensor/tensor';
import { native } from './mixed';

/**
 * As `torch.nn.functional.dropout`: in training sets elements to 0 with probability p and divides the others by 1 − p; otherwise returns x.
 * The mask is a function of the draw, so the gradient draws it again instead of keeping it.
 */
export const dropout = native(
  'dropout',
  function dropout(
    x: Tensor,
    options: {
      /** Probability of an element to become 0 (default 0.5). */
      p?: number;
      /** False returns x as it is (default true). */
      training?: boolean;
    } = {},
  ): Tensor {
    const { p = 0.5, training = true } = checked('dropout', options, { p: is.number, training: is.flag });
    if (!(p >= 0 && p <= 1)) throw inputError('dropout', `p is ${p}`, { input: x }, 'Use a probability in 0 … 1.');
    requireFloats('dropout', { input: x }, true);
    if (!training || p === 0) return x;
    const draw = takeDraw();
    const masked = (t: Tensor) => {
      const y = empty('dropout', t.shape, t.dtype);
      fill('dropout', draw, [bind(contiguous(t)), bind(y)], t.size, f32(p), f32(p < 1 ? 1 / (1 - p) : 0));
      return y;
    };
    return recordLinear('dropout', x, masked, masked);
  },
);
