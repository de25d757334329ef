// Softmax and log-softmax with gradients.
import * as raw from '../tensor/softmax';
import type { Tensor } from '../tensor/tensor';
import { record, SYMMETRIC } from './tape';

const differentiable = (name: string, log: boolean) => (x: Tensor, dim: number) => {
  const y = raw.softmax(x, dim, log);
  return record(name, [x], y, [y], (gradient) => [raw.softmaxGradient(gradient, y, dim, log)], {
    push: log ? undefined : SYMMETRIC,
  });
};

/** exp(x) / Σ exp(x) along `dim`, computed from x − max x: shape of x. */
export const softmax = differentiable('softmax', false);

/** log softmax(x) along `dim`, without overflow or log 0: shape of x. */
export const logSoftmax = differentiable('logSoftmax', true);
