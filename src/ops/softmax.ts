// Softmax and log-softmax along a dimension.
import { softmaxGradient as gradientKernel, softmax as kernel, linesPerGroup } from '../../shaders/softmax';
import { record, SYMMETRIC } from '../autograd/tape';
import { device } from '../gpu';
import { bind, contiguous } from '../tensor/elementwise';
import { type Lines, linesAlong, normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats } from '../tensor/tensor';

/** How many lines a workgroup covers, and how many lines there are to be launched for: none where they are empty. */
export function lineGrid({ lines, n, inner }: Lines) {
  const perGroup = linesPerGroup(n, inner);
  return { perGroup, extent: n ? lines : 0 };
}

const along = (op: 'softmax' | 'logSoftmax') => (x: Tensor, dim: number) => {
  requireFloats(op, { input: x });
  const log = op === 'logSoftmax';
  const { lines, n, inner } = linesAlong(x.shape, normalizeAxis(op, dim, x.shape));
  const { perGroup, extent } = lineGrid({ lines, n, inner });
  const y = empty(op, x.shape);
  const constants = [lines, n, inner];
  device().launch(kernel(device().target, log, perGroup), [bind(contiguous(x)), bind(y)], constants, extent);
  const rule = (g: Tensor) => {
    const dx = empty('softmax', x.shape);
    const buffers = [contiguous(y), contiguous(g), dx].map(bind);
    device().launch(gradientKernel(device().target, log, perGroup), buffers, constants, extent);
    return [dx];
  };
  return record(op, [x], y, [y], rule, { push: log ? undefined : SYMMETRIC });
};

/** exp(x) / Σ exp(x) along `dim`, computed from x − max x, as `torch.softmax`: float32, shape of x. */
export const softmax = along('softmax');

/** log softmax(x) along `dim`, without overflow or log 0, as `torch.log_softmax`: float32, shape of x. */
export const logSoftmax = along('logSoftmax');
