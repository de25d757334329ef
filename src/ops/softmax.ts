// Softmax and log-softmax along a dimension.
import { softmaxGradient as gradientKernel, softmax as kernel, linesPerGroup } from '../../shaders/softmax';
import { record, SYMMETRIC, sumOfAll } from '../autograd/tape';
import { device } from '../gpu';
import { contiguous, evaluate, launchOn } from '../tensor/elementwise';
import { reduce } from '../tensor/reduce';
import { type Lines, linesAlong, normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats } from '../tensor/tensor';
import { native } from './mixed';
import { expression } from './operands';
import { sum } from './reduce';

/** How many lines a workgroup covers, and how many lines there are to be launched for: none where they are empty. */
export function lineGrid({ lines, n, inner }: Lines) {
  const perGroup = linesPerGroup(n, inner);
  return { perGroup, extent: n ? lines : 0 };
}

const along = (op: 'softmax' | 'logSoftmax') => (x: Tensor, dim: number) => {
  requireFloats(op, { input: x }, true);
  const log = op === 'logSoftmax';
  const { lines, n, inner } = linesAlong(x.shape, normalizeAxis(op, dim, x.shape));
  const { perGroup, extent } = lineGrid({ lines, n, inner });
  const y = empty(op, x.shape, x.dtype);
  const constants = [lines, n, inner];
  launchOn(kernel(device().target, log, perGroup), [contiguous(x), y], constants, extent);
  const rule = (g: Tensor) => {
    const dx = empty('softmax', x.shape, x.dtype);
    const tensors = [contiguous(y), contiguous(g), dx];
    launchOn(gradientKernel(device().target, log, perGroup), tensors, constants, extent);
    return [dx];
  };
  const differentiable = (g: Tensor) => {
    // softmax: y (g − Σ g y); log-softmax: g − eʸ Σ g.
    const sums = sum(log ? g : expression(op, 'g * y', { g, y }), dim, true);
    return [expression(op, log ? 'g - exp(y) * m' : 'y * (g - m)', { g, y, m: sums })];
  };
  // The Jacobian of softmax is symmetric; that of log-softmax is t − Σ eʸ t.
  const push = (tangent: Tensor | null) => {
    const t = sumOfAll(tangent);
    const e = { name: 'logSoftmax tangent', operands: { a: t, y }, shape: x.shape };
    const axes = [normalizeAxis(op, dim, x.shape)];
    const mean = reduce({ ...e, reduction: 'sum', map: 'a * exp(y)', axes, keepDims: true });
    return evaluate({ ...e, expression: 'a - m', operands: { a: t, m: mean }, result: x.dtype });
  };
  return record(op, [x], y, [y], rule, { push: log ? push : SYMMETRIC, differentiable });
};

/** exp(x) / Σ exp(x) along `dim`, computed from x − max x, as `torch.softmax`: type and shape of x, float32 or float16. */
export const softmax = native('softmax', along('softmax'));

/** log softmax(x) along `dim`, without overflow or log 0, as `torch.log_softmax`: type and shape of x. */
export const logSoftmax = native('logSoftmax', along('logSoftmax'));
