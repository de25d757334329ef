// Adds a bias to a fresh result, in place.
import { BIAS_TILE, addBias as kernel } from '../../shaders/bias';
import { device } from '../gpu';
import { bind, contiguous, gridFor } from './elementwise';
import type { Tensor } from './tensor';

/** y[b, c, i] += bias[c] for y [batch, channels, inner], given contiguous and read by nothing yet. Returns y. */
export function addBias(y: Tensor, bias: Tensor, inner: number): Tensor {
  const constants = [y.size, bias.size, inner];
  device().launch(kernel, [bind(contiguous(bias)), bind(y)], constants, gridFor(y.size, BIAS_TILE));
  return y;
}
