// Softmax and log-softmax without gradients.
import { softmaxGradient as gradientKernel, softmax as kernel, LINES_TILE, linesPerGroup } from '../../shaders/softmax';
import { device } from '../gpu';
import { bind, contiguous, gridFor } from './elementwise';
import type { Shape } from './shape';
import { normalizeAxis, size } from './shape';
import type { Tensor } from './tensor';
import { empty, requireFloats } from './tensor';

/** A shape seen as [outer, n, inner] around one axis; `lines` = outer · inner. */
export interface Lines {
  lines: number;
  n: number;
  inner: number;
}

export function linesAlong(shape: Shape, axis: number): Lines {
  const n = shape[axis] ?? 1; // a scalar is one line of one element
  const inner = size(shape.slice(axis + 1));
  return { lines: size(shape.slice(0, axis)) * inner, n, inner };
}

/** The workgroups that cover these lines, and how many lines one covers. */
export function lineGrid({ lines, n, inner }: Lines) {
  const perGroup = linesPerGroup(n, inner);
  return { perGroup, grid: gridFor(n ? lines : 0, perGroup === 1 ? 1 : LINES_TILE) };
}

/** exp(x) / Σ exp(x) along an axis, or its logarithm. */
export function softmax(x: Tensor, dim: number, log: boolean): Tensor {
  const op = log ? 'logSoftmax' : 'softmax';
  requireFloats(op, { input: x });
  const along = linesAlong(x.shape, normalizeAxis(op, dim, x.shape));
  const { perGroup, grid } = lineGrid(along);
  const y = empty(op, x.shape);
  const constants = [along.lines, along.n, along.inner];
  device().launch(kernel(device().back, log, perGroup), [bind(contiguous(x)), bind(y)], constants, grid);
  return y;
}

/** The gradient of `softmax` for x, from its result y. */
export function softmaxGradient(gradient: Tensor, y: Tensor, dim: number, log: boolean): Tensor {
  const along = linesAlong(y.shape, normalizeAxis('softmax', dim, y.shape));
  const { perGroup, grid } = lineGrid(along);
  const dx = empty('softmax', y.shape);
  const constants = [along.lines, along.n, along.inner];
  const buffers = [bind(contiguous(y)), bind(contiguous(gradient)), bind(dx)];
  device().launch(gradientKernel(device().back, log, perGroup), buffers, constants, grid);
  return dx;
}
